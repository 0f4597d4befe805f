// Between fibers.cpp and races.cpp.
#pragma once

namespace emulation {

// Of races.cpp, called as a launch goes on.
void begin_launch();
void end_launch();
void begin_block();
void sync_block();
void sync_warp(unsigned warp);
void record_atomic(const void* place, unsigned bytes, const void* code);

// Of fibers.cpp: ends the launch with a message; whether an address is of a lane's stack, which
// is its own, or of shared memory, which each block has anew.
[[noreturn]] void fail(const char* format, ...);
bool on_stack(const void* place);
bool is_shared(const void* place);

}  // namespace emulation

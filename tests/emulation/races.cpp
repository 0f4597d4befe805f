// A race detector for emulated kernels: what they do to memory is told by the calls that g++'s -fsanitize=thread puts before each
// access, to functions that are ours. Two accesses of which one writes must be the same lane's, or have a barrier of the block or a
// __syncwarp of the warp between them: votes and shuffles make lanes wait, but CUDA does not promise that they order memory.
// Accesses of different sizes to one place are not compared, nor are copies of whole structs.
#include "races.h"

#include <dlfcn.h>

#include <cstdlib>

#include "cuda.h"

namespace emulation {
namespace {

struct Access {
  const void* code;  // null: there was none
  unsigned block, thread, block_syncs, warp_syncs;
  bool atomic;
};

struct Cell {
  uint64_t key;  // 0: free
  Access written;
  Access read[2];  // the latest, by two lanes
};

Cell* cells;
size_t room, used;
bool watching;  // no lane runs otherwise: a library's other functions call as well
unsigned block_syncs, warp_syncs[MOST_LANES / WARP];

Access now(bool atomic, const void* code) {
  return {code, blockIdx.x, threadIdx.x, block_syncs, warp_syncs[threadIdx.x / WARP], atomic};
}

bool same_lane(const Access& a, const Access& b) { return a.block == b.block && a.thread == b.thread; }

bool ordered(const Access& before, const Access& after) {
  if (before.block != after.block) return false;
  if (before.thread == after.thread || before.block_syncs < after.block_syncs) return true;
  return before.thread / WARP == after.thread / WARP && before.warp_syncs < after.warp_syncs;
}

Cell* find(uint64_t key) {
  size_t at = key * 0x9E3779B97F4A7C15ull >> 20 & (room - 1);
  while (cells[at].key != 0 && cells[at].key != key) at = (at + 1) & (room - 1);
  return cells + at;
}

Cell& cell_of(uint64_t key) {
  if (2 * used >= room) {
    Cell* old = cells;
    const size_t before = room;
    room = room ? 2 * room : 1 << 16;
    cells = static_cast<Cell*>(calloc(room, sizeof(Cell)));
    if (!cells) fail("no memory for the race detector");
    for (size_t i = 0; i < before; ++i)
      if (old[i].key) *find(old[i].key) = old[i];
    free(old);
  }
  Cell* cell = find(key);
  if (!cell->key) {
    cell->key = key;
    ++used;
  }
  return *cell;
}

size_t offset(const void* code) {
  Dl_info library;
  return dladdr(code, &library) ? static_cast<const char*>(code) - static_cast<const char*>(library.dli_fbase) : 0;
}

void compare(const Access& before, const Access& after, const char* what) {
  if (!before.code || ordered(before, after) || (before.atomic && after.atomic)) return;
  fail("thread %u races with thread %u of block %u, %s: code+0x%zx, code+0x%zx", after.thread, before.thread, before.block, what,
       offset(after.code) - 1, offset(before.code) - 1);
}

void record(const void* place, unsigned bytes, bool writes, bool atomic, const void* code) {
  if (!watching || on_stack(place)) return;
  const unsigned granule = bytes < 4 ? bytes : 4;
  const Access own = now(atomic, code);
  const uint64_t owner = is_shared(place) ? uint64_t(blockIdx.x + 1) << 50 : 0;
  for (unsigned i = 0; i < bytes; i += granule) {
    Cell& cell = cell_of(owner | (uint64_t(place) + i) << 3 | granule);
    compare(cell.written, own, writes ? "which wrote as well" : "which wrote what is read");
    if (writes) {
      for (const Access& read : cell.read) compare(read, own, "which read what is written");
      cell.written = own;
    } else {
      if (!same_lane(cell.read[0], own)) cell.read[1] = cell.read[0];
      cell.read[0] = own;
    }
  }
}

}  // namespace

void begin_launch() { watching = true; }

void end_launch() {
  watching = false;
  free(cells);
  cells = nullptr;
  room = used = 0;
}

void begin_block() { block_syncs = 0; }

void sync_block() { ++block_syncs; }

void sync_warp(unsigned warp) { ++warp_syncs[warp]; }

void record_atomic(const void* place, unsigned bytes, const void* code) { record(place, bytes, true, true, code); }

}  // namespace emulation

#define HERE __builtin_return_address(0)
#define ACCESSES(bytes)                                                                                        \
  void __tsan_read##bytes(void* place) { emulation::record(place, bytes, false, false, HERE); }                \
  void __tsan_write##bytes(void* place) { emulation::record(place, bytes, true, false, HERE); }                \
  void __tsan_unaligned_read##bytes(void* place) { emulation::record(place, bytes, false, false, HERE); }      \
  void __tsan_unaligned_write##bytes(void* place) { emulation::record(place, bytes, true, false, HERE); }

extern "C" {
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
void __tsan_read_range(void* place, unsigned long bytes) { emulation::record(place, bytes, false, false, HERE); }
void __tsan_write_range(void* place, unsigned long bytes) { emulation::record(place, bytes, true, false, HERE); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}

// Runs a kernel's blocks on the host, one after the other, each lane as a fiber. The order of blocks, warps and lanes is drawn
// anew all the time from a seed: what depends on an order that CUDA does not promise goes wrong for some seed. Lanes that wait
// for others that never come, accesses to memory that is not there and traps of the sanitizers end the launch with a message.
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "cuda.h"
#include "races.h"

Index threadIdx, blockIdx, gridDim;

namespace emulation {
namespace {

constexpr size_t STACK_BYTES = 64 << 10, GUARD_BYTES = 4 << 10;
constexpr int GARBAGE = 0xA5;
constexpr unsigned MARGIN = 1024;  // bytes behind a block's dynamic shared memory that must stay as they are
constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
constexpr int SIGNAL_COUNT = sizeof(SIGNALS) / sizeof(*SIGNALS);

enum class State : unsigned char { READY, WAITING, DONE };

struct Lane {
  jmp_buf context;
  bool begun;  // has a context to go on from
  State state;
  Meeting meeting;
  uint64_t answer;
};

struct Launch {
  Kernel kernel;
  void** arguments;
  unsigned grid, threads, shared_bytes;
};

Lane lanes[MOST_LANES];
char* stacks;
Lane* current;
jmp_buf scheduler, failure;
Launch launched;
uint32_t seed;
char message[2048];
const char *shared_begin, *shared_end;
sigjmp_buf fault;
const void* fault_address;

uint32_t draw() {
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed;
}

}  // namespace

[[noreturn]] void fail(const char* format, ...) {
  const int used = snprintf(message, sizeof message, "block %u: ", blockIdx.x);
  va_list rest;
  va_start(rest, format);
  vsnprintf(message + used, sizeof message - used, format, rest);
  va_end(rest);
  longjmp(failure, 1);
}

bool is_shared(const void* place) { return place >= shared_begin && place < shared_end; }

bool on_stack(const void* place) { return place >= stacks && place < stacks + MOST_LANES * STACK_BYTES; }

namespace {

const char* base_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

bool same_place(const Meeting& a, const Meeting& b) {
  return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

// Fibers. ucontext makes a lane's stack its own; from then on setjmp and longjmp switch, which need no system call.

void lane_main() {
  for (;;) {
    launched.kernel.run(launched.arguments);
    current->state = State::DONE;
    if (_setjmp(current->context) == 0) _longjmp(scheduler, 1);
  }
}

void begin(unsigned number) {
  static ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = stacks + number * STACK_BYTES + GUARD_BYTES;
  context.uc_stack.ss_size = STACK_BYTES - GUARD_BYTES;
  context.uc_link = nullptr;
  makecontext(&context, lane_main, 0);
  lanes[number].begun = true;
  setcontext(&context);
}

__attribute__((noinline)) void resume(unsigned number) {
  current = &lanes[number];
  threadIdx.x = number;
  if (_setjmp(scheduler) != 0) return;
  if (current->begun) _longjmp(current->context, 1);
  begin(number);
}

// Where lanes meet.

bool waits_in_warp(const Lane& lane) {
  return lane.state == State::WAITING && lane.meeting.kind != Kind::SYNC_THREADS && lane.meeting.kind != Kind::ACTIVE_MASK;
}

// Whether all lanes that lane `first` waits for are there.
bool all_there(const Lane* warp, unsigned first) {
  const Meeting& wanted = warp[first].meeting;
  for (unsigned i = 0; i < WARP; ++i) {
    if (!(wanted.mask >> i & 1)) continue;
    const Meeting& own = warp[i].meeting;
    if (!waits_in_warp(warp[i]) || own.kind != wanted.kind || own.mask != wanted.mask || !same_place(own, wanted)) return false;
  }
  return true;
}

void answer(Lane* warp, unsigned mask) {
  unsigned votes = 0;
  for (unsigned i = 0; i < WARP; ++i)
    if (mask >> i & 1 && warp[i].meeting.value) votes |= 1u << i;
  for (unsigned i = 0; i < WARP; ++i) {
    if (!(mask >> i & 1)) continue;
    const Meeting& own = warp[i].meeting;
    if (own.kind == Kind::SHUFFLE && !(mask >> own.source & 1))
      fail("lane %u reads lane %u, which takes no part, at %s:%d", i, own.source, base_name(own.file), own.line);
    warp[i].answer = own.kind == Kind::SHUFFLE ? warp[own.source].meeting.value : votes;
    warp[i].state = State::READY;
  }
}

// Of the lanes at one place some are said to be active together: CUDA does not promise that it is all of them.
bool answer_active(Lane* warp) {
  unsigned there = 0;
  const Meeting* first = nullptr;
  for (unsigned i = 0; i < WARP; ++i) {
    if (warp[i].state != State::WAITING || warp[i].meeting.kind != Kind::ACTIVE_MASK) continue;
    if (!first) first = &warp[i].meeting;
    if (same_place(*first, warp[i].meeting)) there |= 1u << i;
  }
  const unsigned some = there & draw(), chosen = some && draw() % 4 ? some : there;
  for (unsigned i = 0; i < WARP; ++i) {
    if (!(chosen >> i & 1)) continue;
    warp[i].answer = chosen;
    warp[i].state = State::READY;
  }
  return chosen != 0;
}

// Lets go whoever has met; whether anybody has.
bool settle(Lane* warp) {
  bool met = false;
  for (unsigned i = 0; i < WARP; ++i) {
    if (!waits_in_warp(warp[i])) continue;
    const Meeting& own = warp[i].meeting;
    if (!(own.mask >> i & 1)) fail("lane %u is not in its own mask at %s:%d", i, base_name(own.file), own.line);
    if (!all_there(warp, i)) continue;
    if (own.kind == Kind::SYNC_WARP && own.mask == ~0u) sync_warp((warp - lanes) / WARP);
    answer(warp, own.mask);
    met = true;
  }
  return met || answer_active(warp);
}

// A warp runs for a while; false if it can't before the block's other warps come to a barrier.
bool run_warp(unsigned first) {
  Lane* warp = lanes + first;
  do {
    const unsigned flip = draw() % WARP;
    bool ran = false;
    for (unsigned i = 0; i < WARP; ++i) {
      const unsigned own = i ^ flip;
      if (warp[own].state != State::READY) continue;
      resume(first + own);
      ran = true;
    }
    if (!settle(warp) && !ran) return false;
  } while (draw() % 8);
  return true;
}

// Nobody can go on: right only if all wait at one barrier.
void pass_barrier() {
  for (unsigned i = 0; i < launched.threads; ++i) {
    const Lane& lane = lanes[i];
    if (lane.state == State::WAITING && lane.meeting.kind == Kind::SYNC_THREADS &&
        same_place(lane.meeting, lanes[0].meeting))
      continue;
    char places[1024] = "";
    size_t used = 0;
    for (unsigned first = 0, next; first < launched.threads && used < sizeof places; first = next) {
      const Lane& own = lanes[first];
      for (next = first + 1; next < launched.threads && lanes[next].state == own.state &&
                             (own.state == State::DONE || same_place(lanes[next].meeting, own.meeting));
           ++next) {}
      used += own.state == State::DONE
                  ? snprintf(places + used, sizeof places - used, "; threads %u-%u are done", first, next - 1)
                  : snprintf(places + used, sizeof places - used, "; threads %u-%u wait at %s:%d", first, next - 1,
                             base_name(own.meeting.file), own.meeting.line);
    }
    fail("its lanes wait for each other at different places%s", places);
  }
  sync_block();
  for (unsigned i = 0; i < launched.threads; ++i) lanes[i].state = State::READY;
}

// Shared memory holds garbage when a block begins: all of the library's thread-local storage, but for the room that this launch
// leaves unused.
int spoil(dl_phdr_info* library, size_t, void* dynamic) {
  char* own = static_cast<char*>(library->dlpi_tls_data);
  for (int i = 0; own && i < library->dlpi_phnum; ++i) {
    const auto& segment = library->dlpi_phdr[i];
    if (segment.p_type != PT_TLS || dynamic < own || dynamic >= own + segment.p_memsz) continue;
    char* shared = static_cast<char*>(dynamic);
    const size_t used = shared - own + launched.shared_bytes + MARGIN, room = shared - own + DYNAMIC_SHARED_BYTES;
    memset(own, GARBAGE, used);
    memset(own + room, GARBAGE, segment.p_memsz - room);
    shared_begin = own;
    shared_end = own + segment.p_memsz;
    return 1;
  }
  return 0;
}

void run_block(unsigned number) {
  blockIdx.x = number;
  begin_block();
  if (!dl_iterate_phdr(spoil, launched.kernel.shared)) fail("its shared memory was not found");
  const unsigned warps = launched.threads / WARP;
  bool asleep[MOST_LANES / WARP] = {};
  for (unsigned i = 0; i < launched.threads; ++i) lanes[i].state = State::READY;
  for (;;) {
    unsigned sleeping = 0;
    const unsigned first = draw() % warps;
    for (unsigned i = 0; i < warps; ++i) {
      const unsigned warp = (first + i) % warps;
      // now and then one stays behind
      if (!asleep[warp] && draw() % 4) asleep[warp] = !run_warp(warp * WARP);
      sleeping += asleep[warp];
    }
    if (sleeping < warps) continue;
    unsigned done = 0;
    for (unsigned i = 0; i < launched.threads; ++i) done += lanes[i].state == State::DONE;
    if (done == launched.threads) break;
    pass_barrier();
    memset(asleep, 0, sizeof asleep);
  }
  const auto* shared = static_cast<const unsigned char*>(launched.kernel.shared);
  for (unsigned i = launched.shared_bytes; i < launched.shared_bytes + MARGIN; ++i)
    if (shared[i] != GARBAGE) fail("wrote to byte %u of %u bytes of dynamic shared memory", i, launched.shared_bytes);
}

void on_signal(int, siginfo_t* info, void*) {
  fault_address = info->si_addr;
  siglongjmp(fault, info->si_signo);
}

}  // namespace

uint64_t meet(const Meeting& meeting) {
  Lane* own = current;
  own->meeting = meeting;
  own->state = State::WAITING;
  if (_setjmp(own->context) == 0) _longjmp(scheduler, 1);
  return current->answer;
}

// Runs a kernel to its end. Null, or what went wrong.
extern "C" const char* launch_kernel(const Kernel* kernel, void** arguments, unsigned grid, unsigned threads,
                                     unsigned shared_bytes, unsigned start) {
  static char signal_stack[64 << 10];
  if (!stacks) {
    void* room = mmap(nullptr, MOST_LANES * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return "no memory for the lanes' stacks";
    stacks = static_cast<char*>(room);
    for (unsigned i = 0; i < MOST_LANES; ++i) mprotect(stacks + i * STACK_BYTES, GUARD_BYTES, PROT_NONE);
  }
  launched = {*kernel, arguments, grid, threads, shared_bytes};
  gridDim.x = grid;
  seed = start | 1;
  begin_launch();
  // a lane that overruns its stack has none left for the handler
  stack_t alternative = {}, old_stack;
  alternative.ss_sp = signal_stack;
  alternative.ss_size = sizeof signal_stack;
  sigaltstack(&alternative, &old_stack);
  struct sigaction action = {}, old[SIGNAL_COUNT];
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int i = 0; i < SIGNAL_COUNT; ++i) sigaction(SIGNALS[i], &action, old + i);
  volatile bool failed = false;
  if (const int caught = sigsetjmp(fault, 1)) {
    const char* what = caught == SIGILL || caught == SIGTRAP ? "undefined behaviour (alignment or bounds)" : "illegal access";
    snprintf(message, sizeof message, "block %u, thread %u: %s at %p", blockIdx.x, threadIdx.x, what, fault_address);
    failed = true;
  } else if (setjmp(failure) != 0) {
    failed = true;
  } else {
    const unsigned first = draw() % grid;
    for (unsigned i = 0; i < grid; ++i) run_block((first + i) % grid);
  }
  end_launch();
  for (int i = 0; i < SIGNAL_COUNT; ++i) sigaction(SIGNALS[i], old + i, nullptr);
  sigaltstack(&old_stack, nullptr);
  // lanes that were left in the middle begin anew
  if (failed)
    for (Lane& lane : lanes) lane.begun = false;
  return failed ? message : nullptr;
}

}  // namespace emulation

// What the kernels use of CUDA C++, for a host compiler. Each lane of a block is a fiber (fibers.cpp) that runs until it meets
// others: in a warp's intrinsic, at a block's barrier. Memory is one, and a block runs on one thread of the host.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

// Standard headers come first: they have attributes of these names.
#define __device__
#define __global__
#define __grid_constant__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
// Takes `extern __shared__` inside a function as well as a plain local. All lanes of a block are on one thread, which runs one
// block at a time; the library's thread-local storage holds nothing else, so it can be filled with garbage before each.
#define __shared__ thread_local

struct Index {
  unsigned x;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) ulonglong2 {
  unsigned long long x, y;
};

inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

extern Index threadIdx, blockIdx, gridDim;

namespace emulation {

constexpr unsigned WARP = 32;
constexpr unsigned MOST_LANES = 1024;
constexpr unsigned DYNAMIC_SHARED_BYTES = 228 << 10;  // what a multiprocessor of sm_90 has; a block can have 1 KiB less

enum class Kind : unsigned char { BALLOT, SHUFFLE, SYNC_WARP, ACTIVE_MASK, SYNC_THREADS };

// Where and for what a lane waits. `value` is what it brings, `source` the lane whose value it wants.
struct Meeting {
  Kind kind;
  unsigned mask;
  uint64_t value;
  unsigned source;
  const char* file;
  int line;
};

// Suspends the lane until all lanes of the mask have come to the same line; what it gets there.
uint64_t meet(const Meeting& meeting);

// For the race detector (races.cpp).
void record_atomic(const void* place, unsigned bytes, const void* code);

inline unsigned lane() { return threadIdx.x % WARP; }

}  // namespace emulation

// The caller's place, which defaults tell, is what lanes that meet must have in common.
#define EMULATION_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline unsigned __ballot_sync(unsigned mask, bool predicate, EMULATION_PLACE) {
  return unsigned(emulation::meet({emulation::Kind::BALLOT, mask, predicate, 0, file, line}));
}
inline bool __any_sync(unsigned mask, bool predicate, EMULATION_PLACE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
template <typename T>
T __shfl_sync(unsigned mask, T value, unsigned source, EMULATION_PLACE) {
  return T(emulation::meet({emulation::Kind::SHUFFLE, mask, uint64_t(value), source % emulation::WARP, file, line}));
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, EMULATION_PLACE) {
  const unsigned own = emulation::lane(), source = own >= distance ? own - distance : own;
  return T(emulation::meet({emulation::Kind::SHUFFLE, mask, uint64_t(value), source, file, line}));
}
inline void __syncwarp(unsigned mask = ~0u, EMULATION_PLACE) {
  emulation::meet({emulation::Kind::SYNC_WARP, mask, 0, 0, file, line});
}
inline unsigned __activemask(EMULATION_PLACE) {
  return unsigned(emulation::meet({emulation::Kind::ACTIVE_MASK, 0, 0, 0, file, line}));
}
inline void __syncthreads(EMULATION_PLACE) {
  emulation::meet({emulation::Kind::SYNC_THREADS, 0, 0, 0, file, line});
}

// Only one lane runs at a time, so nothing comes between the two halves. Among themselves they are no race.
#ifdef __SANITIZE_THREAD__
#define EMULATION_ATOMIC __attribute__((noinline, no_sanitize("thread")))
#define EMULATION_RECORD(place) emulation::record_atomic(place, sizeof *(place), __builtin_return_address(0))
#else
#define EMULATION_ATOMIC inline
#define EMULATION_RECORD(place) (void)0
#endif

template <typename T>
EMULATION_ATOMIC T atomicAdd(T* place, T value) {
  EMULATION_RECORD(place);
  const T old = *place;
  *place = old + value;
  return old;
}
template <typename T>
EMULATION_ATOMIC T atomicOr(T* place, T value) {
  EMULATION_RECORD(place);
  const T old = *place;
  *place = old | value;
  return old;
}

template <typename T>
T __ldg(const T* place) {
  return *place;
}

inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __ffs(unsigned value) { return __builtin_ffs(int(value)); }
inline int __ffsll(unsigned long long value) { return __builtin_ffsll(static_cast<long long>(value)); }
inline int __clz(unsigned value) { return value ? __builtin_clz(value) : 32; }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return unsigned(((uint64_t(high) << 32 | low) << (shift % 32)) >> 32);
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const uint64_t bytes = uint64_t(high) << 32 | low;
  unsigned chosen = 0;
  for (int i = 0; i < 4; ++i) chosen |= unsigned(bytes >> 8 * (selector >> 4 * i & 7) & 0xFF) << 8 * i;
  return chosen;
}

// The overloads of CUDA's headers: of mixed signs the unsigned one wins.
inline int min(int a, int b) { return a < b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned min(int a, unsigned b) { return min(unsigned(a), b); }
inline unsigned min(unsigned a, int b) { return min(a, unsigned(b)); }
inline unsigned long long min(unsigned long long a, unsigned long long b) { return a < b ? a : b; }

namespace emulation {

// A compiled kernel as the launcher sees it. `run` is what each lane does; `shared`: the launching thread's.
struct Kernel {
  void (*run)(void** arguments);
  unsigned count;
  const uint32_t* sizes;  // of the arguments
  void* shared;
};

// From pointers to the arguments, as cuLaunchKernel gets them, to a call.
template <typename... Arguments>
struct Signature {
  static constexpr uint32_t SIZES[] = {sizeof(Arguments)...};

  template <size_t... I>
  static void call(void (*kernel)(Arguments...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<Arguments*>(arguments[I])...);
  }
};

template <typename... Arguments>
void call(void (*kernel)(Arguments...), void** arguments) {
  Signature<Arguments...>::call(kernel, arguments, std::index_sequence_for<Arguments...>());
}

template <typename... Arguments>
Kernel describe(void (*)(Arguments...), void (*run)(void**), void* shared) {
  return {run, sizeof...(Arguments), Signature<Arguments...>::SIZES, shared};
}

}  // namespace emulation

// Comes behind a kernel's source. `shared` is what `extern __shared__ uint4 shared[]` in the kernels means.
#define EMULATION_KERNEL(name)                                                                        \
  namespace vyre {                                                                                    \
  thread_local uint4 shared[emulation::DYNAMIC_SHARED_BYTES / sizeof(uint4)];                         \
  }                                                                                                   \
  static void run_lane(void** arguments) { emulation::call(name, arguments); }                        \
  extern "C" __attribute__((visibility("default"))) void describe_kernel(emulation::Kernel* kernel) { \
    *kernel = emulation::describe(name, run_lane, vyre::shared);                                      \
  }

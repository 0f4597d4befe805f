// The automata on the pivots that `scan` or `probe` listed.
#pragma once
#include "walking.cuh"

namespace vyre {

constexpr u32 SHARED_NFA_WORDS = 4096;

// Bit-parallel automata look up a row for every position that is alive: their tables are small, so
// each block has them at hand. No more of shared memory is asked for than they take: what is left
// is the cache, where the other automata's tables are.
template <int THREADS>
__device__ __forceinline__ void walk(const Tables& tables, const Stretch& stretch, const Lists<Pivot>& lists,
                                     const Output& output) {
  extern __shared__ uint4 shared[];
  u64* words = reinterpret_cast<u64*>(shared);
  const u32 list = blockIdx.x / lists.parts, part = blockIdx.x % lists.parts;
  const u32 count = min(lists.lengths[list], lists.capacity);
  const bool fits = tables.nfa_word_count <= SHARED_NFA_WORDS;
  if (fits)
    for (u32 i = threadIdx.x; i < tables.nfa_word_count; i += THREADS) words[i] = tables.nfa_words[i];
  __syncthreads();
  Walker(tables, stretch, output, fits ? words : tables.nfa_words)
      .walk(lists.items + u64(list) * lists.capacity, count, part * THREADS + threadIdx.x, lists.parts * THREADS);
}

}  // namespace vyre

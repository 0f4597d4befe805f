// Automata that run outward from a pivot, one candidate a thread. The same steps as
// vyre_dist/compiler/runners.py.
#pragma once
#include "tables.cuh"

namespace vyre {

constexpr u32 PENDING = 3;

// One candidate on its way in one direction. Dependent look-ups are what time goes into, so the
// bytes and columns of a few steps, which do not depend on the state, are fetched together before
// the state walks along them.
struct Walk {
  static constexpr int CHUNK = 4;
  const u8* next;
  const u8* map;
  const u16* cells;
  u32 columns;
  u32 state;
  int left;  // bytes that may be read
  bool edge;  // after them there is the document's edge, and it may be looked at

  // Goes on for a chunk; the verdict, or PENDING.
  __device__ __forceinline__ u32 chunk(int stride) {
    u32 column[CHUNK];
#pragma unroll
    for (int k = 0; k < CHUNK; ++k) column[k] = k < left ? __ldg(next + k * stride) : EDGE_SYMBOL;
#pragma unroll
    for (int k = 0; k < CHUNK; ++k) column[k] = __ldg(map + column[k]);
#pragma unroll
    for (int k = 0; k < CHUNK; ++k)
      if (k < left || (k == left && edge)) state = __ldg(cells + state * columns + column[k]);
    next += CHUNK * stride;
    left -= CHUNK;
    if (state <= ACCEPT) return state;
    // the edge's column leads nowhere else, so whoever gets here after it was read had none
    return left > 0 || (left == 0 && edge) ? PENDING : UNDECIDED;
  }
};

// By value throughout: a reference to a kernel's arguments would have them copied to local memory.
__device__ __noinline__ u32 run_nfa(const u8* map, const u64* follow, u32 states, u32 columns, u32 words, u32 max_steps,
                                    u32 start, const u8* at, u32 left, bool edge, int stride) {
  const u64* reach = follow + states * words;
  const u64* final = reach + columns * words;
  u64 state[MAX_NFA_WORDS], next[MAX_NFA_WORDS];
#pragma unroll
  for (int w = 0; w < MAX_NFA_WORDS; ++w) state[w] = w == start >> 6 ? 1ull << (start & 63) : 0;
  for (u32 step = 0; step < max_steps; ++step) {
    if (step >= left && !edge) return UNDECIDED;
    const u32 column = __ldg(map + (step < left ? __ldg(at) : EDGE_SYMBOL));
    u64 accepting = 0, alive = 0;
#pragma unroll
    for (int w = 0; w < MAX_NFA_WORDS; ++w) {
      next[w] = 0;
      if (w < words) accepting |= state[w] & final[column * words + w];
    }
    if (accepting) return ACCEPT;
#pragma unroll
    for (int w = 0; w < MAX_NFA_WORDS; ++w) {
      for (u64 bits = state[w]; bits; bits &= bits - 1) {
        const u64* row = follow + (64 * w + __ffsll(bits) - 1) * words;
#pragma unroll
        for (int k = 0; k < MAX_NFA_WORDS; ++k)
          if (k < words) next[k] |= row[k];
      }
    }
#pragma unroll
    for (int w = 0; w < MAX_NFA_WORDS; ++w) {
      state[w] = w < words ? next[w] & reach[column * words + w] : 0;
      alive |= state[w];
    }
    if (!alive) return DEAD;
    at += stride;
  }
  return UNDECIDED;
}

}  // namespace vyre

// Automata that run outward from a pivot, one candidate a thread. The same steps as vyre_dist/compiler/runners.py.
#pragma once
#include "tables.cuh"

namespace vyre {

constexpr u32 PENDING = 3;

// A document's bytes as offsets of the stretch (they may lie outside of it), and which edges are the document's own.
struct Document {
  i64 start;
  i64 end;
  u32 edges;
  u32 number;  // NOT_STORED: the place lies in no document

  __device__ __forceinline__ bool has_edge(int stride) const { return edges >> (stride > 0) & 1; }
};

__device__ __forceinline__ Document find_document(const Stretch& s, u32 at) {
  const u64 place = s.first + at;
  u32 low = __ldg(s.page_documents + (place >> PAGE_BITS));
  u32 high = __ldg(s.page_documents + (place >> PAGE_BITS) + 1);
  // the first document that ends after the place: ends ascend
  high = high < s.documents ? high + 1 : s.documents;
  while (low < high) {
    const u32 middle = (low + high) >> 1;
    if (__ldg(s.ends + middle) <= place) low = middle + 1; else high = middle;
  }
  Document d = {0, 0, 0, NOT_STORED};
  if (low >= s.documents) return d;
  const u64 start = __ldg(s.starts + low);
  if (start > place) return d;
  d.start = i64(start - s.first);
  d.end = i64(__ldg(s.ends + low) - s.first);
  d.edges = __ldg(s.edges + low);
  d.number = low;
  return d;
}

// One candidate on its way in one direction. Dependent look-ups are what time goes into, so a chunk's bytes and columns,
// which do not depend on the state, are fetched together before the state walks along them.
struct Walk {
  static constexpr int CHUNK = 8;
  const u8* map;
  const u16* cells;
  u32 columns;
  u32 state;
  u32 steps;  // left
  i64 at;

  // Goes on for a chunk; the verdict, or PENDING.
  __device__ __forceinline__ u32 chunk(const u8* data, const Document& d, int stride) {
    u32 column[CHUNK];
    bool inside[CHUNK];
#pragma unroll
    for (int k = 0; k < CHUNK; ++k) {
      const i64 place = at + k * stride;
      inside[k] = place >= d.start && place < d.end;
      column[k] = inside[k] ? __ldg(data + place) : EDGE_SYMBOL;
    }
#pragma unroll
    for (int k = 0; k < CHUNK; ++k) column[k] = __ldg(map + column[k]);
    const bool edge = d.has_edge(stride);
#pragma unroll
    for (int k = 0; k < CHUNK; ++k) {
      if (state <= ACCEPT) return state;
      if (steps == 0 || (!inside[k] && !edge)) return UNDECIDED;
      --steps;
      state = __ldg(cells + state * columns + column[k]);
    }
    at += CHUNK * stride;
    return PENDING;
  }
};

// By value throughout: a reference to a kernel's arguments would have them copied to local memory.
__device__ __noinline__ u32 run_nfa(const u8* map, const u64* follow, u32 states, u32 columns, u32 words, u32 max_steps,
                                    u32 start, const u8* data, Document d, i64 at, int stride) {
  const u64* reach = follow + states * words;
  const u64* final = reach + columns * words;
  u64 state[MAX_NFA_WORDS], next[MAX_NFA_WORDS];
#pragma unroll
  for (int w = 0; w < MAX_NFA_WORDS; ++w) state[w] = w == start >> 6 ? 1ull << (start & 63) : 0;
  for (u32 step = 0; step < max_steps; ++step) {
    const bool inside = at >= d.start && at < d.end;
    if (!inside && !d.has_edge(stride)) return UNDECIDED;
    const u32 column = __ldg(map + (inside ? __ldg(data + at) : EDGE_SYMBOL));
    u64 accepting = 0, alive = 0;
#pragma unroll
    for (int w = 0; w < MAX_NFA_WORDS; ++w) {
      next[w] = 0;
      if (w < words) accepting |= state[w] & __ldg(final + column * words + w);
    }
    if (accepting) return ACCEPT;
#pragma unroll
    for (int w = 0; w < MAX_NFA_WORDS; ++w) {
      for (u64 bits = state[w]; bits; bits &= bits - 1) {
        const u64* row = follow + (64 * w + __ffsll(bits) - 1) * words;
#pragma unroll
        for (int k = 0; k < MAX_NFA_WORDS; ++k)
          if (k < words) next[k] |= __ldg(row + k);
      }
    }
#pragma unroll
    for (int w = 0; w < MAX_NFA_WORDS; ++w) {
      state[w] = w < words ? next[w] & __ldg(reach + column * words + w) : 0;
      alive |= state[w];
    }
    if (!alive) return DEAD;
    at += stride;
  }
  return UNDECIDED;
}

}  // namespace vyre

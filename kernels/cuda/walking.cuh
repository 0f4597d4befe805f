// From pivots to rows: the automata, outward.
#pragma once
#include "automata.cuh"
#include "rows.cuh"

namespace vyre {

class Walker {
 public:
  // `words`: the tables' nfa_words, wherever they are.
  __device__ __forceinline__ Walker(const Tables& tables, const Stretch& stretch, const Output& output, const u64* words)
      : t(tables), s(stretch), rows{stretch, output}, nfa_words(words) {}

  // Whole warps call. A thread does pivots[first], pivots[first + step] and so on; it takes its
  // next one as soon as it is done.
  __device__ __forceinline__ void walk(const Pivot* pivots, u32 count, u32 first, u32 step) const {
    u32 next = first;
    Pivot p;
    Walk walk;
    u32 verdict = PENDING, host = 0;
    int stride = 0;  // 0: has no pivot
    while (__any_sync(~0u, stride != 0 || next < count)) {
      if (stride == 0 && next < count) {
        p = pivots[next];
        next += step;
        stride = 1;
        host = 0;
        verdict = set_out(walk, t.entries[p.entry].forward, s.data + p.at, p.room & MOST_ROOM, p.document & END_EDGE, 1);
      }
      if (stride != 0) {
        if (verdict == PENDING) verdict = walk.chunk(stride);
        if (stride == 1 && (verdict == ACCEPT || verdict == UNDECIDED)) {
          // confirmed only if both ways accept
          if (verdict == UNDECIDED) host = HOST;
          stride = -1;
          verdict = set_out(walk, t.entries[p.entry].backward, s.data + p.at - 1, p.room >> 16, p.document & START_EDGE, -1);
        } else if (verdict != PENDING) {
          if (verdict == UNDECIDED) host = HOST;
          if (verdict != DEAD) {
            const Entry& entry = t.entries[p.entry];
            // only a confirmed row knows where its match begins
            const u32 distance = host ? 0 : __ldg(&entry.distance);
            rows.emit(p.at, distance, p.document & ~(START_EDGE | END_EDGE), __ldg(&entry.rule) | host);
          }
          stride = 0;
        }
      }
    }
  }

 private:
  const Tables& t;
  const Stretch& s;
  const Rows rows;
  const u64* nfa_words;

  // PENDING for an automaton with a table, which then walks; a bit-parallel one runs to its end.
  // `room`: bytes there are.
  __device__ __forceinline__ u32 set_out(Walk& walk, const Side& from, const u8* next, u32 room, bool edge, int stride) const {
    const uint4 side = __ldg(reinterpret_cast<const uint4*>(&from));
    const u8* map = t.byte_maps + side.x;
    if (side.w & BIT_PARALLEL) {
      const Automaton a = t.automata[side.y];
      return run_nfa(map, nfa_words + a.base, a.states, a.columns, a.words, min(t.max_steps, BIT_PARALLEL_STEPS), side.w & ~BIT_PARALLEL, next,
                     room, edge, stride);
    }
    walk.next = next;
    walk.map = map;
    walk.cells = t.dfa_cells + side.y;
    walk.columns = side.z;
    walk.state = side.w;
    walk.left = min(room, t.max_steps);
    walk.edge = edge && room < t.max_steps;
    // the automaton may have answered before the first byte, or there may be nothing to read
    return side.w <= ACCEPT ? side.w : room || edge ? PENDING : UNDECIDED;
  }
};

}  // namespace vyre

// What a warp finds on its way waits in queues of its own until all 32 lanes have something to do:
// few hits are true ones, few of those pass their probes, and lanes that idle cost as much as lanes
// that work.
#pragma once
#include "probing.cuh"

namespace vyre {

constexpr u32 QUEUE = 64;  // 31 that wait and 32 that come

struct Queues {
  uint2 finds[QUEUE];  // of a lane: where its unit begins, with BLOCK_HIT for blocks, and its bits (windows.cuh)
  u32 positions[QUEUE];  // of candidates' pivots
  u32 entries[QUEUE];
};

// A block's list of pivots.
struct PivotList {
  Pivot* items;
  u32 capacity;
  u32& length;  // in shared memory; counts those that did not fit as well

  // All of a warp call.
  __device__ __forceinline__ void add(const Pivot& p) const {
    const bool mine = p.document != NOT_STORED;
    const u32 index = take_index(mine, length);
    if (mine && index < capacity) items[index] = p;
  }
};

struct Waiting {
  Queues& q;
  u32 finds;
  u32 candidates;

  // The lanes in `vote` bring bits of theirs; all lanes call, with less than 32 waiting.
  __device__ __forceinline__ void push(u32 vote, u32 from, u32 bits) {
    if (bits) q.finds[finds + __popc(vote & lanes_below())] = make_uint2(from, bits);
    finds += __popc(vote);
  }

  __device__ __forceinline__ bool busy(bool last) const { return finds >= 32 || (last && (finds | candidates)); }

  // Does a warp's worth of hits, one of each find, or, as `last`, what is left of candidates as
  // well.
  __device__ __forceinline__ void work(const Prober& prober, const PivotList& pivots, bool last) {
    const u32 hit = take_hit();
    u32 leads = prober.look_at_hit(hit);
    u32 at = 0, left = leads != NOT_STORED;
    if (left && leads & LIST) {
      at = leads & ~LIST;
      left = prober.lead(at);
      leads = prober.lead(++at);
    }
    bool more;
    do {
      const u32 vote = __ballot_sync(~0u, left != 0);
      push_candidate(vote, left != 0, hit + (leads & 3), leads >> 2);
      if (left && --left) leads = prober.lead(++at);
      more = __any_sync(~0u, left != 0);
      look(prober, pivots, last && !more && finds == 0);
    } while (more);
  }

  // The lanes in `vote` bring a candidate each; all lanes call, and look before they bring more.
  __device__ __forceinline__ void push_candidate(u32 vote, bool mine, u32 position, u32 entry) {
    if (mine) {
      const u32 index = candidates + __popc(vote & lanes_below());
      q.positions[index] = position;
      q.entries[index] = entry;
    }
    candidates += __popc(vote);
  }

  // Looks at a warp's worth of candidates, or, as `all`, at those that wait as well.
  __device__ __forceinline__ void look(const Prober& prober, const PivotList& pivots, bool all) {
    while (candidates >= 32 || (all && candidates)) {
      __syncwarp();
      const u32 position = take(q.positions, candidates), entry = take(q.entries, candidates);
      candidates -= min(candidates, 32u);
      Pivot p = {0, 0, NOT_STORED, 0};
      if (position != NOT_STORED) p = prober.look_at_candidate(position, entry);
      __syncwarp();
      pivots.add(p);
    }
  }

  // The earliest hit of each of the first 32 finds, NOT_STORED where there are less; what else they
  // have waits on.
  __device__ __forceinline__ u32 take_hit() {
    const u32 lane = lane_id();
    __syncwarp();
    const uint2 own = lane < finds ? q.finds[lane] : make_uint2(NOT_STORED, 0);
    const uint2 later = lane + 32 < finds ? q.finds[lane + 32] : make_uint2(0, 0);
    const u32 hit = own.y ? own.x + offset_of_first(own.y) : NOT_STORED;
    const u32 rest = own.y ? own.y & ~(0x80000000u >> __clz(own.y)) : 0;
    const u32 vote = __ballot_sync(~0u, rest != 0), kept = __popc(vote);
    __syncwarp();
    if (rest) q.finds[__popc(vote & lanes_below())] = make_uint2(own.x, rest);
    if (lane + 32 < finds) q.finds[kept + lane] = later;
    finds = kept + (finds > 32 ? finds - 32 : 0);
    __syncwarp();
    return hit;
  }

  // The first 32 of a queue's `count`, one for each lane (NOT_STORED where there are less); the
  // others move up.
  static __device__ __forceinline__ u32 take(u32* queue, u32 count) {
    const u32 lane = lane_id();
    const u32 mine = lane < count ? queue[lane] : NOT_STORED;
    const u32 later = lane + 32 < count ? queue[lane + 32] : 0;
    __syncwarp();
    queue[lane] = later;
    __syncwarp();
    return mine;
  }
};

}  // namespace vyre

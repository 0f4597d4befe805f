// What a warp finds on its way waits in queues of its own until all 32 lanes have something to do: few hits are true ones, few
// of those pass their probes, and lanes that idle cost as much as lanes that work.
#pragma once
#include "probing.cuh"

namespace vyre {

constexpr u32 QUEUE = 64;  // 31 that wait and 32 that come

struct Queues {
  u32 hits[QUEUE];
  u32 places[QUEUE];  // of candidates' pivots
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
    const u32 slot = take_slot(mine, length);
    if (mine && slot < capacity) items[slot] = p;
  }
};

struct Waiting {
  Queues& q;
  u32 hits;
  u32 candidates;

  // The lanes in `vote` bring a hit each; all lanes call.
  __device__ __forceinline__ void push_hit(u32 vote, bool mine, u32 hit) {
    if (mine) q.hits[hits + __popc(vote & lanes_below())] = hit;
    hits += __popc(vote);
  }

  __device__ __forceinline__ bool busy(bool last) const { return hits >= 32 || (last && (hits | candidates)); }

  // Does a warp's worth of hits, or, as `last`, all that waits.
  __device__ __forceinline__ void work(const Prober& prober, const PivotList& pivots, bool last) {
    __syncwarp();
    const u32 hit = take(q.hits, hits);
    hits -= min(hits, 32u);
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
      look(prober, pivots, last && !more);
    } while (more);
  }

  // The lanes in `vote` bring a candidate each; all lanes call, and look before they bring more.
  __device__ __forceinline__ void push_candidate(u32 vote, bool mine, u32 place, u32 entry) {
    if (mine) {
      const u32 slot = candidates + __popc(vote & lanes_below());
      q.places[slot] = place;
      q.entries[slot] = entry;
    }
    candidates += __popc(vote);
  }

  // Looks at a warp's worth of candidates, or, as `all`, at those that wait as well.
  __device__ __forceinline__ void look(const Prober& prober, const PivotList& pivots, bool all) {
    while (candidates >= 32 || (all && candidates)) {
      __syncwarp();
      const u32 place = take(q.places, candidates), entry = take(q.entries, candidates);
      candidates -= min(candidates, 32u);
      Pivot p = {0, 0, NOT_STORED, 0};
      if (place != NOT_STORED) p = prober.look_at_candidate(place, entry);
      __syncwarp();
      pivots.add(p);
    }
  }

  // The first 32 of a queue's `count`, one for each lane (NOT_STORED where there are less); the others move up.
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

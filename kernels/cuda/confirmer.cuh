// From hits of the bitmap to rows of output. Each warp works for itself: what one stage lets through waits in a queue of the
// warp's own until all 32 lanes have something to do, so that rare survivors do not leave most lanes idle.
//
// All of it is inlined at one place of a kernel: a call would put the waiting counts and the kernel's arguments into
// local memory.
#pragma once
#include "automata.cuh"
#include "windows.cuh"

namespace vyre {

constexpr u32 QUEUE = 64;  // 31 that wait and 32 that come
constexpr u32 BLOCK_HIT = 0x80000000u;  // of a hit: a block for the runs, not a window

struct Candidate {
  u32 at;  // of the window, later of the pivot
  u32 entry;
};

struct Queues {
  u32 hits[QUEUE];
  Candidate candidates[QUEUE];
  Candidate pivots[QUEUE];
  u32 documents[QUEUE];  // of the pivots
};

__device__ __forceinline__ u32 lanes_below() { return (1u << lane_id()) - 1; }

__device__ __forceinline__ u32 load_window(const u8* at) {
  const u16* halves = reinterpret_cast<const u16*>(at);  // windows begin at even places
  return __ldg(halves) | u32(__ldg(halves + 1)) << 16;
}

class Confirmer {
 public:
  __device__ __forceinline__ Confirmer(const Tables& tables, const Stretch& stretch, const Output& output, Queues* queues)
      : t(tables), s(stretch), out(output), q(*queues), hits(0), candidates(0), pivots(0) {}

  // Every lane may bring a hit; all lanes call. True while somebody has one.
  __device__ __forceinline__ bool push_hit(bool mine, u32 hit) {
    const u32 vote = __ballot_sync(~0u, mine);
    if (mine) q.hits[hits + __popc(vote & lanes_below())] = hit;
    hits += __popc(vote);
    return vote != 0;
  }

  // Whether there is enough to do; `last`: or anything at all.
  __device__ __forceinline__ bool busy(bool last) const { return hits >= 32 || (last && (hits | candidates | pivots)); }

  // Does a warp's worth of hits, or, as `last`, all that waits (of 32 hits at most).
  __device__ __forceinline__ void work(bool last) {
    __syncwarp();
    const u32 hit = take(q.hits, hits);
    u32 leads = NOT_STORED;
    if (hit != NOT_STORED) {
      if (hit & BLOCK_HIT) look_at_block(hit & ~BLOCK_HIT);
      else leads = look_up_gram(load_window(s.data + hit) | FOLD_WORD);
    }
    u32 at = 0, left = leads != NOT_STORED;
    if (left && leads & LIST) {
      at = leads & ~LIST;
      left = __ldg(t.lists + at);
      leads = __ldg(t.lists + ++at);
    }
    for (;;) {
      const u32 vote = __ballot_sync(~0u, left != 0);
      if (left) {
        q.candidates[candidates + __popc(vote & lanes_below())] = {hit, leads};
        if (--left) leads = __ldg(t.lists + ++at);
      }
      candidates += __popc(vote);
      const bool all = last && !__any_sync(~0u, left != 0);
      for (;;) {
        __syncwarp();
        if (pivots >= 32 || (all && candidates == 0 && pivots)) run_automata();
        else if (candidates >= 32 || (all && candidates)) look_at_candidates();
        else break;
      }
      if (!__any_sync(~0u, left != 0)) break;
    }
  }

 private:
  const Tables& t;
  const Stretch& s;
  const Output& out;
  Queues& q;
  u32 hits, candidates, pivots;

  // The first 32 of a queue, one for each lane (NOT_STORED where there are less); the others move up.
  __device__ __forceinline__ u32 take(u32* queue, u32& count) {
    const u32 lane = lane_id();
    const u32 mine = lane < count ? queue[lane] : NOT_STORED;
    const u32 later = lane + 32 < count ? queue[lane + 32] : 0;
    __syncwarp();
    queue[lane] = later;
    count -= min(count, 32u);
    __syncwarp();
    return mine;
  }

  __device__ __forceinline__ Candidate take(Candidate* queue, u32 count) {
    const u32 lane = lane_id();
    const Candidate mine = lane < count ? queue[lane] : Candidate{0, NOT_STORED};
    const Candidate later = lane + 32 < count ? queue[lane + 32] : Candidate{0, 0};
    __syncwarp();
    queue[lane] = later;
    __syncwarp();
    return mine;
  }

  __device__ __forceinline__ u32 look_up_gram(u32 window) const {
    u32 slot = window * t.slot_multiplier >> t.slot_shift;
    for (;; slot = (slot + 1) & t.slot_mask) {
      const uint2 found = __ldg(reinterpret_cast<const uint2*>(t.slots) + slot);
      if (found.x == window) return found.y;
      if (found.x == 0) return NOT_STORED;
    }
  }

  __device__ __forceinline__ void look_at_candidates() {
    Candidate c = take(q.candidates, candidates);
    candidates -= min(candidates, 32u);
    u32 number = NOT_STORED, rule = 0;
    bool to_host = false;
    if (c.entry != NOT_STORED) {
      const Entry* e = t.entries + c.entry;
      c.at += __ldg(&e->pivot_offset);
      if (s.first + c.at < s.arena_bytes) {
        const Document d = find_document(s, c.at);
        if (d.number != NOT_STORED && probes_pass(e, c.at, d)) {
          number = d.number;
          mark(out.attempted, c.at);
          to_host = __ldg(&e->forward) == NOT_STORED;
          rule = __ldg(&e->rule);
        }
      }
    }
    emit(to_host, c.at, number, rule | HOST);
    const bool mine = number != NOT_STORED && !to_host;
    const u32 vote = __ballot_sync(~0u, mine);
    if (mine) {
      const u32 slot = pivots + __popc(vote & lanes_below());
      q.pivots[slot] = c;
      q.documents[slot] = number;
    }
    pivots += __popc(vote);
  }

  __device__ __forceinline__ bool probes_pass(const Entry* e, u32 pivot, const Document& d) const {
#pragma unroll 1
    for (int i = 0; i < PROBES; ++i) {
      const u32 byte_class = __ldg(&e->probe_class[i]);
      const i64 at = i64(pivot) + __ldg(&e->probe_offset[i]);
      const bool below = at < d.start, above = at >= d.end;
      if (below || above) {
        const bool unknown = !(d.edges >> above & 1);
        if (!unknown && !(byte_class & EDGE_PASSES)) return false;
        continue;
      }
      if (!is_member(byte_class & ~EDGE_PASSES, __ldg(s.data + at))) return false;
    }
    return true;
  }

  __device__ __forceinline__ bool is_member(u32 byte_class, u32 byte) const {
    return byte_class == 0 || (__ldg(t.classes + 8 * byte_class + (byte >> 5)) >> (byte & 31) & 1);
  }

  __device__ __forceinline__ void run_automata() {
    const Candidate c = take(q.pivots, pivots);
    const u32 number = take(q.documents, pivots);
    u32 verdict = DEAD, rule = 0;
    if (c.entry != NOT_STORED) {
      Document d;
      d.start = i64(__ldg(s.starts + number) - s.first);
      d.end = i64(__ldg(s.ends + number) - s.first);
      d.edges = __ldg(s.edges + number);
      d.number = number;
      const Entry* e = t.entries + c.entry;
      rule = __ldg(&e->rule);
      u32 automaton = __ldg(&e->forward), start = __ldg(&e->forward_start);
      i64 at = c.at;
      int stride = 1;
#pragma unroll 1
      for (int side = 0; side < 2; ++side) {
        const u32 found = run_outward(t, automaton, start, s.data, d, at, stride);
        verdict = found == DEAD ? DEAD : max(verdict, found);
        if (verdict == DEAD) break;
        automaton = __ldg(&e->backward);
        start = __ldg(&e->backward_start);
        at = i64(c.at) - 1;
        stride = -1;
      }
    }
    emit(verdict != DEAD, c.at, number, verdict == ACCEPT ? rule : rule | HOST);
  }

  // A block that passed some word test. It counts for a run if it is the first whole block of it.
  __device__ __forceinline__ void look_at_block(u32 block) const {
    const Document d = find_document(s, block);
    if (d.number == NOT_STORED || i64(block) + 16 > d.end) return;
#pragma unroll 1
    for (u32 r = 0; r < t.run_count; ++r) {
      const Run run = t.runs[r];
      i64 start = block, end = block;
      while (start > d.start && start > i64(block) - 16 && is_member(run.byte_class, __ldg(s.data + start - 1))) --start;
      if (start == i64(block) - 16) continue;
      while (end < d.end && end - start < run.length && is_member(run.byte_class, __ldg(s.data + end))) ++end;
      if (end - start < run.length) {
        // what the document has beyond these bytes may make it longer
        const bool open = (end == d.end && !(d.edges & 2)) || (start == d.start && !(d.edges & 1));
        if (!open || end < i64(block) + 16) continue;
      }
      const u64 slot = atomicAdd(out.counts, 1ull);
      if (slot < out.capacity) out.rows[slot] = {s.first + u64(start), d.number, run.rule | HOST};
    }
  }

  __device__ __forceinline__ void mark(u32* tiles, u32 at) const {
    const u64 tile = (s.first + at) >> out.tile_bits;
    atomicOr(tiles + (tile >> 5), 1u << (tile & 31));
  }

  __device__ __forceinline__ void emit(bool mine, u32 at, u32 document, u32 rule) const {
    const u32 vote = __ballot_sync(~0u, mine);
    if (!vote) return;
    u64 base = 0;
    if (lane_id() == 0) base = atomicAdd(out.counts, u64(__popc(vote)));
    base = __shfl_sync(~0u, base, 0);
    if (!mine) return;
    mark(out.committed, at);
    const u64 slot = base + __popc(vote & lanes_below());
    if (slot < out.capacity) out.rows[slot] = {s.first + at, document, rule};
  }
};

}  // namespace vyre

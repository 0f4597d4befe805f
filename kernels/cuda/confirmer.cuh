// From hits of the bitmap to rows of output. Each warp works for itself: what one stage lets through waits in a queue of the
// warp's own until all 32 lanes have something to do, so that rare survivors do not leave most lanes idle.
//
// The work is a function that is called, so that its registers are not the loop's; what both need is in shared memory:
// the launch's arguments, and what waits.
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
  u32 candidate_count;
  u32 pivot_count;
  u32 unused[2];
};

// At the start of a kernel's shared memory.
struct alignas(16) Context {
  Tables tables;
  Stretch stretch;
  Output output;
};

template <int THREADS>
__device__ __forceinline__ void fill_context(const Tables& tables, const Stretch& stretch, const Output& output) {
  extern __shared__ uint4 shared[];
  Context& c = *reinterpret_cast<Context*>(shared);
  for (u32 i = threadIdx.x; i < sizeof(Tables) / 4; i += THREADS)
    reinterpret_cast<u32*>(&c.tables)[i] = reinterpret_cast<const u32*>(&tables)[i];
  if (threadIdx.x == 0) {
    c.stretch = stretch;
    c.output = output;
  }
}

__device__ __forceinline__ u32 lanes_below() { return (1u << lane_id()) - 1; }

__device__ __forceinline__ u32 load_window(const u8* at) {
  const u16* halves = reinterpret_cast<const u16*>(at);  // windows begin at even places
  return __ldg(halves) | u32(__ldg(halves + 1)) << 16;
}

class Confirmer {
 public:
  __device__ __forceinline__ Confirmer(const Context& context, Queues& queues)
      : t(context.tables), s(context.stretch), out(context.output), q(queues), candidates(queues.candidate_count),
        pivots(queues.pivot_count) {}

  // Does a warp's worth of hits, or, as `last`, all that waits (of 32 hits at most). Returns the hits left.
  __device__ __forceinline__ u32 work(u32 hits, bool last) {
    __syncwarp();
    const u32 hit = take(q.hits, hits);
    hits -= min(hits, 32u);
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
      const bool more = __any_sync(~0u, left != 0), all = last && !more;
      for (;;) {
        __syncwarp();
        if (pivots >= 32 || (all && candidates == 0 && pivots)) run_automata();
        else if (candidates >= 32 || (all && candidates)) look_at_candidates();
        else break;
      }
      if (!more) break;
    }
    q.candidate_count = candidates;
    q.pivot_count = pivots;
    __syncwarp();
    return hits;
  }

 private:
  const Tables& t;
  const Stretch& s;
  const Output& out;
  Queues& q;
  u32 candidates, pivots;

  // The first 32 of a queue's `count`, one for each lane (NOT_STORED where there are less); the others move up.
  __device__ __forceinline__ u32 take(u32* queue, u32 count) {
    const u32 lane = lane_id();
    const u32 mine = lane < count ? queue[lane] : NOT_STORED;
    const u32 later = lane + 32 < count ? queue[lane + 32] : 0;
    __syncwarp();
    queue[lane] = later;
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
    pivots -= min(pivots, 32u);
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
      if (end - start < run.length) continue;
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

// One warp's work; see Confirmer::work.
__device__ __noinline__ u32 confirm_hits(u32 queues, u32 hits, bool last) {
  extern __shared__ uint4 shared[];
  return Confirmer(*reinterpret_cast<Context*>(shared), *reinterpret_cast<Queues*>(shared + queues)).work(hits, last);
}

// What a warp's loop holds: where its queues are (in 16-byte steps of shared memory) and how many hits wait.
struct Waiting {
  u32 queues;
  u32 hits;

  __device__ __forceinline__ explicit Waiting(u32 first) : hits(0) {
    extern __shared__ uint4 shared[];
    queues = first + threadIdx.x / 32 * (sizeof(Queues) / 16);
    Queues& q = *reinterpret_cast<Queues*>(shared + queues);
    q.candidate_count = q.pivot_count = 0;
    __syncwarp();
  }

  // Every lane may bring a hit; all lanes call. True while somebody has one.
  __device__ __forceinline__ bool push(bool mine, u32 hit) {
    extern __shared__ uint4 shared[];
    const u32 vote = __ballot_sync(~0u, mine);
    if (mine) reinterpret_cast<Queues*>(shared + queues)->hits[hits + __popc(vote & lanes_below())] = hit;
    hits += __popc(vote);
    if (hits >= 32) hits = confirm_hits(queues, hits, false);
    return vote != 0;
  }

  __device__ __forceinline__ void finish() { confirm_hits(queues, hits, true); }
};

}  // namespace vyre

// From hits of the bitmap to rows of output, by all threads of a block together. Few hits survive each stage, so survivors are
// written to a list and the next stage begins with all threads busy; no warp waits for the few of its lanes that go on.
#pragma once
#include "automata.cuh"
#include "windows.cuh"

namespace vyre {

__device__ __forceinline__ u32 load_window(const u8* at) {
  const u16* halves = reinterpret_cast<const u16*>(at);  // windows begin at even places
  return __ldg(halves) | u32(__ldg(halves + 1)) << 16;
}

// In shared memory: how many wait in the block's lists.
struct Waiting {
  u32 candidates;
  u32 pivots;
};

class Confirmer {
 public:
  __device__ __forceinline__ Confirmer(const Tables& tables, const Stretch& stretch, const Output& output, Waiting& waiting)
      : t(tables), s(stretch), out(output), w(waiting),
        candidates(output.candidates + u64(blockIdx.x) * output.candidate_capacity),
        pivots(output.pivots + u64(blockIdx.x) * output.pivot_capacity) {}

  // All threads call. Hits are list[first + threadIdx.x + k * step], below `count`.
  __device__ __forceinline__ void confirm(const u32* list, u32 count, u32 first, u32 step) {
    for (u32 base = first;; base += step) {
      const u32 i = base + threadIdx.x;
      if (base < count) look_at_hit(i < count ? list[i] : NOT_STORED);
      const bool last = base >= count;
      __syncthreads();
      const u32 found = w.candidates;
      __syncthreads();
      if (!last && found + blockDim.x * t.longest_list <= out.candidate_capacity) continue;
      look_at_candidates(found);
      __syncthreads();
      const u32 passed = w.pivots;
      __syncthreads();
      if (threadIdx.x == 0) w.candidates = 0;
      if (last || passed + out.candidate_capacity > out.pivot_capacity) {
        run_automata(passed);
        if (threadIdx.x == 0) w.pivots = 0;
      }
      if (last) break;
      __syncthreads();
    }
  }

 private:
  const Tables& t;
  const Stretch& s;
  const Output& out;
  Waiting& w;
  Candidate* candidates;
  Pivot* pivots;

  __device__ __forceinline__ void look_at_hit(u32 hit) {
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
    while (__any_sync(~0u, left)) {
      const u32 slot = take_slot(left, w.candidates);
      if (left) candidates[slot] = {hit, leads};
      if (left && --left) leads = __ldg(t.lists + ++at);
    }
  }

  __device__ __forceinline__ u32 look_up_gram(u32 window) const {
    u32 slot = window * t.slot_multiplier >> t.slot_shift;
    for (;; slot = (slot + 1) & t.slot_mask) {
      const uint2 found = __ldg(reinterpret_cast<const uint2*>(t.slots) + slot);
      if (found.x == window) return found.y;
      if (found.x == 0) return NOT_STORED;
    }
  }

  // All threads call, after a barrier.
  __device__ __forceinline__ void look_at_candidates(u32 count) {
    for (u32 base = 0; base < count; base += blockDim.x) {
      const u32 i = base + threadIdx.x;
      Pivot p = {0, 0, NOT_STORED};
      if (i < count) {
        const Candidate c = candidates[i];
        const Entry* e = t.entries + c.entry;
        p.at = c.at + __ldg(&e->pivot_offset);
        p.entry = c.entry;
        if (s.first + p.at < s.arena_bytes) {
          const Document d = find_document(s, p.at);
          if (d.number != NOT_STORED && probes_pass(e, p.at, d)) {
            mark(out.attempted, p.at);
            if (__ldg(&e->forward) == NOT_STORED) emit(p.at, d.number, __ldg(&e->rule) | HOST);
            else p.document = d.number;
          }
        }
      }
      __syncwarp();
      const bool goes_on = p.document != NOT_STORED;
      const u32 slot = take_slot(goes_on, w.pivots);
      if (goes_on) pivots[slot] = p;
    }
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

  // All threads call, after a barrier. A thread takes its next pivot as soon as it is done with one.
  __device__ __forceinline__ void run_automata(u32 count) {
    u32 next = threadIdx.x;
    Pivot p;
    Document d;
    Walk walk;
    u32 verdict = PENDING, rule = 0;
    int stride = 0;  // 0: has no pivot
    while (__any_sync(~0u, stride != 0 || next < count)) {
      if (stride == 0 && next < count) {
        p = pivots[next];
        next += blockDim.x;
        d.number = p.document;
        d.start = i64(__ldg(s.starts + d.number) - s.first);
        d.end = i64(__ldg(s.ends + d.number) - s.first);
        d.edges = __ldg(s.edges + d.number);
        rule = __ldg(&t.entries[p.entry].rule);
        stride = 1;
        verdict = set_out(walk, t.entries[p.entry].forward, t.entries[p.entry].forward_start, d, p.at, 1);
      }
      if (stride != 0) {
        u32 found = verdict == PENDING ? walk.chunk(s.data, d, stride) : verdict;
        if (found != PENDING && stride == 1 && found != DEAD) {
          // what the other way says decides, unless this one is open
          rule |= found == UNDECIDED ? HOST : 0;
          stride = -1;
          verdict = set_out(walk, t.entries[p.entry].backward, t.entries[p.entry].backward_start, d, i64(p.at) - 1, -1);
        } else if (found != PENDING) {
          if (found != DEAD) emit(p.at, d.number, found == UNDECIDED ? rule | HOST : rule);
          stride = 0;
        }
      }
    }
  }

  // PENDING for an automaton with a table, which then walks; a bit-parallel one runs to its end.
  __device__ __forceinline__ u32 set_out(Walk& walk, u32 automaton, u32 start, const Document& d, i64 at, int stride) const {
    const Automaton a = t.automata[automaton];
    const u8* map = t.byte_maps + a.byte_map * BYTE_MAP_PITCH;
    if (a.is_nfa)
      return run_nfa(map, t.nfa_words + a.base, a.states, a.columns, a.words, t.max_steps, start, s.data, d, at, stride);
    walk.map = map;
    walk.cells = t.dfa_cells + a.base;
    walk.columns = a.columns;
    walk.state = start;
    walk.steps = t.max_steps;
    walk.at = at;
    return PENDING;
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
      write_row({s.first + u64(start), d.number, run.rule | HOST});
    }
  }

  __device__ __forceinline__ void mark(u32* tiles, u32 at) const {
    const u64 tile = (s.first + at) >> out.tile_bits;
    atomicOr(tiles + (tile >> 5), 1u << (tile & 31));
  }

  __device__ __forceinline__ void emit(u32 at, u32 document, u32 rule) const {
    mark(out.committed, at);
    write_row({s.first + at, document, rule});
  }

  // One addition for all threads that are here together.
  __device__ __forceinline__ void write_row(Row row) const {
    const u32 here = __activemask();
    const u32 leader = __ffs(here) - 1;
    u64 base = 0;
    if (lane_id() == leader) base = atomicAdd(out.counts, u64(__popc(here)));
    const u64 slot = __shfl_sync(here, base, leader) + __popc(here & lanes_below());
    if (slot < out.capacity) out.rows[slot] = row;
  }
};

}  // namespace vyre

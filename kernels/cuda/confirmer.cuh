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
      Pivot p = {0, 0, NOT_STORED, 0};
      if (i < count) {
        const Candidate c = candidates[i];
        const uint4* e = reinterpret_cast<const uint4*>(t.entries + c.entry);
        const uint4 head = __ldg(e), classes = __ldg(e + 1);
        p.at = c.at + head.y;
        p.entry = c.entry;
        if (s.first + p.at < s.arena_bytes) {
          const Document d = find_document(s, p.at);
          if (d.number != NOT_STORED && probes_pass(head, classes, s.data + p.at, d)) {
            mark(out.attempted, p.at);
            if (__ldg(&t.entries[c.entry].forward.start) == NOT_STORED) emit(p.at, d.number, head.x | HOST);
            else p.document = d.number | (d.edges & 1 ? START_EDGE : 0) | (d.edges & 2 ? END_EDGE : 0);
            p.room = d.ahead | d.back << 16;
          }
        }
      }
      __syncwarp();
      const bool goes_on = p.document != NOT_STORED;
      const u32 slot = take_slot(goes_on, w.pivots);
      if (goes_on) pivots[slot] = p;
    }
  }

  // `head`: an entry's first 16 bytes, with the probes' offsets; `classes`: its next 16.
  __device__ __forceinline__ bool probes_pass(uint4 head, uint4 classes, const u8* pivot, const Document& d) const {
    const u32 offsets[2] = {head.z, head.w}, pairs[3] = {classes.x, classes.y, classes.z};
    bool pass = true;
#pragma unroll
    for (int i = 0; i < PROBES; ++i) {
      const u32 byte_class = pairs[i / 2] >> 16 * (i % 2) & 0xFFFF;
      const int offset = i8(offsets[i / 4] >> 8 * (i % 4));
      const bool above = offset >= int(d.ahead), below = -offset > int(d.back);
      const u32 row = byte_class & ~EDGE_PASSES;
      if (above || below) pass &= (byte_class & EDGE_PASSES) || !(d.edges >> above & 1);
      else if (row) pass &= is_member(row, __ldg(pivot + offset));
    }
    return pass;
  }

  __device__ __forceinline__ bool is_member(u32 byte_class, u32 byte) const {
    return __ldg(t.classes + 8 * byte_class + (byte >> 5)) >> (byte & 31) & 1;
  }

  // All threads call, after a barrier. A thread takes its next pivot as soon as it is done with one.
  __device__ __forceinline__ void run_automata(u32 count) {
    u32 next = threadIdx.x;
    Pivot p;
    Walk walk;
    u32 verdict = PENDING, host = 0;
    int stride = 0;  // 0: has no pivot
    while (__any_sync(~0u, stride != 0 || next < count)) {
      if (stride == 0 && next < count) {
        p = pivots[next];
        next += blockDim.x;
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
          if (verdict != DEAD) emit(p.at, p.document & ~(START_EDGE | END_EDGE), __ldg(&t.entries[p.entry].rule) | host);
          stride = 0;
        }
      }
    }
  }

  // PENDING for an automaton with a table, which then walks; a bit-parallel one runs to its end. `room`: bytes there are.
  __device__ __forceinline__ u32 set_out(Walk& walk, const Side& from, const u8* next, u32 room, bool edge, int stride) const {
    const uint4 side = __ldg(reinterpret_cast<const uint4*>(&from));
    const u8* map = t.byte_maps + side.x;
    if (side.w & BIT_PARALLEL) {
      const Automaton a = t.automata[side.y];
      return run_nfa(map, t.nfa_words + a.base, a.states, a.columns, a.words, t.max_steps, side.w & ~BIT_PARALLEL, next,
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

  // A block that passed some word test. It counts for a run if it is the first whole block of it.
  __device__ __forceinline__ void look_at_block(u32 block) const {
    const Document d = find_document(s, block);
    if (d.number == NOT_STORED || d.ahead < 16) return;
    const u8* first = s.data + block;
    const int back = min(d.back, 16u);
#pragma unroll 1
    for (u32 r = 0; r < t.run_count; ++r) {
      const Run run = t.runs[r];
      int before = 0;
      while (before < back && is_member(run.byte_class, __ldg(first - before - 1))) ++before;
      if (before == 16) continue;
      const u32 needed = run.length - before;
      u32 after = 0;
      while (after < needed && after < d.ahead && is_member(run.byte_class, __ldg(first + after))) ++after;
      if (after == needed) write_row({s.first + block - before, d.number, run.rule | HOST});
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

// From hits of the bitmap to pivots: the exact window, and the bytes around it that every match
// must have.
#pragma once
#include "documents.cuh"
#include "rows.cuh"

namespace vyre {

// What threads load here lies in a line of its own for each, and the scan keeps the way to shared
// memory, which is the same one, busy: so loads are few and wide, and none is for a candidate that
// has failed.

// The window at an even position.
__device__ __forceinline__ u32 load_window(const u8* data, u32 at) {
  const u32* words = reinterpret_cast<const u32*>(data + (at & ~3u));
  const u32 word = __ldg(words);
  return at & 2 ? __byte_perm(word, __ldg(words + 1), 0x5432) : word;
}

// Some of an entry's probes: those from number FROM on, below TO.
template <int FROM, int TO>
struct ProbeBytes {
  u32 byte[TO - FROM];

  // `position`: the pivot's in the arena. Which document the bytes belong to is not asked yet; beyond
  // the arena there are none.
  __device__ __forceinline__ void load(const Stretch& s, uint4 head, const u8* pivot, u64 position) {
#pragma unroll
    for (int i = FROM; i < TO; ++i) {
      const int offset = offset_of(head, i);
      byte[i - FROM] = position + i64(offset) < s.arena_bytes ? __ldg(pivot + offset) : 0;
    }
  }

  // Whether all of them pass in document `d`. `head`: an entry's first 16 bytes, with the offsets;
  // `classes`: its next 16.
  __device__ __forceinline__ bool pass(const Tables& t, uint4 head, uint4 classes, const Document& d) const {
    u32 bits[TO - FROM];
    bool pass = true;
#pragma unroll
    for (int i = FROM; i < TO; ++i) {
      const u32 pairs[3] = {classes.x, classes.y, classes.z};
      const u32 byte_class = pairs[i / 2] >> 16 * (i % 2) & 0xFFFF, row = byte_class & (EDGE_PASSES - 1);
      const int offset = offset_of(head, i);
      const bool above = offset >= int(d.ahead), below = -offset > int(d.back);
      if (above || below) pass &= (byte_class & EDGE_PASSES) || !(d.edges >> above & 1);
      bits[i - FROM] = above || below || row == 0 ? ~0u : __ldg(t.classes + 8 * row + (byte[i - FROM] >> 5));
    }
#pragma unroll
    for (int i = 0; i < TO - FROM; ++i) pass &= bits[i] >> (byte[i] & 31) & 1;
    return pass;
  }

 private:
  static __device__ __forceinline__ int offset_of(uint4 head, int i) {
    const u32 offsets[2] = {head.z, head.w};
    return i8(offsets[i / 4] >> 8 * (i % 4));
  }
};

constexpr int FIRST_PROBES = 2;

class Prober {
 public:
  __device__ __forceinline__ Prober(const Tables& tables, const Stretch& stretch, const Output& output)
      : t(tables), s(stretch), out(output), rows{stretch, output} {}

  // Where a hit leads: a lead, LIST and a position, or NOT_STORED. A block's runs are looked at here
  // and now.
  __device__ __forceinline__ u32 look_at_hit(u32 hit) const {
    if (hit & BLOCK_HIT) {
      if (hit != NOT_STORED) look_at_block(hit & ~BLOCK_HIT);
      return NOT_STORED;
    }
    const u32 window = load_window(s.data, hit) | FOLD_WORD;
    for (u32 bucket = window * t.bucket_multiplier >> t.bucket_shift;; bucket = (bucket + 1) & t.bucket_mask) {
      const uint2 found = __ldg(reinterpret_cast<const uint2*>(t.buckets) + bucket);
      if (found.x == window) return found.y;
      if (found.x == 0) return NOT_STORED;
    }
  }

  // Of the lists that grams lead to: a length or a lead.
  __device__ __forceinline__ u32 lead(u32 at) const { return __ldg(t.lists + at); }

  // The candidate as a pivot to walk from; its document is NOT_STORED if there is nothing to walk:
  // it failed, or the host has to look at it, which is said in a row.
  __device__ __forceinline__ Pivot look_at_candidate(u32 at, u32 entry) const {
    Pivot p = {at, entry, NOT_STORED, 0};
    const u64 position = s.first + at;
    if (position >= s.arena_bytes) return p;
    const uint4* e = reinterpret_cast<const uint4*>(t.entries + entry);
    const uint4 head = __ldg(e), classes = __ldg(e + 1);
    const u32 guess = guess_document(s, at);
    // the most telling probes come first, and few candidates pass them
    ProbeBytes<0, FIRST_PROBES> first;
    first.load(s, head, s.data + at, position);
    const Document d = find_document(s, at, guess);
    if (d.number == NOT_STORED || !first.pass(t, head, classes, d)) return p;
    ProbeBytes<FIRST_PROBES, PROBES> others;
    others.load(s, head, s.data + at, position);
    if (!others.pass(t, head, classes, d)) return p;
    rows.mark(out.attempted, at);
    if (__ldg(&t.entries[entry].forward.start) == NOT_STORED) {
      rows.emit(at, 0, d.number, head.x | HOST);
      return p;
    }
    p.document = d.number | (d.edges & 1 ? START_EDGE : 0) | (d.edges & 2 ? END_EDGE : 0);
    p.room = d.ahead | d.back << 16;
    return p;
  }

 private:
  const Tables& t;
  const Stretch& s;
  const Output& out;
  const Rows rows;

  __device__ __forceinline__ bool is_member(u32 byte_class, u32 byte) const {
    return __ldg(t.classes + 8 * byte_class + (byte >> 5)) >> (byte & 31) & 1;
  }

  // A block that passed some word test. It counts for a run if it is the first whole block of it.
  __device__ __forceinline__ void look_at_block(u32 block) const {
    const Document d = find_document(s, block, guess_document(s, block));
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
      if (after == needed) rows.write_row({s.first + block - before, d.number, run.rule | HOST});
    }
  }
};

}  // namespace vyre

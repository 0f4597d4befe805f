// The first look: every second position of the text hashed and looked up in the bitmap, sixteen bytes
// of a thread at a time. What this costs is what a prefilter costs: per position a multiplication, a
// look-up in shared memory and about six other instructions. Where memory is as fast as an H200's
// the look-ups bound it: 32 lanes with a word of their own each take 3.3 turns (bank conflicts),
// and the way to shared memory was busy for 81 % of the time when it was profiled.
#pragma once
#include "tables.cuh"

namespace vyre {

__device__ __forceinline__ u32 lane_id() { return threadIdx.x & 31; }

__device__ __forceinline__ u32 lanes_below() { return (1u << lane_id()) - 1; }

// Room for one more in a list of the block, for every thread that wants it; all of a warp call.
__device__ __forceinline__ u32 take_index(bool mine, u32& length) {
  const u32 vote = __ballot_sync(~0u, mine);
  u32 base = 0;
  if (vote && lane_id() == 0) base = atomicAdd(&length, u32(__popc(vote)));
  return __shfl_sync(~0u, base, 0) + __popc(vote & lanes_below());
}

__device__ __forceinline__ uint4 load_vector(const uint4* p) {
#ifdef __CUDACC__
  uint4 v;
  // read once: not worth a place in the first-level cache beyond the neighbours' use
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
#else
  return *p;  // emulated on the host, in the tests
#endif
}

__device__ __forceinline__ void multiply_wide(u32 a, u32 b, u32& low, u32& high) {
#ifdef __CUDACC__
  // one instruction, and halves that no shift of 64 bits is made of later
  asm("{.reg .u64 p; mul.wide.u32 p, %2, %3; mov.b64 {%0, %1}, p;}" : "=r"(low), "=r"(high) : "r"(a), "r"(b));
#else
  low = u32(u64(a) * b), high = u32(u64(a) * b >> 32);
#endif
}

// The bitmap's answers as bits shifted into `found`, the earliest position highest. A window passes if
// two bits of one word are set (hashing.py).
template <int BITS>
__device__ __forceinline__ u32 look_up(const u32* bitmap, u32 window, u32 multiplier, u32 found) {
  u32 low, high;
  multiply_wide(window, multiplier, low, high);
  const u32 word = bitmap[low >> (37 - BITS)];
  // words are stored mirrored, so that a shift by the bit's number (modulo 32) brings its answer to
  // the top
  const u32 both = __funnelshift_l(0u, word, high) & __funnelshift_l(0u, word, low);
  return __funnelshift_l(both, found, 1);
}

// Eight windows of a vector; `next` holds the two bytes after it.
template <int BITS>
__device__ __forceinline__ u32 look_up_vector(const u32* bitmap, uint4 v, u32 next, u32 multiplier, u32 found) {
  const u32 a = v.x | FOLD_WORD, b = v.y | FOLD_WORD, c = v.z | FOLD_WORD, d = v.w | FOLD_WORD;
  const u32 e = next | FOLD_WORD;
  found = look_up<BITS>(bitmap, a, multiplier, found);
  found = look_up<BITS>(bitmap, __byte_perm(a, b, 0x5432), multiplier, found);
  found = look_up<BITS>(bitmap, b, multiplier, found);
  found = look_up<BITS>(bitmap, __byte_perm(b, c, 0x5432), multiplier, found);
  found = look_up<BITS>(bitmap, c, multiplier, found);
  found = look_up<BITS>(bitmap, __byte_perm(c, d, 0x5432), multiplier, found);
  found = look_up<BITS>(bitmap, d, multiplier, found);
  return look_up<BITS>(bitmap, __byte_perm(d, e, 0x5432), multiplier, found);
}

// The bits that two words' bytes lack for a run's word test: zero if all eight may be of the class,
// as far as it can tell.
__device__ __forceinline__ u32 failing(WordTest t, u32 first, u32 second) {
  const u32 a = first | FOLD_WORD, b = second | FOLD_WORD;
  return ~((a ^ a * t.scale) & (b ^ b * t.scale)) & t.ones;
}

// Each block begins at another word of the bitmap: if all asked for the same lines at the same
// time, they would wait for each other.
template <int THREADS, int BITS>
__device__ __forceinline__ void load_bitmap(u32* shared, const u32* bitmap) {
  constexpr u32 VECTORS = (1u << BITS) / 128;
  const uint4* from = reinterpret_cast<const uint4*>(bitmap);
  uint4* to = reinterpret_cast<uint4*>(shared);
  for (u32 i = threadIdx.x; i < VECTORS; i += THREADS) {
    const u32 at = (i + blockIdx.x * 64) & (VECTORS - 1);
    to[at] = from[at];
  }
}

// Up to which offset of the stretch vectors can be read: the arena's end, rounded up, but no more
// than is needed.
__device__ __forceinline__ u32 readable_bytes(const Stretch& s) {
  const u64 there = s.arena_bytes - s.first, needed = u64(s.bytes) + 16;
  return u32(((there < needed ? there : needed) + 15) & ~15ull);
}

// Of the earliest of a unit's bits: how far behind its lane's first byte the position is.
__device__ __forceinline__ u32 offset_of_first(u32 bits) {
  const u32 i = __clz(bits);
  return 512 * (i >> 3) + 2 * (i & 7);
}

// A warp's next UNROLL vectors of every lane: vector j of lane l begins at byte 512 j + 16 l of the
// unit.
template <int UNROLL>
struct Unit {
  static constexpr u32 BYTES = 512 * UNROLL;
  uint4 v[UNROLL];
  u32 beyond;  // lane 31: the four bytes after the unit

  // Bytes from `readable` on (a multiple of 16) are not there; they read as zeros.
  __device__ __forceinline__ void load(const u8* data, u32 at, u32 readable) {
    const u8* p = data + at + 16 * lane_id();
    if (at + BYTES + 16 <= readable) {
#pragma unroll
      for (int j = 0; j < UNROLL; ++j) v[j] = load_vector(reinterpret_cast<const uint4*>(p + 512 * j));
      beyond = 0;
      if (lane_id() == 31) beyond = __ldg(reinterpret_cast<const u32*>(data + at + BYTES));
      return;
    }
#pragma unroll
    for (int j = 0; j < UNROLL; ++j) {
      v[j] = make_uint4(0, 0, 0, 0);
      if (at + 512 * j + 16 * lane_id() < readable) v[j] = load_vector(reinterpret_cast<const uint4*>(p + 512 * j));
    }
    beyond = 0;
    if (lane_id() == 31 && at + BYTES < readable) beyond = __ldg(reinterpret_cast<const u32*>(data + at + BYTES));
  }

  // The first four bytes after this lane's vector j.
  __device__ __forceinline__ u32 after(int j) const {
    u32 mine = v[j].x;
    if (j + 1 < UNROLL && lane_id() == 0) mine = v[j + 1 < UNROLL ? j + 1 : j].x;
    const u32 neighbour = __shfl_sync(~0u, mine, (lane_id() + 1) & 31);
    return j + 1 == UNROLL && lane_id() == 31 ? beyond : neighbour;
  }

  // Which windows hit: 8 bits a vector, the earliest position in the highest bit of all 32; positions
  // from `left` on are not asked.
  template <int BITS>
  __device__ __forceinline__ u32 hits(const u32* bitmap, u32 multiplier, u32 left) const {
    u32 found = 0;
#pragma unroll
    for (int j = 0; j < UNROLL; ++j) found = look_up_vector<BITS>(bitmap, v[j], after(j), multiplier, found);
    found <<= 32 - 8 * UNROLL;
    if (left < BYTES) found &= asked(left);
    return found;
  }

  // The bits of positions below `left`.
  __device__ u32 asked(u32 left) const {
    u32 mask = 0;
    for (int j = 0; j < UNROLL; ++j)
      for (int k = 0; k < 8; ++k)
        if (512 * j + 16 * lane_id() + 2 * k < left) mask |= 0x80000000u >> (8 * j + k);
    return mask;
  }

  // Which vectors pass some run's word test: bit 31 - 8 j for vector j. A block that is not all
  // there does not.
  __device__ __forceinline__ u32 blocks(const Tables& t, u32 left) const {
    u32 found = 0;
    for (u32 i = 0; i < t.test_count; ++i) {
      const WordTest test = t.tests[i];
      // the middle of a block decides nearly always
      bool any = false;
#pragma unroll
      for (int j = 0; j < UNROLL; ++j) any |= failing(test, v[j].y, v[j].z) == 0;
      if (any) found |= passing(test, left);
    }
    return found;
  }

  __device__ __forceinline__ u32 passing(WordTest test, u32 left) const {
    u32 found = 0;
#pragma unroll
    for (int j = 0; j < UNROLL; ++j)
      if ((failing(test, v[j].x, v[j].w) | failing(test, v[j].y, v[j].z)) == 0 && 512 * j + 16 * lane_id() + 16 <= left)
        found |= 0x80000000u >> 8 * j;
    return found;
  }
};

}  // namespace vyre

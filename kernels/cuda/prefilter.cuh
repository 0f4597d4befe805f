// The bitmap's answers alone: a bit for every second position, the earliest in the highest bit of each
// byte; and a bit for every block of sixteen that passes some run's word test.
#pragma once
#include "windows.cuh"

namespace vyre {

template <int THREADS, int UNROLL, int BITS>
__device__ __forceinline__ void prefilter(const Tables& tables, const Stretch& stretch, u8* masks, u32* blocks) {
  extern __shared__ uint4 shared[];
  u32* bitmap = reinterpret_cast<u32*>(shared);

  constexpr int WARPS = THREADS / 32;
  const u32 readable = readable_bytes(stretch);
  const u32 step = gridDim.x * WARPS * Unit<UNROLL>::BYTES;
  u32 at = (blockIdx.x * WARPS + threadIdx.x / 32) * Unit<UNROLL>::BYTES;
  Unit<UNROLL> ahead;
  if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
  load_bitmap<THREADS, BITS>(bitmap, tables.bitmap);
  __syncthreads();
  while (at < stretch.bytes) {
    const Unit<UNROLL> unit = ahead;
    const u32 here = at;
    at += step;
    if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
    const u32 left = stretch.bytes - here;
    const u32 found = unit.template hits<BITS>(bitmap, tables.multiplier, left);
    // there is room for all of the last unit's
    u8* const mask = masks + here / 16 + lane_id();
#pragma unroll
    for (int j = 0; j < UNROLL; ++j) mask[32 * j] = u8(found >> (24 - 8 * j));
    if (tables.run_count) {
      const u32 passing = unit.blocks(tables, left);
      u32 vote = 0;
      if (__any_sync(~0u, passing != 0)) {
#pragma unroll
        for (int j = 0; j < UNROLL; ++j) {
          const u32 own = __ballot_sync(~0u, passing >> (31 - 8 * j) & 1);
          if (lane_id() == j) vote = own;
        }
      }
      if (lane_id() < UNROLL) blocks[here / 512 + lane_id()] = vote;
    }
  }
}

}  // namespace vyre

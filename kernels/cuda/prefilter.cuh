// The bitmap's answers alone: a bit for every second place, the earliest in the highest bit of each byte; and a bit for every
// block of sixteen that passes some run's word test.
#pragma once
#include "windows.cuh"

namespace vyre {

template <int THREADS, int UNROLL, int BITS>
__device__ __forceinline__ void prefilter(const Tables& tables, const Stretch& stretch, u8* masks, u32* blocks) {
  extern __shared__ uint4 shared[];
  u32* bitmap = reinterpret_cast<u32*>(shared);
  load_bitmap<THREADS, BITS>(bitmap, tables.bitmap);
  __syncthreads();

  constexpr int WARPS = THREADS / 32;
  const u32 readable = readable_bytes(stretch);
  const u32 step = gridDim.x * WARPS * Unit<UNROLL>::BYTES;
  u32 at = (blockIdx.x * WARPS + threadIdx.x / 32) * Unit<UNROLL>::BYTES;
  Unit<UNROLL> ahead;
  if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
  while (at < stretch.bytes) {
    const Unit<UNROLL> unit = ahead;
    const u32 here = at;
    at += step;
    if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
    const u32 left = stretch.bytes - here;
    const u32 found = unit.template hits<BITS>(bitmap, tables.multiplier, left);
#pragma unroll
    for (int j = 0; j < UNROLL; ++j) {
      const u32 vector = here / 16 + 32 * j + lane_id();
      if (16 * vector < stretch.bytes) masks[vector] = u8(found >> (24 - 8 * j));
    }
    if (tables.run_count) {
      const u32 passing = unit.blocks(tables, left);
#pragma unroll
      for (int j = 0; j < UNROLL; ++j) {
        const u32 vote = __ballot_sync(~0u, passing >> (31 - j) & 1);
        if (lane_id() == 0 && 512 * j < left) blocks[here / 512 + j] = vote;
      }
    }
  }
}

}  // namespace vyre

// The first look, and what it hits in lists: one of each block, so that no two blocks wait for each other. What does not fit is
// counted all the same.
//
// The confirmer is a launch of its own right behind this one. Both in one kernel were tried in three shapes (each warp for
// itself, each block for itself, as a call and inlined): the registers that confirming takes put the text that is fetched ahead into
// local memory, and the whole fell from 2 000 to 600-1 200 GB/s.
#pragma once
#include "windows.cuh"

namespace vyre {

template <int THREADS, int UNROLL, int BITS>
__device__ __forceinline__ void hits(const Tables& tables, const Stretch& stretch, const Lists& lists) {
  extern __shared__ uint4 shared[];
  __shared__ u32 length;
  u32* bitmap = reinterpret_cast<u32*>(shared);
  load_bitmap<THREADS, BITS>(bitmap, tables.bitmap);
  if (threadIdx.x == 0) length = 0;
  __syncthreads();

  constexpr u32 WARPS = THREADS / 32;
  u32* list = lists.places + u64(blockIdx.x) * lists.capacity;
  const u32 readable = readable_bytes(stretch), step = gridDim.x * WARPS * Unit<UNROLL>::BYTES;
  u32 at = (blockIdx.x * WARPS + threadIdx.x / 32) * Unit<UNROLL>::BYTES;
  Unit<UNROLL> ahead;
  if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
  while (at < stretch.bytes) {
    const Unit<UNROLL> unit = ahead;
    const u32 here = at, left = stretch.bytes - here;
    at += step;
    if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
    u32 found = unit.template hits<BITS>(bitmap, tables.multiplier, left);
    u32 blocks = tables.run_count ? unit.blocks(tables, left) : 0;
    while (__any_sync(~0u, found | blocks)) {
      const u32 slot = take_slot(found | blocks, length);
      const int i = __clz(found), j = __clz(blocks);
      const u32 hit = found ? here + Unit<UNROLL>::place(i) : (here + 512 * j + 16 * lane_id()) | BLOCK_HIT;
      if ((found | blocks) && slot < lists.capacity) list[slot] = hit;
      if (found) found &= ~(0x80000000u >> i); else blocks &= ~(0x80000000u >> j);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) lists.lengths[blockIdx.x] = length;
}

}  // namespace vyre

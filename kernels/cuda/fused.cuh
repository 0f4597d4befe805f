// Prefilter and confirmer in one launch: a warp confirms what it found while the text is still in the caches.
#pragma once
#include "confirmer.cuh"

namespace vyre {

template <int THREADS, int UNROLL, int BITS>
__device__ __forceinline__ void fused(const Tables& tables, const Stretch& stretch, const Output& output) {
  extern __shared__ uint4 shared[];
  constexpr u32 BITMAP = sizeof(Context) / 16, QUEUES = BITMAP + (1u << BITS) / 128;
  u32* bitmap = reinterpret_cast<u32*>(shared + BITMAP);
  fill_context<THREADS>(tables, stretch, output);
  load_bitmap<THREADS, BITS>(bitmap, tables.bitmap);
  Waiting waiting(QUEUES);
  __syncthreads();

  constexpr int WARPS = THREADS / 32;
  // up to here vectors can be read; what follows the arena is not looked at
  const u64 readable = (stretch.arena_bytes - stretch.first + 15) & ~15ull;
  const u64 step = u64(gridDim.x) * WARPS * Unit<UNROLL>::BYTES;
  u64 at = (u64(blockIdx.x) * WARPS + threadIdx.x / 32) * Unit<UNROLL>::BYTES;
  Unit<UNROLL> ahead;
  if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
  while (at < stretch.bytes) {
    const Unit<UNROLL> unit = ahead;
    const u32 here = u32(at), left = stretch.bytes - here;
    at += step;
    if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
    u32 found = unit.template hits<BITS>(bitmap, tables.multiplier, left);
    u32 blocks = tables.run_count ? unit.blocks(tables, left) : 0;
    bool more;
    do {
      const int i = __clz(found), j = __clz(blocks);
      const u32 hit = found ? here + Unit<UNROLL>::place(i) : (here + 512 * j + 16 * lane_id()) | BLOCK_HIT;
      more = waiting.push(found | blocks, hit);
      if (found) found &= ~(0x80000000u >> i); else blocks &= ~(0x80000000u >> j);
    } while (more);
  }
  waiting.finish();
}

}  // namespace vyre

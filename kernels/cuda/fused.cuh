// Prefilter and confirmer in one launch: a warp confirms what it found while the text is still in the caches.
#pragma once
#include "confirmer.cuh"

namespace vyre {

template <int THREADS, int UNROLL, int BITS>
__device__ __forceinline__ void fused(const Tables& tables, const Stretch& stretch, const Output& output) {
  extern __shared__ uint4 shared[];
  u32* bitmap = reinterpret_cast<u32*>(shared);
  load_bitmap<THREADS, BITS>(bitmap, tables.bitmap);
  __syncthreads();

  constexpr int WARPS = THREADS / 32;
  const u32 warp = threadIdx.x / 32;
  Confirmer confirmer(tables, stretch, output, reinterpret_cast<Queues*>(bitmap + (1u << BITS) / 32) + warp);
  // up to here vectors can be read; what follows the arena is not looked at
  const u64 readable = (stretch.arena_bytes - stretch.first + 15) & ~15ull;
  const u64 step = u64(gridDim.x) * WARPS * Unit<UNROLL>::BYTES;
  u64 at = (u64(blockIdx.x) * WARPS + warp) * Unit<UNROLL>::BYTES;
  Unit<UNROLL> ahead;
  if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
  bool last;
  do {
    last = at >= stretch.bytes;
    const u32 here = u32(at);
    u32 found = 0, blocks = 0;
    if (!last) {
      const Unit<UNROLL> unit = ahead;
      at += step;
      if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
      const u32 left = stretch.bytes - here;
      found = unit.template hits<BITS>(bitmap, tables.multiplier, left);
      if (tables.run_count) blocks = unit.blocks(tables, left);
    }
    bool more;
    do {
      const int i = __clz(found), j = __clz(blocks);
      const u32 hit = found ? here + Unit<UNROLL>::place(i) : (here + 512 * j + 16 * lane_id()) | BLOCK_HIT;
      more = confirmer.push_hit(found | blocks, hit);
      if (found) found &= ~(0x80000000u >> i); else blocks &= ~(0x80000000u >> j);
      if (confirmer.busy(last)) {
        confirmer.work(last);
        more |= last;
      }
    } while (more);
  } while (!last);
}

}  // namespace vyre

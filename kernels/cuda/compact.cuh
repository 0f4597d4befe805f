// From the prefilter's bits to one list of hits, in no order.
#pragma once
#include "windows.cuh"

namespace vyre {

template <int THREADS>
__device__ __forceinline__ void compact(const Stretch& stretch, const u8* masks, const u32* blocks, u32 has_blocks,
                                        const Lists<u32>& lists) {
  __shared__ u32 sums[THREADS / 32], base;
  const u32 vectors = (stretch.bytes + 15) / 16, words = (vectors + 3) / 4;
  const u32 warp = threadIdx.x / 32;
  for (u32 first = blockIdx.x * THREADS; first < words; first += gridDim.x * THREADS) {
    const u32 word = first + threadIdx.x;
    u32 bits = 0, passing = 0;
    if (word < words) {
      if (4 * word + 4 <= vectors) bits = __ldg(reinterpret_cast<const u32*>(masks) + word);
      else for (u32 i = 0; i < vectors - 4 * word; ++i) bits |= u32(masks[4 * word + i]) << 8 * i;
      bits = __byte_perm(bits, 0, 0x0123);  // the earliest position highest
      if (has_blocks) passing = __ldg(blocks + word / 8) >> (4 * (word & 7)) & 15;
    }
    // an exclusive sum over the block
    const u32 mine = __popc(bits) + __popc(passing);
    u32 sum = mine;
    for (int d = 1; d < 32; d *= 2) {
      const u32 other = __shfl_up_sync(~0u, sum, d);
      if (lane_id() >= d) sum += other;
    }
    if (lane_id() == 31) sums[warp] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
      u32 total = 0;
      for (int w = 0; w < THREADS / 32; ++w) {
        const u32 s = sums[w];
        sums[w] = total;
        total += s;
      }
      base = total ? atomicAdd(lists.lengths, total) : 0;
    }
    __syncthreads();
    u32 index = base + sums[warp] + sum - mine;
    while (bits) {
      const int i = __clz(bits);
      bits &= ~(0x80000000u >> i);
      if (index < lists.capacity) lists.items[index] = 64 * word + 2 * i;
      ++index;
    }
    while (passing) {
      const int i = __ffs(passing) - 1;
      passing &= passing - 1;
      if (index < lists.capacity) lists.items[index] = (64 * word + 16 * i) | BLOCK_HIT;
      ++index;
    }
    __syncthreads();
  }
}

}  // namespace vyre

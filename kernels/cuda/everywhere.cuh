// From all positions to pivots, for the rules without a window. Most positions are ruled out by their
// byte, in a table in shared memory that answers for 32 entries at once; what is left waits for a
// warp's worth, and is probed.
#pragma once
#include "queues.cuh"

namespace vyre {

// Adds to the lists that `scan` or `probe` began: there must be as many blocks as lists.
template <int THREADS>
__device__ __forceinline__ void everywhere(const Tables& tables, const Stretch& stretch, const Lists<Pivot>& lists,
                                           const Output& output) {
  __shared__ Queues queues[THREADS / 32];
  __shared__ u32 masks[256];
  __shared__ u32 length;
  if (threadIdx.x == 0) length = lists.lengths[blockIdx.x];
  const Prober prober(tables, stretch, output);
  const PivotList pivots = {lists.items + u64(blockIdx.x) * lists.capacity, lists.capacity, length};
  Waiting waiting = {queues[threadIdx.x / 32], 0, 0};
  const u32 step = gridDim.x * THREADS * 4;
  for (u32 group = 0; group < tables.always_count; group += 32) {
    __syncthreads();  // nobody reads the group before this one's masks any more; the length is there
    for (u32 i = threadIdx.x; i < 256; i += THREADS) masks[i] = __ldg(tables.always_masks + 8 * group + i);
    __syncthreads();
    // a lane has four positions: they begin at a multiple of four, and the padding behind the arena
    // can be read
    for (u32 at = (blockIdx.x * THREADS + threadIdx.x / 32 * 32) * 4; at < stretch.bytes; at += step) {
      const u32 mine = at + 4 * lane_id();
      const u32 left = mine < stretch.bytes ? stretch.bytes - mine : 0;
      const u32 text = left ? __ldg(reinterpret_cast<const u32*>(stretch.data + mine)) : 0;
      u32 found[4];
#pragma unroll
      for (u32 k = 0; k < 4; ++k) found[k] = k < left ? masks[text >> 8 * k & 0xFF] : 0;
      for (;;) {
        const u32 k = found[0] ? 0 : found[1] ? 1 : found[2] ? 2 : 3;
        const u32 bits = found[0] ? found[0] : found[1] ? found[1] : found[2] ? found[2] : found[3];
        const u32 vote = __ballot_sync(~0u, bits != 0);
        if (!vote) break;
        const u32 entry = bits ? __ldg(tables.always_entries + group + __ffs(bits) - 1) : 0;
        waiting.push_candidate(vote, bits != 0, mine + k, entry);
#pragma unroll
        for (u32 i = 0; i < 4; ++i)
          if (i == k) found[i] &= found[i] - 1;
        waiting.look(prober, pivots, false);
      }
    }
  }
  waiting.look(prober, pivots, true);
  __syncthreads();
  if (threadIdx.x == 0) lists.lengths[blockIdx.x] = length;
}

}  // namespace vyre

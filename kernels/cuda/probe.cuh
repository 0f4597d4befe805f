// From the one list of hits that `compact` makes to pivots, in lists of each block.
#pragma once
#include "queues.cuh"

namespace vyre {

template <int THREADS>
__device__ __forceinline__ void probe(const Tables& tables, const Stretch& stretch, const Lists<u32>& hits,
                                      const Lists<Pivot>& lists, const Output& output) {
  __shared__ Queues queues[THREADS / 32];
  __shared__ u32 length;
  if (threadIdx.x == 0) length = 0;
  __syncthreads();
  const Prober prober(tables, stretch, output);
  const PivotList pivots = {lists.items + u64(blockIdx.x) * lists.capacity, lists.capacity, length};
  Waiting waiting = {queues[threadIdx.x / 32], 0, 0};
  const u32 count = min(*hits.lengths, hits.capacity);
  u32 first = blockIdx.x * THREADS + threadIdx.x / 32 * 32;
  bool last;
  do {
    last = first >= count;
    const u32 i = first + lane_id();
    // a find with the first bit alone
    waiting.push(__ballot_sync(~0u, i < count), i < count ? __ldg(hits.items + i) : 0, i < count ? 0x80000000u : 0);
    first += gridDim.x * THREADS;
    while (waiting.busy(last)) waiting.work(prober, pivots, last);
  } while (!last);
  __syncthreads();
  if (threadIdx.x == 0) lists.lengths[blockIdx.x] = length;
}

}  // namespace vyre

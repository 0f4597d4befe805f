// The confirmer on a list of places: the conservative path's second launch.
#pragma once
#include "confirmer.cuh"

namespace vyre {

template <int THREADS>
__device__ __forceinline__ void confirm(const Tables& tables, const Stretch& stretch, const Output& output,
                                        const u32* places, const u32* counts, u32 capacity) {
  __shared__ Queues queues[THREADS / 32];
  const u32 count = min(*counts, capacity);
  Confirmer confirmer(tables, stretch, output, queues + threadIdx.x / 32);
  const u32 warp = blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
  u32 first = warp * 32;
  bool last;
  do {
    last = first >= count;
    const u32 i = first + lane_id();
    confirmer.push_hit(i < count, i < count ? __ldg(places + i) : 0);
    first += gridDim.x * THREADS;
    while (confirmer.busy(last)) confirmer.work(last);
  } while (!last);
}

}  // namespace vyre

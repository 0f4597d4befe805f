// The confirmer on a list of places: the conservative path's last launch.
#pragma once
#include "confirmer.cuh"

namespace vyre {

template <int THREADS>
__device__ __forceinline__ void confirm(const Tables& tables, const Stretch& stretch, const Output& output,
                                        const u32* places, const u32* counts, u32 capacity) {
  fill_context<THREADS>(tables, stretch, output);
  Waiting waiting(sizeof(Context) / 16);
  __syncthreads();
  const u32 count = min(*counts, capacity);
  const u32 warp = blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
  for (u32 first = warp * 32; first < count; first += gridDim.x * THREADS) {
    const u32 i = first + lane_id();
    waiting.push(i < count, i < count ? __ldg(places + i) : 0);
  }
  waiting.finish();
}

}  // namespace vyre

// The confirmer on lists of hits, those of `hits` or the one of `compact`.
#pragma once
#include "confirmer.cuh"

namespace vyre {

template <int THREADS>
__device__ __forceinline__ void confirm(const Tables& tables, const Stretch& stretch, const Lists& lists,
                                        const Output& output) {
  __shared__ Waiting waiting;
  if (threadIdx.x == 0) waiting = {0, 0};
  __syncthreads();
  const u32 list = blockIdx.x / lists.parts, part = blockIdx.x % lists.parts;
  Confirmer confirmer(tables, stretch, output, waiting);
  confirmer.confirm(lists.places + u64(list) * lists.capacity, min(lists.lengths[list], lists.capacity), part * THREADS,
                    lists.parts * THREADS);
}

}  // namespace vyre

// The automata on the pivots that `scan` or `probe` listed.
#pragma once
#include "walking.cuh"

namespace vyre {

template <int THREADS>
__device__ __forceinline__ void walk(const Tables& tables, const Stretch& stretch, const Lists<Pivot>& lists,
                                     const Output& output) {
  const u32 list = blockIdx.x / lists.parts, part = blockIdx.x % lists.parts;
  Walker(tables, stretch, output)
      .walk(lists.items + u64(list) * lists.capacity, min(lists.lengths[list], lists.capacity),
            part * THREADS + threadIdx.x, lists.parts * THREADS);
}

}  // namespace vyre

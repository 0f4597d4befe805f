// From text to pivots, in one pass: what the bitmap lets through is looked at while the text is in
// the caches. The pivots go to lists, one of each block, so that no two blocks wait for each other.
//
// The automata are a launch of their own behind this one. All of it in one kernel was tried in
// three shapes (each warp for itself, each block for itself, as a call and inlined): the registers
// that walking takes put the text that is fetched ahead into local memory.
#pragma once
#include "queues.cuh"

namespace vyre {

template <int THREADS, int UNROLL, int BITS>
__device__ __forceinline__ void scan(const Tables& tables, const Stretch& stretch, const Lists<Pivot>& lists,
                                     const Output& output) {
  extern __shared__ uint4 shared[];
  __shared__ Queues queues[THREADS / 32];
  __shared__ u32 length;
  u32* bitmap = reinterpret_cast<u32*>(shared);
  constexpr u32 WARPS = THREADS / 32;
  const Prober prober(tables, stretch, output);
  const PivotList pivots = {lists.items + u64(blockIdx.x) * lists.capacity, lists.capacity, length};
  Waiting waiting = {queues[threadIdx.x / 32], 0, 0};
  const u32 readable = readable_bytes(stretch), step = gridDim.x * WARPS * Unit<UNROLL>::BYTES;
  u32 at = (blockIdx.x * WARPS + threadIdx.x / 32) * Unit<UNROLL>::BYTES;
  Unit<UNROLL> ahead;
  if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
  load_bitmap<THREADS, BITS>(bitmap, tables.bitmap);
  if (threadIdx.x == 0) length = 0;
  __syncthreads();
  bool last;
  do {
    last = at >= stretch.bytes;
    const u32 here = at + 16 * lane_id();
    u32 blocks = 0, passing = 0;
    if (!last) {
      const Unit<UNROLL> unit = ahead;
      const u32 left = stretch.bytes - at;
      at += step;
      if (at < stretch.bytes) ahead.load(stretch.data, at, readable);
      const u32 found = unit.template hits<BITS>(bitmap, tables.multiplier, left);
      waiting.push(__ballot_sync(~0u, found != 0), here, found);
      if (tables.run_count) {
        blocks = unit.blocks(tables, left);
        passing = __ballot_sync(~0u, blocks != 0);
      }
    }
    while (passing || waiting.busy(last)) {
      if (passing && waiting.finds < 32) {
        waiting.push(passing, here | BLOCK_HIT, blocks);
        passing = 0;
      } else {
        waiting.work(prober, pivots, last);
      }
    }
  } while (!last);
  __syncthreads();
  if (threadIdx.x == 0) lists.lengths[blockIdx.x] = length;
}

}  // namespace vyre

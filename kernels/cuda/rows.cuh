// Where output goes: rows, and the tiles' bits.
#pragma once
#include "windows.cuh"

namespace vyre {

struct Rows {
  const Stretch& s;
  const Output& out;

  __device__ __forceinline__ void mark(u32* tiles, u32 at) const {
    const u64 tile = (s.first + at) >> out.tile_bits;
    atomicOr(tiles + (tile >> 5), 1u << (tile & 31));
  }

  // `distance`: how far before the pivot `at` the row's position is.
  __device__ __forceinline__ void emit(u32 at, u32 distance, u32 document, u32 rule) const {
    mark(out.committed, at);
    write_row({s.first + at - distance, document, rule});
  }

  // One addition for all threads that are here together.
  __device__ __forceinline__ void write_row(Row row) const {
    const u32 here = __activemask();
    const u32 leader = __ffs(here) - 1;
    u64 base = 0;
    if (lane_id() == leader) base = atomicAdd(out.counts, u64(__popc(here)));
    const u64 index = __shfl_sync(here, base, leader) + __popc(here & lanes_below());
    if (index < out.capacity) out.rows[index] = row;
  }
};

}  // namespace vyre

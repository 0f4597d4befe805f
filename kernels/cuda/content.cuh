// What the host need not read a piece for: the newlines of each of its blocks, and what tells its
// bytes from others. Of both, blocks are CONTENT_BLOCK bytes; lines count from the first start that
// the piece owns, digests from its first byte. The definitions in Python are in
// vyre_dist/engine/content.py and lines.py.
#pragma once
#include "tables.cuh"

namespace vyre {

constexpr u32 CONTENT_BITS = 16;
constexpr u32 CONTENT_BLOCK = 1u << CONTENT_BITS;

// A piece of a document in the arena: bytes [begin, end), of which [first, last) are its own. Its
// blocks begin with number `block` of the arena's.
struct alignas(16) Piece {
  u64 begin;
  u64 end;
  u64 first;
  u64 last;
  u32 block;
  u32 unused[3];
};

struct Content {
  u64 digest[2];
  u32 newlines;
  u32 unused;
};

// The multiplier of word number `word` in a block, for one of two sums.
__device__ inline u64 multiplier_of(u32 word, u32 sum) {
  u64 x = (u64(word) * 2 + sum + 1) * 0x9E3779B97F4A7C15ull;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
  return (x ^ x >> 27) | 1;
}

// A bit for each byte of `word` that is a newline: the highest of each.
__device__ inline u32 newline_bits(u32 word) {
  const u32 x = word ^ 0x0A0A0A0Au;
  return ~(((x & 0x7F7F7F7Fu) + 0x7F7F7F7Fu) | x | 0x7F7F7F7Fu);
}

__device__ inline u64 add_lanes(u64 value) {
  for (u32 distance = 16; distance; distance >>= 1) {
    const u64 other = __shfl_sync(0xFFFFFFFFu, value, (threadIdx.x & 31) + distance);
    if ((threadIdx.x & 31) < distance) value += other;
  }
  return value;
}

// One block of the grid for one block of a piece. `contents` are zero before.
template <int THREADS>
__device__ void content(const Stretch& arena, const Piece* pieces, u32 count, u32 blocks, Content* contents) {
  for (u32 number = blockIdx.x; number < blocks; number += gridDim.x) {
    u32 at = 0;
    while (at + 1 < count && pieces[at + 1].block <= number) ++at;
    const Piece piece = pieces[at];
    const u64 low = piece.begin + (u64(number - piece.block) << CONTENT_BITS);
    const u64 high = low + CONTENT_BLOCK < piece.end ? low + CONTENT_BLOCK : piece.end;
    // where this block's lines begin to count for it; before, they count for the block before
    const u64 turn = piece.first + (u64(number - piece.block) << CONTENT_BITS);
    u64 sums[2] = {0, 0};
    u32 before = 0, after = 0;
    for (u64 from = low + 16 * threadIdx.x; from < high; from += 16 * THREADS) {
      const uint4 vector = *reinterpret_cast<const uint4*>(arena.data + from);
      const u32 words[4] = {vector.x, vector.y, vector.z, vector.w};
#pragma unroll
      for (u32 i = 0; i < 4; ++i) {
        const u64 place = from + 4 * i;
        if (place >= high) break;
        const u32 own = high - place < 4 ? words[i] & ((1u << 8 * u32(high - place)) - 1) : words[i];
        const u32 word = u32(place - low) / 4;
        sums[0] += own * multiplier_of(word, 0);
        sums[1] += own * multiplier_of(word, 1);
        u32 bits = newline_bits(words[i]);
        // most words lie on one side of all borders
        if (bits && place >= piece.first && place + 4 <= piece.last && (place >= turn || place + 4 <= turn)) {
          (place >= turn ? after : before) += __popc(bits);
        } else if (bits) {
          for (u32 byte = 0; byte < 4; ++byte) {
            const u64 here = place + byte;
            if (bits >> (8 * byte + 7) & 1 && here >= piece.first && here < piece.last) ++(here >= turn ? after : before);
          }
        }
      }
    }
    sums[0] = add_lanes(sums[0]), sums[1] = add_lanes(sums[1]);
    const u64 lines = add_lanes(u64(before) << 32 | after);
    if ((threadIdx.x & 31) == 0) {
      atomicAdd(&contents[number].digest[0], sums[0]);
      atomicAdd(&contents[number].digest[1], sums[1]);
      if (u32(lines)) atomicAdd(&contents[number].newlines, u32(lines));
      if (lines >> 32) atomicAdd(&contents[number - 1].newlines, u32(lines >> 32));
    }
  }
}

}  // namespace vyre

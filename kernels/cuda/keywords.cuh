// Which keywords are in the arena's long documents and pieces, in any letter case of ASCII. The
// three bytes at each position are looked up in a bitmap; what passes is compared with the keywords
// that have the same hash, unless they have been seen in that document.
#pragma once
#include "content.cuh"

namespace vyre {

constexpr u32 KEYWORD_HASH_BITS = 16;
constexpr u32 KEYWORD_MULTIPLIER = 0x9E3779B1u;

// `offset`: of its `length` bytes. `next`: the number of the next with the same hash, plus one; 0:
// there is none.
struct alignas(16) Keyword {
  u32 offset;
  u32 length;
  u32 next;
  u32 unused;
};

// `first`: by hash, a keyword's number plus one, or 0. `bitmap`: a bit for each hash that has one.
// `flag_words`: of each document's flags.
struct KeywordTables {
  const u32* bitmap;
  const u16* first;
  const Keyword* keywords;
  const u8* bytes;
  u32 flag_words;
  u32 unused;
};

// Of a window's first three bytes, in lower case.
__device__ inline u32 keyword_hash(u32 window) {
  return ((window & 0xFFFFFFu) * KEYWORD_MULTIPLIER) >> (32 - KEYWORD_HASH_BITS);
}

__device__ inline u8 lower_case(u8 byte) { return byte - 'A' < 26u ? byte | 0x20 : byte; }

// The keywords at one position, of which the document has [position, end).
__device__ inline void keywords_at(const KeywordTables& tables, const u8* data, u64 position, u64 end, u32* flags) {
  const u32 window = data[position] | data[position + 1] << 8 | data[position + 2] << 16;
  const u32 hash = keyword_hash(window | FOLD_WORD);
  for (u32 number = tables.first[hash]; number;) {
    const Keyword keyword = tables.keywords[number - 1];
    u32* const flag = flags + ((number - 1) >> 5);
    const u32 bit = 1u << ((number - 1) & 31);
    // most are seen soon, and then again and again
    if (!(*static_cast<volatile u32*>(flag) & bit) && end - position >= keyword.length) {
      u32 same = 0;
      while (same < keyword.length && lower_case(data[position + same]) == tables.bytes[keyword.offset + same]) ++same;
      if (same == keyword.length) atomicOr(flag, bit);
    }
    number = keyword.next;
  }
}

// One block of the grid for one block of a document. `documents`: `first` and `last` are not looked
// at. `flags` are zero before.
template <int THREADS>
__device__ void keywords(const KeywordTables& tables, const Stretch& arena, const Piece* documents, u32 count, u32 blocks,
                         u32* flags) {
  __shared__ u32 bitmap[(1u << KEYWORD_HASH_BITS) / 32];
  for (u32 i = threadIdx.x; i < (1u << KEYWORD_HASH_BITS) / 32; i += THREADS) bitmap[i] = tables.bitmap[i];
  __syncthreads();
  for (u32 number = blockIdx.x; number < blocks; number += gridDim.x) {
    // the last document whose blocks do not begin after this one
    u32 at = 0;
    for (u32 above = count; above - at > 1;) {
      const u32 middle = (at + above) / 2;
      documents[middle].block <= number ? at = middle : above = middle;
    }
    const Piece document = documents[at];
    const u64 low = document.begin + (u64(number - document.block) << CONTENT_BITS);
    const u64 high = low + CONTENT_BLOCK < document.end ? low + CONTENT_BLOCK : document.end;
    u32* const own = flags + u64(at) * tables.flag_words;
    for (u64 from = low + 16 * threadIdx.x; from < high; from += 16 * THREADS) {
      const uint4 vector = *reinterpret_cast<const uint4*>(arena.data + from);
      const u32 next = *reinterpret_cast<const u32*>(arena.data + from + 16);  // padding follows the arena
      const u32 words[5] = {vector.x | FOLD_WORD, vector.y | FOLD_WORD, vector.z | FOLD_WORD, vector.w | FOLD_WORD, next | FOLD_WORD};
      u32 passed = 0;
#pragma unroll
      for (u32 i = 0; i < 16; ++i) {
        const u32 hash = keyword_hash(__byte_perm(words[i / 4], words[i / 4 + 1], 0x3210 + 0x1111 * (i % 4)));
        passed |= (bitmap[hash >> 5] >> (hash & 31) & 1) << i;
      }
      while (passed) {
        const u32 i = __ffs(passed) - 1;
        passed &= passed - 1;
        const u64 position = from + i;
        if (position >= high) break;
        keywords_at(tables, arena.data, position, document.end, own);
      }
    }
  }
}

}  // namespace vyre

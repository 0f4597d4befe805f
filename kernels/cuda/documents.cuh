// Which document of the arena holds a position.
#pragma once
#include "tables.cuh"

namespace vyre {

// Of the document that holds a position: its number, and how many of its bytes there are from the
// position on and before it.
struct Document {
  u32 number;  // NOT_STORED: the position lies in no document
  u32 edges;  // bit 0: it has its start there, bit 1: its end
  u32 ahead;  // MOST_ROOM at most, and so is `back`
  u32 back;
};

__device__ __forceinline__ Bounds load_bounds(const Bounds* from) {
  const ulonglong2 both = __ldg(reinterpret_cast<const ulonglong2*>(from));
  return {both.x, both.y};
}

// The first document that may hold a position of the arena: right nearly always.
__device__ __forceinline__ u32 guess_document(const Stretch& s, u32 at) {
  return __ldg(s.page_documents + ((s.first + at) >> PAGE_BITS));
}

// `at` lies in the arena; `low` is its guess.
__device__ __forceinline__ Document find_document(const Stretch& s, u32 at, u32 low) {
  const u64 position = s.first + at;
  if (low >= s.documents) return {NOT_STORED, 0, 0, 0};
  Bounds d = load_bounds(s.bounds + low);
  if ((d.end & ~AT_EDGE) <= position) {
    // the first document that ends after the position: ends ascend
    u32 high = min(__ldg(s.page_documents + (position >> PAGE_BITS) + 1) + 1, s.documents);
    ++low;
    while (low < high) {
      const u32 middle = (low + high) >> 1;
      if ((__ldg(&s.bounds[middle].end) & ~AT_EDGE) <= position) low = middle + 1; else high = middle;
    }
    if (low >= s.documents) return {NOT_STORED, 0, 0, 0};
    d = load_bounds(s.bounds + low);
  }
  const u32 edges = u32(d.start >> 63) | u32(d.end >> 63) << 1;
  const u64 start = d.start & ~AT_EDGE, end = d.end & ~AT_EDGE;
  if (start > position) return {NOT_STORED, 0, 0, 0};
  return {low, edges, u32(min(end - position, u64(MOST_ROOM))), u32(min(position - start, u64(MOST_ROOM)))};
}

}  // namespace vyre

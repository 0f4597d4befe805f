// Which document of the arena holds a place.
#pragma once
#include "tables.cuh"

namespace vyre {

// Of the document that holds a place: its number, and how many of its bytes there are from the place on and before it.
struct Document {
  u32 number;  // NOT_STORED: the place lies in no document
  u32 edges;
  u32 ahead;  // MOST_ROOM at most, and so is `back`
  u32 back;
};

// `at` lies in the arena. What is asked first is right nearly always, and all of it is asked at once.
__device__ __forceinline__ Document find_document(const Stretch& s, u32 at) {
  const u64 place = s.first + at;
  u32 low = __ldg(s.page_documents + (place >> PAGE_BITS));
  const u32 beyond = __ldg(s.page_documents + (place >> PAGE_BITS) + 1);
  if (low >= s.documents) return {NOT_STORED, 0, 0, 0};
  u64 end = __ldg(s.ends + low), start = __ldg(s.starts + low);
  u32 edges = __ldg(s.edges + low);
  if (end <= place) {
    // the first document that ends after the place: ends ascend
    u32 high = min(beyond + 1, s.documents);
    ++low;
    while (low < high) {
      const u32 middle = (low + high) >> 1;
      if (__ldg(s.ends + middle) <= place) low = middle + 1; else high = middle;
    }
    if (low >= s.documents) return {NOT_STORED, 0, 0, 0};
    end = __ldg(s.ends + low);
    start = __ldg(s.starts + low);
    edges = __ldg(s.edges + low);
  }
  if (start > place) return {NOT_STORED, 0, 0, 0};
  return {low, edges, u32(min(end - place, u64(MOST_ROOM))), u32(min(place - start, u64(MOST_ROOM)))};
}

}  // namespace vyre

// From rows to matches: a warp for each row searches for the match through its position, by its rule's
// span program (tests/support/span_executor.py is the definition). Backtracking can't be
// shared by lanes, so one of them searches, and all clear what it has to remember: rows are few,
// and whoever waits costs nothing but a place on the multiprocessor.
#pragma once
#include "tables.cuh"

namespace vyre {

constexpr u32 OP_CLASS = 0, OP_SPLIT = 1, OP_JUMP = 2, OP_SAVE = 3, OP_ASSERT = 4;
constexpr u32 OP_BITS = 3;

constexpr u32 SPAN_STEPS = 1u << 16;
constexpr u32 SPAN_DEPTH = 2048;
constexpr u32 FIRST_AHEAD = 192;
constexpr int MAX_GROUP_OFFSETS = 6;

// Of a Match: the host has to search; there is one; there is one, and its secret is not worth
// reporting; there is none that starts where its piece owns starts.
constexpr u32 OPEN = 0;
constexpr u32 FOUND = 1;
constexpr u32 FILTERED = 2;
constexpr u32 FOREIGN = 3;

constexpr i32 NO_GROUP = -1;  // took no part
constexpr i32 NO_SUCH_GROUP = -2;  // the rule has no such group

struct Instruction {
  u32 code;  // the op in the lowest bits, what it is about above
  u32 other;  // of a split: its number above 16 bits of its second target
};

struct alignas(16) SpanRule {
  u32 program;  // its first instruction; NOT_STORED: the host searches
  u32 splits;
  u32 back;
  u32 ahead;
  u32 groups;
  u32 secret_group;  // 0: the first that is not empty, else all
  i32 too_few;
  u32 dull;
};

struct Match {
  u32 first_back;  // from the position back to where the first match began that was found on the way
  u32 start_back;
  u32 length;
  u32 status;
  i32 group_offsets[MAX_GROUP_OFFSETS];  // from the match's start
};

struct SpanTables {
  const SpanRule* rules;
  const Instruction* instructions;
  const u32* classes;  // 8 words a class
  u32* scratch;  // for each warp: `words` words of bits, then SPAN_DEPTH pairs
  u32 words;
  u32 unused;
};

// contexts of context.py
constexpr u32 CONTEXT_NEWLINE = 0, CONTEXT_WORD = 1, CONTEXT_OTHER = 2, CONTEXT_EDGE = 3;

__device__ inline u32 context_of(u8 byte) {
  const u32 letter = byte | 0x20u;
  if ((letter >= 'a' && letter <= 'z') || (byte >= '0' && byte <= '9') || byte == '_') return CONTEXT_WORD;
  return byte == '\n' ? CONTEXT_NEWLINE : CONTEXT_OTHER;
}

__device__ inline bool in_class(const u32* classes, u32 number, u8 byte) {
  return classes[8 * number + (byte >> 5)] >> (byte & 31) & 1;
}

// One row's search. Offsets count from `text`, which lies `before` bytes into its document.
struct Search {
  const SpanTables& tables;
  const SpanRule& rule;
  const u8* text;
  bool at_start;
  u32 limit;  // how far may be looked
  bool limit_is_end;
  u32* visited;
  uint2* stack;
  u32 steps;
  i32 group_offsets[MAX_GROUP_OFFSETS];

  __device__ u32 before(u32 pos) const { return pos == 0 && at_start ? CONTEXT_EDGE : context_of(text[i64(pos) - 1]); }
  __device__ u32 after(u32 pos) const { return pos == limit && limit_is_end ? CONTEXT_EDGE : context_of(text[pos]); }

  // What became of a start.
  enum Outcome : u32 { NONE, HIT, GIVEN_UP };

  // The preferred match at `start`; its end goes to `end`.
  __device__ Outcome match_at(u32 start, u32& end) {
    const Instruction* program = tables.instructions + rule.program;
    u32 pc = 0, pos = start, depth = 0;
#pragma unroll
    for (int i = 0; i < MAX_GROUP_OFFSETS; ++i) group_offsets[i] = NO_GROUP;
    while (true) {
      if (++steps > SPAN_STEPS || depth >= SPAN_DEPTH) return GIVEN_UP;
      const Instruction now = program[pc];
      const u32 op = now.code & ((1u << OP_BITS) - 1), first = now.code >> OP_BITS;
      bool alive = true;
      if (op == OP_CLASS) {
        if (pos >= limit) {
          if (!limit_is_end) return GIVEN_UP;
          alive = false;
        } else {
          alive = in_class(tables.classes, first, text[pos]);
        }
        ++pc, ++pos;
      } else if (op == OP_SPLIT) {
        const u32 bit = (now.other >> 16) * (limit + 1) + pos;
        const u32 word = visited[bit >> 5], mask = 1u << (bit & 31);
        alive = !(word & mask);
        if (alive) {
          visited[bit >> 5] = word | mask;
          stack[depth++] = make_uint2(now.other & 0xFFFFu, pos);
          pc = first;
        }
      } else if (op == OP_JUMP) {
        pc = first;
      } else if (op == OP_SAVE) {
        // the highest bit tells a group's offset to be restored from a place to go on
        stack[depth++] = make_uint2(0x80000000u | first, u32(group_offsets[first]));
        group_offsets[first] = i32(pos);
        ++pc;
      } else if (op == OP_ASSERT) {
        alive = first >> (4 * before(pos) + after(pos)) & 1;
        ++pc;
      } else {
        end = pos;
        return HIT;
      }
      while (!alive) {
        if (depth == 0) return NONE;
        const uint2 top = stack[--depth];
        if (top.x & 0x80000000u) {
          group_offsets[top.x & 7] = i32(top.y);
        } else {
          pc = top.x, pos = top.y;
          alive = true;
        }
      }
    }
  }

  // The leftmost match that starts in [pos, pivot].
  __device__ Outcome leftmost(u32 pos, u32 pivot, u32& start, u32& end) {
    for (start = pos; start <= pivot && start <= limit; ++start) {
      const Outcome outcome = match_at(start, end);
      if (outcome != NONE) return outcome;
    }
    return NONE;
  }

  // Whether the match [start, end) is one that the rule's byte filter drops.
  __device__ bool filtered(u32 start, u32 end) const {
    u32 from = start, to = end;
    bool chosen = false;
    if (rule.secret_group) {
      const i32 low = group_offsets[2 * rule.secret_group - 2];
      chosen = true;
      from = low < 0 ? 0 : u32(low);
      to = low < 0 ? 0 : u32(group_offsets[2 * rule.secret_group - 1]);
    }
    for (u32 group = 0; group < rule.groups && !chosen; ++group) {
      if (group_offsets[2 * group] >= 0 && group_offsets[2 * group + 1] > group_offsets[2 * group]) {
        chosen = true;
        from = u32(group_offsets[2 * group]);
        to = u32(group_offsets[2 * group + 1]);
      }
    }
    if (!chosen) {
      while (from < to && text[from] == '\n') ++from;
      while (from < to && text[to - 1] == '\n') --to;
    }
    u32 seen[8] = {};
    bool dull = from < to;
    for (u32 at = from; at < to; ++at) {
      const u8 byte = text[at];
      seen[byte >> 5] |= 1u << (byte & 31);
      dull = dull && in_class(tables.classes, rule.dull, byte);
    }
    i32 different = 0;
    for (int i = 0; i < 8; ++i) different += __popc(seen[i]);
    return dull || different <= rule.too_few;
  }
};

// What is searched of one document: bytes [start, end), and where matches may start, [first, last).
struct Owned {
  u64 start;
  u64 end;
  u64 first;
  u64 last;
  bool at_start;  // the document begins at `start`
  bool at_end;
};

__device__ inline Owned owned_by(const Bounds& bounds, const Bounds* owned, u32 document) {
  const u64 start = bounds.start & ~AT_EDGE, end = bounds.end & ~AT_EDGE;
  const bool at_start = bounds.start & AT_EDGE, at_end = bounds.end & AT_EDGE;
  if (!owned) return {start, end, start, end + 1, at_start, at_end};
  return {start, end, owned[document].start, owned[document].end + at_end, at_start, at_end};
}

// The match through `position`; called by a whole warp, whose lane 0 gets it. A piece's matches are
// those of a chain that begins where its own starts do.
__device__ inline Match search_row(const SpanTables& tables, const SpanRule& rule, const u8* data, const Owned& own,
                                   u64 position, u32* visited, uint2* stack) {
  const u32 lane = threadIdx.x & 31;
  Match match = {0, 0, 0, OPEN, {NO_SUCH_GROUP, NO_SUCH_GROUP, NO_SUCH_GROUP, NO_SUCH_GROUP, NO_SUCH_GROUP, NO_SUCH_GROUP}};
  const u64 before = position - own.first, after = own.end - position;
  const u32 pivot = position >= own.first && before < rule.back ? u32(before) : rule.back;
  if (position < own.first || position - pivot >= own.last) {
    match.status = FOREIGN;
    return match;
  }
  const bool from_first = pivot == before;
  Search search{tables, rule, data + (position - pivot), from_first && own.at_start && own.first == own.start, 0, false, visited, stack, 0, {}};
  for (u32 look = 0; look < 2; ++look) {
    const u32 ahead = look || rule.ahead < FIRST_AHEAD ? rule.ahead : FIRST_AHEAD;
    search.limit_is_end = own.at_end && after <= ahead;
    // what follows the last byte of a piece is not known: it is looked at as context only
    search.limit = pivot + (search.limit_is_end ? u32(after) : after <= ahead ? u32(after) - 1 : ahead);
    search.steps = 0;
    u32 outcome, pos = 0, first = 0;
    bool first_known = false;
    do {
      __syncwarp();  // the search before this one looks at its bits no more
      const u32 words = (rule.splits * (search.limit + 1) + 31) / 32;
      for (u32 word = lane; word < words; word += 32) visited[word] = 0;
      __syncwarp();
      u32 start = 0, end = 0;
      outcome = Search::NONE;
      if (lane == 0) {
        outcome = search.leftmost(pos, pivot, start, end);
        if (outcome == Search::HIT) {
          if (!first_known) first = start;
          first_known = true;
          if (end > pivot) {
            match.first_back = pivot - first;
            match.start_back = pivot - start;
            match.length = end - start;
            match.status = position - pivot + start >= own.last ? FOREIGN : search.filtered(start, end) ? FILTERED : FOUND;
            for (u32 i = 0; i < 2 * rule.groups; ++i)
              match.group_offsets[i] = search.group_offsets[i] < 0 ? NO_GROUP : search.group_offsets[i] - i32(start);
          }
        } else if (outcome == Search::NONE && from_first && !(own.at_start && own.at_end && own.first == own.start)) {
          // the chain was followed from its beginning: the match that the row is of begins before it
          match.status = FOREIGN;
        }
      }
      outcome = __shfl_sync(0xFFFFFFFFu, outcome, 0);
      pos = __shfl_sync(0xFFFFFFFFu, end, 0);
    } while (outcome == Search::HIT && pos <= pivot);
    if (outcome != Search::GIVEN_UP || search.limit_is_end) break;
  }
  return match;
}

template <int THREADS>
__device__ void spans(const SpanTables& tables, const Stretch& arena, const Output& output, const Bounds* owned,
                      Match* matches) {
  const u64 wanted = output.counts[0];
  const u32 count = wanted < output.capacity ? u32(wanted) : output.capacity;
  const u32 warps = gridDim.x * (THREADS / 32), warp = (blockIdx.x * THREADS + threadIdx.x) / 32;
  u32* visited = tables.scratch + u64(warp) * (tables.words + 2 * SPAN_DEPTH);
  uint2* stack = reinterpret_cast<uint2*>(visited + tables.words);
  for (u32 i = warp; i < count; i += warps) {
    const Row row = output.rows[i];
    Match match = {0, 0, 0, OPEN, {NO_SUCH_GROUP, NO_SUCH_GROUP, NO_SUCH_GROUP, NO_SUCH_GROUP, NO_SUCH_GROUP, NO_SUCH_GROUP}};
    if (!(row.rule & HOST) && tables.rules[row.rule].program != NOT_STORED) {
      const Bounds d = arena.bounds[row.document];
      if (owned || d.start & d.end & AT_EDGE)
        match = search_row(tables, tables.rules[row.rule], arena.data, owned_by(d, owned, row.document), row.position, visited, stack);
    }
    if ((threadIdx.x & 31) == 0) matches[i] = match;
    __syncwarp();
  }
}

}  // namespace vyre

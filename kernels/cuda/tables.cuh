// The compiled rules of a pack as the kernels read them. Written by device_tables.py; what the
// fields mean is said in vyre_dist/compiler/tables.py. No standard headers: NVRTC has none.
#pragma once

namespace vyre {

typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;
typedef long long i64;

constexpr u32 NOT_STORED = 0xFFFFFFFFu;
constexpr u32 EDGE_PASSES = 0x8000u;
constexpr u32 EDGE_SYMBOL = 256;
constexpr u32 BYTE_MAP_PITCH = 260;
constexpr u32 FOLD_WORD = 0x20202020u;
constexpr int PROBES = 6;
constexpr int MAX_RUNS = 64;
constexpr int MAX_NFA_WORDS = 4;
constexpr u32 BIT_PARALLEL_STEPS = 64;  // runners.py

constexpr u32 DEAD = 0;
constexpr u32 ACCEPT = 1;
constexpr u32 UNDECIDED = 2;

// A row of output: a rule and the position of its pivot, or of the match's start where the entry knows
// its distance. HOST is set in `rule` where the host has to decide.
constexpr u32 HOST = 0x80000000u;

struct Row {
  u64 position;
  u32 document;
  u32 rule;
};

// One direction of an entry, all that a walk along a table needs. Rows of the dead and of the
// accepting state lead to themselves, so a walk need not stop at once.
struct alignas(16) Side {
  u32 byte_map;  // offset in byte_maps
  u32 cells;  // offset in dfa_cells
  u32 columns;
  u32 start;  // state; with BIT_PARALLEL: `cells` is the automaton's number; NOT_STORED: the host confirms
};

constexpr u32 BIT_PARALLEL = 0x80000000u;

struct alignas(16) Entry {
  u32 rule;
  u32 pivot_offset;
  i8 probe_offset[6];
  u16 distance;
  u16 probe_class[8];  // the last two are not used
  Side forward;
  Side backward;
};

struct Automaton {
  u32 is_nfa;
  u32 columns;
  u32 states;
  u32 words;
  u32 byte_map;
  u32 base;
};

struct Run {
  u32 rule;
  u32 length;
  u32 byte_class;
  u32 unused;
};

// The word test of runs.py; `ones` is one byte four times. A shift as a multiplication leaves the
// pipe that shifts alone.
struct WordTest {
  u32 scale;  // 2^shift
  u32 ones;
};

struct Bucket {
  u32 gram;  // 0: empty; no folded gram is
  u32 leads;  // a lead, or LIST and the offset of (count, leads...) in `lists`
};

// A lead is four times an entry's number and, in the lowest bits, where in the window the pivot is.
constexpr u32 LIST = 0x80000000u;

struct Tables {
  const u32* bitmap;  // every word's bits in reverse: bit 0 of the hash is the highest
  const Bucket* buckets;
  const u32* lists;
  const Entry* entries;
  const Automaton* automata;
  const u8* byte_maps;
  const u16* dfa_cells;
  const u64* nfa_words;
  const u32* classes;  // 8 words a class
  const u32* always_entries;  // those whose candidates are all positions
  const u32* always_masks;  // by 32 of them and byte: which may have that byte at their pivot
  u32 bucket_mask;
  u32 bucket_shift;
  u32 multiplier;
  u32 bucket_multiplier;
  u32 max_steps;
  u32 nfa_word_count;
  u32 run_count;
  u32 test_count;  // runs of one class share theirs
  u32 always_count;
  u32 unused;
  Run runs[MAX_RUNS];
  WordTest tests[MAX_RUNS];
};

// Where a document's bytes begin in the arena, at a multiple of 16, and where they end. The highest
// bits: the document begins where its bytes do (of `start`), it ends where they end (of `end`).
struct alignas(16) Bounds {
  u64 start;
  u64 end;
};

constexpr u64 AT_EDGE = 1ull << 63;

// One launch's stretch of an arena. Offsets of the launch are 32-bit and count from `data`; `first`
// is what they stand for in the arena. Documents may reach beyond the stretch: `before` and `after`
// say how much of the arena is there.
struct Stretch {
  const u8* data;
  u64 first;
  u64 arena_bytes;
  u32 bytes;  // positions of windows that this launch looks at: a multiple of 16 but for the arena's last stretch
  u32 documents;
  const Bounds* bounds;  // of the documents
  const u32* page_documents;  // by 4 KiB page of the arena: the first document that ends after the page's start; one more
};

constexpr u32 PAGE_BITS = 12;

// A candidate that passed its probes; `at` is the pivot's offset in the stretch. `room`: how many
// bytes of the document there are from the pivot on (low half) and before it (high half), 65 535 at
// most; EDGES in `document`: whether the document has its start (high bit) and its end there.
struct alignas(16) Pivot {
  u32 at;
  u32 entry;
  u32 document;
  u32 room;
};

constexpr u32 MOST_ROOM = 0xFFFF;
constexpr u32 START_EDGE = 0x80000000u;
constexpr u32 END_EDGE = 0x40000000u;

// Of a hit, a window's offset in the stretch: it is that of a block for the runs.
constexpr u32 BLOCK_HIT = 0x80000000u;

// Lists of `capacity` items each; the lengths also count what did not fit.
template <typename T>
struct Lists {
  T* items;
  u32* lengths;
  u32 capacity;
  u32 parts;  // so many blocks of the kernel that reads them share a list
};

// Where rows go. `counts[0]`: rows wanted, also those beyond `capacity`, which are not written.
// Tiles are bits.
struct Output {
  Row* rows;
  u64* counts;
  u32* attempted;
  u32* committed;
  u32 capacity;
  u32 tile_bits;
};

}  // namespace vyre

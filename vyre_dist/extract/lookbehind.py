"""Lookbehind: how far before its end a match of a rule without a widest match can begin.

The facts come from the expression's tree (regex/loops.py). Searching is done in matcher.py.
"""

from __future__ import annotations

from typing import NamedTuple

# More than half of all bytes: text of nothing else goes on for long, and there is nothing to gain
# from looking for its start.
_MOST_LOOP_BYTES = 128

_FIRST_STEP = 64


class Lookbehind(NamedTuple):
    """Bounds on where a match of a rule without a widest match can begin.

    All bytes of a match are in `alphabet`, and at most `outside` of them are not in `loops`.

    `core`: if the pattern begins with up to `lead_max` optional bytes of `lead`, the pattern of
    what follows them; else empty. Such a beginning is common in rules for "some name, then a
    keyword". An automaton that looks for it remembers every start for all those bytes: thousands of
    states, where the core has few.
    """

    alphabet: bytes
    outside: int
    loops: bytes
    lead: bytes = b""
    lead_max: int = 0
    core: bytes = b""

    @classmethod
    def of(cls, pattern: bytes) -> Lookbehind | None:
        """That of a canonical pattern; None if its loops take nearly all bytes: it says nothing."""
        from vyre_dist import regex as rx

        root = rx.parse(pattern.decode("latin-1")).root
        loops = rx.loop_bytes(root)
        if loops.bit_count() > _MOST_LOOP_BYTES:
            return None
        found = cls(bytes_of(rx.alphabet(root)), rx.bytes_outside(root, loops), bytes_of(loops))
        match root:
            case rx.Concat(
                nodes=(rx.Repeat(node=rx.CharClass(mask=mask), min=0, max=int(most)), *rest)
            ):
                core = rx.concat(rest)
                if rx.min_width(core) > 0:
                    return found._replace(lead=bytes_of(mask), lead_max=most, core=rx.to_re2(core))
        return found

    def may_span(self, text: bytes) -> bool:
        """Whether all of `text` may be in one match."""
        if text.translate(None, self.alphabet):
            return False
        return len(text.translate(None, self.loops)) <= self.outside

    def earliest(self, data: bytes | memoryview, low: int, end: int) -> int:
        """The first offset from `low` on where a match that goes to `end` or beyond may start."""
        step = 0
        while step < end - low:
            step = min(4 * step or _FIRST_STEP, end - low)
            near = bytes(data[end - step : end])
            kept = len(near) - len(near.rstrip(self.alphabet))
            if kept < step:
                return end - kept
            if step > self.outside and len(near.translate(None, self.loops)) > self.outside:
                return end - step
        return low

    def start_before(self, data: bytes | memoryview, low: int, at: int) -> int:
        """Where the first match from `low` on starts, if that of the core starts at `at`.

        The first match of the core allows for the earliest start. Within one run of the lead's
        bytes that is plain. What belongs to another run starts behind a byte that is none of them.
        """
        near = bytes(data[max(low, at - self.lead_max) : at])
        return at - len(near) + len(near.rstrip(self.lead))


def bytes_of(mask: int) -> bytes:
    """The bytes of a class."""
    return bytes(b for b in range(256) if mask >> b & 1)

r"""Automaton: where the preferred match from a place ends, however far, in bytes that are read as they are needed.

google-re2 wants all the text that it searches in memory, reads it anew for every start, and tells nothing of how far it had
to look. This automaton is for what is left then: a match longer than the cap, and a tail that may be missing, which has to
be looked for behind every match. It is RE2's: instructions in order of preference, made deterministic as states are met. In
plain Python, but stretches that change nothing are skipped, and where an earlier run went on from the same state at the same
place, its end is remembered.

Source: R. Cox, "Regular Expression Matching in the Wild" (2010), for the order of instructions and where a match cuts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from vyre_dist import regex as rx
from vyre_dist.regex.context import CONDITIONS, EDGE, context_of_byte
from vyre_dist.rules.finder import Finder
from vyre_dist.rules.search import compile_pattern

MAX_INSTRUCTIONS = 1 << 15
"""Larger expressions have no automaton: states would be as large, and as many."""

# as many states and remembered places are kept; beyond that they are made anew
_MOST_STATES = 1 << 14
_MOST_PLACES = 1 << 19

_FIRST_BLOCK = 4 << 10
_LAST_BLOCK = 1 << 20
# places are remembered at multiples of at least so many bytes, farther apart where they are far away
_LEAST_SPACING = 16
_SPACING_SHIFT = 3
# so many bytes in a row that lead back to the same state are worth finding out which others do
_STREAK = 32

Read: TypeAlias = Callable[[int, int], bytes]

_CLASS, _SPLIT, _JUMP, _ASSERT, _MATCH = range(5)
_Instruction = tuple[int, int, int]
"""(op, first, second): a CLASS's first is a mask, an ASSERT's a condition (compiler/context.py), all others are targets."""

_CONTEXTS = tuple(context_of_byte(byte) for byte in range(256))

# where a program passes over a byte has gone, and where its expression begins
_LOOP, _ENTRY = 2, 3

_Code = tuple[list[_Instruction], bool]
"""(instructions whose targets count from their own place, whether they can match the empty string)"""


class _TooLargeError(Exception):
    pass


class _State:
    """`threads`: where to go on, in order of preference. `before`: the context of the last byte, where that can matter.
    `accepted`: a match ends before the last byte.
    """

    __slots__ = ("accepted", "before", "closures", "skip", "steps", "threads")

    def __init__(self, threads: tuple[int, ...], before: int, accepted: bool) -> None:
        self.threads = threads
        self.before = before
        self.accepted = accepted
        self.steps: list[_State | None] = [None] * 256
        self.closures: list[tuple[tuple[int, ...], bool] | None] = [None] * 4
        self.skip: Callable[[bytes, int, int], int] | None = None


class Automaton:
    """Of one expression. Not thread-safe."""

    def __init__(self, program: Sequence[_Instruction]) -> None:
        self._program = program
        self._looks = _where_assertions_matter(program)
        self._states: dict[tuple[tuple[int, ...], int, bool], _State] = {}
        self._places: dict[tuple[_State, int], int | None] = {}
        self._jumps: dict[tuple[_State, int], tuple[_State, int, int | None]] = {}

    @classmethod
    def of(cls, pattern: bytes) -> Automaton | None:
        """The automaton of a canonical pattern; None for one that is too large."""
        try:
            code, _ = rx.fold(rx.parse(pattern.decode("latin-1")).root, _combine)
        except _TooLargeError:
            return None
        absolute = [
            (op, at + first if op in (_SPLIT, _JUMP) else first, at + second if op == _SPLIT else 0)
            for at, (op, first, second) in enumerate(code, _ENTRY)
        ]
        # before it: a match begins here, or, less preferred, a byte is passed over
        search = [(_SPLIT, _ENTRY, 1), (_CLASS, (1 << 256) - 1, 0), (_JUMP, 0, 0)]
        return cls([*search, *absolute, (_MATCH, 0, 0)])

    def forget(self) -> None:
        """Another document follows: what is remembered of places is of no use."""
        self._places.clear()
        self._jumps.clear()

    def end_of_match(self, read: Read, size: int, start: int) -> int | None:
        """Where google-re2's match at `start` ends, None if none starts there.

        `read(low, high)`: the text's bytes, of which there are `size`.
        """
        return self._end(read, size, start, (_ENTRY,), start)

    def end_within(self, read: Read, size: int, start: int, limit: int) -> tuple[int | None, bool]:
        """(where the match at `start` ends that is preferred of those that end at `limit` or before, whether one that is
        preferred to it may end later).

        One start after the other costs what is between them: for later starts it is remembered how far a run has come.
        """
        before = _CONTEXTS[read(start - 1, start)[0]] if start else EDGE
        state = self._state((_ENTRY,), before, False)
        stop = min(size, limit + 1)
        found: int | None = None
        met: list[tuple[tuple[_State, int], int | None]] = []
        jumps, at, block = self._jumps, start, _FIRST_BLOCK
        while at < stop:
            data, base = read(at, min(stop, at + block)), at
            block = min(4 * block, _LAST_BLOCK)
            end = base + len(data)
            while at < end:
                spacing = max(_LEAST_SPACING, 1 << max(0, (at - start).bit_length() - _SPACING_SHIFT))
                upto = min(end, at - at % spacing + spacing)
                landed = False
                while (jump := jumps.get((state, at))) is not None and jump[1] <= stop:
                    met.append(((state, at), found))
                    state, at = jump[:2]
                    found = found if jump[2] is None else jump[2]
                    landed = True
                if landed:
                    met.append(((state, at), found))
                    break  # what lies here has to be read
                if not at % spacing:
                    met.append(((state, at), found))
                state, at, found = self._run(state, data, base, at, upto, found)
                if not state.threads:
                    return found, False
        if len(jumps) > _MOST_PLACES:
            jumps.clear()
        for key, known in met:
            if key[1] < at:
                jumps[key] = state, at, None if found == known else found
        if limit < size:
            return found, True
        return (size if self._closure(state, EDGE)[1] else found), False

    def end_of_first(self, read: Read, size: int, start: int, until: int) -> int | None:
        """Where the first match ends of those that start in [start, until), None if none does. Linear in what is read."""
        return None if start >= until else self._end(read, size, start, (_LOOP,), until)

    def _end(self, read: Read, size: int, start: int, threads: tuple[int, ...], until: int) -> int | None:
        """See above. `until`: where no more matches start. Places are remembered from there on."""
        before = _CONTEXTS[read(start - 1, start)[0]] if start else EDGE
        state = self._state(threads, before, False)
        found: int | None = None
        met: list[tuple[_State, int]] = []
        places, at, block = self._places, start, _FIRST_BLOCK
        while at < size:
            data, base = read(at, min(size, at + block)), at
            block = min(4 * block, _LAST_BLOCK)
            end = base + len(data)
            while at < end:
                spacing = max(_LEAST_SPACING, 1 << max(0, (at - start).bit_length() - _SPACING_SHIFT))
                upto = min(end, at - at % spacing + spacing)
                if state.threads[-1] == _LOOP:  # matches still begin here
                    if at >= until:
                        state = self._state(state.threads[:-1], state.before, state.accepted)
                        if not state.threads:
                            return found
                    else:
                        upto = min(upto, until)
                elif not at % spacing:
                    known = places.get((state, at), -1)
                    if known != -1:
                        return self._remember(met, found if known is None else known)
                    met.append((state, at))
                state, at, found = self._run(state, data, base, at, upto, found)
                if not state.threads:
                    return self._remember(met, found)
        if state.threads[-1] == _LOOP and at >= until:
            state = self._state(state.threads[:-1], state.before, state.accepted)
        if self._closure(state, EDGE)[1]:
            found = size
        return self._remember(met, found)

    def _remember(self, met: list[tuple[_State, int]], found: int | None) -> int | None:
        """Note what runs that come through the same places will find from there: None where no match ends there or later."""
        places = self._places
        if len(places) > _MOST_PLACES:
            places.clear()
        for state, at in met:
            places[state, at] = found if found is not None and found >= at else None
        return found

    def _run(
        self, state: _State, data: bytes, base: int, at: int, upto: int, found: int | None
    ) -> tuple[_State, int, int | None]:
        """Take the bytes [at, upto), or as many as it takes until nothing can follow."""
        streak = 0
        i, stop = at - base, upto - base
        while i < stop:
            byte = data[i]
            following = state.steps[byte] or self._step(state, byte)
            if following.accepted:
                found = base + i
            i += 1
            if following is state:
                streak += 1
                if streak >= _STREAK:
                    if state.skip is None:
                        state.skip = self._skip_of(state)
                    i = max(i, state.skip(data, i, stop))
                    if state.accepted:
                        found = base + i - 1
                    streak = 0
                continue
            streak = 0
            state = following
            if not state.threads:
                break
        return state, base + i, found

    def _skip_of(self, state: _State) -> Callable[[bytes, int, int], int]:
        """(text, offset, limit) to the first offset whose byte leads away from `state`."""
        others = bytes(
            byte for byte in range(256) if (state.steps[byte] or self._step(state, byte)) is not state
        )
        if not others:
            return lambda _text, _offset, limit: limit
        if len(others) == 1:
            return lambda text, offset, limit: limit if (at := text.find(others, offset, limit)) < 0 else at
        search = Finder(compile_pattern(b"[%b]" % b"".join(b"\\x%02x" % byte for byte in others))[0]).search

        def skip(text: bytes, offset: int, limit: int) -> int:
            match = search(text, offset, limit)
            return limit if match is None else match[0][0]

        return skip

    def _step(self, state: _State, byte: int) -> _State:
        classes, accepted = self._closure(state, _CONTEXTS[byte])
        program = self._program
        threads = tuple([at + 1 for at in classes if program[at][1] >> byte & 1])
        made = self._state(threads, _CONTEXTS[byte], accepted)
        state.steps[byte] = made
        return made

    def _state(self, threads: tuple[int, ...], before: int, accepted: bool) -> _State:
        if not any(map(self._looks.__getitem__, threads)):
            before = 0
        key = threads, before, accepted
        state = self._states.get(key)
        if state is None:
            if len(self._states) >= _MOST_STATES:
                self._states.clear()
                self.forget()
            state = self._states[key] = _State(*key)
        return state

    def _closure(self, state: _State, after: int) -> tuple[tuple[int, ...], bool]:
        """(the classes that may take the next byte, in order of preference; whether a match ends before it)."""
        known = state.closures[after]
        if known is None:
            known = state.closures[after] = self._close(state.threads, 4 * state.before + after)
        return known

    def _close(self, threads: tuple[int, ...], context: int) -> tuple[tuple[int, ...], bool]:
        program = self._program
        seen = bytearray(len(program))
        classes: list[int] = []
        stack = list(reversed(threads))
        while stack:
            at = stack.pop()
            while not seen[at]:
                seen[at] = 1
                op, first, second = program[at]
                if op == _CLASS:
                    classes.append(at)
                elif op == _MATCH:
                    return tuple(classes), True  # whatever is less preferred is cut off
                elif op == _ASSERT:
                    if first >> context & 1:
                        at += 1
                        continue
                elif op == _JUMP:
                    at = first
                    continue
                else:
                    stack.append(second)
                    at = first
                    continue
                break
        return tuple(classes), False


def _where_assertions_matter(program: Sequence[_Instruction]) -> list[bool]:
    """By instruction: whether an assertion can be met from there before the next byte is taken."""
    into: list[list[int]] = [[] for _ in program]
    for at, (op, first, second) in enumerate(program):
        if op == _SPLIT:
            into[first].append(at)
            into[second].append(at)
        elif op == _JUMP:
            into[first].append(at)
    looks = [op == _ASSERT for op, _, _ in program]
    todo = [at for at, own in enumerate(looks) if own]
    while todo:
        for at in into[todo.pop()]:
            if not looks[at]:
                looks[at] = True
                todo.append(at)
    return looks


def _combine(node: rx.Node, parts: Sequence[_Code]) -> _Code:
    code = _code(node, parts)
    if len(code[0]) >= MAX_INSTRUCTIONS:
        raise _TooLargeError
    return code


def _code(node: rx.Node, parts: Sequence[_Code]) -> _Code:
    match node:
        case rx.CharClass(mask=mask):
            return [(_CLASS, mask, 0)], False
        case rx.Assertion(kind=kind):
            return [(_ASSERT, CONDITIONS[kind], 0)], True
        case rx.Concat():
            return [one for code, _ in parts for one in code], all(nullable for _, nullable in parts)
        case rx.Alternate():
            code, _ = parts[-1]
            for own, _ in reversed(parts[:-1]):
                code = [(_SPLIT, 1, len(own) + 2), *own, (_JUMP, len(code) + 1, 0), *code]
                if len(code) >= MAX_INSTRUCTIONS:
                    raise _TooLargeError
            return code, any(nullable for _, nullable in parts)
        case rx.Repeat():
            return _repeat(node, *parts[0])
        case rx.Capture():
            return parts[0]
    return [], True


def _repeat(node: rx.Repeat, code: list[_Instruction], nullable: bool) -> _Code:
    low, high = node.min, node.max
    if (len(code) + 1) * max(low, high or 0) >= MAX_INSTRUCTIONS:
        raise _TooLargeError

    def split(on: int, past: int) -> _Instruction:
        return (_SPLIT, on, past) if node.greedy else (_SPLIT, past, on)

    if high is None:
        if low == 0 and not nullable:
            return [split(1, len(code) + 2), *code, (_JUMP, -len(code) - 1, 0)], True
        looped = [*code * max(low, 1), split(-len(code), 1)]
        # as RE2 has it: a loop over what may be empty is an optional one that is gone through at least once
        return ([split(1, len(looped) + 1), *looped], True) if low == 0 else (looped, nullable)
    copies = high - low
    each = len(code) + 1
    optional = [one for i in range(copies) for one in (split(1, (copies - i) * each), *code)]
    return [*code * low, *optional], nullable or low == 0

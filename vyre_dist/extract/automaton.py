r"""Automaton: where the preferred match from an offset ends, however far, reading as it goes.

google-re2 wants all the text that it searches in memory, reads it anew for every start, and does
not tell how far it had to look. This automaton is for the matches that this is too dear for: those
longer than the cap, and those with an optional tail, which is looked for behind every match.

It is RE2's lazy DFA: instructions in order of preference, made deterministic as states are met. It
is plain Python, but it skips bytes that change nothing, and remembers the end of an earlier run
that went on from the same state at the same offset.

Source: R. Cox, "Regular Expression Matching in the Wild" (2010), for the order of instructions and
where a match cuts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from vyre_dist import regex as rx
from vyre_dist.regex.context import EDGE, context_of_byte
from vyre_dist.regex.instructions import Instruction, Op, instructions_of
from vyre_dist.rules.finder import Finder
from vyre_dist.rules.search import compile_pattern

MAX_INSTRUCTIONS = 1 << 15
"""Larger expressions have no automaton: states would be as large, and as many."""

# so many threads of states, and so many jumps, are remembered; beyond that all are forgotten
_MOST_THREADS = 1 << 22
_MOST_JUMPS = 1 << 19
# what a state takes beside its threads, in threads
_STATE_SIZE = 256

# may_find gives up beyond so many states
_MOST_REACHED = 4096

_FIRST_BLOCK = 4 << 10
_LAST_BLOCK = 1 << 20
# Jumps are remembered from multiples of at least 1 << _LEAST_SPACING bytes, farther apart where
# they are far away: about 1 << _DENSITY of them in as many bytes as have been taken.
_LEAST_SPACING = 4
_DENSITY = 3
# after so many bytes in a row that keep the state, it pays to find out which other bytes do
_STREAK = 32

Read: TypeAlias = Callable[[int, int], bytes]

_CLASS, _SPLIT, _JUMP, _ASSERT, _MATCH = Op.CLASS, Op.SPLIT, Op.JUMP, Op.ASSERT, Op.MATCH

_CONTEXTS = tuple(context_of_byte(byte) for byte in range(256))

# where an expression begins
_ENTRY = 0


class _State:
    """A state.

    `threads`: where to go on, in order of preference. `before`: the context of the last byte, where
    that can matter. `accepted`: a match ends before the last byte.
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
    """The automaton of one expression. Not thread-safe."""

    def __init__(self, code: Sequence[Instruction]) -> None:
        """`code`: what instructions_of gives."""
        at = len(code)
        # behind it: a match begins here, or, less preferred, a byte is passed over
        search = [(_SPLIT, _ENTRY, at + 1), (_CLASS, (1 << 256) - 1, 0), (_JUMP, at, 0)]
        self._program = [*code, *search]
        self._search = at + 2
        self._looks = _where_assertions_matter(self._program)
        self._states: dict[tuple[tuple[int, ...], int, bool], _State] = {}
        self._room = _MOST_THREADS
        self._jumps: dict[tuple[_State, int], tuple[_State, int, int | None]] = {}

    @classmethod
    def of(cls, pattern: bytes) -> Automaton | None:
        """The automaton of a canonical pattern; None for one that is too large."""
        root = rx.parse(pattern.decode("latin-1")).root
        code = instructions_of(root, MAX_INSTRUCTIONS, groups=False)
        return None if code is None else cls(code)

    def forget(self) -> None:
        """Forget the jumps, which belong to one document."""
        self._jumps.clear()

    def end_within(self, read: Read, size: int, start: int, limit: int) -> tuple[int | None, bool]:
        """(end of the preferred match at `start`, whether a better one may end later).

        Only matches that end by `limit` count for the first. `read(low, high)`: the text's bytes,
        of which there are `size`. Later starts cost no more than the bytes between them: it is
        remembered how far a run has come.
        """
        state, found = self._follow(read, start, (_ENTRY,), start, min(size, limit + 1))
        if not state.threads:
            return found, False
        if limit < size:
            return found, True
        return (size if self._closure(state, EDGE)[1] else found), False

    def end_of_first(self, read: Read, size: int, start: int, until: int) -> int | None:
        """Where the first match that starts in [start, until) ends; None for no match.

        Linear in what is read.
        """
        if start >= until:
            return None
        state, found = self._follow(read, start, (self._search,), until, size)
        return size if state.threads and self._closure(state, EDGE)[1] else found

    def may_find(self, head: bytes, middle: bytes, tail: bytes) -> bool:
        """Whether there is a match in some text of `head`, one or more bytes of `middle`, and
        `tail`. False is sure.
        """
        states = {self._state((self._search,), EDGE, False)}
        for byte in head:
            states = self._steps(states, (byte,))
        reached: set[_State] = set()
        while states := self._steps(states, middle) - reached:
            reached |= states
            if len(reached) > _MOST_REACHED or any(state.accepted for state in reached):
                return True
        states = reached
        for byte in tail:
            states = self._steps(states, (byte,))
        return any(state.accepted or self._closure(state, EDGE)[1] for state in states)

    def _steps(self, states: Iterable[_State], following: Iterable[int]) -> set[_State]:
        """The states behind one more byte; those that have accepted stay."""
        return {
            state if state.accepted else state.steps[byte] or self._step(state, byte)
            for state in states
            for byte in following
        }

    def _follow(
        self, read: Read, start: int, threads: tuple[int, ...], until: int, stop: int
    ) -> tuple[_State, int | None]:
        """(the state behind the bytes [start, stop), where the last match ended before the last).

        The state is the first one without threads, if there is one before `stop`. `until`: where no
        more matches start; from there on jumps are remembered.
        """
        state = self._state(threads, _CONTEXTS[read(start - 1, start)[0]] if start else EDGE, False)
        found: int | None = None
        met: list[tuple[tuple[_State, int], int | None]] = []
        search, jumps, at, landed = self._search, self._jumps, start, False
        data, base, end, block = b"", start, start, _FIRST_BLOCK
        while state.threads:
            begins = state.threads[-1] == search  # matches may still begin here
            if begins and at >= until:
                state = self._state(state.threads[:-1], state.before, state.accepted)
                continue
            if at >= stop:
                break
            spacing = 1 << max(_LEAST_SPACING, (at - start).bit_length() - _DENSITY)
            if not begins and (landed or not at % spacing):
                here = state, at
                met.append((here, found))
                jump = jumps.get(here)
                if landed := jump is not None and jump[1] <= stop:
                    state, at, then = jump
                    found = found if then is None else then
                    continue
            if at >= end:
                data, base = read(at, min(stop, at + block)), at
                end = base + len(data)
                block = min(4 * block, _LAST_BLOCK)
            upto = min(until if begins else stop, end, at - at % spacing + spacing)
            state, at, found = self._run(state, data, base, at, upto, found)
        if len(jumps) > _MOST_JUMPS:
            jumps.clear()
        for here, known in met:
            if here[1] < at:
                jumps[here] = state, at, None if found == known else found
        return state, found

    def _run(
        self, state: _State, data: bytes, base: int, at: int, upto: int, found: int | None
    ) -> tuple[_State, int, int | None]:
        """Take the bytes [at, upto), or fewer if nothing can follow."""
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
            byte
            for byte in range(256)
            if (state.steps[byte] or self._step(state, byte)) is not state
        )
        if not others:
            return lambda _text, _offset, limit: limit
        if len(others) == 1:
            return lambda text, offset, limit: (
                limit if (at := text.find(others, offset, limit)) < 0 else at
            )
        search = Finder(
            compile_pattern(b"[%b]" % b"".join(b"\\x%02x" % byte for byte in others)).regexp
        ).search

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
            self._room -= len(threads) + _STATE_SIZE
            if self._room < 0:
                self._room = _MOST_THREADS
                self._states.clear()
                self.forget()
            state = self._states[key] = _State(*key)
        return state

    def _closure(self, state: _State, after: int) -> tuple[tuple[int, ...], bool]:
        """(the classes that may take the next byte, in order; whether a match ends before it)."""
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
                if op is _CLASS:
                    classes.append(at)
                elif op is _MATCH:
                    return tuple(classes), True  # whatever is less preferred is cut off
                elif op is _ASSERT:
                    if first >> context & 1:
                        at += 1
                        continue
                elif op is _JUMP:
                    at = first
                    continue
                else:
                    stack.append(second)
                    at = first
                    continue
                break
        return tuple(classes), False


def _where_assertions_matter(program: Sequence[Instruction]) -> list[bool]:
    """By instruction: whether an assertion can be met from there before the next byte is taken."""
    into: list[list[int]] = [[] for _ in program]
    for at, (op, first, second) in enumerate(program):
        if op is _SPLIT:
            into[first].append(at)
            into[second].append(at)
        elif op is _JUMP:
            into[first].append(at)
    looks = [op is _ASSERT for op, _, _ in program]
    todo = [at for at, own in enumerate(looks) if own]
    while todo:
        for at in into[todo.pop()]:
            if not looks[at]:
                looks[at] = True
                todo.append(at)
    return looks

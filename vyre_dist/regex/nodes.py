"""The syntax tree: byte classes, assertions and the operators over them, all frozen and hashable.

A tree has no flags: case folding is in the classes, greediness in the repeats, and `^` and `$` are
one of the assertion kinds. Trees may be a thousand levels deep, so nothing recurses, here or in the
modules that walk them; all of them use `fold`. What a tree means is in the other modules.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import TypeVar

from vyre_dist.regex import charclass

T = TypeVar("T")


class AssertionKind(enum.Enum):
    r"""Zero-width conditions. Words are runs of [0-9A-Za-z_]; \n ends a line."""

    BEGIN_TEXT = r"\A"
    END_TEXT = r"\z"
    BEGIN_LINE = "(?m:^)"
    END_LINE = "(?m:$)"
    WORD_BOUNDARY = r"\b"
    NOT_WORD_BOUNDARY = r"\B"


class Node:
    """Base of all nodes: equal when their trees are equal."""

    __slots__ = ()
    _hash: int

    @property
    def children(self) -> tuple[Node, ...]:
        """The direct sub-expressions, left to right."""
        return ()

    def _own(self) -> tuple[object, ...]:
        """What tells this node from others of its type, its children aside."""
        return ()

    def __post_init__(self) -> None:
        # Kept, because hashing a deep tree on demand would recurse through it.
        value = hash(
            (type(self).__name__, self._own(), tuple(child._hash for child in self.children))
        )
        object.__setattr__(self, "_hash", value)

    def __reduce__(self) -> tuple[type[Node], tuple[object, ...]]:
        # Built anew on arrival: a kept hash of strings holds in this process only.
        arguments = tuple(getattr(self, f.name) for f in fields(self) if f.init)  # type: ignore[arg-type]
        return type(self), arguments

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        pairs: list[tuple[Node, Node]] = [(self, other)]
        while pairs:
            a, b = pairs.pop()
            if a is b:
                continue
            if type(a) is not type(b) or a._hash != b._hash or a._own() != b._own():
                return False
            if len(a.children) != len(b.children):
                return False
            pairs.extend(zip(a.children, b.children, strict=True))
        return True

    def __repr__(self) -> str:
        def show(node: Node, parts: Sequence[str]) -> str:
            return f"{type(node).__name__}({', '.join([*(str(x) for x in node._own()), *parts])})"

        return fold(self, show)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Empty(Node):
    """Matches the empty string, everywhere."""

    _hash: int = field(init=False)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CharClass(Node):
    """Matches one byte of a class: one for a literal; an empty class never matches."""

    mask: int
    _hash: int = field(init=False)

    def _own(self) -> tuple[object, ...]:
        return (hex(self.mask),)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Assertion(Node):
    """Matches the empty string where its condition holds."""

    kind: AssertionKind
    _hash: int = field(init=False)

    def _own(self) -> tuple[object, ...]:
        return (self.kind.name,)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Concat(Node):
    """One after the other."""

    nodes: tuple[Node, ...]
    _hash: int = field(init=False)

    @property
    def children(self) -> tuple[Node, ...]:
        return self.nodes


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Alternate(Node):
    """Any of the branches; an earlier one is preferred."""

    nodes: tuple[Node, ...]
    _hash: int = field(init=False)

    @property
    def children(self) -> tuple[Node, ...]:
        return self.nodes


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Repeat(Node):
    """`min` to `max` copies (None: any number); more are preferred when greedy, fewer when not."""

    node: Node
    min: int
    max: int | None
    greedy: bool
    _hash: int = field(init=False)

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.node,)

    def _own(self) -> tuple[object, ...]:
        return (self.min, self.max, self.greedy)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Capture(Node):
    """Remembers what its sub-expression matched as group `index` (from 1), perhaps by name."""

    node: Node
    index: int
    name: str | None
    _hash: int = field(init=False)

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.node,)

    def _own(self) -> tuple[object, ...]:
        return (self.index, self.name)


EMPTY = Empty()
NO_MATCH = CharClass(0)
ANY_BYTE = CharClass(charclass.ALL)


def literal(text: bytes) -> Node:
    """The node that matches exactly `text`."""
    return concat(CharClass(1 << byte) for byte in text)


def concat(parts: Iterable[Node]) -> Node:
    """The parts one after the other, flattened, without empty ones."""
    flat: list[Node] = []
    for part in parts:
        if isinstance(part, Concat):
            flat.extend(part.nodes)
        elif not isinstance(part, Empty):
            flat.append(part)
    if not flat:
        return EMPTY
    return flat[0] if len(flat) == 1 else Concat(tuple(flat))


def apart(loop: Repeat) -> Node:
    """The loop, kept from being merged by RE2 with a loop around it or after it.

    RE2 reads `(?:x*)+` as `x*`, which prefers other matches where x can be empty; the empty node
    prevents it.
    """
    return Concat((loop, EMPTY))


def alternate(branches: Iterable[Node]) -> Node:
    """Any of the branches in order of preference, flattened; no branch at all never matches."""
    flat: list[Node] = []
    for branch in branches:
        if isinstance(branch, Alternate):
            flat.extend(branch.nodes)
        else:
            flat.append(branch)
    if not flat:
        return NO_MATCH
    return flat[0] if len(flat) == 1 else Alternate(tuple(flat))


def fold(root: Node, combine: Callable[[Node, Sequence[T]], T]) -> T:
    """A value computed bottom-up: `combine(node, values of its children)`, once per node object."""
    done: dict[int, T] = {}
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        children = node.children
        if ready or not children:
            done[id(node)] = combine(node, [done[id(child)] for child in children])
        else:
            stack.append((node, True))
            stack += [(child, False) for child in children]
    return done[id(root)]


def rebuild(node: Node, children: Sequence[Node]) -> Node:
    """The same node over other children (the node itself where they are the same objects)."""
    if all(a is b for a, b in zip(node.children, children, strict=True)):
        return node
    match node:
        case Concat(nodes=old):
            # An empty node that was put there on purpose stays; one that has become empty goes.
            parts = [
                new for new, was in zip(children, old, strict=True) if new is was or new != EMPTY
            ]
            if len(parts) < 2:
                return concat(parts)
            flat = (part.nodes if isinstance(part, Concat) else (part,) for part in parts)
            return Concat(tuple(itertools.chain.from_iterable(flat)))
        case Alternate():
            return alternate(children)
        case Repeat():
            return Repeat(children[0], node.min, node.max, node.greedy)
        case Capture():
            return Capture(children[0], node.index, node.name)
    return node

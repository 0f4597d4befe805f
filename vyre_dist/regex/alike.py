"""Bytes that an expression does not tell apart: text matches as it does with one for the other."""

from __future__ import annotations

from collections.abc import Sequence

from vyre_dist.regex.context import context_of_byte
from vyre_dist.regex.nodes import CharClass, Node, fold

_NEWLINE = 10


def representatives(root: Node) -> bytes:
    """A table for bytes.translate: for each byte the first one that `root` does not tell from it.

    Only a newline stands for a newline, and assertions are heeded.
    """

    def combine(node: Node, parts: Sequence[frozenset[int]]) -> frozenset[int]:
        own = frozenset({node.mask}) if isinstance(node, CharClass) else frozenset()
        return own.union(*parts)

    masks: frozenset[int] = fold(root, combine)
    classes = sorted(masks)
    first: dict[tuple[object, ...], int] = {}
    table = bytearray()
    for byte in range(256):
        signature = (byte == _NEWLINE, context_of_byte(byte), *[c >> byte & 1 for c in classes])
        table.append(first.setdefault(signature, byte))
    return bytes(table)

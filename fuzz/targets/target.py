"""Target: what the fuzzer needs of one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol


class Target(Protocol):
    """A reader of bytes, and what must hold of it."""

    words: Sequence[bytes]
    """What the language is made of; mutations put these in."""

    def seeds(self) -> list[bytes]:
        """Inputs to begin with; they read well."""
        ...

    def check(self, data: bytes) -> Hashable:
        """Read `data`. Raises where the property does not hold, AssertionError or anything else.

        What is returned says in which way the input was read: one that is read in a way not seen
        before is kept, and mutated further.
        """
        ...

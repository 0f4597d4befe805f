"""Window: the bytes of a document that one dispatch sees, and which match starts it owns.

Windows are cut by the engine (engine/document.py).
"""

from __future__ import annotations

from typing import NamedTuple


class Window(NamedTuple):
    """A stretch of one document.

    `data` begins at document offset `base`. The window owns the matches that start in data[lo:hi]
    (window coordinates); what lies outside is context: at least one byte before `lo` unless the
    document begins there (so that `^`, `\\A` and `\\b` see the truth), and the widest match plus
    one byte after `hi` unless the document ends there. `at_end`: data ends where the document ends,
    and the window also owns an empty match at len(data). `position`: where `data` lies in the
    memory that the backend gave to read documents into (ScanBackend.read_memory); -1: elsewhere.

    A NamedTuple, not a dataclass: one is made for every file of a tree, and it takes a third of the
    time.
    """

    data: bytes | memoryview
    base: int
    lo: int
    hi: int
    at_end: bool
    position: int = -1

    @property
    def is_whole(self) -> bool:
        """Whether this is all of its document."""
        return self.at_end and self.base == 0 and self.lo == 0

    @property
    def last_start(self) -> int:
        """The greatest window coordinate at which an owned match may start; may be below lo."""
        return self.hi if self.at_end else self.hi - 1


def whole(data: bytes | memoryview) -> Window:
    """The window that is a whole document."""
    return Window(data, 0, 0, len(data), True)

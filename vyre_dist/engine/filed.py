"""Filed: bytes that lie in a part file (part_files.py), by its name and where they are in it."""

from __future__ import annotations

import os


class Filed:
    """Bytes in a part file: those of the frame at `offset`, with `size` bytes in it."""

    __slots__ = ("offset", "part", "size")

    def __init__(self, part: str, offset: int, size: int) -> None:
        self.part, self.offset, self.size = part, offset, size

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"Filed({self.part!r}, {self.offset}, {self.size})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filed) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.fields)

    @property
    def fields(self) -> tuple[str, int, int]:
        """What it is made from."""
        return self.part, self.offset, self.size

    def is_there(self) -> bool:
        """Whether the file is as long as it has to be."""
        from vyre_dist.storage.frames import HEADER_BYTES
        from vyre_dist.storage.places import open_storage

        folder, name = os.path.split(self.part)
        try:
            return open_storage(folder).size(name) >= self.offset + HEADER_BYTES + self.size
        except (FileNotFoundError, NotADirectoryError):
            return False

    def read(self) -> bytes:
        """The bytes. Raises DamagedError and OSError."""
        # most scans have no part files
        from vyre_dist.storage.frames import HEADER_BYTES, read_frame
        from vyre_dist.storage.places import open_storage

        folder, name = os.path.split(self.part)
        data = open_storage(folder).read_at(name, self.offset, HEADER_BYTES + self.size)
        return read_frame(self.part, data, self.offset)

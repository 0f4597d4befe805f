"""Reads the paths of a git index: the files of a work tree that are tracked.

It reads versions 2 to 4, with path compression, split and sparse indexes, SHA-1 and SHA-256, as
gitformat-index(5) describes them, and only the names. It does not run git, which would run programs
that a repository's configuration names (core.fsmonitor). dulwich's reader refuses split indexes and
paths of 4 095 bytes and more, and takes six times as long (benchmarks/git_index.py,
benchmarks/results/git_index.jsonl); pygit2's licence is the GPL.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from vyre_dist.errors import VyreError

#: Larger ones are refused; of git's own making, one of this size lists some ten million files.
MAX_INDEX_BYTES = 1 << 30
# version 4 repeats nothing of the path before, so few bytes can stand for many
_MAX_NAME_BYTES = 1 << 30
_HEADER = struct.Struct(">4sLL")
_LONG = struct.Struct(">L")
_STAT_BYTES = 40
_MODE_AT = 26
_GITLINK, _DIRECTORY = 0xE, 0x4
_EXTENDED = 0x4000
_NAME_MASK = 0xFFF
_HASHES = {20: "sha1", 32: "sha256"}


class GitIndexError(VyreError):
    """An index that can't be read: `path` names it, `detail` says what was found."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.detail = detail


@dataclass(frozen=True, slots=True)
class GitIndex:
    """`names`: the entries' paths from the work tree's top, sorted. `gitlinks`: those that are
    other repositories. `sparse`: directories (with a final slash) that stand for all tracked files
    below them.
    """

    names: list[bytes] = field(default_factory=list)
    gitlinks: frozenset[bytes] = frozenset()
    sparse: tuple[bytes, ...] = ()

    def has_file(self, path: bytes) -> bool:
        """Whether a file, or a link, is tracked."""
        at = bisect_left(self.names, path)
        return (at < len(self.names) and self.names[at] == path) or self._in_sparse(path)

    def leads_to_tracked(self, path: bytes) -> bool:
        """Whether something is tracked in the directory `path`, or it is another repository."""
        inside = path + b"/"
        at = bisect_left(self.names, inside)
        found = at < len(self.names) and self.names[at].startswith(inside)
        return found or path in self.gitlinks or self._in_sparse(inside)

    def _in_sparse(self, path: bytes) -> bool:
        return bool(self.sparse) and path.startswith(self.sparse)


def read_index(git: str, common: str) -> GitIndex:
    """The index of the git directory `git`, an empty one if there is none. `common`: the directory
    with the files that work trees share. Raises GitIndexError.
    """
    path = os.path.join(git, "index")
    data = _content(path)
    if data is None:
        return GitIndex()
    own = _parse(path, data)
    if own.base is None:
        return _index_of(dict(zip(own.names, own.kinds, strict=True)))
    for folder in dict.fromkeys((git, common)):
        base_path = os.path.join(folder, f"sharedindex.{own.base.hex()}")
        if (shared := _content(base_path)) is not None:
            break
    else:
        raise GitIndexError(path, f"it is split, and sharedindex.{own.base.hex()} is not there")
    base = _parse(base_path, shared)
    return _index_of(_merged(path, base, own))


def _index_of(entries: dict[bytes, int]) -> GitIndex:
    return GitIndex(
        sorted(entries),
        frozenset(name for name, kind in entries.items() if kind == _GITLINK),
        tuple(name for name, kind in entries.items() if kind == _DIRECTORY),
    )


def _content(path: str) -> bytes | None:
    """A regular file's bytes, None if there is no file. Raises GitIndexError."""
    try:
        # it may be a FIFO, which must not be waited for
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise GitIndexError(path, f"it can't be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise GitIndexError(path, "it is no regular file")
    with open(fd, "rb", buffering=0) as file:
        data = bytearray()
        try:
            while len(data) <= MAX_INDEX_BYTES and (chunk := file.read(16 << 20)):
                data += chunk
        except OSError as error:
            raise GitIndexError(path, f"it can't be read: {error.strerror}") from error
    if len(data) > MAX_INDEX_BYTES:
        raise GitIndexError(path, f"it has more than the {MAX_INDEX_BYTES} bytes allowed")
    return bytes(data)


@dataclass(frozen=True, slots=True)
class _Parsed:
    """The entries of one file, in order.

    Of a split index: `base` names the shared one. Two compressed bitmaps list its entries that are
    deleted, and those that the entries without a name replace.
    """

    names: list[bytes]
    kinds: list[int]
    base: bytes | None = None
    bitmaps: bytes = b""


def _parse(path: str, data: bytes) -> _Parsed:
    """Parse the bytes of one file. Raises GitIndexError."""
    if len(data) < _HEADER.size or data[:4] != b"DIRC":
        raise GitIndexError(path, f"it does not begin as a git index of {len(data)} bytes would")
    _, version, count = _HEADER.unpack_from(data)
    if version not in (2, 3, 4):
        raise GitIndexError(path, f"it has version {version}, and 2 to 4 can be read")
    widths = [width for width in _HASHES if _is_intact(data, width)]
    if not widths:
        raise GitIndexError(
            path, "it is damaged: its checksum is another one; `git fsck` may say more"
        )
    # if git was told to write no checksum, only one width makes sense of the bytes
    for width in widths[:-1]:
        try:
            return _parse_entries(path, data, version, count, width)
        except GitIndexError:
            continue
    return _parse_entries(path, data, version, count, widths[-1])


def _is_intact(data: bytes, width: int) -> bool:
    body, checksum = memoryview(data)[:-width], data[-width:]
    return (
        not any(checksum)
        or hashlib.new(_HASHES[width], body, usedforsecurity=False).digest() == checksum
    )


def _parse_entries(path: str, data: bytes, version: int, count: int, width: int) -> _Parsed:
    names: list[bytes] = []
    kinds: list[int] = []
    flags_at, end = _STAT_BYTES + width, len(data) - width
    at, total, name = _HEADER.size, 0, b""
    find = data.find
    for _ in range(count):
        flags = at + flags_at
        begin = flags + 2
        if begin >= end:
            raise GitIndexError(
                path, f"it is damaged: it ends after {len(names)} of {count} entries"
            )
        if data[flags] & (_EXTENDED >> 8):
            begin += 2
        if version == 4:
            strip, begin = _varint(path, data, begin)
            stop = find(b"\0", begin, end)
            if stop < 0 or strip > len(name):
                raise GitIndexError(
                    path, f"it is damaged: entry {len(names)} of {count} has no path"
                )
            name = name[: len(name) - strip] + data[begin:stop]
            kinds.append(data[at + _MODE_AT] >> 4)
            at = stop + 1
        else:
            length = (data[flags] << 8 | data[flags + 1]) & _NAME_MASK
            stop = begin + length if length < _NAME_MASK else find(b"\0", begin + length, end)
            if not begin <= stop < end or data[stop]:
                raise GitIndexError(
                    path, f"it is damaged: entry {len(names)} of {count} has no path"
                )
            name = data[begin:stop]
            kinds.append(data[at + _MODE_AT] >> 4)
            # one to eight zeros follow, up to a multiple of eight bytes
            at += (stop - at + 8) & ~7
        total += len(name)
        if total > _MAX_NAME_BYTES:
            raise GitIndexError(
                path, f"its paths have more than the {_MAX_NAME_BYTES} bytes allowed"
            )
        names.append(name)
    base, bitmaps = None, b""
    for signature, body in _extensions(path, data, at, end):
        if signature == b"link":
            base = body[:width] if any(body[:width]) else None
            bitmaps = body[width:]
        elif signature != b"sdir" and not signature[:1].isupper():
            shown = signature.decode("ascii", "backslashreplace")
            raise GitIndexError(
                path,
                f"it has the extension {shown!r}, which changes what is listed and is not known",
            )
    return _Parsed(names, kinds, base, bitmaps)


def _varint(path: str, data: bytes, at: int) -> tuple[int, int]:
    """(an integer as git packs offsets, where it ends)"""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = (value + 1) << 7 | data[at] & 0x7F
        if value > MAX_INDEX_BYTES:
            raise GitIndexError(path, "it is damaged: a path is said to be longer than the index")
    return value, at + 1


def _extensions(path: str, data: bytes, at: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    while at < end:
        size = _LONG.unpack_from(data, at + 4)[0] if at + 8 <= end else end
        begin = at + 8
        if begin + size > end:
            raise GitIndexError(
                path, f"it is damaged: what begins at byte {at} is longer than the index"
            )
        yield data[at : at + 4], data[begin : begin + size]
        at = begin + size


def _ewah(path: str, data: bytes, entries: int) -> tuple[list[int], bytes]:
    """(the bits that are set in a compressed bitmap over `entries`, the bytes after it); no bits if
    there is no bitmap.
    """
    if not data:
        return [], b""
    if len(data) < 8 or len(data) < 12 + 8 * _LONG.unpack_from(data, 4)[0]:
        raise GitIndexError(path, "it is damaged: a bitmap is cut off")
    bits, words = _LONG.unpack_from(data)[0], _LONG.unpack_from(data, 4)[0]
    if bits > entries:  # few bytes can stand for many bits
        raise GitIndexError(
            path, "it is damaged: it changes entries that the shared index does not have"
        )
    found: list[int] = []
    values = struct.unpack_from(f">{words}Q", data, 8)
    at = position = 0
    while at < words:
        # a run of equal words, then words as they are
        marker = values[at]
        run, literal = marker >> 1 & 0xFFFFFFFF, marker >> 33
        if marker & 1:
            found += range(position, min(bits, position + 64 * run))
        position += 64 * run
        for word in values[at + 1 : at + 1 + literal]:
            found += [position + i for i in range(64) if word >> i & 1]
            position += 64
            if found and found[-1] >= bits:
                raise GitIndexError(path, "it is damaged: a bitmap is longer than it says")
        at += 1 + literal
    return found, data[12 + 8 * words :]


def _merged(path: str, base: _Parsed, own: _Parsed) -> dict[bytes, int]:
    """The kinds of all entries by name: those of the shared index with the split one's changes."""
    kinds = dict(zip(own.names, own.kinds, strict=True))
    changed = [kind for name, kind in zip(own.names, own.kinds, strict=True) if not name]
    kinds.pop(b"", None)
    deleted, rest = _ewah(path, own.bitmaps, len(base.names))
    replaced, _ = _ewah(path, rest, len(base.names))
    kinds_of_base = list(base.kinds)
    for position, kind in zip(replaced, changed, strict=False):
        kinds_of_base[position] = kind
    gone = frozenset(deleted)
    for position, name in enumerate(base.names):
        if position not in gone:
            kinds.setdefault(name, kinds_of_base[position])
    return kinds

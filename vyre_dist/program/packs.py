"""load_pack: a pack as RulePack.load gives it, from the cache if its files have not changed.

Reading and checking a pack of hundreds of regexes takes a quarter of a second, more than a small
scan. A pack that was sound once is sound while its bytes are the same; its warnings are kept, too.
Compiling is in compiled.py.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgpack

from vyre_dist import __version__, rules
from vyre_dist.program.cache import ArtifactCache
from vyre_dist.rules.diagnostics import Diagnostic
from vyre_dist.rules.left_out import LeftOut
from vyre_dist.rules.model import PackData
from vyre_dist.rules.records import RecordError, plain, read_record

BUILT_IN = "built in"

# bump when a loader comes to read the same bytes otherwise, or what may be kept changes
_SCHEMA = 5


@dataclass(frozen=True, slots=True)
class LoadedPack:
    """A pack, the warnings about its files, and the rules that were left out of it."""

    data: PackData
    warnings: tuple[Diagnostic, ...]
    left_out: tuple[LeftOut, ...]


def load_pack(
    names: Sequence[str | os.PathLike[str]], cache: ArtifactCache
) -> tuple[PackData, tuple[Diagnostic, ...]]:
    """(the packs `names` side by side, or everything built in when there are none; warnings).

    Raises what RulePack.load_all raises.
    """
    loaded = _load(names, cache, skip_unsupported=False)
    return loaded.data, loaded.warnings


def load_supported(names: Sequence[str | os.PathLike[str]], cache: ArtifactCache) -> LoadedPack:
    """The same without what RulePack.load_all leaves out with `skip_unsupported`."""
    return _load(names, cache, skip_unsupported=True)


def pack_name(names: Sequence[str | os.PathLike[str]]) -> str:
    """What records of tuning call the packs `names`."""
    return ", ".join([str(name) for name in names]) or BUILT_IN


def pack_names(pack: str) -> tuple[str, ...]:
    """What `pack_name` was given."""
    return () if pack == BUILT_IN else tuple(pack.split(", "))


def _load(
    names: Sequence[str | os.PathLike[str]], cache: ArtifactCache, *, skip_unsupported: bool
) -> LoadedPack:
    key = _key(names, skip_unsupported)
    if key is not None and (stored := cache.get("rules", key)) is not None:
        try:
            return _from_bytes(stored)
        except (RecordError, ValueError, msgpack.UnpackException):
            pass  # of another version that called itself the same: read the files
    from vyre_dist.rules.pack import RulePack

    if not names:
        pack = RulePack.builtin()
    elif skip_unsupported:
        pack = RulePack.load_all(names, skip_unsupported=True)
    else:
        pack = RulePack.load_all(names)
    loaded = LoadedPack(pack.data, pack.warnings, pack.left_out)
    # A pack that extends another is read anew each time, since the key knows nothing of that one's
    # file. And the files may have been changed while they were read: what was loaded must not stay
    # as what they held before.
    if key is not None and not pack.extends and _key(names, skip_unsupported) == key:
        cache.put("rules", key, _to_bytes(loaded))
    return loaded


def _to_bytes(loaded: LoadedPack) -> bytes:
    # a file's name may hold bytes that are no UTF-8
    packed: bytes = msgpack.packb(plain(loaded), unicode_errors="surrogateescape")
    return packed


def _from_bytes(stored: bytes) -> LoadedPack:
    body = msgpack.unpackb(stored, unicode_errors="surrogateescape", strict_map_key=True)
    return read_record(LoadedPack, body, "pack")


def _key(names: Sequence[str | os.PathLike[str]], skip_unsupported: bool) -> str | None:
    """The content of the files named; None where they are not all files, or can't be read."""
    hashed = hashlib.sha256(f"{_SCHEMA} {__version__} {skip_unsupported}\n".encode())
    files = [Path(name) for name in names]
    if not all(file.is_file() for file in files):
        return None
    if not files:
        folder = Path(rules.__path__[0], "builtin")  # importlib.resources would take 5 ms
        contents = [
            (f.name, f.read_bytes()) for f in sorted(folder.iterdir(), key=lambda f: f.name)
        ]
    else:
        try:
            contents = [(str(file), file.read_bytes()) for file in files]
        except OSError:
            return None
    for name, data in contents:
        hashed.update(f"{name}\n{len(data)}\n".encode("utf-8", "surrogateescape"))
        hashed.update(data)
    return hashed.hexdigest()

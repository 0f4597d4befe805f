"""load_pack: a pack as RulePack.load gives it, or the same from the cache when its files have not changed.

Reading and checking a pack of hundreds of regexes takes a quarter of a second, more than a small scan. What has been found
in order once is in order while every byte of it is the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from vyre_dist import __version__
from vyre_dist.program.cache import ArtifactCache
from vyre_dist.rules.codec import PackCodecError, pack_from_bytes, pack_to_bytes
from vyre_dist.rules.model import PackData
from vyre_dist.rules.problems import Problem

# bump when a loader comes to read the same bytes otherwise, or what may be kept changes
_SCHEMA = 3


def load_pack(
    names: Sequence[str | os.PathLike[str]], cache: ArtifactCache
) -> tuple[PackData, tuple[Problem, ...]]:
    """(the packs `names` side by side, or everything built in when there are none; warnings).

    Raises what RulePack.load_all raises.
    """
    key = _key(names)
    if key is not None and (stored := cache.get("rules", key)) is not None:
        try:
            return pack_from_bytes(stored), ()
        except PackCodecError:
            pass  # of another version that called itself the same: read the files
    from vyre_dist.rules.pack import RulePack

    pack = RulePack.load_all(names) if names else RulePack.builtin()
    # A pack with warnings is read anew each time, so that they can be said each time; and one that extends another, since
    # the key knows nothing of that one's file.
    # And the files may have been changed while they were read: what was loaded must not stay as what they held before.
    if key is not None and not pack.warnings and not pack.extends and _key(names) == key:
        cache.put("rules", key, pack_to_bytes(pack.data))
    return pack.data, pack.warnings


def _key(names: Sequence[str | os.PathLike[str]]) -> str | None:
    """The content of the files named; None where they are not all files, or can't be read."""
    hashed = hashlib.sha256(f"{_SCHEMA} {__version__}\n".encode())
    files = [Path(name) for name in names]
    if not all(file.is_file() for file in files):
        return None
    if not files:
        folder = resources.files("vyre_dist.rules") / "builtin"
        contents = [(f.name, f.read_bytes()) for f in sorted(folder.iterdir(), key=lambda f: f.name)]
    else:
        try:
            contents = [(str(file), file.read_bytes()) for file in files]
        except OSError:
            return None
    for name, data in contents:
        hashed.update(f"{name}\n{len(data)}\n".encode("utf-8", "surrogateescape"))
        hashed.update(data)
    return hashed.hexdigest()

"""What Scanner takes for a pack, and the rules that it stands for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from vyre_dist.errors import UsageError
from vyre_dist.program import ArtifactCache
from vyre_dist.program.packs import LoadedPack, load_pack, load_supported
from vyre_dist.rules.model import PackData
from vyre_dist.rules.pack import RulePack

PackName: TypeAlias = str | os.PathLike[str]
PackArgument: TypeAlias = (
    PackName | Sequence[PackName] | RulePack | PackData | Mapping[str, str] | None
)
"""A rule file, a folder of such files or a built-in pack's name, or several of these; a pack that
is loaded; regexes by rule id; None: everything built in.
"""


def names_files(pack: PackArgument) -> bool:
    """Whether the pack comes from files, so that it will be met again, unlike patterns."""
    if isinstance(pack, RulePack):
        return pack.dialect != "patterns"
    return not isinstance(pack, PackData | Mapping)


def load(pack: PackArgument, cache: ArtifactCache, *, skip_unsupported: bool) -> LoadedPack:
    """The rules of `pack`, what is odd about its files and what was left out of them.

    Names are looked up in `cache` before their files are parsed. Raises UsageError for what is no
    pack, and what RulePack's constructors raise.
    """
    if isinstance(pack, Mapping):
        pack = RulePack.from_patterns(pack)
    if isinstance(pack, RulePack):
        return LoadedPack(pack.data, pack.warnings, pack.left_out)
    if isinstance(pack, PackData):
        return LoadedPack(pack, (), ())
    names = _names(pack)
    if skip_unsupported:
        return load_supported(names, cache)
    data, warnings = load_pack(names, cache)
    return LoadedPack(data, warnings, ())


def _names(pack: object) -> Sequence[PackName]:
    if pack is None:
        return ()
    if isinstance(pack, str | os.PathLike):
        return (pack,)
    if isinstance(pack, Sequence) and not isinstance(pack, bytes | bytearray | memoryview):
        if not pack:
            raise UsageError("no pack in an empty list: leave it out for everything built in")
        if all(isinstance(name, str | os.PathLike) for name in pack):
            return pack
    raise UsageError(
        f"a pack is a path, a built-in pack's name, a list of these, a RulePack, a dict of regexes "
        f"by rule id, or None, found {type(pack).__name__} {pack!r:.100}"
    )

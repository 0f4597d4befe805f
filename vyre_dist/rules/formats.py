"""The formats of rule packs: the list of them, and which one reads a file.

To add a format: write a module that holds its PackFormat, and put that into FORMATS, before those
that take any file with the same ending.
"""

from __future__ import annotations

from vyre_dist.rules.diagnostics import Diagnostic, PackError
from vyre_dist.rules.draft import PackDraft
from vyre_dist.rules.foreign import HINTS_BY_ENDING
from vyre_dist.rules.gitleaks_toml import GITLEAKS
from vyre_dist.rules.native_toml import NATIVE
from vyre_dist.rules.noseyparker_yaml import NOSEYPARKER
from vyre_dist.rules.pack_format import PackFormat, PackSource

FORMATS: tuple[PackFormat, ...] = (NATIVE, GITLEAKS, NOSEYPARKER)
"""All of them. Of several with one ending the first that recognises a file reads it."""

ENDINGS: tuple[str, ...] = tuple(dict.fromkeys(e for f in FORMATS for e in f.endings))
"""What the names of rule files end in."""


def check_ending(file: str, ending: str) -> None:
    """Raise PackError unless some format's files end so."""
    if ending not in ENDINGS:
        message = f"a rule file cannot end in {ending!r}"
        hint = HINTS_BY_ENDING.get(ending, _known_endings())
        raise PackError([Diagnostic(file, 0, 0, "", message, hint)])


def read_pack(source: PackSource) -> PackDraft:
    """The draft of a file whose ending is one of ENDINGS.

    A file that no format recognises is something else: its draft has no rules and says what.
    Raises PackError where nothing can be read.
    """
    candidates = [f for f in FORMATS if source.ending in f.endings]
    for candidate in candidates:
        if candidate.recognises(source):
            return candidate.read(source)
    unsupported = () if source.foreign is None else (source.foreign,)
    return PackDraft(source.name, candidates[-1].name, unsupported=unsupported)


def _known_endings() -> str:
    titles: dict[tuple[str, ...], list[str]] = {}
    for known in FORMATS:
        titles.setdefault(known.endings, []).append(known.title)
    return ", ".join(
        f"{' and '.join(sorted(group))} packs end in {' or '.join(endings)}"
        for endings, group in titles.items()
    )

"""The rule pack as plain frozen data: what every loader makes and every other layer reads.

No parsing, no matching and no I/O happens here. The formats are listed in formats.py, what the
filters mean is in filters.py.

To add a filter: a field here, its key in toml_pack.py, its judgement in filters.py. Merging,
hashing and the codec treat all fields alike.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, fields, is_dataclass
from typing import Literal

RegexTarget = Literal["secret", "match", "line"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule was written: `file` as given, `line` from 1 (0 when not known)."""

    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Allowlist:
    """What a match must look like to be dropped, in gitleaks' terms.

    `condition` OR: one of the non-empty kinds (paths, regexes, stopwords) is enough. AND: every
    non-empty kind must hold, commits included. `regexes` are searched for in what `regex_target`
    names, `paths` in the document's path; `stopwords` in the secret, ASCII case folded.
    `target_rules` limits a global allowlist to those rule ids; empty: all. Files have no commits,
    so `commits` never hold.
    """

    description: str = ""
    condition: Literal["OR", "AND"] = "OR"
    commits: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    regexes: tuple[str, ...] = ()
    regex_target: RegexTarget = "secret"
    stopwords: tuple[str, ...] = ()
    target_rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `regex` None: a path-only rule, which reports the file itself.

    `keywords`: the keyword filter; the rule applies to a document only if one of them occurs in it,
    ASCII case folded. None: always; the loaders refuse them for a path-only rule. `secret_group` 0:
    the first group that matched non-empty, else the whole match. `entropy`: findings whose secret's
    entropy is not above it are dropped; None: no such filter. `max_match_bytes`: overrides the
    engine's cap for rules of unbounded width.
    """

    id: str
    regex: str | None
    description: str = ""
    path: str | None = None
    secret_group: int = 0
    entropy: float | None = None
    keywords: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    allowlists: tuple[Allowlist, ...] = ()
    examples: tuple[str, ...] = ()
    negative_examples: tuple[str, ...] = ()
    max_match_bytes: int | None = None
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True)
class PackData:
    """A whole pack: `rules` have unique ids, in file order; `allowlists` are global."""

    name: str
    rules: tuple[Rule, ...]
    allowlists: tuple[Allowlist, ...] = ()

    def content_hash(self) -> str:
        """SHA-256 (hex) of what changes findings: not of origins, examples and texts for people."""
        parts = [b"vyre-dist pack 1\n"]
        _collect(parts, self.rules)
        _collect(parts, self.allowlists)
        return hashlib.sha256(b"".join(parts)).hexdigest()


_NOT_HASHED = frozenset({"origin", "examples", "negative_examples", "description", "tags"})


def _collect(parts: list[bytes], value: object) -> None:
    names = _hashed_fields(value.__class__)  # type: ignore[arg-type]
    if names is not None:
        for name, label in names:
            parts.append(label)
            _collect(parts, getattr(value, name))
        parts.append(b";")
    elif isinstance(value, tuple):
        parts.append(b"%d[" % len(value))
        for item in value:
            _collect(parts, item)
        parts.append(b"]")
    else:
        text = repr(value).encode()
        parts.append(b"%d:%b" % (len(text), text))


@functools.cache
def _hashed_fields(kind: type) -> tuple[tuple[str, bytes], ...] | None:
    """(name, label to hash) of each field of a dataclass; None for another class."""
    if not is_dataclass(kind):
        return None
    return tuple(
        (f.name, f.name.encode() + b"=") for f in fields(kind) if f.name not in _NOT_HASHED
    )

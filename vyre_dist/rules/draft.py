"""Drafts: packs and rules as a file wrote them, before they are merged and checked.

A draft may be incomplete: a rule that overrides another often has no regex of its own. Merging is
in merging.py, the checks that make PackData of a draft in finish.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from vyre_dist.rules.diagnostics import Diagnostic
from vyre_dist.rules.model import Allowlist, Origin, Rule


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """A rule as written.

    `enabled` False takes the rule out, also one that it overrides. `silent`: gitleaks' skipReport.
    `unsupported`: what of it does not exist here; it counts only if the rule is used.
    """

    rule: Rule
    enabled: bool = True
    silent: bool = False
    unsupported: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenAllowlist:
    """A global allowlist and where it was written."""

    allowlist: Allowlist
    origin: Origin


@dataclass(frozen=True, slots=True)
class Extend:
    """What a file builds upon: our built-in packs or the file `path`, and what it disables."""

    use_default: bool = False
    path: str = ""
    disabled_rules: tuple[str, ...] = ()
    origin: Origin = field(default_factory=Origin)


@dataclass(slots=True)
class PackDraft:
    """What one file holds.

    `format`: the PackFormat's name. `disabled`: rules of its bases that it disables. `unsupported`:
    what does not exist here and concerns all of the file's rules. `ruleless`: the same of those of
    several joined files that have no rules.
    """

    name: str
    format: str
    rules: list[RuleDraft] = field(default_factory=list)
    allowlists: list[WrittenAllowlist] = field(default_factory=list)
    extend: Extend | None = None
    disabled: tuple[str, ...] = ()
    unsupported: tuple[Diagnostic, ...] = ()
    ruleless: tuple[Diagnostic, ...] = ()


def diagnostic_at(origin: Origin, rule_id: str, message: str, hint: str = "") -> Diagnostic:
    """A diagnostic on a line, without a column."""
    return Diagnostic(origin.file, origin.line, 0, rule_id, message, hint)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the most similar of `known`; empty where none is similar."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def unique(items: Iterable[str]) -> tuple[str, ...]:
    """The items without repeats, in order."""
    return tuple(dict.fromkeys(items))

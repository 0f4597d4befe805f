"""LeftOut: rules, and files of rules, that --skip-unsupported leaves out; and how they are listed.

Which ones these are is decided in finish.py and merging.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A rule that was left out, and where it is written; `rule_id` "": a whole file."""

    rule_id: str
    reason: str
    file: str = ""
    line: int = 0


def by_reason(left_out: Iterable[LeftOut]) -> dict[str, tuple[str, ...]]:
    """Rule ids (of whole files: `all of FILE`) by reason, the reason with most of them first."""
    groups: dict[str, list[str]] = {}
    for one in left_out:
        groups.setdefault(one.reason, []).append(one.rule_id or f"all of {one.file}")
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return {reason: tuple(names) for reason, names in ordered}


def lines(groups: Mapping[str, tuple[str, ...]]) -> list[str]:
    """One line a reason: how many rules it concerns, and the first of them."""
    told = []
    for reason, names in groups.items():
        more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
        count = "1 rule" if len(names) == 1 else f"{len(names):,} rules"
        told.append(f"{count} left out ({reason}): {', '.join(names[:_SHOWN])}{more}")
    return told

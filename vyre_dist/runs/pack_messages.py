"""Messages about a rule pack that was loaded: its warnings, and the rules that were left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vyre_dist.rules.diagnostics import Diagnostic
    from vyre_dist.rules.left_out import LeftOut


def pack_messages(warnings: Iterable[Diagnostic], left_out: Iterable[LeftOut]) -> list[str]:
    """A line for each kind of warning, and one for each reason to leave rules out."""
    from vyre_dist.rules.left_out import by_reason, lines

    alike: dict[tuple[str, str], list[Diagnostic]] = {}
    for warning in warnings:
        alike.setdefault((warning.message, warning.hint), []).append(warning)
    messages = []
    for first, *others in alike.values():
        more = f"; {len(others):,} more like this one: `rules check` names all" if others else ""
        messages.append(f"warning: {first}{more}")
    return messages + [f"warning: {line}" for line in lines(by_reason(left_out))]

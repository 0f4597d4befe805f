"""What commands that load rule packs share: --skip-unsupported, and how its outcome and a pack's
warnings are told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vyre_dist.rules.left_out import LeftOut
    from vyre_dist.rules.problems import Problem

SKIP_UNSUPPORTED = click.option(
    "--skip-unsupported",
    is_flag=True,
    help="Go on without rules whose keys or regexes do not exist here and would change what they "
    "find, "
    "and of two rules with one id with the later; they are named once, by reason. Without it such "
    "a "
    "pack is refused.",
)


def loading_messages(warnings: Iterable[Problem], left_out: Iterable[LeftOut]) -> list[str]:
    """What is to be said about a pack that was loaded: alike warnings as one, what was left out by
    reason.
    """
    from vyre_dist.rules.left_out import by_reason, lines

    alike: dict[tuple[str, str], list[Problem]] = {}
    for warning in warnings:
        alike.setdefault((warning.message, warning.hint), []).append(warning)
    said = []
    for first, *others in alike.values():
        more = f"; {len(others):,} more like this one: `rules check` names all" if others else ""
        said.append(f"warning: {first}{more}")
    return said + [f"warning: {line}" for line in lines(by_reason(left_out))]

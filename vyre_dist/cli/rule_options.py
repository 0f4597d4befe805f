"""The option that all commands that load rule packs share: --skip-unsupported."""

from __future__ import annotations

import click

SKIP_UNSUPPORTED = click.option(
    "--skip-unsupported",
    is_flag=True,
    help="Leave out rules with keys or regexes that are unknown here and would change what they "
    "find, and the earlier of two rules with one id. They are listed by reason. Without this "
    "option such a pack is refused.",
)

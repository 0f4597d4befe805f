"""The option that all commands that use the autotune store share: --store."""

from __future__ import annotations

import click

# Others can read the command line of a process, and of a Ray job: a password comes in by this.
STORE_VARIABLE = "VYRE_DIST_STORE"
STORE = click.option(
    "--store",
    metavar="URL",
    envvar=STORE_VARIABLE,
    show_envvar=True,
    help="The autotune store: memory:, sqlite:///PATH, redis://…, rediss://…, unix://…. "
    "Default: a SQLite file in the user's cache directory. Others can read a command line: put a "
    "URL that holds a password in the environment.",
)

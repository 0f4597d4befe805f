"""`vyre-dist autotune`: look into the autotune store, and exchange it with Vyre's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vyre_dist.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from vyre_dist.autotune.record import StoredRecord
    from vyre_dist.autotune.store import AutotuneStore

# The command line of a process, and of a Ray job, can be read by others: a password needs another way in.
STORE_VARIABLE = "VYRE_DIST_STORE"
STORE = click.option(
    "--store",
    metavar="URL",
    envvar=STORE_VARIABLE,
    show_envvar=True,
    help="The autotune store: memory:, sqlite:///PATH, redis://…, rediss://…, unix://…. "
    "Default: a SQLite file in the user's cache directory. Others can read a command line: "
    "give a URL that holds a password in the environment.",
)


@click.group(short_help="Look into the autotune store.")
def autotune() -> None:
    """Look into the autotune store, and exchange it with Vyre's TOML file."""


@autotune.command("list", short_help="Print the records as lines of JSON.")
@STORE
def list_records(store: str | None) -> int:
    """Print every record as a line of JSON."""
    from vyre_dist.autotune.urls import open_store

    opened = open_store(store)
    try:
        for record in opened.items():
            click.echo(
                json.dumps(
                    {
                        "key": record.key.key_hex,
                        "adapter": record.key.adapter_id,
                        "threshold_pct": record.threshold_pct,
                        **_timing(record),
                    }
                )
            )
        _say_if_unreachable(opened)
    finally:
        opened.close()
    return ExitCode.CLEAN


def _say_if_unreachable(store: AutotuneStore) -> None:
    """A store with a server behind it goes on without; here somebody asked for what the server has."""
    from vyre_dist.autotune.tiered import TieredStore

    if isinstance(store, TieredStore) and store.tiers.remote.errors:
        click.echo("vyre-dist: the server did not answer; these are the records of this machine", err=True)


def _timing(record: StoredRecord) -> dict[str, object]:
    timing = record.timing
    return {} if timing is None else {"compile_ns": timing.compile_ns, "dispatch_ns": timing.dispatch_ns}


@autotune.command("export", short_help="Write the records to a TOML file.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@STORE
def export_records(file: Path, store: str | None) -> int:
    """Write the store's records to FILE in Vyre's TOML format."""
    from vyre_dist.autotune.urls import open_store
    from vyre_dist.autotune.vyre_toml import export_toml

    opened = open_store(store)
    try:
        count = export_toml(opened, file)
        _say_if_unreachable(opened)
    finally:
        opened.close()
    click.echo(f"{count} records written to {file}", err=True)
    return ExitCode.CLEAN


@autotune.command("import", short_help="Take records from a TOML file.")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@STORE
def import_records(file: Path, store: str | None) -> int:
    """Offer the records of Vyre's TOML FILE to the store; better ones that it holds stay.

    Exit code 3: the store's server did not take them all.
    """
    from vyre_dist.autotune.tiered import TieredStore
    from vyre_dist.autotune.urls import open_store
    from vyre_dist.autotune.vyre_toml import import_toml

    opened = open_store(store)
    server = opened if isinstance(opened, TieredStore) else None
    try:
        result = import_toml(opened, file, publish=server.publish if server else None)
    finally:
        opened.close()
    click.echo(f"{result.stored} of {result.read} records taken", err=True)
    if not result.unpublished:
        return ExitCode.CLEAN
    here = "nor could they all be kept" if server and server.tiers.local.errors else "they are kept"
    click.echo(
        f"vyre-dist: the server did not take {result.unpublished} of {result.read} records; {here} on this machine: "
        "import the file again when the server answers",
        err=True,
    )
    return ExitCode.INCOMPLETE

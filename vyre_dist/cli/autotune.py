"""`vyre-dist autotune`: list the autotune store, and exchange records with Vyre's TOML file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vyre_dist.cli import log
from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.cli.store_option import STORE

if TYPE_CHECKING:
    from vyre_dist.autotune.record import StoredRecord
    from vyre_dist.autotune.store import AutotuneStore, StoreStats


@click.group(short_help="Look into the autotune store.")
def autotune() -> None:
    """Look into the autotune store, and exchange it with Vyre's TOML file."""


@autotune.command("list", short_help="Print the records as lines of JSON.")
@STORE
def list_records(store: str | None) -> int:
    """Print every record as a line of JSON."""
    opened = _open(store)
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
        trouble = _trouble(opened)
    finally:
        opened.close()
    if trouble:
        _say(trouble)
        return ExitCode.INCOMPLETE
    return ExitCode.CLEAN


def _open(url: str | None) -> AutotuneStore:
    """The store. If the user's cache folder can't be used, prints which one is used instead."""
    from vyre_dist.autotune.urls import FILE_NAME, open_store, uses_folder
    from vyre_dist.cache_folder import choose

    if not uses_folder(url):
        return open_store(url)
    folder = choose(None)
    if folder.trouble:
        _say(folder.trouble)
    return open_store(
        url, local_path=None if folder.path is None else os.path.join(folder.path, FILE_NAME)
    )


def _trouble(store: AutotuneStore) -> str:
    """Why the store may hold more than was read, or "". A scan goes on without the store, but here
    somebody asked for its records.
    """
    from vyre_dist.autotune.tiered import TieredStore

    if isinstance(store, TieredStore) and store.tiers.remote.errors:
        return f"{store.trouble}; these are the records of this machine"
    return store.trouble


def _local_stats(store: AutotuneStore) -> StoreStats:
    """The counters of the part of the store that is on this machine."""
    from vyre_dist.autotune.tiered import TieredStore

    return store.tiers.local if isinstance(store, TieredStore) else store.stats


def _timing(record: StoredRecord) -> dict[str, object]:
    timing = record.timing
    return (
        {}
        if timing is None
        else {"compile_ns": timing.compile_ns, "dispatch_ns": timing.dispatch_ns}
    )


@autotune.command("export", short_help="Write the records to a TOML file.")
@click.argument("file", type=click.Path(dir_okay=False, readable=False, path_type=Path))
@STORE
def export_records(file: Path, store: str | None) -> int:
    """Write the store's records to FILE in Vyre's TOML format.

    Exit code 3: they could not all be read; FILE is left as it was.
    """
    from vyre_dist.autotune.vyre_toml import write_toml
    from vyre_dist.leftovers import removed_line

    opened = _open(store)
    try:
        records = tuple(opened.items())
        trouble = _trouble(opened)
    finally:
        opened.close()
    if trouble:
        _say(f"nothing was written to {file}: {trouble}")
        return ExitCode.INCOMPLETE
    for path in write_toml(file, records):
        _say(removed_line(path))
    click.echo(f"{len(records)} records written to {file}", err=True)
    return ExitCode.CLEAN


@autotune.command("import", short_help="Take records from a TOML file.")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@STORE
def import_records(file: Path, store: str | None) -> int:
    """Offer the records of Vyre's TOML FILE to the store, which keeps the better ones.

    Exit code 3: the store's server, or its file, did not take them all.
    """
    from vyre_dist.autotune.tiered import TieredStore
    from vyre_dist.autotune.vyre_toml import import_toml

    opened = _open(store)
    server = opened if isinstance(opened, TieredStore) else None
    try:
        result = import_toml(opened, file, publish=server.publish if server else None)
    finally:
        opened.close()
    click.echo(f"{result.stored} of {result.read} records taken", err=True)
    lost = _local_stats(opened).errors > 0
    if not result.unpublished and not lost:
        return ExitCode.CLEAN
    if not result.unpublished:
        _say(
            f"not all records could be kept on this machine: {opened.trouble}; import the file "
            "again"
        )
        return ExitCode.INCOMPLETE
    here = "nor could they all be kept" if lost else "they are kept"
    _say(
        f"the server did not take {result.unpublished} of {result.read} records "
        f"({opened.trouble}); {here} on this "
        "machine: import the file again when the server takes them"
    )
    return ExitCode.INCOMPLETE


def _say(message: str) -> None:
    """Print a line on standard error. A server's words may be in it: nothing steers a terminal."""
    log.say(message)

"""`vyre-dist autotune export` and `import`: records in files, our own or Vyre's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vyre_dist.cli import log
from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.cli.store_option import STORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vyre_dist.autotune.record import StoredRecord
    from vyre_dist.autotune.store import AutotuneStore, StoreStats

_TOML = ".toml"


@click.command("export", short_help="Write the records to a file.")
@click.argument("file", type=click.Path(dir_okay=False, readable=False, path_type=Path))
@STORE
def export_records(file: Path, store: str | None) -> int:
    """Write the store's records to FILE: all that they hold as lines of JSON (FILE.jsonl), or what
    Vyre's own format has room for (FILE.toml): one record of each key, without its ratio.

    Exit code 3: they could not all be read; FILE is left as it was.
    """
    from vyre_dist.autotune.record_lines import write_lines
    from vyre_dist.autotune.vyre_toml import write_toml
    from vyre_dist.leftovers import removed_line
    from vyre_dist.runs.tuned_store import open_to_read, trouble_of

    write = write_toml if _is_toml(file) else write_lines
    opened, _ = open_to_read(store)
    try:
        records = tuple(opened.items())
        trouble = trouble_of(opened)
        newer = opened.stats.newer + _local_stats(opened).newer
    finally:
        opened.close()
    if newer and not trouble:
        trouble = f"{newer} records are a later version's, which alone can read them"
    if trouble:
        log.say(f"nothing was written to {file}: {trouble}")
        return ExitCode.INCOMPLETE
    for path in write(file, records):
        log.say(removed_line(path))
    click.echo(f"{len(records)} records written to {file}", err=True)
    return ExitCode.CLEAN


@click.command("import", short_help="Take records from a file.")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@STORE
def import_records(file: Path, store: str | None) -> int:
    """Offer the records of FILE to the store, which keeps the better ones. FILE was written by
    `autotune export` (FILE.jsonl) or is Vyre's (FILE.toml).

    Exit code 3: the store's server, or its file, did not take them all.
    """
    from vyre_dist.autotune.tiered import TieredStore
    from vyre_dist.autotune.vyre_toml import offer_all
    from vyre_dist.runs.tuned_store import open_to_write

    records = _read(file)
    opened, why_elsewhere = open_to_write(store)
    if why_elsewhere:
        log.say(why_elsewhere)
    server = opened if isinstance(opened, TieredStore) else None
    try:
        result = offer_all(opened, records, publish=server.publish if server else None)
    finally:
        opened.close()
    click.echo(f"{result.stored} of {result.read} records taken", err=True)
    lost = _local_stats(opened).errors > 0
    if not result.unpublished and not lost:
        return ExitCode.CLEAN
    if not result.unpublished:
        log.say(
            f"not all records could be kept on this machine: {opened.trouble}; import the file "
            "again"
        )
        return ExitCode.INCOMPLETE
    here = "nor could they all be kept" if lost else "they are kept"
    log.say(
        f"the server did not take {result.unpublished} of {result.read} records "
        f"({opened.trouble}); {here} on this "
        "machine: import the file again when the server takes them"
    )
    return ExitCode.INCOMPLETE


def _read(file: Path) -> Sequence[StoredRecord]:
    from vyre_dist.autotune.record_lines import read_lines
    from vyre_dist.autotune.vyre_toml import read_toml

    return read_toml(file) if _is_toml(file) else read_lines(file)


def _is_toml(file: Path) -> bool:
    """Whether the file is Vyre's. Raises UsageError for a name that says neither."""
    from vyre_dist.autotune.record_lines import SUFFIX
    from vyre_dist.errors import UsageError

    if file.suffix not in (_TOML, SUFFIX):
        raise UsageError(
            f"{file}: the end of its name says what it holds, found {file.suffix!r}; give it "
            f"{SUFFIX} for all there is of the records, or {_TOML} for Vyre's format"
        )
    return file.suffix == _TOML


def _local_stats(store: AutotuneStore) -> StoreStats:
    """The counters of the part of the store that is on this machine."""
    from vyre_dist.autotune.tiered import TieredStore

    return store.tiers.local if isinstance(store, TieredStore) else store.stats

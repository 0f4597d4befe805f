"""`vyre-dist autotune`: look into the autotune store, forget records of it, and what measures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from vyre_dist.cli import log
from vyre_dist.cli.autotune_files import export_records, import_records
from vyre_dist.cli.autotune_trials import tune, verify
from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.cli.store_option import STORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vyre_dist.autotune.record import StoredRecord

_LEAST_KEY = 4


@click.group(short_help="Tune ahead of time; look into the autotune store.")
def autotune() -> None:
    """Tune a pack ahead of time, measure again what was tuned, and look into the autotune store."""


for _command in (tune, verify, export_records, import_records):
    autotune.add_command(_command)


@autotune.command(short_help="Print what the store holds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with all there is.")
@STORE
def show(as_json: bool, store: str | None) -> int:
    """Print what the store holds: for each pack's program, kind of machine and class of files what
    is best, and how much faster that is than the default.

    RATIO is the time over the default's on the same bytes, with its 95 % interval. A store is not
    made for this. Exit code 3: the store, or a part of it, could not be read.
    """
    return _show(store, as_json=as_json)


@autotune.command("list", hidden=True)
@STORE
def list_records(store: str | None) -> int:
    """The same as show --json, which took its place."""
    return _show(store, as_json=True)


def _show(url: str | None, *, as_json: bool) -> int:
    from vyre_dist.cli.autotune_table import lines_of, plain_of
    from vyre_dist.runs.tuned_store import open_to_read, trouble_of

    store, there = open_to_read(url)
    try:
        records = sorted(store.items(), key=lambda stored: stored.place)
        hits = store.uses([stored.place for stored in records])
        trouble = trouble_of(store)
    finally:
        store.close()
    if as_json:
        for stored, count in zip(records, hits, strict=True):
            click.echo(json.dumps(plain_of(stored, count)))
    else:
        for line in lines_of(records, hits):
            click.echo(line)
    if trouble:
        log.say(trouble)
        return ExitCode.INCOMPLETE
    if not there:
        log.say("there is no autotune store yet: a scan or `vyre-dist autotune tune` makes one")
    return ExitCode.CLEAN


@autotune.command(short_help="Remove records from the store.")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--pack", metavar="PACK", help="Those of this pack, as `show` names it.")
@click.option(
    "--older-than",
    type=click.IntRange(min=0),
    metavar="DAYS",
    help="Those that were measured more than so many days ago, or nobody knows when.",
)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@STORE
def forget(
    keys: tuple[str, ...],
    pack: str | None,
    older_than: int | None,
    everything: bool,
    store: str | None,
) -> int:
    """Remove records from the store: what they hold is measured anew by the next scan.

    KEY is a key that `show` prints, or its first digits. With several options, records go to which
    all of them apply. Nothing is asked; what was removed is printed. Other machines that share a
    server may keep their copies, and bring them back: forget them there as well.

    Exit code 3: the store could not be read or written.
    """
    from vyre_dist.cli.autotune_table import days_old
    from vyre_dist.errors import UsageError
    from vyre_dist.runs.tuned_store import open_to_read, trouble_of

    chosen = bool(keys) or pack is not None or older_than is not None
    if everything == chosen:
        raise UsageError(
            "which records? give keys, --pack or --older-than, or --all"
            if not everything
            else "--all stands alone: leave it out, or the keys, --pack and --older-than"
        )
    wrong = [key for key in keys if len(key) < _LEAST_KEY or set(key) - set("0123456789abcdef")]
    if wrong:
        raise UsageError(
            f"{wrong[0]!r:.60} is no key: give {_LEAST_KEY} to 32 hex digits, as `vyre-dist "
            "autotune show` prints them"
        )

    def goes(stored: StoredRecord) -> bool:
        age = days_old(stored)
        return (
            (not keys or stored.key.key_hex.startswith(keys))
            and (pack is None or stored.provenance.pack == pack)
            and (older_than is None or age is None or age > older_than)
        )

    opened, _ = open_to_read(store)
    try:
        going = sorted(
            (stored for stored in opened.items() if goes(stored)), key=lambda stored: stored.place
        )
        removed = opened.remove([stored.place for stored in going]) if going else 0
        trouble = trouble_of(opened)
    finally:
        opened.close()
    if removed:
        _tell(going)
    unmet = [key for key in keys if not any(r.key.key_hex.startswith(key) for r in going)]
    if unmet and not trouble:
        log.say(f"no record has the key {', '.join(unmet)}")
    click.echo(f"{removed} {'record' if removed == 1 else 'records'} removed", err=True)
    if trouble or removed < len(going):
        log.say(trouble or f"{len(going) - removed} records were gone before")
        return ExitCode.INCOMPLETE if trouble else ExitCode.CLEAN
    return ExitCode.CLEAN


def _tell(removed: Sequence[StoredRecord]) -> None:
    from vyre_dist.cli.autotune_table import name_of

    for stored in removed:
        click.echo(f"removed: {name_of(stored)}")

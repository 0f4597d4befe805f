"""`vyre-dist clean`: remove what killed runs have left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from vyre_dist.cli import log
from vyre_dist.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from vyre_dist.leftovers import Fate


@click.command(short_help="Remove what killed runs have left.")
@click.argument("paths", nargs=-1, type=click.Path(readable=False))
@click.option(
    "--dry-run", "-n", is_flag=True, help="Print what would be removed, and remove nothing."
)
@click.option(
    "--cache-dir",
    type=click.Path(file_okay=False),
    help="The cache directory to clean where no PATHS are given. Default: the user's.",
)
def clean(paths: tuple[str, ...], dry_run: bool, cache_dir: str | None) -> int:
    """Remove the unfinished files of killed runs: they hold what was found, in clear.

    Cleans each folder of PATHS with all that is below it. For a file, it removes what was left
    beside it under its name. For a run directory (see scan --run-dir), or its URL, it also removes
    the findings that do not count, of workers that died. Default: the cache directory and all below
    it, and what lies directly in the folder for temporary files. Files that a run is still writing
    stay, and so do files of other users and of other programs.

    Exit codes: 0 nothing is left over, 2 bad usage, 3 something could not be looked at or removed
    (it is listed).
    """
    from vyre_dist.leftovers import Fate
    from vyre_dist.sinks.text import visible

    removed = left = failed = 0
    for path, fate in _sweep(paths, cache_dir, dry_run):
        if isinstance(fate, OSError):
            failed += 1
            log.say(f"{path}: {fate.strerror or fate}")
        elif fate is Fate.REMOVED:
            removed += 1
            click.echo(f"{'would remove' if dry_run else 'removed'} {visible(path)}")
        elif fate is not Fate.GONE:
            left += 1
            click.echo(f"left {visible(path)}: {fate.value}")
    did = "would be removed" if dry_run else "removed"
    click.echo(f"{removed} {did}, {left} left" + (f", {failed} failed" if failed else ""))
    return ExitCode.INCOMPLETE if failed else ExitCode.CLEAN


def _sweep(
    paths: tuple[str, ...], cache_dir: str | None, dry_run: bool
) -> Iterator[tuple[str, Fate | OSError]]:
    import os

    from vyre_dist.cache_folder import default_folder, spares
    from vyre_dist.leftovers import sweep
    from vyre_dist.storage import is_url
    from vyre_dist.temporary import temporary_directory

    for path in paths:
        if is_url(path) or os.path.exists(os.path.join(path, "run.json")):
            yield from _of_run(path, dry_run)
        if not is_url(path):
            yield from sweep(path, deep=True, dry_run=dry_run)
    if not paths:
        for cache in (cache_dir or default_folder() or "", *spares()):
            if os.path.isdir(cache):  # there may have been no run yet
                yield from sweep(cache, deep=True, dry_run=dry_run)
        yield from sweep(temporary_directory(), deep=False, dry_run=dry_run)


def _of_run(place: str, dry_run: bool) -> Iterator[tuple[str, Fate | OSError]]:
    from vyre_dist.errors import UsageError
    from vyre_dist.ledger.garbage import clean_run
    from vyre_dist.ledger.identity import read_facts
    from vyre_dist.ledger.owner import RunBusyError
    from vyre_dist.leftovers import Fate
    from vyre_dist.storage import open_storage

    storage = open_storage(place)
    if read_facts(storage) is None:
        raise UsageError(f"there is no run in {place}")
    try:
        for path in clean_run(storage, dry_run=dry_run):
            yield path, Fate.REMOVED
    except RunBusyError:
        yield place, Fate.LIVE
    except OSError as error:
        yield place, error

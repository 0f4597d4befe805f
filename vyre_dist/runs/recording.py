"""A run's directory: what is written of its options, and how a scan goes on in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import vyre_dist
from vyre_dist.errors import UsageError
from vyre_dist.rules.codec import encode_pack
from vyre_dist.runs.inputs import STDIN
from vyre_dist.sources import pipe_id

if TYPE_CHECKING:
    from vyre_dist.ledger.identity import RunFacts
    from vyre_dist.ledger.run_directory import RunDirectory
    from vyre_dist.rules.model import PackData
    from vyre_dist.runs.options import ScanOptions
    from vyre_dist.sinks.summary import RunSummary


def open_run_directory(options: ScanOptions, pack: PackData) -> RunDirectory | None:
    """The run directory that the options name. Raises UsageError."""
    if options.run_dir is None:
        if options.resume:
            raise UsageError("--resume goes on with a run: name its --run-dir")
        return None
    if again := _read_once(options):
        raise UsageError(
            f"--run-dir is for inputs that a resume can read again, and {again} is none: copy it "
            "to a file"
        )
    from vyre_dist.ledger.run_directory import RunDirectory

    facts = facts_of(options, pack.content_hash())
    return RunDirectory(options.run_dir, facts, encode_pack(pack), resume=options.resume)


def facts_of(options: ScanOptions, pack_hash: str) -> RunFacts:
    """All that a run's findings depend on, by the names that a user knows."""
    walk = options.walk
    paths = list(options.paths) or ([] if options.files_from else ["."])
    named = [*paths, *([options.files_from] if options.files_from else [])]
    relative = options.files_from is not None or not all(map(os.path.isabs, named))
    return {
        "version": vyre_dist.__version__,
        "rules": pack_hash,
        "PATHS": paths,
        "working directory": os.getcwd() if relative else None,
        "--files-from": options.files_from,
        "--no-gitignore": not walk.respect_gitignore,
        "--follow": walk.follow_symlinks,
        "--include": list(walk.include),
        "--exclude": list(walk.exclude),
        "--max-file-size": walk.max_file_size,
        "--max-match-bytes": options.max_match_bytes,
    }


def report_of(summary: RunSummary) -> bytes:
    """What the run directory keeps of a run that is over."""
    import json

    from vyre_dist.sinks.text import summary_record

    return (json.dumps(summary_record(summary), indent=2) + "\n").encode()


def _read_once(options: ScanOptions) -> str:
    """An input that can be read only once; "" if there is none."""
    named: Sequence[str] = [*options.paths, *([options.files_from] if options.files_from else [])]
    for path in named:
        if path == STDIN:
            return "standard input"
        if pipe_id(path) is not None:
            return path
    return ""

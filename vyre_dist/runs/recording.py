"""A run's directory: what is written of its options, and how a scan goes on in it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import vyre_dist
from vyre_dist.errors import UsageError
from vyre_dist.runs.inputs import STDIN
from vyre_dist.sources import pipe_id

if TYPE_CHECKING:
    from vyre_dist.ledger.identity import RunFacts
    from vyre_dist.ledger.run_directory import RunDirectory
    from vyre_dist.ledger.staged import StagedRun
    from vyre_dist.rules.model import PackData
    from vyre_dist.runs.options import ScanOptions
    from vyre_dist.sinks.summary import RunSummary

_RUNS = "runs"


def open_recording(
    options: ScanOptions, pack: PackData, cache: str | None
) -> RunDirectory | StagedRun | None:
    """The run directory that the options name; else one in the folder `cache`, as soon as the scan
    has lasted a while. None where there can be none. Raises UsageError.
    """
    again = _read_once(options)
    if options.run_dir is None:
        if options.resume or options.resume_if_begun:
            raise UsageError("--resume goes on with a run: name its --run-dir")
        if again or cache is None:
            return None
        from vyre_dist.ledger.staged import StagedRun

        return StagedRun(lambda: _private(options, pack, cache))
    if again:
        raise UsageError(
            f"--run-dir is for inputs that a resume can read again, and {again} is none: copy it "
            "to a file"
        )
    return _opened(options.run_dir, options, pack)


def _opened(place: str, options: ScanOptions, pack: PackData, held: int = -1) -> RunDirectory:
    from vyre_dist.ledger.identity import read_facts
    from vyre_dist.ledger.run_directory import RunDirectory
    from vyre_dist.rules.codec import encode_pack
    from vyre_dist.storage import open_storage

    resume = options.resume
    if options.resume_if_begun and not resume:
        resume = read_facts(open_storage(place)) is not None
    facts = facts_of(options, pack.content_hash())
    return RunDirectory(place, facts, encode_pack(pack), resume=resume, held=held)


def _private(options: ScanOptions, pack: PackData, cache: str) -> RunDirectory:
    from vyre_dist.cache_folder import make
    from vyre_dist.leftovers import make_folder

    parent = os.path.join(cache, _RUNS)
    make(parent)
    place, held = make_folder(parent, "run")
    return _opened(place, options, pack, held)


def resume_command(arguments: Sequence[str], place: str) -> str:
    """What a user types to go on with the run at `place` that these arguments have begun."""
    given = list(arguments)
    end = given.index("--") if "--" in given else len(given)
    more = [] if "--run-dir" in given or _is_given(given, "--run-dir=") else ["--run-dir", place]
    resumes = {"--resume", "--resume-if-begun"} & {*given[:end]}
    more += [] if resumes else ["--resume"]
    return shlex.join(["vyre-dist", *given[:end], *more, *given[end:]])


def _is_given(arguments: Sequence[str], beginning: str) -> bool:
    return any(argument.startswith(beginning) for argument in arguments)


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

"""`vyre-dist status`: how a run is, from its run directory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from vyre_dist.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from vyre_dist.runs.run_status import DriverStatus, RunStatus

_MOST_PROBLEMS = 20
_MOST_WORKERS = 20
_MOST_RULES = 30


@click.command(short_help="Say how a run in a run directory is.")
@click.argument("run", type=click.Path(file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def status(run: str, as_json: bool) -> int:
    """Say how the run in directory RUN (see scan --run-dir) is: what is done of it, by whom, how
    fast, how much time it may take yet, and what was found and went wrong so far.

    The run may be going on, interrupted or over. It is only read, and its driver is not disturbed.

    Exit codes: 0 the run is known, 2 there is no run in RUN, or another version's, 3 its files are
    damaged or can't be read.
    """
    from vyre_dist.runs.run_status import run_status

    found = run_status(run)
    if as_json:
        import json

        click.echo(json.dumps(_record(found)))
    else:
        from vyre_dist.sinks.text import visible

        for line in _lines(found):
            click.echo(visible(line))
    return ExitCode.CLEAN


def _record(found: RunStatus) -> dict[str, Any]:
    from vyre_dist.sinks.text import lossy_path, problem_record

    driver = found.driver
    return {
        "run": lossy_path(found.run)[0],
        "version": found.version,
        "state": found.state,
        "driver": None
        if driver is None
        else {
            "number": driver.number,
            "host": driver.host,
            "pid": driver.pid,
            "lives": driver.lives,
            "silent_seconds": round(driver.silent, 3),
        },
        "inputs_listed": found.listed,
        "shards": {"planned": found.shards, "done": found.shards_done},
        "documents": {"planned": found.documents, "done": found.documents_done},
        "bytes": found.bytes,
        "bytes_per_second": None if found.rate is None else round(found.rate),
        "seconds_left": None if found.left is None else round(found.left),
        "workers": [
            {
                "worker": each.worker.number,
                "node": each.worker.host,
                "backend": each.worker.backend,
                "device": each.worker.device,
                "processes": each.worker.processes,
                "tasks": each.tasks,
                "bytes": each.bytes,
                "silent_seconds": None if each.silent is None else round(each.silent, 3),
            }
            for each in found.workers
        ],
        "findings": found.findings,
        "findings_by_rule": dict(sorted(found.findings_by_rule.items())),
        "problems": [problem_record(p.path, p.reason, p.detail) for p in found.problems],
        "notes": found.notes,
    }


def _lines(found: RunStatus) -> Iterator[str]:
    yield f"{found.run}: {_state(found)}"
    more = "all inputs are listed" if found.listed else "not all inputs are listed yet"
    yield (
        f"documents: {found.documents_done:,} of {found.documents:,} done, {_size(found.bytes)}; "
        f"shards: {found.shards_done:,} of {found.shards:,}; {more}"
    )
    if found.rate is not None:
        yield f"rate: {_size(found.rate)} a second{_left(found)}"
    yield f"findings: {found.findings:,}"
    rules = list(found.findings_by_rule.items())
    for rule, count in rules[:_MOST_RULES]:
        yield f"  {count:,} {rule}"
    yield from _rest(len(rules) - _MOST_RULES, "rules")
    if found.workers:
        yield f"workers: {len(found.workers):,}"
    for each in found.workers[:_MOST_WORKERS]:
        own = each.worker
        heard = "none yet" if each.silent is None else f"the last one {_time(each.silent)} ago"
        yield (
            f"  {own.number} at {own.host}, {own.backend} on {own.device}: {_size(each.bytes)}, "
            f"{each.tasks:,} answers, {heard}"
        )
    yield from _rest(len(found.workers) - _MOST_WORKERS, "workers")
    if found.problems:
        yield f"problems: {len(found.problems):,}"
    for problem in found.problems[:_MOST_PROBLEMS]:
        yield f"  {problem.path}: {problem.reason}: {problem.detail}"
    yield from _rest(len(found.problems) - _MOST_PROBLEMS, "problems")


def _state(found: RunStatus) -> str:
    driver = found.driver
    if driver is None or found.state == "over":
        return found.state
    who = f"process {driver.pid} on {driver.host}"
    if driver.number > 1:
        who += f", its driver number {driver.number}"
    if found.state == "running":
        return f"running, by {who}; last sign of life {_time(driver.silent)} ago{_warning(driver)}"
    how = "let go of it" if driver.left else "was lost"
    return f"interrupted: {who}, {how} ({_time(driver.silent)} ago); scan --resume goes on with it"


def _warning(driver: DriverStatus) -> str:
    from vyre_dist.ledger.owner import DEAD_SECONDS

    return "; it may be stopped" if driver.silent > DEAD_SECONDS else ""


def _left(found: RunStatus) -> str:
    if found.state == "over":
        return ""
    if not found.listed:
        return "; how long it takes yet is known when all inputs are listed"
    return "" if found.left is None else f"; about {_time(found.left)} left"


def _rest(number: int, what: str) -> Iterator[str]:
    if number > 0:
        yield f"  and {number:,} more {what}, which --json names"


def _size(size: float) -> str:
    for unit, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= one:
            return f"{size / one:,.1f} {unit}"
    return f"{size:,.0f} bytes"


def _time(seconds: float) -> str:
    for unit, one in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * one:
            return f"{seconds / one:,.1f} {unit}"
    return f"{seconds:,.0f} s"

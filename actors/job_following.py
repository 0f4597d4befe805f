"""A job that runs, as it is followed: its log, its end, and its scan's exit code."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vyre_dist.actors.job_server import Warn, patiently
from vyre_dist.actors.outcome import OutcomeReader
from vyre_dist.errors import VyreError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

# What `vyre-dist scan` says by its exit code: clean, findings, bad usage, incomplete, interrupted.
_SCAN_CODES = frozenset({0, 1, 2, 3, 130})
# Of these, what says how a scan came out.
_OUTCOMES = frozenset({0, 1})
NO_PACKAGE = 127

# The job API has nothing to wait on but its log stream, which ends a little before the status does.
STATUS_EVERY_SECONDS = 0.25
_RECONNECT_SECONDS = 2.0
_RECONNECTS = 30


class JobLostError(VyreError):
    """The connection was lost after the job had been submitted: how it ends is not known."""

    def __init__(self, address: str | None, submission_id: str, found: str) -> None:
        super().__init__(
            f"job server {address or 'of the cluster on this machine'}: the connection was lost; "
            f"job {submission_id} may go "
            f"on (vyre-dist jobs status {submission_id}): {found}"
        )
        self.address = address
        self.submission_id = submission_id


class JobFailedError(VyreError):
    """A job that ended without telling a scan's outcome.

    `status` is Ray's; `exit_code` is None when its driver has none.
    """

    def __init__(self, submission_id: str, status: str, exit_code: int | None, detail: str) -> None:
        code = "" if exit_code is None else f" with exit code {exit_code}"
        super().__init__(
            f"job {submission_id} ended as {status}{code}: {detail} (its log: vyre-dist "
            f"jobs logs {submission_id})"
        )
        self.submission_id = submission_id
        self.status = status
        self.exit_code = exit_code


class OutputError(Exception):
    """What `write` raised, on its way past those who look for errors of the connection."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def follow_to_its_end(
    client: JobSubmissionClient,
    address: str | None,
    job: str,
    word: str,
    write: Callable[[str], object],
    warn: Warn,
) -> int:
    """Write the job's log as it comes, and give its scan's exit code. `word`: the outcome's.

    Raises JobLostError, JobFailedError, and what `write` raises.
    """
    outcome = OutcomeReader(word)

    def write_or_leave(text: str) -> None:
        try:
            write(outcome.feed(text))
        except OSError as error:
            raise OutputError(error) from error

    try:
        follow(client, job, write_or_leave, warn)
        return exit_code(client, job, outcome, warn)
    except OutputError as failed:
        raise failed.error from None
    except (OSError, RuntimeError) as error:
        # what the job client lets through when the server is gone, and its own for a status like
        # 503
        raise JobLostError(address, job, str(error)) from error


def follow(
    client: JobSubmissionClient, job: str, write: Callable[[str], object], warn: Warn
) -> None:
    """Write the job's output as it comes, until it has ended; connect again where that breaks."""
    import asyncio

    written = 0
    for _ in range(_RECONNECTS):
        written, ended = asyncio.run(tail(client, job, written, write))
        # a stream that ended by itself, of a job that ended, has told everything
        if ended and patiently(lambda: client.get_job_status(job), warn).is_terminal():
            return
        time.sleep(_RECONNECT_SECONDS)
    write(f"\n[the log of {job} can't be read any more; waiting for its end]\n")


async def tail(
    client: JobSubmissionClient, job: str, written: int, write: Callable[[str], object]
) -> tuple[int, bool]:
    """Write what comes after the first `written` characters of the log. How many there are now, and
    whether it ended.
    """
    import aiohttp

    seen = 0
    try:
        # each connection tells the log from its beginning
        async for chunk in client.tail_job_logs(job):
            if seen + len(chunk) > written:
                write(chunk[max(0, written - seen) :])
            seen += len(chunk)
    except (RuntimeError, aiohttp.ClientError):
        return max(seen, written), False
    return max(seen, written), True


def exit_code(client: JobSubmissionClient, job: str, outcome: OutcomeReader, warn: Warn) -> int:
    """The exit code of the job's scan, when it has ended. Raises JobFailedError for a job that did
    not tell it.
    """
    import asyncio

    while not (info := patiently(lambda: client.get_job_info(job), warn)).status.is_terminal():
        time.sleep(STATUS_EVERY_SECONDS)
    status, code = str(info.status.value), info.driver_exit_code
    if status == "SUCCEEDED":
        code = 0
    # Ray calls every exit code but 0 a failure
    if status not in ("SUCCEEDED", "FAILED") or code not in _SCAN_CODES:
        detail = info.message or "no reason given"
        if code == NO_PACKAGE:
            detail = (
                f"vyre-dist is not installed there (submit --ship-package brings it along): "
                f"{detail}"
            )
        raise JobFailedError(job, status, code, detail)
    if code not in _OUTCOMES:
        return int(code)
    if outcome.code is None:
        # it may be in what was lost when the connection broke
        asyncio.run(tail(client, job, 0, outcome.feed))
    if outcome.code is None:
        raise JobFailedError(
            job,
            status,
            code,
            "it never said that its report is complete, so that is not the scan's exit code",
        )
    return outcome.code

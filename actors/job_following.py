"""A job that runs, as it is followed: its log, its end, and its scan's exit code."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vyre_dist.actors.job_server import Warn, patiently
from vyre_dist.actors.outcome import OutcomeReader
from vyre_dist.errors import VyreError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

# What `vyre-dist scan` says by its exit code: clean, findings, bad usage, incomplete, interrupted.
_SCAN_CODES = frozenset({0, 1, 2, 3, 130})
# Of these, what says how a scan came out.
_OUTCOMES = frozenset({0, 1})
NO_PACKAGE = 127

# The job API has nothing to wait on but its log stream.
STATUS_EVERY_SECONDS = 0.25

SHORT_SECONDS = 20.0
"""Of a job that ended in such a time: its log is asked for as a whole. Ray's stream tells the same
five seconds later, but does not hold all of it in memory.
"""
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

    written = Written(write)
    until = time.monotonic() + SHORT_SECONDS
    for _ in range(_RECONNECTS):
        ended = asyncio.run(_tail_or_end(client, job, written, until))
        # a stream that ended by itself, of a job that ended, has told everything
        if ended and patiently(lambda: client.get_job_status(job), warn).is_terminal():
            return
        time.sleep(_RECONNECT_SECONDS)
    write(f"\n[the log of {job} can't be read any more; waiting for its end]\n")


class Written:
    """The part of a log that was written; every source of it begins at its first character."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self.characters = 0

    def take(self, start: int, text: str) -> int:
        """Write what is new of the log's `text` from character `start` on; where the text ends."""
        end = start + len(text)
        if end > self.characters:
            new = text[max(0, self.characters - start) :]
            self.characters = end
            self._write(new)
        return end


async def _tail_or_end(
    client: JobSubmissionClient, job: str, written: Written, until: float
) -> bool:
    """As `tail`; a job that ends before `until` (of the monotonic clock) is done with at once."""
    import asyncio

    stream = asyncio.ensure_future(tail(client, job, written))
    try:
        while time.monotonic() < until:
            done, _ = await asyncio.wait({stream}, timeout=STATUS_EVERY_SECONDS)
            if done:
                break
            if (log := _log_of_ended(client, job)) is not None:
                written.take(0, log)
                return True
        return await stream
    finally:
        stream.cancel()


def _log_of_ended(client: JobSubmissionClient, job: str) -> str | None:
    """The whole log, if the job has ended; None also where the server does not say."""
    try:
        return client.get_job_logs(job) if client.get_job_status(job).is_terminal() else None
    except (OSError, RuntimeError):
        return None  # whoever reads the stream meets the same, and deals with it


async def tail(client: JobSubmissionClient, job: str, written: Written) -> bool:
    """Write what is new of the log, as it comes; whether its stream ended by itself."""
    import aiohttp

    seen = 0
    try:
        async for chunk in client.tail_job_logs(job):
            seen = written.take(seen, chunk)
    except (RuntimeError, aiohttp.ClientError):
        return False
    return True


def find_outcome(
    client: JobSubmissionClient, job: str, info: JobDetails, outcome: OutcomeReader
) -> None:
    """Read the log of a job that has ended, for its outcome."""
    import asyncio

    began, ended = info.start_time, info.end_time
    if began and ended and ended - began < SHORT_SECONDS * 1000:
        outcome.feed(client.get_job_logs(job))
    else:
        asyncio.run(tail(client, job, Written(outcome.feed)))


def exit_code(client: JobSubmissionClient, job: str, outcome: OutcomeReader, warn: Warn) -> int:
    """The exit code of the job's scan, when it has ended. Raises JobFailedError for a job that did
    not tell it.
    """
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
        find_outcome(client, job, info, outcome)
    if outcome.code is None:
        raise JobFailedError(
            job,
            status,
            code,
            "it never said that its report is complete, so that is not the scan's exit code",
        )
    return outcome.code

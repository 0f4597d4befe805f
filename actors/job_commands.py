"""A job that was submitted before: its state, its log, and its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vyre_dist.actors.job_following import (
    STATUS_EVERY_SECONDS,
    find_outcome,
    follow_to_its_end,
)
from vyre_dist.actors.job_server import JobServerError, Warn, open_client, patiently
from vyre_dist.actors.jobs import OUTCOME_WORD
from vyre_dist.actors.outcome import OutcomeReader
from vyre_dist.errors import UsageError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_STOP_SECONDS = 60.0
"""How long a job may take to stop: Ray kills it after some seconds."""

_NO_SUCH_JOB = "status code 404"


class UnknownJobError(UsageError):
    """The cluster knows no such job."""

    def __init__(self, job: str) -> None:
        super().__init__(
            f"job {job!r}: the cluster knows no such job: give the id that `vyre-dist submit` "
            "printed, and the --address of the same cluster"
        )
        self.job = job


@dataclass(frozen=True, slots=True)
class JobState:
    """A job, as the cluster tells it.

    `status`: Ray's word (PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED); `message` its reason.
    `over`: it has ended. `exit_code`: the scan's own, None as long as it runs and for a job that
    did not tell it.
    `started`, `ended`: seconds since 1970, None for not yet.
    """

    job: str
    status: str
    over: bool
    message: str
    exit_code: int | None
    started: float | None
    ended: float | None

    @property
    def seconds(self) -> float | None:
        """How long it ran, or has run by now; None if it has not begun."""
        if self.started is None:
            return None
        return max(0.0, (time.time() if self.ended is None else self.ended) - self.started)


def job_state(address: str | None, job: str, warn: Warn) -> JobState:
    """How the job is. Raises UnknownJobError and JobServerError.

    The scan's exit code is in the log of a job that has ended, which is read for it to its end.
    """
    client, info = _job(address, job, warn)
    return _state(client, address, job, info)


def _state(client: JobSubmissionClient, address: str | None, job: str, info: Any) -> JobState:
    code = None
    if info.status.is_terminal():
        code = _told_code(client, address, job, info)
        if code is None and info.driver_exit_code not in (0, 1):
            code = info.driver_exit_code
    return JobState(
        job,
        str(info.status.value),
        bool(info.status.is_terminal()),
        info.message or "",
        code,
        _seconds(info.start_time),
        _seconds(info.end_time),
    )


def job_log(
    address: str | None, job: str, write: Callable[[str], object], warn: Warn, *, follow: bool
) -> int:
    """Write the job's log: as far as it is, or (`follow`) to its end; the scan's exit code then.

    Ctrl-C leaves the job alone. Raises UnknownJobError, JobServerError, JobLostError,
    JobFailedError, and what `write` raises.
    """
    client, info = _job(address, job, warn)
    word = _word(info)
    if follow:
        return follow_to_its_end(client, address, job, word, write, warn)
    try:
        text = client.get_job_logs(job)
    except (OSError, RuntimeError) as error:
        raise JobServerError(address, str(error)) from error
    reader = OutcomeReader(word)
    write(reader.feed(text) + reader.rest())
    return 0


def stop_job(address: str | None, job: str, warn: Warn) -> JobState:
    """Stop the job, and give its state when it has ended, or after a minute. One that has ended
    already stays as it is. Raises UnknownJobError and JobServerError.
    """
    client, info = _job(address, job, warn)
    until = time.monotonic() + _STOP_SECONDS
    try:
        if not info.status.is_terminal():
            patiently(lambda: client.stop_job(job), warn)
        while not info.status.is_terminal() and time.monotonic() < until:
            time.sleep(STATUS_EVERY_SECONDS)
            info = patiently(lambda: client.get_job_info(job), warn)
    except (OSError, RuntimeError) as error:
        raise JobServerError(address, str(error)) from error
    return _state(client, address, job, info)


def _job(address: str | None, job: str, warn: Warn) -> tuple[JobSubmissionClient, Any]:
    """The job server's client, and what it knows of the job."""
    client = open_client(address, warn)
    try:
        return client, patiently(lambda: client.get_job_info(job), warn)
    except (OSError, RuntimeError) as error:
        if _NO_SUCH_JOB in str(error):
            raise UnknownJobError(job) from error
        raise JobServerError(address, str(error)) from error


def _word(info: Any) -> str:
    """The outcome's word; for a job of others one that no log has."""
    import secrets

    return str((info.metadata or {}).get(OUTCOME_WORD) or secrets.token_hex(16))


def _told_code(client: JobSubmissionClient, address: str | None, job: str, info: Any) -> int | None:
    """The code that the scan told in its log; None if it did not."""
    if OUTCOME_WORD not in (info.metadata or {}):
        return None
    outcome = OutcomeReader(_word(info))
    try:
        find_outcome(client, job, info, outcome)
    except (OSError, RuntimeError) as error:
        raise JobServerError(address, str(error)) from error
    return outcome.code


def _seconds(milliseconds: int | None) -> float | None:
    return None if not milliseconds else milliseconds / 1000.0

"""Scans as Ray jobs: submit one to a cluster, follow it, and get its exit code.

Cheap to import: Ray is loaded when a function that needs it is called.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vyre_dist.errors import UsageError, VyreError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

# What `vyre-dist scan` says by its exit code: clean, findings, bad usage, incomplete, interrupted.
_SCAN_CODES = frozenset({0, 1, 2, 3, 130})

# The job API has nothing to wait on but its log stream, which ends a little before the status does.
_STATUS_EVERY_SECONDS = 0.25
_RECONNECT_SECONDS = 2.0
_RECONNECTS = 30

_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


class JobServerError(UsageError):
    """The cluster's job server can't be reached, or does not take the job. `address` as it was asked for."""

    def __init__(self, address: str | None, found: str) -> None:
        super().__init__(f"job server {address or 'of the cluster on this machine'}: {found}")
        self.address = address


class JobLostError(VyreError):
    """The connection to the job server was lost after the job had been submitted: how it ends is not known."""

    def __init__(self, address: str | None, submission_id: str, found: str) -> None:
        super().__init__(
            f"job server {address or 'of the cluster on this machine'}: the connection was lost; job {submission_id} may go "
            f"on (ray job status {submission_id}): {found}"
        )
        self.address = address
        self.submission_id = submission_id


class _OutputError(Exception):
    """What `write` raised, on its way past those who look for errors of the connection."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class JobFailedError(VyreError):
    """A job that ended without telling a scan's outcome. `status` is Ray's; `exit_code` None when its driver has none."""

    def __init__(self, submission_id: str, status: str, exit_code: int | None, detail: str) -> None:
        code = "" if exit_code is None else f" with exit code {exit_code}"
        super().__init__(
            f"job {submission_id} ended as {status}{code}: {detail} (its log: ray job logs {submission_id})"
        )
        self.submission_id = submission_id
        self.status = status
        self.exit_code = exit_code


def in_ray_job() -> bool:
    """Whether this process is the driver of a Ray job, or is connected to a cluster already."""
    ray = sys.modules.get("ray")
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ or (ray is not None and bool(ray.is_initialized()))


def entrypoint(arguments: Sequence[str], python: str = "python") -> str:
    """The shell command that runs `vyre-dist ARGUMENTS…` on a cluster's node.

    A missing module would end Python with 1, a scan's code for "findings": so its absence is told apart, as 127.
    """
    command = shlex.join([python, "-m", "vyre_dist", *arguments])
    return f"{shlex.join([python, '-c', 'import vyre_dist'])} || exit 127; exec {command}"


def submit_scan(
    address: str | None,
    entrypoint_argv: Sequence[str],
    working_dir: str | None = None,
    follow: bool = True,
    *,
    python: str = "python",
    runtime_env: Mapping[str, Any] | None = None,
    submission_id: str | None = None,
    announce: Callable[[str], object] | None = None,
    write: Callable[[str], object] = sys.stdout.write,
) -> int:
    """Run `vyre-dist ENTRYPOINT_ARGV…` (["scan", PATH, …]) as a job on the head node, and return the scan's exit code.

    `address`: the job server (http://HEAD:8265); None for RAY_ADDRESS or this machine's cluster. `working_dir` is
    uploaded, and is where the job runs; paths in the arguments are those of the cluster. `announce` gets the job's
    id once; if `follow`, `write` gets its output (Ray merges the two streams) as it comes, else 0 is returned at once.
    Ctrl-C (KeyboardInterrupt), or SystemExit from a signal's handler, stops the job and is raised on. Raises
    JobServerError, JobLostError when the connection is lost later, and JobFailedError for a job that was stopped, whose
    driver never ran, or that crashed. What `write` raises goes through, and the job goes on.
    """
    if working_dir is not None and not os.path.isdir(working_dir):
        raise UsageError(f"working directory {working_dir!r}: there is no such directory")
    client = _connect(address)
    environment = dict(runtime_env or {})
    if working_dir is not None:
        environment["working_dir"] = working_dir
    try:
        job = client.submit_job(
            entrypoint=entrypoint(entrypoint_argv, python),
            runtime_env=environment,
            submission_id=submission_id,
        )
    except (RuntimeError, ValueError) as error:
        raise JobServerError(address, str(error)) from error
    if announce is not None:
        announce(job)
    if not follow:
        return 0

    def write_or_leave(text: str) -> None:
        try:
            write(text)
        except OSError as error:
            raise _OutputError(error) from error

    try:
        _follow(client, job, write_or_leave)
        return _exit_code(client, job)
    except (KeyboardInterrupt, SystemExit):
        _stop(client, job, write)
        raise
    except _OutputError as failed:
        raise failed.error from None
    except (OSError, RuntimeError) as error:
        # what the job client lets through when the server is gone, and its own for a status like 503
        raise JobLostError(address, job, str(error)) from error


def _connect(address: str | None) -> JobSubmissionClient:
    import logging

    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    # it tells every time that a followed log has come to its end
    logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
    # Ray's client lets the environment win over the argument, without a word
    for name in _ADDRESS_VARIABLES:
        if address is not None and os.environ.get(name, address) != address:
            raise JobServerError(address, f"{name}={os.environ[name]} would be used in its place: unset it")
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise JobServerError(
            address,
            "it asks for a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds it",
        ) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise JobServerError(address, str(error)) from error


def _stop(client: JobSubmissionClient, job: str, write: Callable[[str], object]) -> None:
    """Stop the job, or say that it may go on: whoever calls this is being interrupted, and that must not get lost."""
    try:
        client.stop_job(job)
    except (OSError, RuntimeError) as error:
        # nobody may be reading any more
        with contextlib.suppress(OSError):
            write(f"\n[job {job} could not be stopped and may go on (ray job stop {job}): {error}]\n")


def _follow(client: JobSubmissionClient, job: str, write: Callable[[str], object]) -> None:
    """Write the job's output as it comes, until it has ended; a connection that breaks is taken up again."""
    import asyncio

    written = 0
    for _ in range(_RECONNECTS):
        written, ended = asyncio.run(_tail(client, job, written, write))
        # a stream that ended by itself, of a job that ended, has told everything
        if ended and client.get_job_status(job).is_terminal():
            return
        time.sleep(_RECONNECT_SECONDS)
    write(f"\n[the log of {job} can't be read any more; waiting for its end]\n")


async def _tail(
    client: JobSubmissionClient, job: str, written: int, write: Callable[[str], object]
) -> tuple[int, bool]:
    """Write what comes after the first `written` characters of the log. How many there are now, and whether it ended."""
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


def _exit_code(client: JobSubmissionClient, job: str) -> int:
    while not (info := client.get_job_info(job)).status.is_terminal():
        time.sleep(_STATUS_EVERY_SECONDS)
    status, code = str(info.status.value), info.driver_exit_code
    if status == "SUCCEEDED":
        return 0
    # Ray calls every exit code but 0 a failure
    if status == "FAILED" and code in _SCAN_CODES:
        return int(code)
    raise JobFailedError(job, status, code, info.message or "no reason given")

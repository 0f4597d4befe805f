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
from itertools import count
from typing import TYPE_CHECKING, Any

import vyre_dist
from vyre_dist.actors.job_server import JobServerError, Warn, open_client, patiently
from vyre_dist.actors.outcome import VARIABLE, OutcomeReader
from vyre_dist.errors import UsageError, VyreError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

# What `vyre-dist scan` says by its exit code: clean, findings, bad usage, incomplete, interrupted.
_SCAN_CODES = frozenset({0, 1, 2, 3, 130})
# Of these, what says how a scan came out.
_OUTCOMES = frozenset({0, 1})
_NO_PACKAGE = 127

# The job API has nothing to wait on but its log stream, which ends a little before the status does.
_STATUS_EVERY_SECONDS = 0.25
_RECONNECT_SECONDS = 2.0
_RECONNECTS = 30

# the name under which a job has the folder that was uploaded for it
_UPLOADED = "files"


class JobLostError(VyreError):
    """The connection was lost after the job had been submitted: how it ends is not known."""

    def __init__(self, address: str | None, submission_id: str, found: str) -> None:
        super().__init__(
            f"job server {address or 'of the cluster on this machine'}: the connection was lost; "
            f"job {submission_id} may go "
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
    """A job that ended without telling a scan's outcome.

    `status` is Ray's; `exit_code` is None when its driver has none.
    """

    def __init__(self, submission_id: str, status: str, exit_code: int | None, detail: str) -> None:
        code = "" if exit_code is None else f" with exit code {exit_code}"
        super().__init__(
            f"job {submission_id} ended as {status}{code}: {detail} (its log: ray job logs "
            f"{submission_id})"
        )
        self.submission_id = submission_id
        self.status = status
        self.exit_code = exit_code


def entrypoint(
    arguments: Sequence[str], python: str = "python", *, folder: str = "", outcome: str = ""
) -> str:
    """The shell command that runs `vyre-dist ARGUMENTS…` on a cluster's node, in `folder`.

    A missing module would end Python with 1, a scan's code for "findings": so its absence is told
    apart, as 127. Python does not look for modules in the working directory (-P): it may be what is
    scanned. `outcome`: see outcome.tell.
    """
    steps = [f"cd {shlex.quote(folder)} || exit 127"] if folder else []
    steps += [f"{shlex.join([python, '-P', '-c', 'import vyre_dist'])} || exit {_NO_PACKAGE}"]
    steps += [f"export {VARIABLE}={outcome}"] if outcome else []
    return "; ".join([*steps, f"exec {shlex.join([python, '-P', '-m', 'vyre_dist', *arguments])}"])


def submit_scan(
    address: str | None,
    entrypoint_argv: Sequence[str],
    working_dir: str | None = None,
    follow: bool = True,
    *,
    ship_package: bool = False,
    python: str = "python",
    runtime_env: Mapping[str, Any] | None = None,
    submission_id: str | None = None,
    announce: Callable[[str], object] | None = None,
    write: Callable[[str], object] = sys.stdout.write,
    warn: Callable[[str], object] = lambda _: None,
) -> int:
    """Run `vyre-dist ENTRYPOINT_ARGV…` as a job on the head node; the scan's exit code.

    `address`: the job server (http://HEAD:8265, or HEAD:8265); None for RAY_ADDRESS or this
    machine's cluster. `working_dir` is uploaded, and is where the job runs; nothing is imported
    from it. Paths in the arguments are the cluster's. `ship_package`: the job and its workers run
    this vyre_dist. `announce` gets the job's id once; if `follow`, `write` gets its output (Ray
    merges the two streams) as it comes, else 0 is returned at once. `warn` gets what is wrong with
    the server for a while. Ctrl-C (KeyboardInterrupt), or SystemExit from a signal's handler, stops
    the job and is raised on. Raises JobServerError, JobLostError when the connection is lost later,
    and JobFailedError for a job that was stopped, whose driver never ran, that crashed, or that
    ended without a complete report. What `write` raises goes through, and the job goes on.
    """
    import secrets

    if working_dir is not None and not os.path.isdir(working_dir):
        raise UsageError(f"working directory {working_dir!r}: there is no such directory")
    client = open_client(address, warn)
    outcome = OutcomeReader(word := secrets.token_hex(16))
    command = entrypoint(
        entrypoint_argv,
        python,
        folder=_UPLOADED if working_dir else "",
        outcome=word if follow else "",
    )
    environment = dict(runtime_env or {})
    if ship_package:
        environment["py_modules"] = [
            *environment.get("py_modules", []),
            os.path.dirname(vyre_dist.__file__),
        ]
    try:
        job = _submit(client, command, environment, working_dir, submission_id, warn)
    except (OSError, RuntimeError, ValueError) as error:
        raise JobServerError(address, str(error)) from error
    if announce is not None:
        announce(job)
    if not follow:
        return 0

    def write_or_leave(text: str) -> None:
        try:
            write(outcome.feed(text))
        except OSError as error:
            raise _OutputError(error) from error

    try:
        _follow(client, job, write_or_leave, warn)
        return _exit_code(client, job, outcome, warn)
    except (KeyboardInterrupt, SystemExit):
        _stop(client, job, write)
        raise
    except _OutputError as failed:
        raise failed.error from None
    except (OSError, RuntimeError) as error:
        # what the job client lets through when the server is gone, and its own for a status like
        # 503
        raise JobLostError(address, job, str(error)) from error


def _submit(
    client: JobSubmissionClient,
    command: str,
    environment: dict[str, Any],
    working_dir: str | None,
    submission_id: str | None,
    warn: Warn,
) -> str:
    """Have the job submitted once, however often it takes; its id."""
    import secrets
    import tempfile

    # an id of ours: an attempt that failed in our eyes may have succeeded in the server's
    job = submission_id or f"raysubmit_{secrets.token_hex(8)}"
    attempts = count()

    def attempt() -> str:
        if next(attempts) and _known(client, job):
            return job
        return str(
            client.submit_job(entrypoint=command, runtime_env=environment, submission_id=job)
        )

    with contextlib.ExitStack() as stack:
        if working_dir is not None:
            # Ray puts the folder that is uploaded on Python's path: so it is one that has nothing
            # but the real one in it
            upload = stack.enter_context(tempfile.TemporaryDirectory(prefix="vyre-dist-upload-"))
            os.symlink(os.path.abspath(working_dir), os.path.join(upload, _UPLOADED))
            environment["working_dir"] = upload
        return patiently(attempt, warn)


def _known(client: JobSubmissionClient, job: str) -> bool:
    with contextlib.suppress(OSError, RuntimeError):
        return bool(client.get_job_status(job))
    return False


def _stop(client: JobSubmissionClient, job: str, write: Callable[[str], object]) -> None:
    """Stop the job, or say that it may go on.

    It does not raise: its caller is being interrupted, and that must not get lost.
    """
    try:
        client.stop_job(job)
    except (OSError, RuntimeError) as error:
        # nobody may be reading any more
        with contextlib.suppress(OSError):
            write(
                f"\n[job {job} could not be stopped and may go on (ray job stop {job}): {error}]\n"
            )


def _follow(
    client: JobSubmissionClient, job: str, write: Callable[[str], object], warn: Warn
) -> None:
    """Write the job's output as it comes, until it has ended; connect again where that breaks."""
    import asyncio

    written = 0
    for _ in range(_RECONNECTS):
        written, ended = asyncio.run(_tail(client, job, written, write))
        # a stream that ended by itself, of a job that ended, has told everything
        if ended and patiently(lambda: client.get_job_status(job), warn).is_terminal():
            return
        time.sleep(_RECONNECT_SECONDS)
    write(f"\n[the log of {job} can't be read any more; waiting for its end]\n")


async def _tail(
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


def _exit_code(client: JobSubmissionClient, job: str, outcome: OutcomeReader, warn: Warn) -> int:
    import asyncio

    while not (info := patiently(lambda: client.get_job_info(job), warn)).status.is_terminal():
        time.sleep(_STATUS_EVERY_SECONDS)
    status, code = str(info.status.value), info.driver_exit_code
    if status == "SUCCEEDED":
        code = 0
    # Ray calls every exit code but 0 a failure
    if status not in ("SUCCEEDED", "FAILED") or code not in _SCAN_CODES:
        detail = info.message or "no reason given"
        if code == _NO_PACKAGE:
            detail = (
                f"vyre-dist is not installed there (submit --ship-package brings it along): "
                f"{detail}"
            )
        raise JobFailedError(job, status, code, detail)
    if code not in _OUTCOMES:
        return int(code)
    if outcome.code is None:
        # it may be in what was lost when the connection broke
        asyncio.run(_tail(client, job, 0, outcome.feed))
    if outcome.code is None:
        raise JobFailedError(
            job,
            status,
            code,
            "it never said that its report is complete, so that is not the scan's exit code",
        )
    return outcome.code

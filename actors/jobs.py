"""Scans as Ray jobs: submit one to a cluster, follow it, and get its exit code.

Cheap to import: Ray is loaded when a function that needs it is called.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import vyre_dist
from vyre_dist.actors.job_following import (
    NO_PACKAGE,
    JobFailedError,
    JobLostError,
    follow_to_its_end,
)
from vyre_dist.actors.job_server import JobServerError, Warn, open_client, patiently
from vyre_dist.actors.outcome import VARIABLE
from vyre_dist.errors import UsageError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["OUTCOME_WORD", "JobFailedError", "JobLostError", "entrypoint", "submit_scan"]

OUTCOME_WORD = "vyre_dist_outcome"
"""The field of a job's metadata that has the outcome's word: who follows the job later needs it.
What is scanned can't know it.
"""

# the name under which a job has the folder that was uploaded for it
_UPLOADED = "files"


def entrypoint(
    arguments: Sequence[str], python: str = "python", *, folder: str = "", outcome: str = ""
) -> str:
    """The shell command that runs `vyre-dist ARGUMENTS…` on a cluster's node, in `folder`.

    A missing module would end Python with 1, a scan's code for "findings": so its absence is told
    apart, as 127. Python does not look for modules in the working directory (-P): it may be what is
    scanned. `outcome`: see outcome.tell.
    """
    steps = [f"cd {shlex.quote(folder)} || exit 127"] if folder else []
    steps += [f"{shlex.join([python, '-P', '-c', 'import vyre_dist'])} || exit {NO_PACKAGE}"]
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
    word = secrets.token_hex(16)
    command = entrypoint(
        entrypoint_argv,
        python,
        folder=_UPLOADED if working_dir else "",
        outcome=word,
    )
    environment = dict(runtime_env or {})
    if ship_package:
        environment["py_modules"] = [
            *environment.get("py_modules", []),
            os.path.dirname(vyre_dist.__file__),
        ]
    try:
        job = _submit(client, command, environment, working_dir, submission_id, word, warn)
    except (OSError, RuntimeError, ValueError) as error:
        raise JobServerError(address, str(error)) from error
    if announce is not None:
        announce(job)
    if not follow:
        return 0

    try:
        return follow_to_its_end(client, address, job, word, write, warn)
    except (KeyboardInterrupt, SystemExit):
        _stop(client, job, write)
        raise


def _submit(
    client: JobSubmissionClient,
    command: str,
    environment: dict[str, Any],
    working_dir: str | None,
    submission_id: str | None,
    word: str,
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
            client.submit_job(
                entrypoint=command,
                runtime_env=environment,
                submission_id=job,
                metadata={OUTCOME_WORD: word},
            )
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
                f"\n[job {job} could not be stopped and may go on (vyre-dist jobs stop {job}): "
                f"{error}]\n"
            )

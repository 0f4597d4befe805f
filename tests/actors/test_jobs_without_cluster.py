"""Jobs without a cluster: addresses, job servers that fail, interrupts, entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from ray_head import ROOT

from vyre_dist.actors.job_server import JobServerError
from vyre_dist.actors.jobs import JobLostError, entrypoint, submit_scan
from vyre_dist.errors import UsageError


@pytest.mark.parametrize("variable", ["RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"])
def test_an_address_in_the_environment_does_not_win_unsaid(monkeypatch, variable: str) -> None:
    """Ray would submit to the environment's cluster in place of the one that was named: that is
    refused.
    """
    monkeypatch.setenv(variable, "http://other.example:8265")
    with pytest.raises(JobServerError, match=variable) as caught:
        submit_scan("http://head.example:8265", ["scan", "."])
    assert caught.value.address == "http://head.example:8265"


class FailingClient:
    """Takes a job, and raises `status` for the job's state, and `stop` for stopping it."""

    def __init__(self, status: BaseException, stop: Exception | None = None) -> None:
        self.status, self.stop = status, stop
        self.stopped: list[str] = []

    def submit_job(self, **_: object) -> str:
        return "job-7"

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        yield f"log of {job}\n"

    def get_job_status(self, job: str) -> None:
        raise self.status

    def stop_job(self, job: str) -> None:
        self.stopped.append(job)
        if self.stop is not None:
            raise self.stop


@pytest.mark.parametrize(
    "status", [RuntimeError("Request failed with status code 503: …"), OSError("gone")]
)
def test_a_failing_job_server_is_no_bug(monkeypatch, status: Exception) -> None:
    """What the client raises for HTTP 5xx, or a lost connection, names the job that may go on;
    nobody used it wrongly.
    """
    client = FailingClient(status)
    monkeypatch.setattr("vyre_dist.actors.jobs.open_client", lambda *_: client)
    monkeypatch.setattr("vyre_dist.actors.job_server.PATIENCE_SECONDS", 0.0)
    with pytest.raises(JobLostError, match=r"job job-7 may go on .*(503|gone)") as caught:
        submit_scan("http://head.example:8265", ["scan", "."], write=lambda _: None)
    assert caught.value.__cause__ is status
    assert (caught.value.submission_id, isinstance(caught.value, UsageError)) == ("job-7", False)
    assert client.stopped == []


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device")]
)
def test_an_output_that_takes_no_more_is_no_lost_connection(monkeypatch, error: OSError) -> None:
    """What writing the job's output raises comes out as it is."""
    client = FailingClient(RuntimeError("never asked"))
    monkeypatch.setattr("vyre_dist.actors.jobs.open_client", lambda *_: client)

    def write(_: str) -> None:
        raise error

    with pytest.raises(OSError) as caught:
        submit_scan("http://head.example:8265", ["scan", "."], write=write)
    assert caught.value is error
    assert client.stopped == []


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(143)])
@pytest.mark.parametrize("stop", [RuntimeError("status code 502"), OSError("gone"), None])
def test_a_job_that_cannot_be_stopped_hides_no_interrupt(
    monkeypatch, interrupt: BaseException, stop: Exception | None
) -> None:
    """The interrupt comes out whether or not the job could be stopped; if not, that is said."""
    client, said = FailingClient(interrupt, stop), list[str]()
    monkeypatch.setattr("vyre_dist.actors.jobs.open_client", lambda *_: client)
    with pytest.raises(type(interrupt)) as caught:
        submit_scan("http://head.example:8265", ["scan", "."], write=said.append)
    assert caught.value is interrupt
    assert client.stopped == ["job-7"]
    assert ("job-7 could not be stopped" in "".join(said)) is (stop is not None)


@pytest.mark.parametrize(
    "arguments", [["scan", "/data"], ["scan", "a b", "it's", "$HOME", "*", "", "--x=;ls"]]
)
def test_the_entry_point_keeps_arguments_apart(tmp_path, arguments: list[str]) -> None:
    """A shell, which Ray runs jobs with, hands on what was given, whatever is in it."""
    python = tmp_path / "pyth on"
    python.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    python.chmod(0o700)
    said = subprocess.run(
        ["sh", "-c", entrypoint(arguments, str(python))], capture_output=True, check=True
    )
    given = said.stdout.decode().split("\0")
    assert given == [*("-P", "-c", "import vyre_dist"), *("-P", "-m", "vyre_dist"), *arguments, ""]


def test_a_missing_package_is_no_finding() -> None:
    """Where vyre_dist cannot be imported the job ends with 127, not with the 1 that means
    findings.
    """
    assert subprocess.run(["sh", "-c", entrypoint(["scan"], "false")]).returncode == 127


@pytest.mark.parametrize(
    ("variable", "inside"), [("RAY_JOB_CONFIG_JSON_ENV_VAR", True), ("RAY_ADDRESS", False)]
)
def test_what_makes_a_job(variable: str, inside: bool) -> None:
    """Ray tells a job's driver so; an address alone, which may be there for submitting, is no
    job.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    code = (
        "import sys; from vyre_dist.actors.ray_job import in_ray_job; print(in_ray_job(), 'ray' in "
        "sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": str(ROOT), variable: "x"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(inside), "False"]

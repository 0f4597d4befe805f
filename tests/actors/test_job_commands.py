"""`vyre-dist jobs` on a real head: status, log and end of jobs that nobody waits for; and which of
them Ray shows as failed.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_head import JOB_TIMEOUT_S, Head

from vyre_dist.actors import job_following
from vyre_dist.actors.job_commands import job_log, job_state

CLEAN, FINDINGS, USAGE, INTERRUPTED = 0, 1, 2, 130


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A scan with one finding, in its own process."""
    folder = tmp_path_factory.mktemp("scanned")
    (folder / "rules.toml").write_text('[[rules]]\nid = "key"\nregex = "AKIA[0-9A-Z]{16}"\n')
    (folder / "in").mkdir()
    (folder / "in" / "a").write_text(f"AKIA{'C' * 16}\n")
    options = ["--rules", str(folder / "rules.toml"), "--backend", "cpu", "--no-cache"]
    return ["scan", str(folder / "in"), *options, "--pool", "local", "--format", "jsonl"]


def submitted(head: Head, *arguments: str) -> str:
    """The id of a job that nobody waits for."""
    done = head.vyre("submit", "--address", head.http, "--no-wait", "--", *arguments)
    assert done.returncode == CLEAN, done.stderr
    return done.stdout.strip()


def jobs(head: Head, *arguments: str) -> subprocess.CompletedProcess[str]:
    return head.vyre("jobs", *arguments, "--address", head.http)


def state(head: Head, job: str) -> dict[str, object]:
    done = jobs(head, "status", job, "--json")
    assert done.returncode == CLEAN, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        pytest.param([], "SUCCEEDED", id="plain"),
        pytest.param(["--exit-code"], "FAILED", id="asked", marks=pytest.mark.nightly),
    ],
)
def test_findings_are_no_failure_unless_asked(head, arguments, asked, status: str) -> None:
    """Whoever follows the job later gets the scan's log and exit code; Ray shows it as failed only
    with --exit-code.
    """
    job = submitted(head, *arguments, *asked)
    followed = jobs(head, "logs", job, "--follow")
    assert followed.returncode == FINDINGS, followed.stdout + followed.stderr
    assert '"type":"finding"' in followed.stdout and "exit code" not in followed.stdout
    told = state(head, job)
    assert (told["job"], told["status"], told["exit_code"]) == (job, status, FINDINGS)
    assert isinstance(told["seconds"], float)
    line = jobs(head, "status", job).stdout
    assert line.startswith(f"{job}: {status}, ran for ") and "exit code 1 (findings)" in line
    again = jobs(head, "logs", job)
    assert (again.returncode, again.stdout) == (CLEAN, followed.stdout)


@pytest.mark.nightly
def test_the_log_of_a_long_job_is_a_stream(head, arguments, monkeypatch) -> None:
    """It says the same as the log of a short one, which is asked for as a whole."""
    job = submitted(head, *arguments)
    for name, value in head.token.items():
        monkeypatch.setenv(name, value)
    told: list[tuple[int, str]] = []
    for seconds in (job_following.SHORT_SECONDS, 0.0):
        monkeypatch.setattr(job_following, "SHORT_SECONDS", seconds)
        log: list[str] = []
        code = job_log(head.http, job, log.append, lambda _: None, follow=True)
        told.append((code, "".join(log)))
        assert job_state(head.http, job, lambda _: None).exit_code == FINDINGS
    assert told[0] == told[1] and told[0][0] == FINDINGS
    assert '"type":"finding"' in told[0][1]


def test_submit_gives_the_scans_code_either_way(head, arguments) -> None:
    """What Ray shows changes nothing for who waits."""
    done = head.vyre("submit", "--address", head.http, "--", *arguments, "--exit-code")
    assert done.returncode == FINDINGS, done.stdout + done.stderr


def test_jobs_of_rays_own_clients_end_well_with_findings(head, arguments) -> None:
    """They have nothing but Ray's status; bad usage stays a failure."""
    cases = {"": "SUCCEEDED", "--exit-code": "FAILED", "--no-such-option": "FAILED"}
    jobs = {}
    for more in cases:
        entrypoint = shlex.join(
            ["python", "-m", "vyre_dist", *arguments, *([more] if more else [])]
        )
        answer = head.ask("POST", "/api/jobs/", json={"entrypoint": entrypoint})
        jobs[more] = answer.json()["submission_id"]
    until = time.monotonic() + JOB_TIMEOUT_S
    states = dict.fromkeys(cases, "PENDING")
    while set(states.values()) & {"PENDING", "RUNNING"} and time.monotonic() < until:
        time.sleep(0.25)  # the job server offers nothing to wait on
        states = {
            more: head.ask("GET", f"/api/jobs/{job}").json()["status"] for more, job in jobs.items()
        }
    assert states == cases


def test_outside_of_a_job_the_option_changes_nothing(head, arguments) -> None:
    """A scan from the shell ends with 1 where it found something."""
    assert head.vyre(*arguments, "--exit-code").returncode == FINDINGS


@pytest.fixture
def waiting_job(head, arguments, tmp_path: Path) -> Iterator[str]:
    """A job that has begun, and waits for its list of files."""
    names = tmp_path / "names"
    os.mkfifo(names)
    # the list in place of the folder
    job = submitted(head, "scan", "--files-from", str(names), *arguments[2:])
    opened: list[int] = []
    writer = threading.Thread(
        target=lambda: opened.append(os.open(names, os.O_WRONLY)), daemon=True
    )
    writer.start()
    writer.join(JOB_TIMEOUT_S)
    assert opened, "the job never began"
    yield job
    os.close(opened[0])


def test_ctrl_c_leaves_the_job_alone_and_stop_ends_it(head, waiting_job: str) -> None:
    """Who follows a log did not start the job: it goes on. `stop` waits for the end; the job is
    stopped then, and stopping it again changes nothing.
    """
    follower = subprocess.Popen(
        [
            *(sys.executable, "-m", "vyre_dist", "jobs", "logs", waiting_job),
            *("--follow", "--address", head.http),
        ],
        env=head.environment | head.token,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    assert follower.stdout.readline()  # the job's first words: it is being followed
    follower.send_signal(signal.SIGINT)
    follower.communicate(timeout=JOB_TIMEOUT_S)
    assert follower.returncode == INTERRUPTED
    running = state(head, waiting_job)
    assert (running["status"], running["exit_code"]) == ("RUNNING", None)
    for _ in range(2):
        done = jobs(head, "stop", waiting_job, "--json")
        assert done.returncode == CLEAN, done.stderr
        assert json.loads(done.stdout)["status"] == "STOPPED"


@pytest.mark.parametrize("command", ["status", "logs", "stop"])
def test_an_unknown_job_is_bad_usage(head, command: str) -> None:
    """The message names the job, and what to give."""
    began = time.monotonic()
    done = jobs(head, command, "raysubmit_nobody")
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert "raysubmit_nobody" in done.stderr and "--address" in done.stderr
    assert time.monotonic() - began < 25, "it was asked for again and again"


def test_without_a_token_nothing_is_told(head) -> None:
    """As for `submit`, the message says which variables give it."""
    done = head.vyre("jobs", "status", "raysubmit_nobody", "--address", head.http, token=False)
    assert done.returncode == USAGE and "RAY_AUTH_TOKEN_PATH" in done.stderr

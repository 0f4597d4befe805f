"""Scans as jobs on a real Ray head with token authentication, through the command line as a user
would.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from long_runs import nightly
from ray_head import JOB_TIMEOUT_S, ROOT, Head, free_ports

import vyre_dist

CLEAN, FINDINGS, USAGE, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of one rule."""
    path = tmp_path_factory.mktemp("rules") / "rules.toml"
    path.write_text('[[rules]]\nid = "key"\nregex = "AKIA[0-9A-Z]{16}"\nkeywords = ["akia"]\n')
    return path


@pytest.fixture(scope="module")
def scan_options(rules: Path) -> list[str]:
    return ["--rules", str(rules), "--backend", "cpu", "--no-cache", "--progress", "never"]


@pytest.fixture(scope="module")
def expected(head: Head, corpus: Path, scan_options: list[str]) -> list[dict[str, object]]:
    """What local processes find."""
    done = head.vyre("scan", str(corpus), *scan_options, "--pool", "local", "--format", "jsonl")
    assert done.returncode == FINDINGS, done.stderr + head.said("ray_client_server*")
    found = read_findings(done.stdout)
    assert len(found) > 100
    return found


def read_findings(text: str) -> list[dict[str, object]]:
    """The findings among lines of which some are no JSON."""
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [row for row in rows if row["type"] == "finding"]


def test_submit_gives_the_findings_and_the_exit_code(
    head, corpus, expected, tmp_path, scan_options
) -> None:
    """`vyre-dist submit` follows a job that picked Ray by itself; its findings and exit code are
    the local scan's.
    """
    out, report = tmp_path / "found.jsonl", tmp_path / "report.json"
    arguments = ["scan", str(corpus), *scan_options, "--report", str(report)]
    done = head.vyre(
        "submit", "--address", head.http, "--", *arguments, "-j", "1", "--format", f"jsonl={out}"
    )
    assert done.returncode == FINDINGS, done.stdout + done.stderr
    assert read_findings(out.read_text()) == expected
    assert json.loads(report.read_text())["pool"] == "ray"


@pytest.mark.nightly
def test_rays_own_job_submit_does_it_too(head, corpus, expected, scan_options) -> None:
    """The same command line as a plain `ray job submit`; the findings are in the job's log."""
    scan = ["scan", str(corpus), *scan_options, "-j", "2", "--format", "jsonl"]
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "ray.scripts.scripts",
                "job",
                "submit",
                "--address",
                head.http,
                "--log-color=false",
            ),
            *("--", "python", "-m", "vyre_dist", *scan),
        ],
        capture_output=True,
        text=True,
        timeout=JOB_TIMEOUT_S,
        env=head.environment | head.token,
    )
    assert done.returncode == CLEAN, "to Ray, findings are no failure"
    assert read_findings(done.stdout) == expected


def test_a_bad_command_line_is_a_usage_error(head) -> None:
    """Ray calls it a failed job; the shell still gets 2, and the reason is in the streamed log."""
    done = head.vyre("submit", "--address", head.http, "--", "scan", "--no-such-option")
    assert done.returncode == USAGE
    assert "--no-such-option" in done.stdout


def test_the_package_can_be_sent_along(head, tmp_path, scan_options) -> None:
    """With --ship-package driver and workers of a job run the vyre_dist that submitted it; a
    relative path is one in the folder that was uploaded.
    """
    shipped = tmp_path / "shipped"
    package = Path(vyre_dist.__file__).parent
    for source in package.rglob("*"):
        copy_into(source, shipped / "vyre_dist" / source.relative_to(package))
    # the links that hold two of its folders
    for linked in ("actors", "kernels"):
        for source in (ROOT / linked).rglob("*"):
            copy_into(source, shipped / "vyre_dist" / linked / source.relative_to(ROOT / linked))
    init = shipped / "vyre_dist" / "__init__.py"
    init.write_text(init.read_text().replace('__version__ = "', '__version__ = "7.7.7+shipped.'))
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "data" / "in" / "a").write_text(f"AKIA{'C' * 16}\n")
    main = shipped / "vyre_dist" / "__main__.py"
    main.write_text(
        main.read_text().replace("    main()", '    print("this is the shipped one")\n    main()')
    )
    done = head.vyre(
        *(
            "submit",
            "--address",
            head.http,
            "--working-dir",
            str(tmp_path / "data"),
            "--ship-package",
            "--",
        ),
        *("scan", "in", *scan_options, "-j", "1", "--format", "jsonl"),
        cwd=tmp_path,
        PYTHONPATH=str(shipped),
    )
    # a worker of another version than the driver's would have been refused
    assert done.returncode == FINDINGS, done.stdout + done.stderr
    # the one that submits, and the one that scans
    assert done.stdout.count("this is the shipped one") == 2
    (found,) = read_findings(done.stdout)
    assert found["path"] == "in/a"


def copy_into(source: Path, target: Path) -> None:
    if source.is_file() and "__pycache__" not in source.parts:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (signal.SIGINT, INTERRUPTED),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.nightly),
    ],
)
def test_an_interrupt_stops_the_job(
    head, tmp_path, sent: signal.Signals, code: int, scan_options
) -> None:
    """Ctrl-C, or SIGTERM, while it follows: submit stops the job on the cluster and says 130, or
    143.
    """
    # the scan waits for its list of files, until somebody opens this for writing
    names = tmp_path / "names"
    os.mkfifo(names)
    submit = subprocess.Popen(
        [
            *(sys.executable, "-m", "vyre_dist", "submit", "--address", head.http, "--"),
            *("scan", "--files-from", str(names), *scan_options, "--pool", "local"),
        ],
        env=head.environment | head.token,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    opened: list[int] = []
    writer = threading.Thread(
        target=lambda: opened.append(os.open(names, os.O_WRONLY)), daemon=True
    )
    writer.start()
    writer.join(JOB_TIMEOUT_S)
    assert opened, "the job never began"
    job = scan_processes(names)
    assert job
    submit.send_signal(sent)
    output, _ = submit.communicate(timeout=JOB_TIMEOUT_S)
    assert submit.returncode == code, output
    _, alive = psutil.wait_procs(job, timeout=JOB_TIMEOUT_S)
    os.close(opened[0])
    assert not alive


def scan_processes(argument: Path) -> list[psutil.Process]:
    """The processes of the job that has `argument` on its command line, without the one that
    submitted it.
    """
    return [
        p
        for p in psutil.process_iter(["cmdline"])
        if str(argument) in (p.info["cmdline"] or ()) and "submit" not in p.info["cmdline"]
    ]


def test_no_wait_names_the_job_and_leaves(head) -> None:
    """With --no-wait the job's id is all of the output, and Ray knows it."""
    done = head.vyre("submit", "--address", head.http, "--no-wait", "--", "--version")
    assert done.returncode == CLEAN
    assert head.ask("GET", f"/api/jobs/{done.stdout.strip()}").status_code == 200


@pytest.mark.parametrize(("output", "said"), [("closed", ""), ("full", "No space left on device")])
def test_an_output_that_cannot_be_written_is_exit_code_3(head, output: str, said: str) -> None:
    """As for a scan: a reader that has left is not worth a word, a full disk is; neither is bad
    usage.
    """
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [
                *(sys.executable, "-u", "-m", "vyre_dist", "submit", "--address", head.http),
                "--",
                "--help",
            ],
            env=head.environment | head.token,
            stdout=writer if output == "closed" else full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=JOB_TIMEOUT_S,
        )
    os.close(writer)
    assert done.returncode == INCOMPLETE, done.stderr
    # the first line is the job's id
    (job, *rest) = done.stderr.splitlines()
    assert job.startswith("raysubmit_")
    assert len(rest) == bool(said) and said in done.stderr


def test_the_job_server_asks_for_the_token(head) -> None:
    """Without the token nothing is run, and the message says which variables to set."""
    done = head.vyre("submit", "--address", head.http, "--", "--version", token=False)
    assert done.returncode == USAGE
    assert "RAY_AUTH_TOKEN_PATH" in done.stderr


def test_no_job_server_is_a_usage_error(head) -> None:
    """An address where nobody listens is named."""
    (port,) = free_ports(1)
    done = head.vyre("submit", "--address", f"http://127.0.0.1:{port}", "--", "--version")
    assert done.returncode == USAGE
    assert port in done.stderr


_FOREIGN = """
import sys
from vyre_dist.actors.jobs import JobFailedError, submit_scan
try:
    submit_scan(sys.argv[1], ["scan", "."], python="false")
except JobFailedError as error:
    print(error.status, error.exit_code)
"""


def test_a_job_that_never_scanned_has_no_scans_exit_code(head) -> None:
    """A node without the package is a failed job, with what the shell said, and not a scan that
    found something.
    """
    done = subprocess.run(
        [sys.executable, "-c", _FOREIGN, head.http],
        env=head.environment | head.token,
        capture_output=True,
        text=True,
        timeout=JOB_TIMEOUT_S,
    )
    assert done.stdout.splitlines()[-1] == "FAILED 127", done.stdout + done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("code", [CLEAN, *nightly(FINDINGS)])
def test_a_job_that_told_no_outcome_has_none(head, tmp_path, code: int) -> None:
    """A driver that ends with a scan's 0 or 1, as one that Ray ends does, is no scan that came to
    its end.
    """
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$2" = -c ] || {{ echo "$4 began"; exit {code}; }}\n')
    python.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", _FOREIGN.replace('"false"', "sys.argv[2]"), head.http, str(python)],
        env=head.environment | head.token,
        capture_output=True,
        text=True,
        timeout=JOB_TIMEOUT_S,
    )
    status = "SUCCEEDED" if code == CLEAN else "FAILED"
    *log, last = done.stdout.splitlines()
    # Ray's agent writes to the same log, before or after it
    assert "scan began" in log and last == f"{status} {code}", done.stdout + done.stderr


@pytest.mark.nightly
def test_the_outcome_is_not_part_of_the_output(head, scan_options, tmp_path) -> None:
    """What a job tells `submit` is taken out of its log, whose last line is the scan's own
    again.
    """
    (tmp_path / "a").write_text("nothing")
    done = head.vyre(
        "submit", "--address", head.http, "--", "scan", str(tmp_path), *scan_options, "-j", "1"
    )
    assert done.returncode == CLEAN, done.stderr
    assert "[vyre-dist" not in done.stdout
    counts, workers = done.stdout.splitlines()[-2:]
    assert counts.startswith("0 findings in 1 document") and workers.startswith("workers: 1"), (
        done.stdout
    )


_SHIPPED = """
import json, sys
import ray
from vyre_dist.actors.cluster import connect, this_package
connect(sys.argv[1], local_cpus=1, local_gpus=0, runtime_env=this_package(), log_to_driver=False)

@ray.remote(num_cpus=1)
def homes():
    import vyre_dist, vyre_dist.actors.scan_actor, vyre_dist.kernels.backends
    return [m.__file__ for m in (vyre_dist, vyre_dist.actors.scan_actor, vyre_dist.kernels.backends)]

print(json.dumps(ray.get(homes.remote())))
"""


def test_this_package_can_be_brought_along(head, tmp_path) -> None:
    """With this_package() workers import the uploaded vyre_dist, the folders behind links
    included.
    """
    done = subprocess.run(
        [sys.executable, "-c", _SHIPPED, head.gcs],
        cwd=tmp_path,
        env=head.environment | head.token,
        capture_output=True,
        text=True,
        timeout=JOB_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    homes = json.loads(done.stdout)
    assert len(homes) == 3
    assert all("/py_modules_files/" in home for home in homes)


@pytest.mark.parametrize("kind", ["gcs", *nightly("client")])
def test_scan_from_outside_the_cluster(head, corpus, expected, kind: str, scan_options) -> None:
    """`scan --address` works on a cluster as HOST:PORT and through Ray Client, without a job; what
    Ray says is shown where it is asked for.
    """
    done = head.vyre(
        *(
            "scan",
            str(corpus),
            *scan_options,
            "--address",
            getattr(head, kind),
            "--ray-output",
            "-j",
            "1",
            "-f",
            "jsonl",
        )
    )
    assert done.returncode == FINDINGS, done.stderr + head.said("ray_client_server*")
    assert kind != "gcs" or "Connecting to existing Ray cluster" in done.stderr
    assert read_findings(done.stdout) == expected

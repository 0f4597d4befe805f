"""A Ray head of a test's own: `ray start --head` in a process, with ports, a home and a token that
nobody else has.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60.0
JOB_TIMEOUT_S = 120.0


@dataclass
class Head:
    """A running head node. `environment` is a client's, without the token, which is "" for a head
    that asks for none. `metrics`: where Prometheus would ask.
    """

    process: subprocess.Popen[bytes]
    http: str
    gcs: str
    client: str
    environment: dict[str, str]
    token: dict[str, str]
    logs: Path
    metrics: str

    def said(self, pattern: str) -> str:
        """The ends of what Ray's processes whose logs are called so have written."""
        return "\n".join(
            f"{log.name}:\n{log.read_text()[-3000:]}" for log in sorted(self.logs.glob(pattern))
        )

    def vyre(
        self, *arguments: str, token: bool = True, cwd: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run vyre-dist to its end; `more` goes into its environment."""
        return subprocess.run(
            [sys.executable, "-m", "vyre_dist", *arguments],
            capture_output=True,
            text=True,
            timeout=JOB_TIMEOUT_S,
            cwd=cwd,
            env=self.environment | (self.token if token else {}) | more,
        )

    def ask(self, method: str, path: str, **more: object) -> requests.Response:
        """What the job server answers, without any client."""
        token = Path(self.token["RAY_AUTH_TOKEN_PATH"]).read_text() if self.token else ""
        return requests.request(
            method,
            f"{self.http}{path}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            **more,  # type: ignore[arg-type]
        )

    def nodes(self) -> set[str]:
        """The ids of the cluster's nodes that live."""
        told = self.ask("GET", "/nodes?view=summary").json()["data"]["summary"]
        return {node["raylet"]["nodeId"] for node in told if node["raylet"].get("state") == "ALIVE"}

    def processes(self) -> list[psutil.Process]:
        """Ray's processes, and what they have started."""
        return psutil.Process(self.process.pid).children(recursive=True)


def free_ports(count: int) -> list[str]:
    """TCP ports that are free, and that nobody is given unasked.

    Ray's workers take 10002 to 19999, its servers of clients 23000 to 23999, and its other servers,
    as they start, those that the system hands out (from 32768 on).
    """
    found: list[str] = []
    for port in random.sample(range(24_000, 32_768), 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(str(port))
        if len(found) == count:
            return found
    raise AssertionError("a thousand ports are taken")


def client_environment(
    temporary: Path, home: Path, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a process has that is to know of no other cluster; `home` is made."""
    home.mkdir(parents=True, exist_ok=True)
    # PYTHONSAFEPATH: a test that has imported the command has it, and it would hide what the
    # command is to do
    return {
        k: v for k, v in os.environ.items() if not k.startswith("RAY_") and k != "PYTHONSAFEPATH"
    } | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_TMPDIR": str(temporary),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONWARNINGS": "ignore",
        "HOME": str(home),
        **(more or {}),
    }


@contextlib.contextmanager
def running_head(
    folder: Path,
    temporary: Path,
    *,
    token: bool = True,
    environment: Mapping[str, str] | None = None,
    cpus: int = 2,
) -> Iterator[Head]:
    """`ray start --head --block` with some CPUs. `temporary`: for Ray's own files, with a short
    path.
    """
    dashboard, gcs, client, agent, agent_grpc, metrics, runtime_env = free_ports(7)
    home = folder / "home"
    of_all = client_environment(temporary, home, environment)
    with_token: dict[str, str] = {}
    if token:
        (folder / "token").write_text(secrets.token_hex(32))
        with_token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    # as in cluster.yaml: without it many a start of a client's server fails on a busy machine
    # (Ray's issue 63202)
    of_the_head = {"GRPC_ENABLE_FORK_SUPPORT": "0"}
    command = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        f"--num-cpus={cpus}",
    ]
    command += ["--node-ip-address=127.0.0.1", f"--port={gcs}"]
    command += [f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    command += [
        f"--dashboard-agent-listen-port={agent}",
        f"--dashboard-agent-grpc-port={agent_grpc}",
    ]
    command += [f"--metrics-export-port={metrics}", f"--runtime-env-agent-port={runtime_env}"]
    command += ["--object-store-memory=100000000"]
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=of_all | with_token | of_the_head, stdout=out, stderr=out, cwd=home
        )
    head = Head(
        process,
        f"http://127.0.0.1:{dashboard}",
        f"127.0.0.1:{gcs}",
        f"ray://127.0.0.1:{client}",
        of_all,
        with_token,
        temporary / "ray" / "session_latest" / "logs",
        f"http://127.0.0.1:{metrics}/metrics",
    )
    try:
        wait_until_it_takes_jobs(int(dashboard), head, log)
        yield head
    finally:
        if process.poll() is None:
            end_at_once(process)


@contextlib.contextmanager
def running_node(head: Head, folder: Path, cpus: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """`ray start --address --block`: one more node of the head's cluster, on this machine."""
    agent, agent_grpc, metrics, runtime_env = free_ports(4)
    folder.mkdir()
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={head.gcs}"),
        *("--block", f"--num-cpus={cpus}", "--node-ip-address=127.0.0.1"),
        *(f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"),
        *(f"--metrics-export-port={metrics}", f"--runtime-env-agent-port={runtime_env}"),
        # as those of all nodes are this machine's
        *("--min-worker-port=0", "--max-worker-port=0", "--object-store-memory=100000000"),
    ]
    known = head.nodes()
    with (folder / "log").open("wb") as out:
        process = subprocess.Popen(
            command, env=head.environment | head.token, stdout=out, stderr=out, cwd=folder
        )
    try:
        until = time.monotonic() + START_TIMEOUT_S
        while not head.nodes() - known:
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"a node did not start:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.25)  # the head offers nothing to wait on
        yield process
    finally:
        if process.poll() is None:
            end_at_once(process)


def end_at_once(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all below it: Ray's own way of ending takes seconds."""
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    # whoever stands still starts nobody
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGSTOP)
    for member in [*family, *psutil.Process(process.pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait(START_TIMEOUT_S)
    psutil.wait_procs(family[1:], timeout=START_TIMEOUT_S)


def wait_until_it_takes_jobs(port: int, head: Head, log: Path) -> None:
    """Return when the job server answers; the head offers nothing to wait on."""
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and head.process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        except OSError:
            time.sleep(0.25)
    pytest.fail(f"Ray's head did not start:\n{log.read_text()[-3000:]}")

"""Joining and starting clusters: addresses, the token's file, and what a fresh local cluster leaves
behind.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from namespaces import NO_PASSWD, with_mounts

from vyre_dist.actors.authentication import protect_token_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    """An empty HOME, and nothing said about tokens."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_token_is_its_owners(home: Path) -> None:
    """A missing token is made with mode 0600, whatever the umask; 256 bits in Ray's format."""
    before = os.umask(0)
    try:
        protect_token_file()
    finally:
        os.umask(before)
    token = home / ".ray" / "auth_token"
    assert mode_of(token) == 0o600
    assert len(bytes.fromhex(token.read_text())) == 32


def test_an_old_token_is_kept_and_closed(home: Path) -> None:
    """A token that everybody could read keeps its value, and becomes its owner's."""
    token = home / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("t0ken")
    token.chmod(0o644)
    protect_token_file()
    assert (token.read_text(), mode_of(token)) == ("t0ken", 0o600)


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "t"), ("RAY_AUTH_TOKEN_PATH", "/nowhere")],
)
def test_other_arrangements_are_left_alone(home: Path, monkeypatch, name: str, value: str) -> None:
    """Who has said where the token is, or that there is none, gets no file."""
    monkeypatch.setenv(name, value)
    protect_token_file()
    assert not (home / ".ray").exists()


@pytest.mark.parametrize("fault", ["no folder", "a file for the folder", "an empty token"])
def test_a_token_that_can_not_be_kept_is_told(home: Path, monkeypatch, fault: str) -> None:
    """No home folder to write to, something in the way, an empty file: OSError, and nothing is left
    half written.
    """
    if fault == "no folder":
        monkeypatch.setenv("HOME", "/proc/nobody")
    elif fault == "a file for the folder":
        (home / ".ray").touch()
    else:
        (home / ".ray").mkdir()
        (home / ".ray" / "auth_token").touch(0o600)
    with pytest.raises(OSError, match=r"nobody|\.ray"):
        protect_token_file()


def test_a_local_cluster_needs_no_home(home: Path, ray_places: Path, corpus: Path) -> None:
    """Without HOME, a passwd entry and a place for Ray's token a cluster is started all the same,
    and guarded by one.
    """
    pack = home / "p.toml"
    pack.write_text(
        "schema = 1\n[[rules]]\nid = 'key'\nregex = 'AKIA[0-9A-Z]{16}'\nkeywords = ['AKIA']\n"
    )
    command = [sys.executable, "-m", "vyre_dist", "scan", "-r", str(pack), "-f", "jsonl"]
    command += [
        "--progress",
        "never",
        "--pool",
        "ray",
        "--address",
        "local",
        "-j",
        "1",
        str(corpus),
    ]
    own = {"PATH": os.environ["PATH"], "RAY_TMPDIR": str(ray_places), "TMPDIR": str(home)}
    without = subprocess.run(
        with_mounts(NO_PASSWD, command),
        env=own,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=home,
    )
    lines = [json.loads(line) for line in without.stdout.splitlines()]
    assert without.returncode == 1 and lines[-1]["complete"] and lines[-1]["pool"] == "ray", (
        without.stderr
    )
    (said,) = without.stderr.splitlines()
    assert "HOME is not set" in said


def test_a_place_for_rays_files_that_can_not_be_written_is_told(home: Path, corpus: Path) -> None:
    """The message names the place and the variable that names another one; nothing is scanned."""
    command = [
        sys.executable,
        "-m",
        "vyre_dist",
        "scan",
        "--pool",
        "ray",
        "--address",
        "local",
        str(corpus),
    ]
    own = {"PATH": os.environ["PATH"], "HOME": str(home), "RAY_TMPDIR": "/proc/nobody"}
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=120, cwd=home)
    assert done.returncode == 2 and done.stdout == ""
    assert "/proc/nobody" in done.stderr and "RAY_TMPDIR" in done.stderr


def run_python(*arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """An interpreter of its own, for what Ray leaves behind in a process."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


_TERMINATED = """
import os
import signal
import sys
import threading
import time
import ray
from vyre_dist.actors.cluster import connect

def own(number, frame):
    sys.exit(99)

signal.signal(signal.SIGTERM, own)

def when_ray_has_taken_over():
    while signal.getsignal(signal.SIGTERM) is own:
        time.sleep(0.001)
    print("taken over", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=when_ray_has_taken_over, daemon=True).start()
connect("local", local_cpus=1, local_gpus=0, runtime_env=None, log_to_driver=False)
"""


def test_sigterm_while_ray_starts_has_the_usual_exit_code(home: Path, ray_places: Path) -> None:
    """Ray's own handler would leave with 15, which is nobody's code for it."""
    done = run_python("-c", _TERMINATED, timeout=120)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "taken over\n"), done.stderr


_TWO_TOKENS = """
import pathlib
import ray
from vyre_dist.actors.cluster import connect

for token in ("a" * 64, "b" * 64):
    file = pathlib.Path.home() / ".ray" / "auth_token"
    file.parent.mkdir(exist_ok=True)
    file.write_text(token)
    connect("local", local_cpus=1, local_gpus=0, runtime_env=None, log_to_driver=False)
    ray.shutdown()
"""


@pytest.mark.nightly
def test_a_token_that_changes_between_clusters(home: Path, ray_places: Path) -> None:
    """A process that has had a cluster can start another one when the token is another one
    since.
    """
    done = run_python("-c", _TWO_TOKENS, timeout=120)
    assert done.returncode == 0, done.stderr


_TERMINATED_AT_THE_END = """
import os
import signal
import sys
import ray
from vyre_dist.cli.main import main

shutdown = ray.shutdown

def and_then_terminated(*arguments, **options):
    shutdown(*arguments, **options)
    # Ray sets this in the midst of it; what comes later is too late to show anything
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)

ray.shutdown = and_then_terminated
main(sys.argv[1:])
"""


def test_sigterm_while_ray_is_shut_down_costs_no_output(home: Path, ray_places: Path) -> None:
    """In it the signal kills at once: by then findings and report are whole, and in their
    places.
    """
    rules, text = home / "rules.toml", home / "text"
    rules.write_text("[[rules]]\nid = 'r'\nregex = 'a+'\n")
    text.write_text("xaax")
    out = home / "out"
    out.mkdir()
    command = ["scan", str(text), "-r", str(rules), "--backend", "cpu", "--no-cache"]
    command += ["--pool", "ray", "-j", "1"]
    command += ["-f", f"jsonl={out / 'found'}", "--report", str(out / "report")]
    done = run_python("-c", _TERMINATED_AT_THE_END, *command, timeout=120)
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["found", "report"]
    rows = [json.loads(line) for line in (out / "found").read_text().splitlines()]
    assert [row["type"] for row in rows] == ["finding", "summary"]
    assert json.loads((out / "report").read_text())["complete"] is True


_FRESH = """
import signal
import sys
from pathlib import Path
import ray
from vyre_dist.actors.ray_pool import RayPool
from vyre_dist.driver.events import WorkerReady
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.engine.config import EngineConfig
from vyre_dist.rules.model import PackData, Rule

came = []
signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
pool = RayPool(WorkerSpec(PackData("p", (Rule("r", "a+"),)), EngineConfig(backend="cpu")), 1)
assert pool.start() == [0]
pool.begin(0)
while not (events := pool.poll(5.0)):
    pass
assert events == [WorkerReady(0)], events
assert ray.cluster_resources()["CPU"] == 1.0 and "GPU" not in ray.cluster_resources()
signal.raise_signal(signal.SIGTERM)
pool.close()
assert not ray.is_initialized()
signal.raise_signal(signal.SIGTERM)
assert len(came) == 2, came
print("fine")
"""


def test_a_fresh_cluster_is_quiet_private_and_gone_afterwards(home: Path, ray_places: Path) -> None:
    """Without an address a pool starts Ray with the CPUs it asked for, guarded by our token, and
    shuts it down. What is done about SIGTERM stays as it was.
    """
    done = run_python("-W", "error::FutureWarning", "-c", _FRESH, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
    assert mode_of(home / ".ray" / "auth_token") == 0o600


_NODES = """
import sys
import time
import ray
from ray.cluster_utils import Cluster
from vyre_dist.actors.ray_pool import RayPool
from vyre_dist.driver.events import TaskDone, WorkerLost, WorkerReady
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.tasks import Piece, ScanTask
from vyre_dist.rules.model import PackData, Rule

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
node = cluster.add_node(num_cpus=1)
pool = RayPool(WorkerSpec(PackData("p", (Rule("r", "a+"),)), EngineConfig(backend="cpu")), 1, cluster.address)

TASK = ScanTask((Piece(0, "inline", 2, 0, 2, inline=b"aa"),))
END = time.monotonic() + 150

def only(*kinds):
    while not (events := pool.poll(1.0)):
        assert time.monotonic() < END
    (event,) = events
    assert isinstance(event, kinds), event
    return event

pool.start()
pool.begin(0)
only(WorkerReady)
cluster.remove_node(node, allow_graceful=False)
cluster.add_node(num_cpus=1)
# its processes live on for a moment
while True:
    pool.submit(0, 1, TASK)
    if isinstance(lost := only(TaskDone, WorkerLost), WorkerLost):
        break
assert lost.unrelated_to_tasks, lost
pool.replace(0)
only(WorkerReady)
pool.submit(0, 2, TASK)
assert len(only(TaskDone).result.findings) == 1
pool.close()
cluster.shutdown()
print("fine")
"""


@pytest.mark.nightly
def test_a_node_that_dies_is_nobodys_fault(home: Path, ray_places: Path) -> None:
    """What its actors were doing is not the reason; the cluster's other nodes go on."""
    done = run_python("-c", _NODES, timeout=240)
    # the helpers that start nodes talk
    assert done.returncode == 0 and done.stdout.endswith("fine\n"), done.stderr

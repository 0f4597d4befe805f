"""Clusters in which some nodes lack what a worker needs, or have another version of it: the others
do the work.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vyre_dist
from vyre_dist import __version__

# a head without processors, and nodes with one each: the environment of each is an argument
_CLUSTER = """
import json
import subprocess
import sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
for path in json.loads(sys.argv[1]):
    cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": path} if path else {})
# in a process of its own: the command forks, and this one has Ray's threads
command = [sys.executable, "-P", "-m", "vyre_dist", *sys.argv[2:], "--pool", "ray", "--address", cluster.address]
code = subprocess.run(command).returncode
cluster.shutdown()
sys.exit(code)
"""


# what a pool says of three workers, one after the other: [kind, detail, place, room], and the nodes
# by their ids
_POOL = """
import json
import sys
import time
import ray
from ray.cluster_utils import Cluster
from vyre_dist.actors.ray_pool import RayPool
from vyre_dist.driver.events import WorkerReady, WorkerRefused
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.engine.config import EngineConfig
from vyre_dist.rules.model import PackData, Rule

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [
    cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": path} if path else {}).node_id
    for path in json.loads(sys.argv[1])
]
pool = RayPool(WorkerSpec(PackData("p", (Rule("r", "a+"),)), EngineConfig(backend="cpu")), None, cluster.address)
numbers, said, end = list(pool.start()), [], time.monotonic() + 150
for number in numbers:
    pool.begin(number)
    while not (events := pool.poll(1.0)):
        assert time.monotonic() < end
    (event,) = events
    ready = isinstance(event, WorkerReady)
    said.append(["ready", "", event.facts.node, 0] if ready else ["refused", event.detail, event.node, event.capacity])
pool.close()
cluster.shutdown()
print(json.dumps([nodes, said]))
"""


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a vyre_dist of version 0.0.9."""
    folder = tmp_path_factory.mktemp("older")
    shutil.copytree(Path(vyre_dist.__file__).parent, folder / "vyre_dist")
    init = folder / "vyre_dist" / "__init__.py"
    text = init.read_text()
    assert f'__version__ = "{__version__}"' in text
    init.write_text(text.replace(f'__version__ = "{__version__}"', '__version__ = "0.0.9"'))
    return str(folder)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a google-re2 that can't be imported."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "re2.py").write_text("raise ImportError('libre2.so.11 is not there')\n")
    return str(folder)


def scan(tmp_path: Path, nodes: list[str], *options: str) -> tuple[int, str, dict[str, object]]:
    """(exit code, standard error, report) of a scan of forty shards on a cluster with such
    nodes.
    """
    text, rules, report = tmp_path / "text", tmp_path / "rules.toml", tmp_path / "report"
    text.write_text("x=1234\n" * 40)
    rules.write_text("[[rules]]\nid = 'r'\nregex = '[0-9]+'\n")
    command = ["scan", str(text), "-r", str(rules), "--shard-size", "7", "--no-cache", *options]
    command += ["--report", str(report), "--progress", "never", "-f", f"jsonl={tmp_path / 'found'}"]
    done = run_python("-c", _CLUSTER, json.dumps(nodes), *command, timeout=180)
    return done.returncode, done.stderr, json.loads(report.read_text()) if report.exists() else {}


def run_python(*arguments: str, timeout: int) -> subprocess.CompletedProcess[str]:
    # -P: nodes look for modules where the driver does, too
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd="/")


LONG = pytest.mark.nightly  # each starts a cluster of three nodes


@pytest.mark.parametrize(
    "order",
    [
        pytest.param([1, 0, 1], marks=LONG),
        pytest.param([0, 1, 1], marks=LONG),
        pytest.param([1, 1, 0], marks=LONG),
    ],
)
def test_a_node_of_another_version_is_left_out(
    order: list[int], older: str, ray_places: Path
) -> None:
    """Nobody is sent there again; the reason names the node and both versions, and the room that is
    left is told.
    """
    done = run_python(
        "-c", _POOL, json.dumps([older if each else "" for each in order]), timeout=180
    )
    assert done.returncode == 0, done.stderr
    nodes, said = json.loads(done.stdout)
    (ready,) = [node for kind, _, node, _ in said if kind == "ready"]
    assert ready == nodes[order.index(0)]
    refused = [each for each in said if each[0] == "refused"]
    assert len(refused) == 2 and {place for _, _, place, _ in refused} == set(nodes) - {ready}
    assert [room for *_, room in refused] == [2, 1]
    for _, detail, place, _ in refused:
        assert (
            f"(node {place})" in detail
            and f"runs vyre-dist 0.0.9, the driver {__version__}" in detail
        )


@pytest.mark.parametrize("workers", [pytest.param([], marks=LONG), ["-j", "1"]], ids=["all", "one"])
@pytest.mark.nightly
def test_a_scan_goes_on_without_such_nodes(
    tmp_path: Path, older: str, workers: list[str], ray_places: Path
) -> None:
    """It is done by the others and complete; who was left out is told on standard error and in the
    report.
    """
    code, errors, report = scan(tmp_path, [older, "", older], *workers)
    assert code == 1, errors
    assert report["complete"] and report["findings"] == 40
    (worker,) = report["workers_used"]  # type: ignore[misc]
    assert worker["version"] == __version__ and worker["node_id"]
    left_out = report["workers_left_out"]
    assert isinstance(left_out, list) and len(set(left_out)) == len(left_out) <= 2
    for why in left_out:
        assert worker["node_id"] not in why and errors.count(why) == 1


@LONG
def test_a_node_that_lacks_a_library_is_left_out(
    tmp_path: Path, broken: str, ray_places: Path
) -> None:
    """What is missing there is named, and the others do the work."""
    code, errors, report = scan(tmp_path, [broken, ""])
    assert code == 1 and report["findings"] == 40, errors
    for why in report["workers_left_out"]:  # type: ignore[attr-defined]
        assert "libre2.so.11 is not there" in why and why in errors


@LONG
def test_where_no_node_fits_the_scan_is_refused(
    tmp_path: Path, older: str, broken: str, ray_places: Path
) -> None:
    """Exit code 2: nothing was scanned, and each node's reason is told."""
    code, errors, report = scan(tmp_path, [older, broken])
    assert code == 2 and report == {}, errors
    assert "0.0.9" in errors and "libre2" in errors

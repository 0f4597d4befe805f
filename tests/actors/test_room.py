"""Workers that join a scan, and a scan that waits for room, on a real Ray cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vyre_dist.driver.events import PoolWaits, StartWorker, Tick, Warn, WorkersAdded
from vyre_dist.driver.machine import ScanMachine

# a head with two processors; `vyre-dist scan` on it, and what happens meanwhile: another node
# joins, or somebody who holds the processors gives one back each time that the scan has said that
# it waits
_CLUSTER = """
import json
import subprocess
import sys
import time
import ray
from ray.cluster_utils import Cluster

what, holders, *arguments = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
ray.init(cluster.address, log_to_driver=False)

@ray.remote(num_cpus=1)
class Holder:
    def hold(self):
        return 1

held = [Holder.remote() for _ in range(int(holders))]
ray.get([holder.hold.remote() for holder in held])
where = ["--pool", "ray", "--address", cluster.address]
command = [sys.executable, "-P", "-m", "vyre_dist", *arguments, *where]
scan = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
said = []
if what == "waits":
    for line in scan.stderr:
        said.append(line)
        if "waiting for room" in line:
            ray.kill(held.pop())
        if not held:
            break
elif what == "grows":
    while ray.available_resources().get("CPU", 0.0) > 0:
        assert scan.poll() is None
        time.sleep(0.1)  # Ray tells nobody when it gives something away
    cluster.add_node(num_cpus=2)
said += scan.stderr.read().splitlines()
code = scan.wait()
ray.shutdown()
cluster.shutdown()
print(json.dumps([code, said]))
"""


def test_workers_are_added_to_those_that_may_be_begun() -> None:
    """Numbers of their own, and as many more may start at once."""
    machine = ScanMachine([0], at_once=1)
    assert machine.handle(Tick(1.0))[0] == StartWorker(0)
    machine.handle(WorkersAdded((1, 2)))
    assert machine._workforce.most == 3
    assert Warn("for 1 CPU") in machine.handle(PoolWaits("for 1 CPU"))


def scan(tmp_path: Path, what: str, holders: int, *options: str) -> tuple[int, str, dict[str, Any]]:
    """(exit code, standard error, report) of a scan while that happens, with so many processors
    held.
    """
    rules, report = tmp_path / "rules.toml", tmp_path / "report"
    rules.write_text("[[rules]]\nid = 'r'\nregex = '''x=[0-9]+'''\n")
    arguments = ["scan", str(tmp_path / "text"), "-r", str(rules), "--no-cache", *options]
    arguments += ["--report", str(report), "--progress", "never", "-f", f"csv={tmp_path / 'out'}"]
    run = subprocess.run(
        [sys.executable, "-P", "-c", _CLUSTER, what, str(holders), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    code, said = json.loads(run.stdout.splitlines()[-1])
    return code, "\n".join(said), json.loads(report.read_text())


FILES = 8000


def many_files(tmp_path: Path) -> list[str]:
    """FILES files in `text`, with a finding each, and options with which they take a while."""
    (tmp_path / "text").mkdir()
    first = tmp_path / "text" / "f"
    first.write_text("nothing here\n" * 6000 + "x=1234\n")
    for number in range(1, FILES):
        os.link(first, tmp_path / "text" / f"f{number}")
    return ["--backend", "reference", "--shard-size", "128K"]


@pytest.mark.nightly
def test_a_scan_on_a_busy_cluster_says_what_it_waits_for(tmp_path: Path) -> None:
    """And begins when there is room for one worker, as which it ends."""
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a").write_text("x=1234\n" * 40)
    code, said, report = scan(tmp_path, "waits", 2, "-j", "1")
    assert code == 1 and report["complete"] and report["findings"] == 40
    assert "waiting for room on the cluster: a worker needs 1 CPU, and 0 of 2 CPUs are free" in said


@pytest.mark.nightly
def test_a_scan_on_a_busy_cluster_starts_small(tmp_path: Path) -> None:
    """With the worker that there is room for; the other one joins when there is room for it."""
    code, said, report = scan(tmp_path, "waits", 2, *many_files(tmp_path))
    assert code == 1 and report["complete"] and report["findings"] == FILES, said
    first, second = [line for line in said.splitlines() if "waiting for room" in line]
    assert "the scan begins with the first one" in first and "0 of 2 CPUs are free" in first
    assert "the scan goes on with 1 of 2 workers" in second
    assert report["workers"] == 2
    assert all(use["bytes"] > 0 for use in report["workers_used"])


@pytest.mark.nightly
def test_a_scan_does_not_wait_for_workers_that_get_no_room(tmp_path: Path) -> None:
    """The one that has begun does all the work where nobody gives room back."""
    code, said, report = scan(tmp_path, "stays", 1, *many_files(tmp_path))
    assert code == 1 and report["complete"] and report["findings"] == FILES, said
    assert report["workers"] == 1
    assert "the scan goes on with 1 of 2 workers" in said


@pytest.mark.nightly
def test_a_node_that_joins_works(tmp_path: Path) -> None:
    """Its workers take their part of what is left."""
    code, said, report = scan(tmp_path, "grows", 0, *many_files(tmp_path))
    assert code == 1 and report["complete"] and report["findings"] == FILES, said
    assert report["workers"] == 4
    assert all(use["bytes"] > 0 for use in report["workers_used"])

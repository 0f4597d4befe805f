"""Workers that join a scan, and a scan that waits for room, on a real Ray cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vyre_dist.driver.events import PoolWaits, StartWorker, Tick, Warn, WorkersAdded
from vyre_dist.driver.machine import ScanMachine

# a head with one processor; `vyre-dist scan` on it, and what happens meanwhile: another node joins,
# or somebody who holds the processor gives it back
_CLUSTER = """
import json
import subprocess
import sys
import time
import ray
from ray.cluster_utils import Cluster

what, *arguments = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
ray.init(cluster.address, log_to_driver=False)

@ray.remote(num_cpus=1)
class Holder:
    def hold(self):
        return 1

if what == "waits":
    holder = Holder.remote()
    ray.get(holder.hold.remote())
where = ["--pool", "ray", "--address", cluster.address]
command = [sys.executable, "-P", "-m", "vyre_dist", *arguments, *where]
scan = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
said = []
if what == "waits":
    for line in scan.stderr:
        said.append(line)
        if "waiting for room" in line:
            ray.kill(holder)
            break
else:
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


def scan(tmp_path: Path, what: str, *options: str) -> tuple[int, str, dict[str, Any]]:
    """(exit code, standard error, report) of a scan while that happens."""
    rules, report = tmp_path / "rules.toml", tmp_path / "report"
    rules.write_text("[[rules]]\nid = 'r'\nregex = '''x=[0-9]+'''\n")
    arguments = ["scan", str(tmp_path / "text"), "-r", str(rules), "--no-cache", *options]
    arguments += ["--report", str(report), "--progress", "never", "-f", f"csv={tmp_path / 'out'}"]
    run = subprocess.run(
        [sys.executable, "-P", "-c", _CLUSTER, what, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    code, said = json.loads(run.stdout.splitlines()[-1])
    return code, "\n".join(said), json.loads(report.read_text())


def test_a_scan_on_a_busy_cluster_says_what_it_waits_for(tmp_path: Path) -> None:
    """And begins when there is room."""
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a").write_text("x=1234\n" * 40)
    code, said, report = scan(tmp_path, "waits")
    assert code == 1 and report["complete"] and report["findings"] == 40
    assert "waiting for room on the cluster: a worker needs 1 CPU, and 0 of 1 CPUs are free" in said


@pytest.mark.nightly
def test_a_node_that_joins_works(tmp_path: Path) -> None:
    """Its workers take their part of what is left."""
    (tmp_path / "text").mkdir()
    for number in range(2500):
        (tmp_path / "text" / f"f{number}").write_text("nothing here\n" * 6000 + "x=1234\n")
    code, said, report = scan(tmp_path, "grows", "--backend", "reference", "--shard-size", "128K")
    assert code == 1 and report["complete"] and report["findings"] == 2500, said
    assert report["workers"] == 3
    assert all(use["bytes"] > 0 for use in report["workers_used"])

"""What a cluster does to a scan: nodes that die, the driver's among them, nodes that join, and
documents that hang. Each case takes about a minute.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killed_runs import FORMATS, KilledRuns, write_corpus
from ray_head import (
    JOB_TIMEOUT_S,
    Head,
    client_environment,
    end_at_once,
    running_head,
    running_node,
)

pytestmark = pytest.mark.nightly

FINDINGS, INCOMPLETE = 1, 3
RULES = "[[rules]]\nid = 'token'\nregex = '''tok_[0-9]{12}'''\nkeywords = ['tok_']\n"


def submitted(head: Head, *arguments: str) -> subprocess.Popen[str]:
    """`vyre-dist submit`, which follows its job."""
    return subprocess.Popen(
        [sys.executable, "-m", "vyre_dist", "submit", "--address", head.http, "--", *arguments],
        env=head.environment | head.token,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_drivers_node_is_killed_and_another_cluster_goes_on(
    ray_places: Path, tmp_path: Path
) -> None:
    """With all that ran on it, twice; a third machine does the rest. The outputs are those of an
    undisturbed scan, in every format, and nothing that was recorded is done again.
    """
    rules, out = tmp_path / "rules.toml", tmp_path / "out"
    rules.write_text(RULES)
    out.mkdir()
    corpus = tmp_path / "corpus"
    write_corpus(corpus)
    environment = client_environment(ray_places, tmp_path / "home")
    inputs = (str(corpus / "big"), str(corpus))
    runs = KilledRuns(corpus, rules, out, environment, inputs=inputs)
    assert runs.run().returncode == FINDINGS
    undisturbed = runs.outputs()
    runs.forget()
    recorded: list[int] = []
    for life in range(2):
        folder = tmp_path / f"head{life}"
        folder.mkdir()
        with running_head(folder, ray_places / f"f{life}") as head:
            wanted = runs.ledger_bytes() + 5_000
            job = submitted(head, *runs.command("--pool", "ray"))
            while job.poll() is None and runs.ledger_bytes() < wanted:
                time.sleep(0.001)
            assert job.poll() is None, job.communicate()
            end_at_once(head.process)
            if life:
                job.kill()  # it would try to reach the head for a minute and a half
            said, _ = job.communicate(timeout=JOB_TIMEOUT_S)
            assert life or job.returncode == INCOMPLETE, said
        recorded.append(len(set(runs.covered())))
    assert 0 < recorded[0] < recorded[1]
    assert not any((out / each).exists() for each in FORMATS)
    assert runs.killed_after(lambda: False) == FINDINGS
    assert runs.outputs() == undisturbed
    assert len(set(runs.covered())) > recorded[1]


FILES = 20_000


def test_of_three_nodes_one_is_killed_and_another_joins(ray_places: Path, tmp_path: Path) -> None:
    """A job finds the same as on a cluster that nothing happens to, and the new node worked."""
    text, rules, report = tmp_path / "text", tmp_path / "rules.toml", tmp_path / "report"
    rules.write_text(RULES)
    text.mkdir()
    (text / "f").write_text("nothing here\n" * 6000 + "tok_123456789012\n")
    for number in range(1, FILES):
        os.link(text / "f", text / f"f{number}")
    with contextlib.ExitStack() as stack:
        folder = tmp_path / "head"
        folder.mkdir()
        head = stack.enter_context(running_head(folder, ray_places / "n", cpus=0))
        nodes = [
            stack.enter_context(running_node(head, tmp_path / f"node{number}"))
            for number in range(2)
        ]
        before = head.nodes()
        job = submitted(
            head,
            *("scan", str(text), "-r", str(rules), "--backend", "reference", "--no-cache"),
            *("--shard-size", "128K", "--report", str(report), "--run-dir", str(tmp_path / "run")),
            *("-f", f"jsonl={tmp_path / 'found'}", "--log-format", "json"),
        )
        # both are at work
        ledger = tmp_path / "run" / "ledger"
        while job.poll() is None and not (
            ledger.exists() and sum(log.stat().st_size for log in ledger.iterdir()) > 50_000
        ):
            time.sleep(0.01)
        end_at_once(nodes[0])
        stack.enter_context(running_node(head, tmp_path / "node2", cpus=2))
        (joined,) = head.nodes() - before
        assert job.poll() is None, "it was over before the node had joined"
        said, _ = job.communicate(timeout=2 * JOB_TIMEOUT_S)
    assert job.returncode == FINDINGS, said
    told = json.loads(report.read_text())
    assert told["complete"] and told["findings"] == told["documents"] == FILES
    lines = (tmp_path / "found").read_text().splitlines()
    paths = [row["path"] for row in map(json.loads, lines) if row["type"] == "finding"]
    assert len(set(paths)) == len(paths) == FILES
    # one in the place of the lost worker, and one more
    worked = [use["node_id"] for use in told["workers_used"] if use["bytes"]]
    assert told["workers"] > 2 and worked.count(joined) >= 2, told["workers_used"]


_HANGING = """
import functools
import sys
from vyre_dist.actors import ray_pool, scan_actor
from vyre_dist.driver import machine, machine_config, run

def register():
    import threading
    from vyre_dist.kernels.backends import BACKENDS, cpu_backend_class

    class Hanging(cpu_backend_class()):
        def _candidate_windows(self, windows):
            for window in windows:
                if b"HANGS" in bytes(window.data):
                    threading.Event().wait()
            return super()._candidate_windows(windows)

    BACKENDS["hanging"] = lambda pack, cache, _: Hanging(pack, cache)

class HangingActor(scan_actor.ScanActor):
    def _load(self):
        register()
        return super()._load()

register()
ray_pool.ScanActor = HangingActor
quick = functools.partial(machine_config.MachineConfig, lease_seconds=1.0)
machine.MachineConfig = run.MachineConfig = quick
from vyre_dist.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("pool", [["local"], ["ray", "--address", "local"]], ids=["local", "ray"])
def test_a_document_that_hangs_is_exit_code_3(
    ray_places: Path, tmp_path: Path, pool: list[str]
) -> None:
    """The scan ends, and its report names the document; all others are scanned."""
    text, rules, report = tmp_path / "text", tmp_path / "rules.toml", tmp_path / "report"
    rules.write_text(RULES)
    text.mkdir()
    for number in range(40):
        (text / f"f{number}").write_text(f"tok_{number:012d}\n" * 10)
    (text / "f7x").write_text("tok_123456789012 HANGS")
    scan = ["scan", str(text), "-r", str(rules), "--backend", "hanging", "--no-cache"]
    scan += ["--shard-size", "1K", "--report", str(report), "-f", f"jsonl={tmp_path / 'found'}"]
    scan += ["--pool", *pool, "-j", "2", "--progress", "never"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", _HANGING, *scan],
        env=client_environment(ray_places, tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=JOB_TIMEOUT_S,
    )
    assert done.returncode == INCOMPLETE, done.stderr
    told = json.loads(report.read_text())
    (problem,) = told["problems"]
    assert problem["path"] == str(text / "f7x") and problem["reason"] == "quarantined"
    assert "no answer about" in done.stderr and told["findings"] == 400

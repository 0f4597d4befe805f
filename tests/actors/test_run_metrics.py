"""A scan's metrics: what Ray exports, as a scan on a real head counts it; and the dashboard's
queries.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import requests
from ray_head import Head

from vyre_dist.actors.run_metrics import METRICS, PREFIX, RunMetrics
from vyre_dist.driver.events import TaskDone, TaskFailed, WorkerLost, WorkerReady, WorkerRefused
from vyre_dist.driver.totals import Totals
from vyre_dist.engine.tasks import TaskResult

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "vyre-dist.json"
EXPORT_SECONDS = 30.0
_SAMPLE = re.compile(r"(?m)^ray_vyre_dist_(\w+)\{([^}]*)\} ([-+.e\d]+)$")


def exported() -> set[str]:
    """The names under which Ray exports the metrics."""
    names = set()
    for name, (kind, _) in METRICS.items():
        ends = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
        names |= {f"ray_{PREFIX}{name}{end}" for end in ends}
    return names


def queries() -> list[str]:
    """Every query of the dashboard, its variables' as well."""
    board = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return found + [
        each["query"] for each in board["templating"]["list"] if each["type"] == "query"
    ]


def test_the_dashboard_asks_for_what_there_is() -> None:
    """Each query is of metrics that are exported, and each metric is on the dashboard."""
    asked = {name for query in queries() for name in re.findall(r"\bray_\w+", query)}
    assert asked <= exported()
    unseen = {name for name in METRICS if not any(f"{PREFIX}{name}" in each for each in asked)}
    assert unseen == set()


def test_the_dashboard_is_whole() -> None:
    """Panels have titles, units and numbers of their own, and lie side by side."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"] and panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    for query in queries():
        assert query.count("(") == query.count(")") and query.count("{") == query.count("}")


def samples(text: str) -> dict[str, float]:
    """The values of our metrics, by name and stage, over all runs and buckets."""
    found: dict[str, float] = {}
    for name, labels, value in _SAMPLE.findall(text):
        stage = re.search(r'stage="(\w+)"', labels)
        key = f"{name}:{stage[1]}" if stage else name
        found[key] = found.get(key, 0.0) + float(value)
    return found


def collected(head: Head) -> dict[str, float]:
    """What Prometheus would get now; nothing as long as the exporter is not up."""
    try:
        return samples(requests.get(head.metrics, timeout=10).text)
    except requests.ConnectionError:
        return {}


def test_a_scan_is_counted(head, tmp_path: Path) -> None:
    """Bytes, documents, findings, leases, problems and the store are Ray's metrics, each equal to
    what the scan's own report says.
    """
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(40):
        (folder / str(number)).write_text(f"x AKIA{'C' * 16}\n" + "line\n" * 2000)
    (tmp_path / "rules.toml").write_text('[[rules]]\nid = "key"\nregex = "AKIA[0-9A-Z]{16}"\n')
    report = tmp_path / "report.json"
    before = collected(head)
    done = head.vyre(
        *("scan", str(folder), str(tmp_path / "missing"), "--rules", str(tmp_path / "rules.toml")),
        *("--address", head.gcs, "-j", "1", "--backend", "cpu", "--no-cache", "--shard-size"),
        *("64K", "-f", f"jsonl={tmp_path / 'found'}", "--report", str(report)),
        RAY_metrics_report_interval_ms="500",
    )
    assert done.returncode == 3, done.stderr
    told = json.loads(report.read_text())
    expected = {
        "bytes_total": told["bytes"],
        "documents_total": 40,
        "findings_total": 40,
        "problems_total": 1,
        "leases_total": told["workers_used"][0]["tasks"],
        "lease_seconds_count": told["workers_used"][0]["tasks"],
    }
    until = time.monotonic() + EXPORT_SECONDS
    while True:
        now = collected(head)
        counted = {name: now.get(name, 0.0) - before.get(name, 0.0) for name in expected}
        if counted == expected or time.monotonic() > until:
            break
        time.sleep(0.25)  # the exporter offers nothing to wait on
    assert counted == expected
    assert {
        "stage_seconds_total:scan",
        "stage_seconds_total:wait",
        "stage_seconds_total:write",
    } <= {*now}
    assert now["store_usable"] >= 1.0 and now["workers"] >= 1.0


class Kept:
    """Stands for one of Ray's metrics where no cluster is: keeps what it is given."""

    def __init__(self) -> None:
        self.value = 0.0
        self.stages: dict[str, float] = {}

    def inc(self, value: float, tags: dict[str, str] | None = None) -> None:
        assert value > 0
        self.value += value
        for stage in (tags or {}).values():
            self.stages[stage] = self.stages.get(stage, 0.0) + value

    def set(self, value: float) -> None:
        self.value = value

    observe = inc


def opened(clock) -> tuple[RunMetrics, dict[str, Kept]]:
    """Metrics whose values can be read."""
    metrics = RunMetrics(clock)
    kept = {name: Kept() for name in METRICS}
    metrics._counters = {n: kept[n] for n, (kind, _) in METRICS.items() if kind == "counter"}
    metrics._gauges = {n: kept[n] for n, (kind, _) in METRICS.items() if kind == "gauge"}
    metrics._lease_seconds = kept["lease_seconds"]
    return metrics, kept


def test_leases_are_followed_from_hand_to_answer() -> None:
    """Seconds in workers and on the way are told apart; what a lost worker had is not in flight."""
    now = [100.0]
    metrics, kept = opened(lambda: now[0])
    metrics.told([WorkerReady(0), WorkerReady(1)])
    for worker, task in ((0, 0), (0, 1), (1, 2), (1, 3)):
        metrics.given(worker, task)
    now[0] = 110.0
    metrics.told([TaskDone(0, 0, TaskResult(seconds=7.0)), TaskFailed(0, 1, "no")])
    metrics.told([WorkerLost(1, "gone"), WorkerRefused(2, "misfit")])
    metrics.problem()
    metrics.wrote(0.5)
    metrics.store_failed()
    metrics.progress(Totals(bytes=5, documents=2, findings=3, retries=1, worker_seconds=7.0))
    now[0] = 110.1
    metrics.progress(Totals(bytes=9, documents=2, findings=3, retries=1, worker_seconds=7.0))
    assert kept["bytes_total"].value == 5, "once a second is enough"
    metrics.record()
    metrics.record()
    values = {name: each.value for name, each in kept.items()}
    assert kept["stage_seconds_total"].stages == {"scan": 7.0, "wait": 3.0, "write": 0.5}
    assert kept["lease_seconds"].value == 20.0
    assert values["bytes_total"] == 9 and values["findings_total"] == 3
    assert values["leases_total"] == values["leases_failed_total"] == values["retries_total"] == 1
    assert (values["workers"], values["leases_in_flight"], values["store_usable"]) == (1, 0, 0)


def test_without_a_cluster_nothing_is_recorded() -> None:
    """Metrics that were not opened count, and tell nobody."""
    metrics = RunMetrics()
    metrics.given(0, 0)
    metrics.told([TaskDone(0, 0, TaskResult(seconds=1.0))])
    metrics.progress(Totals(bytes=1))
    metrics.record()


def test_the_page_lists_them() -> None:
    """docs/operations.md has each metric, by the name that Ray gives it, with its kind."""
    page = (ROOT / "docs" / "operations.md").read_text()
    listed = dict(re.findall(r"(?m)^\| `ray_vyre_dist_(\w+)` \| (\w+) \|", page))
    assert listed == {name: kind for name, (kind, _) in METRICS.items()}

"""A metric is declared once: results, totals and summaries need only its field in Metrics."""

from __future__ import annotations

import io
import json
from dataclasses import fields

import pytest

from vyre_dist import metrics
from vyre_dist.driver.totals import Totals
from vyre_dist.engine.task_codec import decode_result, encode_result
from vyre_dist.engine.tasks import TaskResult
from vyre_dist.metrics import METRIC_NAMES, Metrics
from vyre_dist.sinks import RunSummary, open_sinks

SHOWN = [each.metadata["shown"] for each in fields(Metrics) if each.metadata]


def result_with_each() -> TaskResult:
    """A result that has another number in each metric."""
    return TaskResult(**{name: 7 + i for i, name in enumerate(METRIC_NAMES)})


def test_every_metric_travels_and_adds_up() -> None:
    """Each field comes back from the codec as it was, and the totals of two results have it
    twice.
    """
    result = result_with_each()
    back = decode_result(encode_result(result))
    assert back.metric_values() == result.metric_values() == list(range(7, 7 + len(METRIC_NAMES)))
    totals = Totals()
    for _ in range(2):
        totals.add(back, skipped=0)
    assert totals.metric_values() == [2 * value for value in result.metric_values()]


@pytest.mark.parametrize("number", [0, 1, 1234])
def test_what_a_declaration_shows_is_shown(number: int) -> None:
    """A declared metric has its field in the jsonl summary and the report, and its line in the
    human summary unless it is 0.
    """
    names = [each.name for each in fields(Metrics) if each.metadata]
    assert names
    summary = RunSummary(Metrics(**dict.fromkeys(names, number)))
    lines = rendered("human", summary).decode().splitlines()
    record = json.loads(rendered("jsonl", summary))
    for shown in SHOWN:
        assert record[shown.record] == number
        line = (shown.one if number == 1 else shown.many).format(f"{number:,}")
        assert (line in lines) == (number != 0)


def test_a_new_field_needs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """What shows the metrics asks the declaration, not a list of its own."""
    shown = metrics.Shown("tiles", "tiles: {} tile", "tiles: {} tiles")
    monkeypatch.setitem(metrics._SHOWN, "serial", shown)
    summary = RunSummary(Metrics(serial=3))
    assert b"\ntiles: 3 tiles\n" in rendered("human", summary)
    assert json.loads(rendered("jsonl", summary))["tiles"] == 3


def rendered(form: str, summary: RunSummary) -> bytes:
    out = io.BytesIO()
    with open_sinks([(form, "-")], stdout=out) as sinks:
        sinks.close(summary)
    return out.getvalue()

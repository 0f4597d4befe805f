"""The codec of tasks and results: all comes back as it went, and nothing else is taken for one."""

from __future__ import annotations

import copy
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vyre_dist.autotune.choice import Choice
from vyre_dist.dispatch.keys import SpecCacheKey
from vyre_dist.engine.content import Evidence
from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.finding_rows import FindingRow, path_row
from vyre_dist.engine.tally import Tally
from vyre_dist.engine.task_codec import (
    SCHEMA,
    decode_result,
    decode_task,
    encode_result,
    encode_task,
)
from vyre_dist.engine.tasks import (
    AuditAnswer,
    AuditCursor,
    AuditTask,
    Challenge,
    DocumentNote,
    DocumentProblem,
    FolderRun,
    LargeDocument,
    PartResult,
    Piece,
    Reach,
    ScanTask,
    Stamp,
    StitchTask,
    Stretch,
    TaskResult,
    TrialPair,
)
from vyre_dist.engine.wire import WireError
from vyre_dist.program.program_facts import ProgramFacts

TEXTS = st.text(max_size=8)

PIECE = Piece(4, "p\udcff", 30, 10, 20, "/other", Stamp(1, 2, 3))
PART = PartResult(
    4, 10, 20, b"\1\0\0\0", b"spans", b"digest", b"kept", (2, 5), ((1, 21),), (3,), (4,)
)
FOUND = Findings(["rule"] * 4)
FOUND.add_by_path("p", path_row(1, 3))
FOUND.add("p", [FindingRow(1, 2, 3, 4, 5, 6, b"m", b"s", (b"g", None), 2.5, 7, 8, 9)])
TALLY = Tally(4, {(2, 5): (3, (1 << 64) - 1)})
CURSOR = AuditCursor(2, 40, 39, True, 30, 4, 25, 1.5, TALLY)
AUDIT = AuditTask(PIECE, (Evidence(0, 30, b"digest"),), TALLY, CURSOR)
CHOICE = Choice.of(lane="fused", threads=512)
SPEC = SpecCacheKey(1, (1 << 64) - 1, (2, 1, 1), 3)
PROGRAMS = ProgramFacts("cuda H200", SPEC, SPEC, (512, 4), {"threads": 2048})
RESULT = TaskResult(
    findings=FOUND,
    parts=[PART],
    problems=[DocumentProblem(2, "vanished", "it is gone")],
    notes=[DocumentNote(1, "grew", "by 3")],
    skipped=[5],
    large=[LargeDocument(PIECE, 16)],
    undone=2,
    documents=3,
    seconds=0.25,
    pairs=[
        TrialPair(CHOICE, "rare-small", -0.25, 3, 4, True, bytes=5),
        TrialPair(Choice.of(lane="serial"), "", 0.0, 0, 0, False, "it can't be launched"),
    ],
    ran=CHOICE,
    unfit="no such lane",
    programs=PROGRAMS,
    tried_ns=7,
    scanned={"cpu": 30},
    reaches=(Reach(1, 21),),
    keywords=(3,),
    audits=[AUDIT],
    audit=AuditAnswer(CURSOR, "not-audited", "too long"),
)
SCAN = ScanTask(
    (Piece(1, "a", 3, 0, 3), FolderRun.of(2, "d/", ["x", "y"], "/d/"), PIECE),
    CHOICE,
    trial=Challenge(CHOICE, 5, 9, "rare-small"),
)
REACHES = (Reach(1, 21), Reach(2, 0, 40, 39))
STRETCH = Stretch(7, REACHES, (2,), (3,), (4,), (6,))
STITCH = StitchTask(PIECE, (PART,), STRETCH)


@settings(max_examples=50)
@given(TEXTS, st.floats(0, 1e6))
def test_results_come_back_as_they_went(text: str, seconds: float) -> None:
    """Every field, with its type."""
    problems = [DocumentProblem(1, text, text)]
    result = TaskResult(findings=FOUND, problems=problems, seconds=seconds)
    back = decode_result(encode_result(result))
    assert back == result
    assert all(type(row) is FindingRow for row in back.findings)
    assert [block.by_rule for block in back.findings.blocks] == [((2, 1), (3, 1))]
    assert decode_result(encode_result(RESULT)) == RESULT


def test_another_schema_is_refused() -> None:
    """Whatever the rest of the message is."""
    for encoded, decode in (
        (encode_task(SCAN), decode_task),
        (encode_result(RESULT), decode_result),
    ):
        body = msgpack.unpackb(encoded, unicode_errors="surrogateescape")
        for schema in (SCHEMA - 1, SCHEMA + 1, str(SCHEMA), None):
            other = msgpack.packb([schema, *body[1:]], unicode_errors="surrogateescape")
            with pytest.raises(WireError, match="schema"):
                decode(other)


def test_a_folders_names_may_come_one_by_one() -> None:
    """As in the plans of runs that were recorded so."""
    body = msgpack.unpackb(encode_task(SCAN), unicode_errors="surrogateescape")
    assert body[2][1][3] == b"x\0y\0"
    body[2][1][3] = ["x", "y"]
    assert decode_task(msgpack.packb(body, unicode_errors="surrogateescape")) == SCAN
    for broken in (b"x\0y", ["x", "y\0"], ["x", b"y"], "x"):
        body[2][1][3] = broken
        with pytest.raises(WireError):
            decode_task(msgpack.packb(body, unicode_errors="surrogateescape"))


def places_in(body: Any, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """The ways to all values in nested arrays, those of the outermost array's schema left out."""
    if not isinstance(body, list):
        return [path]
    inner = [each for i, value in enumerate(body) for each in places_in(value, (*path, i))]
    return ([path] if path else []) + [each for each in inner if each != (0,)]


def exchanged(body: Any, path: tuple[int, ...], value: object) -> bytes:
    """The message with another value at one place."""
    changed = copy.deepcopy(body)
    inner = changed
    for i in path[:-1]:
        inner = inner[i]
    inner[path[-1]] = value
    return bytes(msgpack.packb(changed, unicode_errors="surrogateescape"))


@pytest.mark.parametrize(
    "message", [SCAN, STITCH, AUDIT, RESULT], ids=["scan", "stitch", "audit", "result"]
)
def test_a_value_of_another_type_is_refused(
    message: ScanTask | StitchTask | AuditTask | TaskResult,
) -> None:
    """Wherever it is: a number below 0, a truth value, a table."""
    is_result = isinstance(message, TaskResult)
    encoded = encode_result(message) if is_result else encode_task(message)
    decode = decode_result if is_result else decode_task
    body = msgpack.unpackb(encoded, unicode_errors="surrogateescape")
    places = places_in(body)
    assert len(places) > 20
    for place in places:
        for value in (-1, True, {1: 2}):
            with pytest.raises(WireError, match="same version"):
                decode(exchanged(body, place, value))


def test_joins_come_back_as_they_went() -> None:
    """Of all parts, and of a stretch of them."""
    for task in (STITCH, StitchTask(PIECE, (PART,))):
        assert decode_task(encode_task(task)) == task


def test_audits_come_back_as_they_went() -> None:
    """At their beginning, and on their way; the answer to one, too."""
    begun = AuditTask(PIECE, (), Tally(), CURSOR._replace(last_end=-1, keyword=None))
    for task in (AUDIT, begun, AuditTask(PIECE, (), Tally())):
        assert decode_task(encode_task(task)) == task
    for answer in (None, AuditAnswer(None), AuditAnswer(CURSOR._replace(keyword=False))):
        result = TaskResult(audited=1, audited_bytes=30, audit_differs=1, audit=answer)
        assert decode_result(encode_result(result)) == result


def test_a_piece_that_ends_beyond_its_document_is_refused() -> None:
    """Its bounds are in order."""
    for bad in (PIECE._replace(end=31), PIECE._replace(start=21)):
        with pytest.raises(WireError, match="a piece"):
            decode_task(encode_task(ScanTask((bad,))))

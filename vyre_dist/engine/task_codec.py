"""Tasks and results as bytes (msgpack), and back with every value checked.

Findings travel as blocks, which are looked into when their turn comes (finding_blocks.py). What
does not fit raises WireError; a message of another schema is refused whatever else is in it. No
array or text can be longer than its message.
"""

from __future__ import annotations

import sys

import msgpack

from vyre_dist.engine.content import Evidence
from vyre_dist.engine.filed import Filed
from vyre_dist.engine.finding_blocks import FindingBlock, Findings
from vyre_dist.engine.spool import Kept, bytes_of
from vyre_dist.engine.tally import Tally
from vyre_dist.engine.tasks import (
    AuditAnswer,
    AuditCursor,
    AuditTask,
    DocumentNote,
    DocumentProblem,
    FolderRun,
    Item,
    LargeDocument,
    PartResult,
    Piece,
    Reach,
    ScanTask,
    Stamp,
    StitchTask,
    Stretch,
    Task,
    TaskResult,
)
from vyre_dist.engine.tuned_codec import (
    choice_of,
    pair_of,
    programs_of,
    trial_of,
    wire_trial,
    wire_tuned,
)
from vyre_dist.engine.wire import (
    Wire,
    WireError,
    array_of,
    fields_of,
    number_of,
    numbers_of,
    text_of,
)
from vyre_dist.metrics import METRIC_NAMES
from vyre_dist.sources.file_names import FileNames

SCHEMA = 14

# the kinds of items
_WHOLE, _FOLDER, _PART = range(3)
# of an audit's keyword, beside 0 and 1
_UNKNOWN = 2


def encode_task(task: Task) -> bytes:
    """`task` as bytes."""
    if isinstance(task, ScanTask):
        tuned = task.choice.plain(), None if task.trial is None else wire_trial(task.trial)
        rest = (tuned, task.part, task.proof)
        return _pack([SCHEMA, "scan", [_wire_item(p) for p in task.pieces], rest])
    if isinstance(task, AuditTask):
        return _pack([SCHEMA, "audit", *_wire_audit(task)])
    parts = [_wire_part(part) for part in task.parts]
    return _pack([SCHEMA, "stitch", task.piece, [parts, task.stretch, task.part, task.proof]])


def decode_task(data: bytes) -> Task:
    """The inverse of encode_task. Raises WireError."""
    body = _unpack("task", data)
    try:
        _, kind, first, second = fields_of(body, 4)
        if kind == "scan":
            pieces = tuple([_item(item) for item in array_of(first)])
            tuned, own, proof = fields_of(second, 3)
            choice, trial = fields_of(tuned, 2)
            challenge = None if trial is None else trial_of(trial)
            return ScanTask(pieces, choice_of(choice), text_of(own), text_of(proof), challenge)
        if kind == "stitch":
            parts, stretch, own, proof = fields_of(second, 4)
            return StitchTask(
                _piece(first),
                tuple([_part(p) for p in array_of(parts)]),
                None if stretch is None else _stretch(stretch),
                text_of(own),
                text_of(proof),
            )
        if kind == "audit":
            return _audit((first, second))
        raise ValueError(f"a task of kind {kind!r:.60}")
    except ValueError as error:
        raise WireError("task", str(error)) from error


def encode_result(result: TaskResult) -> bytes:
    """`result` as bytes."""
    r = result
    parts = [_wire_part(part) for part in r.parts]
    blocks = [_wire_block(block) for block in r.findings.blocks]
    sums = (r.metric_values(), r.undone, r.seconds, wire_tuned(r), r.scanned, r.reaches, r.keywords)
    audit = None if r.audit is None else _wire_answer(r.audit)
    audits = [_wire_audit(each) for each in r.audits], audit
    return _pack([SCHEMA, blocks, parts, r.problems, r.notes, r.skipped, r.large, sums, audits])


def decode_result(data: bytes | memoryview) -> TaskResult:
    """The inverse of encode_result. Raises WireError."""
    body = _unpack("result", data)
    try:
        _, blocks, parts, problems, notes, skipped, large, sums, audited = fields_of(body, 9)
        audits, audit = fields_of(audited, 2)
        metrics, undone, seconds, tuned, scanned, reaches, keywords = fields_of(sums, 7)
        pairs, ran, unfit, programs, tried = fields_of(tuned, 5)
        if not isinstance(seconds, float) or not isinstance(scanned, dict):
            raise ValueError(f"{seconds!r:.60} and {scanned!r:.60} for seconds and bytes scanned")
        result = TaskResult(
            findings=Findings(blocks=[_block(block) for block in array_of(blocks)]),
            parts=[_part(part) for part in array_of(parts)],
            problems=[DocumentProblem(*_told(each)) for each in array_of(problems)],
            notes=[DocumentNote(*_told(each)) for each in array_of(notes)],
            skipped=list(numbers_of(skipped)),
            large=[_large(each) for each in array_of(large)],
            undone=number_of(undone),
            seconds=seconds,
            pairs=[pair_of(each) for each in array_of(pairs)],
            ran=choice_of(ran),
            unfit=text_of(unfit),
            programs=None if programs is None else programs_of(programs),
            tried_ns=number_of(tried),
            scanned={text_of(name): number_of(size) for name, size in scanned.items()},
            reaches=_reaches(reaches),
            keywords=numbers_of(keywords),
            audits=[_audit(each) for each in array_of(audits)],
            audit=None if audit is None else _answer(audit),
        )
        for name, value in zip(METRIC_NAMES, numbers_of(metrics), strict=True):
            setattr(result, name, value)
    except ValueError as error:
        raise WireError("result", str(error)) from error
    return result


def _pack(body: Wire) -> bytes:
    # paths may hold bytes that are no UTF-8
    return bytes(msgpack.packb(body, unicode_errors="surrogateescape"))


def _unpack(what: str, data: bytes | memoryview) -> Wire:
    try:
        body = msgpack.unpackb(data, use_list=False, unicode_errors="surrogateescape")
    except (ValueError, msgpack.UnpackException) as error:
        raise WireError(what, str(error)) from error
    schema = body[0] if isinstance(body, tuple) and body else body
    if not isinstance(body, tuple) or schema != SCHEMA:
        raise WireError(what, f"schema {schema!r:.60}, not {SCHEMA}")
    return body


def _wire_item(item: Item) -> Wire:
    if isinstance(item, FolderRun):
        return _FOLDER, item.first, item.prefix, item.names.packed, item.open_prefix
    if item.whole and not item.open_path and item.inline is None:
        # nobody checks the stamp of what is read at once
        return _WHOLE, item.document, item.path, item.size
    return (_PART, *item)


def _item(value: object) -> Item:
    tag, *fields = array_of(value)
    kind = number_of(tag)
    if kind == _WHOLE:
        document, path, size = fields_of(fields, 3)
        return Piece(number_of(document), text_of(path), end := number_of(size), 0, end)
    if kind == _FOLDER:
        first, prefix, names, open_prefix = fields_of(fields, 4)
        return FolderRun(
            number_of(first), text_of(prefix), _names(names), _text_or_none(open_prefix)
        )
    if kind == _PART:
        return _piece(fields)
    raise ValueError(f"an item of kind {kind}")


def _piece(value: object) -> Piece:
    document, path, size, start, end, open_path, stamp, inline = fields_of(value, 8)
    low, high, whole = numbers_of((start, end, size), 3)
    if not low <= high <= whole:
        raise ValueError(f"a piece [{low}, {high}) of {whole} bytes")
    return Piece(
        number_of(document),
        text_of(path),
        whole,
        low,
        high,
        _text_or_none(open_path),
        None if stamp is None else Stamp(*numbers_of(stamp, 3)),
        None if inline is None else _bytes(inline),
    )


def _wire_part(p: PartResult) -> Wire:
    spans, kept = _wire_kept(p.spans), _wire_kept(p.kept)
    ends = (p.unsearched, p.reaches, p.keywords, p.keyless, p.keyword_flags)
    return p.document, p.start, p.end, _wire_kept(p.newlines), spans, p.digest, kept, ends


def _wire_kept(kept: Kept) -> object:
    return kept.fields if isinstance(kept, Filed) else bytes_of(kept)


def _kept(value: object) -> Kept:
    if isinstance(value, bytes):
        return value
    part, offset, size = fields_of(value, 3)
    # a large document has many files, each of which is named several times
    return Filed(sys.intern(text_of(part)), number_of(offset), number_of(size))


def _wire_block(block: FindingBlock) -> Wire:
    return *block.place, block.rows, int(block.numbered), block.by_rule, _wire_kept(block.data)


def _block(value: object) -> FindingBlock:
    *numbers, by_rule, data = fields_of(value, 7)
    document, start, rule, rows, numbered = numbers_of(numbers)
    counts, place = _pairs(by_rule), (document, start, rule)
    return FindingBlock(place, rows, bool(numbered), _kept(data), counts)


def _part(value: object) -> PartResult:
    document, start, end, newlines, spans, digest, kept, ends = fields_of(value, 8)
    unsearched, reaches, keywords, keyless, flags = fields_of(ends, 5)
    return PartResult(
        number_of(document),
        number_of(start),
        number_of(end),
        _kept(newlines),
        _kept(spans),
        _bytes(digest),
        _kept(kept),
        numbers_of(unsearched),
        _pairs(reaches),
        numbers_of(keywords),
        numbers_of(keyless),
        _bytes(flags),
    )


def _stretch(value: object) -> Stretch:
    newlines, reaches, elsewhere, keywords, keyless, asked, flags = fields_of(value, 7)
    return Stretch(
        number_of(newlines),
        _reaches(reaches),
        numbers_of(elsewhere),
        numbers_of(keywords),
        numbers_of(keyless),
        numbers_of(asked),
        _bytes(flags),
    )


def _reaches(value: object) -> tuple[Reach, ...]:
    return tuple([Reach(*numbers_of(each, 4)) for each in array_of(value)])


def _pairs(value: object) -> tuple[tuple[int, int], ...]:
    pairs = [numbers_of(each, 2) for each in array_of(value)]
    return tuple([(first, second) for first, second in pairs])


def _large(value: object) -> LargeDocument:
    piece, piece_bytes = fields_of(value, 2)
    return LargeDocument(_piece(piece), number_of(piece_bytes))


def _told(value: object) -> tuple[int, str, str]:
    document, reason, detail = fields_of(value, 3)
    return number_of(document), text_of(reason), text_of(detail)


def _wire_audit(task: AuditTask) -> Wire:
    return task.piece, (task.evidence, _wire_tally(task.found), _wire_cursor(task.cursor))


def _audit(value: object) -> AuditTask:
    piece, rest = fields_of(value, 2)
    evidence, found, cursor = fields_of(rest, 3)
    return AuditTask(
        _piece(piece),
        tuple([_evidence(each) for each in array_of(evidence)]),
        _tally(found),
        _cursor(cursor),
    )


def _evidence(value: object) -> Evidence:
    start, end, digest = fields_of(value, 3)
    return Evidence(number_of(start), number_of(end), _bytes(digest))


def _wire_cursor(cursor: AuditCursor) -> Wire:
    keyword = _UNKNOWN if cursor.keyword is None else int(cursor.keyword)
    ends = cursor.rule, cursor.pos, cursor.last_end + 1, keyword
    lines = cursor.line_at, cursor.line, cursor.line_start
    return ends, lines, cursor.seconds, _wire_tally(cursor.found)


def _cursor(value: object) -> AuditCursor:
    ends, lines, seconds, found = fields_of(value, 4)
    rule, pos, after, keyword = numbers_of(ends, 4)
    line_at, line, line_start = numbers_of(lines, 3)
    if type(seconds) is not float or keyword > _UNKNOWN:
        raise ValueError(f"{seconds!r:.60} and {keyword} of an audit")
    return AuditCursor(
        rule,
        pos,
        after - 1,
        None if keyword == _UNKNOWN else bool(keyword),
        line_at,
        line,
        line_start,
        seconds,
        _tally(found),
    )


def _wire_answer(answer: AuditAnswer) -> Wire:
    cursor = None if answer.cursor is None else _wire_cursor(answer.cursor)
    return cursor, answer.reason, answer.detail


def _answer(value: object) -> AuditAnswer:
    cursor, reason, detail = fields_of(value, 3)
    return AuditAnswer(
        None if cursor is None else _cursor(cursor), text_of(reason), text_of(detail)
    )


def _wire_tally(tally: Tally) -> Wire:
    return tally.shift, [(*key, *sums) for key, sums in tally.sums.items()]


def _tally(value: object) -> Tally:
    shift, sums = fields_of(value, 2)
    rows = [numbers_of(each, 4) for each in array_of(sums)]
    return Tally(number_of(shift), {(rule, place): (n, total) for rule, place, n, total in rows})


def _text_or_none(value: object) -> str | None:
    return None if value is None else text_of(value)


def _names(value: object) -> FileNames:
    # an array: of a run that was recorded before
    return FileNames(value) if isinstance(value, bytes) else FileNames.of(_texts(value))


def _texts(value: object) -> list[str]:
    return list(map(text_of, array_of(value)))


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError(f"{value!r:.60} where bytes belong")

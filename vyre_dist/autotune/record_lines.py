"""Records as lines of JSON: our own file, which holds all of a record.

The first line says what the file is. Each other one is a record's fields as codec.py has them; what
no version here knows stands in `unknown`, as base64 of its msgpack.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgpack

from vyre_dist.atomic_file import AtomicFile
from vyre_dist.autotune.codec import InvalidRecordError, decode, encode
from vyre_dist.autotune.record import Place, StoredRecord
from vyre_dist.errors import UsageError

FORMAT = "vyre-dist autotune records"
VERSION = 1
SUFFIX = ".jsonl"
MAX_FILE_BYTES = 1 << 30
_HEADER = {"format": FORMAT, "version": VERSION}
_MOST_TOLD = 20


class RecordLinesError(UsageError):
    """A file that does not hold records, with all that is wrong with it."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        more = len(problems) - _MOST_TOLD
        listed = "; ".join(problems[:_MOST_TOLD]) + (f"; and {more} more" if more > 0 else "")
        super().__init__(f"{path}: {len(problems)} problem(s): {listed}")


def write_lines(path: str | os.PathLike[str], records: Iterable[StoredRecord]) -> Sequence[str]:
    """Write `records` to the file, sorted; it replaces the old file in one step.

    Returns the paths of what killed writers of the same file had left, which is gone now. Raises
    OSError.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = AtomicFile(str(path), mode=0o666)
    try:
        file.stream.write(_line(_HEADER))
        for stored in sorted(records, key=lambda stored: stored.place):
            file.stream.write(_line(_plain(stored)))
        file.commit()
    finally:
        file.abort()
    return file.remove_leftovers()


def read_lines(path: str | os.PathLike[str]) -> tuple[StoredRecord, ...]:
    """The records of the file, in its order. Raises RecordLinesError and OSError."""
    path = Path(path)
    with open(path, "rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise RecordLinesError(path, [f"larger than {MAX_FILE_BYTES} bytes"])
    lines = raw.splitlines()
    first = _parsed(lines[0]) if lines else None
    if not isinstance(first, dict) or first.get("format") != FORMAT:
        raise RecordLinesError(
            path, [f"its first line is not {json.dumps(_HEADER)}: name a file of `autotune export`"]
        )
    if first.get("version") != VERSION:
        raise RecordLinesError(
            path, [f"version {first.get('version')!r:.40}; this program reads {VERSION}"]
        )
    records: dict[Place, StoredRecord] = {}
    problems = []
    for number, line in enumerate(lines[1:], 2):
        try:
            stored = _record(_parsed(line))
        except InvalidRecordError as error:
            problems.append(f"line {number}: {error}")
            continue
        if stored.place in records:
            problems.append(f"line {number}: the same place stands twice in the file")
        records[stored.place] = stored
    if problems:
        raise RecordLinesError(path, problems)
    return tuple(records.values())


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _plain(stored: StoredRecord) -> dict[str, Any]:
    unknown = dict(stored.extra)
    fields = msgpack.unpackb(encode(stored), strict_map_key=False)
    plain = {name: value for name, value in fields.items() if name not in unknown}
    if unknown:
        plain["unknown"] = {name: base64.b64encode(v).decode() for name, v in unknown.items()}
    return plain


def _record(plain: object) -> StoredRecord:
    """Raises InvalidRecordError."""
    if not isinstance(plain, dict):
        raise InvalidRecordError("no JSON object")
    unknown = plain.pop("unknown", {})
    try:
        fields = {
            **plain,
            **{
                name: msgpack.unpackb(base64.b64decode(value, validate=True), strict_map_key=False)
                for name, value in unknown.items()
            },
        }
        # `schema` comes first in a record
        payload: bytes = msgpack.packb({"schema": fields.pop("schema", None), **fields})
    except (
        AttributeError,
        TypeError,
        ValueError,
        OverflowError,
        RecursionError,
        binascii.Error,
        msgpack.exceptions.UnpackException,
    ) as error:
        raise InvalidRecordError(f"its fields can't be read ({type(error).__name__})") from None
    return decode(payload)

"""Vyre's own store, one TOML file: read with all its problems named, written so that Vyre reads it
back.

The file does not carry the whole SpecCacheKey, so records read from it have `spec` None.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vyre_dist.atomic_file import AtomicFile
from vyre_dist.autotune.record import Place, StoredRecord
from vyre_dist.autotune.store import AutotuneStore
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord
from vyre_dist.errors import UsageError

SCHEMA = 1
MAX_FILE_BYTES = 4 * 1024 * 1024
# So many are one transaction of the store's, and are waited for before there are more.
_BATCH = 256

_REQUIRED = frozenset({"key", "adapter", "workgroup_size", "unroll", "tile"})
_ALLOWED = _REQUIRED | {"recorded_at"}


@dataclass(frozen=True, slots=True)
class TomlProblem:
    """One thing wrong in the file.

    `record` counts the [[record]] tables from 0; None means the file itself.
    """

    record: int | None
    text: str

    def __str__(self) -> str:
        return self.text if self.record is None else f"record {self.record}: {self.text}"


class VyreTomlError(UsageError):
    """A file that is not Vyre's store, or records that do not go into one.

    `problems` lists all that was found.
    """

    def __init__(self, path: Path, problems: Iterable[TomlProblem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        listed = "; ".join(map(str, self.problems[:20]))
        more = f"; and {len(self.problems) - 20} more" if len(self.problems) > 20 else ""
        super().__init__(f"{path}: {len(self.problems)} problem(s): {listed}{more}")


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did.

    `read`: records of the file. `stored`: those that the store took; the rest beat nothing.
    `unpublished`: those that did not reach the server behind it.
    """

    read: int
    stored: int
    unpublished: int = 0


def import_toml(store: AutotuneStore, path: str | os.PathLike[str]) -> ImportResult:
    """Offer every record of the file to `store`; nothing is offered unless the whole file is in
    order.

    Raises VyreTomlError, OSError if the file cannot be read, and what `store.put_many` raises.
    """
    return offer_all(store, read_toml(path))


def offer_all(
    store: AutotuneStore,
    records: Sequence[StoredRecord],
    *,
    publish: Callable[[Sequence[Place]], int] | None = None,
) -> ImportResult:
    """Offer `records` to `store`.

    `publish`, TieredStore's, is called for every few records: it waits, so that more is never
    queued than has room. Raises what `store.put_many` raises.
    """
    stored = unpublished = 0
    for start in range(0, len(records), _BATCH):
        batch = records[start : start + _BATCH]
        stored += store.put_many(batch)
        if publish is not None:
            unpublished += publish([record.place for record in batch])
    return ImportResult(len(records), stored, unpublished)


def export_toml(store: AutotuneStore, path: str | os.PathLike[str]) -> int:
    """Write all records of `store` to the file; their number.

    Raises VyreTomlError (too large) and OSError.
    """
    records = list(store.items())
    write_toml(path, records)
    return len(records)


def read_toml(path: str | os.PathLike[str]) -> tuple[StoredRecord, ...]:
    """The records of Vyre's file, in its order.

    Raises VyreTomlError with every problem, and OSError.
    """
    path = Path(path)
    with open(path, "rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise _whole(path, f"larger than {MAX_FILE_BYTES} bytes, which is the most that Vyre reads")
    try:
        document = tomllib.loads(raw.decode())
    # Deep nesting ends the parser's recursion: also only a file that is not ours.
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise _whole(path, f"not TOML: {error}") from None
    return _records(path, document)


def write_toml(path: str | os.PathLike[str], records: Iterable[StoredRecord]) -> Sequence[str]:
    """Write `records` as Vyre's file, sorted by key; it replaces the old file in one step.

    The file knows no workload classes, and no failures: of a key's records it has the one without
    a class, else the first by the class's name.

    Returns the paths of what killed writers of the same file had left, which is gone now. Raises
    VyreTomlError for more than Vyre reads, and OSError.
    """
    path = Path(path)
    tables = [_table(stored) for stored in _one_of_each_key(records)]
    raw = "\n".join([f"schema = {SCHEMA}\n", *tables]).encode()
    if len(raw) > MAX_FILE_BYTES:
        raise _whole(
            path,
            f"{len(tables)} records take {len(raw)} bytes; Vyre reads at most {MAX_FILE_BYTES}",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    file = AtomicFile(str(path), mode=0o666)
    try:
        file.stream.write(raw)
        file.commit()
    finally:
        file.abort()
    return file.remove_leftovers()


def _one_of_each_key(records: Iterable[StoredRecord]) -> Iterable[StoredRecord]:
    first: dict[AutotuneKey, StoredRecord] = {}
    for stored in sorted(records, key=lambda stored: stored.place):
        if not stored.failed_until:
            first.setdefault(stored.key, stored)
    return first.values()


def _whole(path: Path, text: str) -> VyreTomlError:
    return VyreTomlError(path, [TomlProblem(None, text)])


def _records(path: Path, document: dict[str, Any]) -> tuple[StoredRecord, ...]:
    problems: list[TomlProblem] = []
    schema = document.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        problems.append(TomlProblem(None, f"schema must be {SCHEMA}, found {schema!r:.40}"))
    for name in sorted(document.keys() - {"schema", "record"}):
        problems.append(TomlProblem(None, f"unknown key {name!r:.60}; allowed: schema, record"))
    tables = document.get("record", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(TomlProblem(None, "record must be an array of tables: [[record]]"))
        tables = []
    records: dict[AutotuneKey, StoredRecord] = {}
    for index, table in enumerate(tables):
        found, stored = _record(table)
        if stored is not None and stored.key in records:
            found.append(
                f"{stored.key.key_hex} of adapter {stored.key.adapter_id!r} stands twice in the "
                "file"
            )
        elif stored is not None:
            records[stored.key] = stored
        problems.extend(TomlProblem(index, text) for text in found)
    if problems:
        raise VyreTomlError(path, problems)
    return tuple(records.values())


def _record(table: dict[str, Any]) -> tuple[list[str], StoredRecord | None]:
    """All that is wrong with one table, or the record in it."""
    problems = [f"{name} is missing" for name in sorted(_REQUIRED - table.keys())]
    allowed = ", ".join(sorted(_ALLOWED))
    problems += [
        f"unknown key {name!r:.60}; allowed: {allowed}" for name in sorted(table.keys() - _ALLOWED)
    ]
    # Every field is tried against harmless neighbours, so that each one's own problem is reported.
    tried: dict[str, Callable[[Any], object]] = {
        "key": lambda value: AutotuneKey(value, "-"),
        "adapter": lambda value: AutotuneKey("0" * 32, value),
        "workgroup_size": lambda value: AutotuneRecord(_dim3("workgroup_size", value), 0),
        "unroll": lambda value: AutotuneRecord((0, 0, 0), value),
        "tile": lambda value: AutotuneRecord((0, 0, 0), 0, _dim3("tile", value)),
        "recorded_at": lambda value: AutotuneRecord((0, 0, 0), 0, recorded_at=value),
    }
    for name, attempt in tried.items():
        if name in table:
            try:
                attempt(table[name])
            except UsageError as error:
                problems.append(str(error))
    if problems:
        return problems, None
    record = AutotuneRecord(
        tuple(table["workgroup_size"]),
        table["unroll"],
        tuple(table["tile"]),
        table.get("recorded_at", ""),
    )
    return [], StoredRecord(AutotuneKey(table["key"], table["adapter"]), record)


def _dim3(name: str, value: Any) -> Any:
    """A TOML array as the tuple that the record's own check wants."""
    if not isinstance(value, list):
        raise UsageError(f"{name} must be an array of three u32, found {value!r:.60}")
    return tuple(value)


def _table(stored: StoredRecord) -> str:
    record = stored.record
    return "\n".join(
        [
            "[[record]]",
            f"key = {_string(stored.key.key_hex)}",
            f"adapter = {_string(stored.key.adapter_id)}",
            f"workgroup_size = {list(record.workgroup_size)}",
            f"unroll = {record.unroll}",
            f"tile = {list(record.tile)}",
            f"recorded_at = {_string(record.recorded_at)}",
            "",
        ]
    )


def _string(text: str) -> str:
    # For printable text JSON's escapes are TOML's; adapter ids are printable by their own check.
    return json.dumps(text, ensure_ascii=False)

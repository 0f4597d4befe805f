"""Records as lines of JSON: what is no such file is refused. That all of a record comes back is
tested in test_codec.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.record_lines import RecordLinesError, read_lines, write_lines
from vyre_dist.autotune.sqlite_store import SqliteStore

Make = Callable[..., StoredRecord]


def test_files_are_the_same_for_the_same_records(tmp_path: Path, make_record: Make) -> None:
    """In whatever order they come: by place, and one line for each."""
    records = [make_record(n) for n in range(1, 6)] + [make_record(workload="d5")]
    failed = make_record(choice=Choice.of(threads=64), failed_until=1000, reason="it hung")
    for name, order in (("one", [*records, failed]), ("two", [failed, *reversed(records)])):
        write_lines(tmp_path / name, order)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert len((tmp_path / "one").read_bytes().splitlines()) == 8
    assert set(read_lines(tmp_path / "one")) == {*records, failed}


def test_all_that_is_wrong_is_told(tmp_path: Path, make_record: Make) -> None:
    """With the numbers of the lines; nothing is taken from such a file."""
    path = tmp_path / "records.jsonl"
    write_lines(path, [make_record(1), make_record(2)])
    header, one, two = path.read_text().splitlines()
    longer = json.dumps(json.loads(one) | {"key": "xyz"})
    unknown = json.dumps(json.loads(one) | {"unknown": {"engine": "no base64!"}})
    path.write_text("\n".join([header, one, "{", longer, unknown, two, one]))
    with pytest.raises(RecordLinesError) as caught:
        read_lines(path)
    assert [text.split(":")[0] for text in caught.value.problems] == [
        f"line {number}" for number in (3, 4, 5, 7)
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "first line"),
        ('{"format": "x"}\n', "first line"),
        ("schema = 1\n", "first line"),
        ('{"format": "vyre-dist autotune records", "version": 2}\n', "this program reads 1"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(RecordLinesError, match=reason):
        read_lines(tmp_path / "x.jsonl")


def test_a_store_counts_what_is_found(tmp_path: Path, make_record: Make) -> None:
    """For all processes, in a file beside it; a damaged one is begun anew, and costs nothing."""
    path = tmp_path / "s.sqlite3"
    one, two = make_record(1), make_record(2)
    assert one.spec is not None
    for _ in range(3):
        with SqliteStore(path) as store:
            store.put_many([one, two])
            store.get_many([(one.key, one.spec), (make_record(3).key, one.spec)])
    with SqliteStore(path) as store:
        assert store.uses([one.place, two.place, make_record(3).place]) == [3, 0, 0]
        assert store.remove([one.place]) == 1
        assert store.uses([one.place]) == [0]
        Path(f"{path}.uses").write_bytes(b"no database at all" * 100)
        assert store.get(two.key, two.spec or one.spec) == two
    with SqliteStore(path) as store:
        assert store.uses([two.place]) == [0] and store.stats.errors == 0
        store.get(two.key, two.spec or one.spec)
    with SqliteStore(path) as store:
        assert store.uses([two.place]) == [1]

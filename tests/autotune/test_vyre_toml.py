"""Vyre's TOML file: read strictly, with every problem named; written so that it reads back."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.vyre_toml import (
    MAX_FILE_BYTES,
    TomlProblem,
    VyreTomlError,
    export_toml,
    import_toml,
    read_toml,
    write_toml,
)
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey

Make = Callable[..., StoredRecord]

GOOD = """\
schema = 1

[[record]]
key = "0123456789abcdef0123456789abcdef"
adapter = "portable-adapter-0"
workgroup_size = [128, 1, 1]
unroll = 4
tile = [16, 16, 1]
recorded_at = "2026-05-02"

[[record]]
key = "ffffffffffffffffffffffffffffffff"
adapter = "native \\"quoted\\" ü"
workgroup_size = [4294967295, 0, 1]
unroll = 0
tile = [0, 0, 0]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "autotune.toml"


def test_reading(file: Path) -> None:
    """Every field is read; the date may be left out; the records carry no spec."""
    file.write_text(GOOD)
    assert read_toml(file) == (
        StoredRecord(
            AutotuneKey("0123456789abcdef0123456789abcdef", "portable-adapter-0"),
            AutotuneRecord((128, 1, 1), 4, (16, 16, 1), "2026-05-02"),
        ),
        StoredRecord(
            AutotuneKey("f" * 32, 'native "quoted" ü'), AutotuneRecord((2**32 - 1, 0, 1), 0)
        ),
    )


def test_an_empty_store_is_a_file(file: Path) -> None:
    """A file with the schema alone is a store without records, both ways."""
    write_toml(file, [])
    assert file.read_text() == "schema = 1\n"
    assert read_toml(file) == ()


u32 = st.integers(0, 2**32 - 1)
dim3 = st.tuples(u32, u32, u32)
adapters = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.isprintable)
keys = st.builds(AutotuneKey, st.binary(min_size=16, max_size=16).map(bytes.hex), adapters)
dates = st.dates().map(lambda day: day.isoformat()) | st.just("")
plain = st.builds(StoredRecord, keys, st.builds(AutotuneRecord, dim3, u32, dim3, dates))


@given(st.lists(plain, max_size=8, unique_by=lambda record: record.key))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, records: list[StoredRecord]) -> None:
    """What is written reads back equal, sorted by key, and has exactly Vyre's fields."""
    file = tmp_path_factory.mktemp("t") / "a.toml"
    write_toml(file, records)
    assert read_toml(file) == tuple(sorted(records, key=lambda record: record.key))
    document = tomllib.loads(file.read_text())
    assert document["schema"] == 1
    for table in document.get("record", []):
        assert set(table) == {"key", "adapter", "workgroup_size", "unroll", "tile", "recorded_at"}


def test_import_and_export(file: Path, make_record: Make) -> None:
    """A store's records go through the file into another; what does not beat the incumbent stays
    out.
    """
    with MemoryStore() as store, MemoryStore() as other:
        for number in (1, 2, 3):
            store.put(make_record(number))
        assert export_toml(store, file) == 3
        other.put(make_record(2, unroll=9))
        result = import_toml(other, file)
        assert (result.read, result.stored) == (3, 2)
        spec = make_record(1).spec
        assert isinstance(spec, SpecCacheKey)
        found = other.get(make_record(1).key, spec)
        assert found is not None
        assert (found.record, found.spec) == (make_record(1).record, None)
        assert other.stats.unverified == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("schema = 1", "schema = 2"), (None, "schema must be 1, found 2")),
        (("schema = 1", "schema = true"), (None, "schema must be 1, found True")),
        (("schema = 1", 'schema = "1"'), (None, "schema must be 1, found '1'")),
        (("schema = 1\n", ""), (None, "schema must be 1, found None")),
        (("schema = 1", "schema = 1\nother = 2"), (None, "unknown key 'other'")),
        (("unroll = 4", "unroll = 4\nfast = true"), (0, "unknown key 'fast'")),
        (("unroll = 4\n", ""), (0, "unroll is missing")),
        (("unroll = 4", "unroll = -4"), (0, "unroll must be 0 to 4294967295, found -4")),
        (("unroll = 4", "unroll = 4294967296"), (0, "unroll must be")),
        (("unroll = 4", "unroll = 4.0"), (0, "unroll must be an int")),
        (("unroll = 4", "unroll = true"), (0, "unroll must be an int")),
        (("[128, 1, 1]", "[128, 1]"), (0, "workgroup_size must be")),
        (("[128, 1, 1]", '[128, 1, "1"]'), (0, "workgroup_size[2] must be")),
        (("[128, 1, 1]", "128"), (0, "workgroup_size must be an array")),
        (("[0, 0, 0]", "[0, 0, -1]"), (1, "tile[2] must be")),
        (
            ("0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789ABCDEF"),
            (0, "key_hex must be"),
        ),
        (("0123456789abcdef0123456789abcdef", "0123"), (0, "key_hex must be")),
        (('"portable-adapter-0"', '""'), (0, "adapter_id must be")),
        (('"portable-adapter-0"', "7"), (0, "adapter_id must be")),
        (('"2026-05-02"', "2026-05-02"), (0, "recorded_at must be a date")),
        (('"2026-05-02"', '"2026-15-02"'), (0, "recorded_at must be a date")),
    ],
)
def test_each_problem_is_named(
    file: Path, change: tuple[str, str], problem: tuple[int | None, str]
) -> None:
    """One wrong thing is one problem, with the record's index and what is allowed."""
    assert GOOD.count(change[0]) == 1
    file.write_text(GOOD.replace(*change))
    with pytest.raises(VyreTomlError) as caught:
        read_toml(file)
    (found,) = caught.value.problems
    assert found.record == problem[0]
    assert found.text.startswith(problem[1])
    assert str(file) in str(caught.value)
    assert str(found) in str(caught.value)


def test_all_problems_are_reported_together(file: Path) -> None:
    """Several wrong things in several records are all reported, and nothing is imported."""
    bad = (
        GOOD.replace("unroll = 4", "unroll = -1\nextra = 1")
        .replace("[0, 0, 0]", "0")
        .replace("schema = 1", "")
    )
    file.write_text(bad)
    with MemoryStore() as store:
        with pytest.raises(VyreTomlError, match=r"4 problem\(s\)") as caught:
            import_toml(store, file)
        assert [problem.record for problem in caught.value.problems] == [None, 0, 0, 1]
        assert list(store.items()) == []


def test_doubled_records_are_a_problem(file: Path) -> None:
    """Two records of one key and adapter contradict each other."""
    file.write_text(GOOD + GOOD.partition("\n\n")[2])
    with pytest.raises(VyreTomlError, match="stands twice") as caught:
        read_toml(file)
    assert [problem.record for problem in caught.value.problems] == [2, 3]


@pytest.mark.parametrize(
    "raw",
    [
        b"schema = ",
        b"\xff\xfe",
        b"schema = 1\nrecord = 3",
        b"schema = 1\nrecord = [1, 2]",
        b"schema = 1\n[record]\nkey = 1",
        b"a = " + b"[" * 100_000,
    ],
)
def test_other_files_are_refused(file: Path, raw: bytes) -> None:
    """What is not TOML, not UTF-8, or has no array of tables is a problem of the whole file."""
    file.write_bytes(raw)
    with pytest.raises(VyreTomlError) as caught:
        read_toml(file)
    assert [problem.record for problem in caught.value.problems] == [None]


def test_size_limits(file: Path) -> None:
    """A file of 4 MiB is read, a byte more is refused unread; more than that is not written
    either.
    """
    start = b"schema = 1\n#"
    file.write_bytes(start + b"x" * (MAX_FILE_BYTES - len(start)))
    assert read_toml(file) == ()
    file.write_bytes(start + b"x" * (MAX_FILE_BYTES - len(start) + 1))
    with pytest.raises(VyreTomlError, match="4194304"):
        read_toml(file)
    before = file.read_bytes()
    many = [
        StoredRecord(AutotuneKey(f"{i:032x}", "a" * 200), AutotuneRecord((1, 1, 1), 1))
        for i in range(14_000)
    ]
    with pytest.raises(VyreTomlError, match="14000 records"):
        write_toml(file, many)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_missing_file_is_an_os_error(file: Path) -> None:
    """The caller learns from the system what is wrong with the path."""
    with pytest.raises(FileNotFoundError):
        read_toml(file)


def test_long_lists_of_problems_are_cut_in_the_message_only(file: Path) -> None:
    """The message shows twenty problems; the attribute has them all."""
    table = '\n[[record]]\nkey = "x"\nadapter = "a"\nworkgroup_size = [1, 1, 1]\nunroll = 1\ntile = [0, 0, 0]\n'
    file.write_text("schema = 1\n" + table * 30)
    with pytest.raises(VyreTomlError, match="and 10 more") as caught:
        read_toml(file)
    assert len(caught.value.problems) == 30
    assert caught.value.problems[29] == TomlProblem(
        29, "key_hex must be 32 lower-case hex digits, found 'x'"
    )

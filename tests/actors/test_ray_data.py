"""ScanBatches: what Ray Data calls for each batch of a dataset."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest
from ray_head import Head

from vyre_dist import Scanner, UsageError
from vyre_dist.actors.ray_data import ScanBatches

SCANNER = Scanner({"key": r"key_(\d{4})", "end": r"x\z"})
BATCH = pa.table(
    {
        "url": pa.array(["a", None, "c"], pa.string()).dictionary_encode(),
        "text": pa.array(["key_1234 x", None, "key_5678\nkey_9999"], pa.large_string()),
    }
)


def test_a_batch_of_rows_gives_a_table_of_findings() -> None:
    """With the row, its id, and what a Parquet file has of a finding."""
    found = ScanBatches(SCANNER, "text", "url")(BATCH)
    assert found.select(["row", "row_id", "rule_id", "path", "line", "start"]).to_pylist() == [
        {"row": 0, "row_id": "a", "rule_id": "key", "path": "a", "line": 1, "start": 0},
        {"row": 0, "row_id": "a", "rule_id": "end", "path": "a", "line": 1, "start": 9},
        {"row": 2, "row_id": "c", "rule_id": "key", "path": "c", "line": 1, "start": 0},
        {"row": 2, "row_id": "c", "rule_id": "key", "path": "c", "line": 2, "start": 9},
    ]
    assert found.column("secret").to_pylist() == [b"1234", b"x", b"5678", b"9999"]


def test_batches_have_one_schema() -> None:
    """Also those without findings, so that they can be written to one dataset."""
    scan = ScanBatches(SCANNER, "text", "url")
    some, none = scan(BATCH), scan(BATCH.slice(1, 1))
    assert none.num_rows == 0 and none.schema == some.schema
    assert pa.concat_tables([none, some]).num_rows == 4
    without = ScanBatches(SCANNER, "text")(BATCH)
    assert without.column("row_id").null_count == 4
    assert without.column("path").to_pylist()[0] == "<table>#0"


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"text": ["a"]}, "found dict.*batch_format=.pyarrow"),
        (pa.table({"other": ["a"]}), "no column 'text'"),
        (pa.table({"text": ["a"]}), "no column 'url'"),
        (pa.table({"text": [1], "url": ["a"]}), "'text' is int64"),
    ],
)
def test_what_is_no_batch_is_refused(batch: object, message: str) -> None:
    """The message says what is to be changed."""
    with pytest.raises(UsageError, match=message):
        ScanBatches(SCANNER, "text", "url")(batch)  # type: ignore[arg-type]


# Ray Data makes such actors of the class. It wants pandas, so that it is not tested with here.
_PROGRAM = """
import sys
import pyarrow as pa
import ray
from vyre_dist import Scanner
from vyre_dist.actors.ray_data import ScanBatches

ray.init(address=sys.argv[1], log_to_driver=False)
scanner = Scanner({"key": r"key_[0-9]{4}"})
actor = ray.remote(ScanBatches).remote(scanner, "text", "id")
batches = [pa.table({"id": [n, n + 1], "text": ["key_0001", "x key_0002"]}) for n in (0, 2)]
found = pa.concat_tables(ray.get([actor.__call__.remote(batch) for batch in batches], timeout=90))
assert found.column("row_id").to_pylist() == [0, 1, 2, 3]
assert found.column("start").to_pylist() == [0, 2, 0, 2]
ray.shutdown()
print("fine")
"""


def test_an_actor_scans_batches(head: Head) -> None:
    """The class, its scanner and the tables travel."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM, head.gcs],
        env=head.environment | head.token,
        capture_output=True,
        text=True,
        timeout=180,
        cwd="/",
    )
    assert done.returncode == 0 and done.stdout.endswith("fine\n"), done.stderr

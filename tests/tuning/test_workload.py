"""Classes of workloads: few, named, and the same however a scan is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.errors import UsageError
from vyre_dist.tuning.workload import WorkloadClass

SUMS = st.integers(1, 1 << 40), st.integers(1, 1 << 24), st.integers(0, 1 << 30)


@given(*SUMS)
def test_every_workload_has_a_class_of_a_name_that_is_read_back(
    scanned: int, documents: int, matches: int
) -> None:
    found = WorkloadClass.of(scanned, documents, matches)
    assert found is not None
    assert WorkloadClass.named(found.name) == found


@given(*SUMS, st.integers(1, 1000))
def test_twice_as_much_of_the_same_is_of_the_same_class(
    scanned: int, documents: int, matches: int, times: int
) -> None:
    once = WorkloadClass.of(scanned, documents, matches)
    assert WorkloadClass.of(times * scanned, times * documents, times * matches) == once


@pytest.mark.parametrize(
    ("scanned", "documents", "matches", "name"),
    [
        (1 << 20, 1024, 15, "rare-small"),
        (1 << 20, 64, 16, "some-medium"),
        (1 << 20, 65, 1023, "some-small"),
        (1 << 20, 1, 1024, "many-large"),
        ((1 << 20) - 1, 1, 0, "rare-medium"),
    ],
)
def test_where_the_steps_are(scanned: int, documents: int, matches: int, name: str) -> None:
    found = WorkloadClass.of(scanned, documents, matches)
    assert found is not None
    assert found.name == name


def test_nothing_scanned_is_of_no_class() -> None:
    assert WorkloadClass.of(0, 3, 0) is None
    assert WorkloadClass.of(5, 0, 0) is None


@pytest.mark.parametrize("name", ["", "rare", "rare-tiny", "none-small", "rare-small-x"])
def test_a_name_of_no_class_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="use one of"):
        WorkloadClass.named(name)

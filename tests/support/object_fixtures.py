"""Fixtures of tests with an object store."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from object_store import BUCKET, Gate, environment_for, s3_server

from vyre_dist.storage import places


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """A server for all tests of the session: each has places of its own."""
    with s3_server() as port:
        yield port


@pytest.fixture
def gate(s3_port: int) -> Iterator[Gate]:
    """A way to the server that can fail."""
    gate = Gate(s3_port)
    yield gate
    gate.shut()


@pytest.fixture
def s3_place() -> str:
    """A URL where nothing is yet."""
    return f"s3://{BUCKET}/{os.urandom(8).hex()}/run"


@pytest.fixture
def s3_environment(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Has this process reach the store through the gate; the same for others."""
    variables = environment_for(gate.url)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for cache in (places._objects, places._filesystem):
        cache.cache_clear()  # another test's gate is another server
    return variables

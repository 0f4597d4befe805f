"""`vyre-dist autotune tune` and `verify`: they measure, on real files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.gain import LEAST_PAIRS, Gain
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.urls import open_store, parse_redis_url

Cli = Callable[..., Any]


@pytest.fixture
def files(tree: Path) -> Path:
    """A tree of three small files with little in them, and one of some kilobytes."""
    text = "a line of text with nothing in it, nor in what follows it.\n"
    (tree / "clean.txt").write_text(text * 600)
    return tree


def records_of(url: str) -> dict[tuple[str, bool], StoredRecord]:
    with open_store(url) as store:
        return {(each.workload, bool(each.failed_until)): each for each in store.items()}


def test_tune_stores_what_it_prints(cli: Cli, files: Path, pack: Path, tmp_path: Path) -> None:
    """Each choice beside the default, often enough; the winner is in the store, with the pack's
    name; another run measures the same again, and its word is the last.
    """
    url = f"sqlite://{tmp_path / 'store.sqlite3'}"
    drawn = tmp_path / "races.svg"
    arguments = ["autotune", "tune", pack, "--on", files, "--backend", "cpu", "--store", url]
    run = cli(*arguments, "--json", "--plot", drawn)
    assert run.code == 0, run.err
    (line,) = run.lines
    assert (line["workload"], line["stored"], line["documents"]) == ("some-small", True, 3)
    compared = line["compared"]
    assert {"lane": "serial"} in [each["choice"] for each in compared]
    assert all(each["pairs"] >= LEAST_PAIRS for each in compared)
    assert all(each["low"] <= each["ratio"] <= each["high"] for each in compared)
    first = records_of(url)["some-small", False]
    assert first.choice.plain() == line["choice"] and first.gain is not None
    assert (first.gain.ratio, first.gain.pairs) == (line["ratio"], line["pairs"])
    assert first.provenance.pack == str(pack) and dict(first.provenance.versions)["vyre-dist"]
    assert len(first.measured) + (not first.choice.is_default) == len(compared)
    picture = ElementTree.parse(drawn).getroot()  # noqa: S314 - written a moment ago
    lines = picture.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == len(compared)
    run = cli(*arguments)
    assert run.code == 0 and "CHOICE" in run.out.decode()
    assert re.search(r"lane=serial +\d\.\d{3} \[", run.out.decode())
    again = records_of(url)["some-small", False]
    assert again.fence is not None and again.fence.newer_than(first.fence)
    (shown,) = cli("autotune", "show", "--json", "--store", url).lines
    assert shown["pack"] == str(pack) and shown["workload"] == "some-small"
    # a scan looks for just this
    assert cli("scan", "-r", pack, files, "--store", url).code == 1
    (after,) = cli("autotune", "show", "--json", "--store", url).lines
    assert (after["hits"], after["key"]) == (shown["hits"] + 1, shown["key"])


def test_each_class_has_a_race(cli: Cli, files: Path, pack: Path, tmp_path: Path) -> None:
    """A file full of matches is another class than small ones without."""
    (files / "z.txt").write_text("".join(f"tok_{n:012d}\n{'-' * 150}\n" for n in range(200)))
    url = f"sqlite://{tmp_path / 'store.sqlite3'}"
    run = cli("autotune", "tune", pack, "--on", files / "z.txt", "--store", url, "--json")
    assert run.code == 0, run.err
    assert [line["workload"] for line in run.lines] == ["many-medium"]
    (files / "z.txt").rename(tmp_path / "z.txt")
    assert cli("autotune", "tune", pack, "--store", url).code == 0
    assert set(records_of(url)) == {("many-medium", False), ("some-small", False)}


def test_what_can_not_be_read_is_named(cli: Cli, files: Path, pack: Path, tmp_path: Path) -> None:
    """The rest is measured, and it is exit code 3; nothing at all is exit code 2."""
    url = f"sqlite://{tmp_path / 'store.sqlite3'}"
    run = cli("autotune", "tune", pack, "--on", files, "--on", "absent", "--store", url)
    assert run.code == 3 and "absent" in run.err
    assert set(records_of(url)) == {("some-small", False)}
    (tmp_path / "empty").mkdir()
    for place in ("absent", tmp_path / "empty"):
        run = cli("autotune", "tune", pack, "--on", place, "--store", "memory:")
        assert run.code == 2 and "nothing to measure on" in run.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["no-such-pack"], "no-such-pack"),
        (["--plot", "races.pdf"], "ends with .svg"),
        (["--store", "ftp://x"], "cannot open the autotune store"),
    ],
)
def test_tune_refuses_what_it_can_not_use(
    cli: Cli, files: Path, arguments: list[str], reason: str
) -> None:
    """Before anything is measured."""
    run = cli("autotune", "tune", "--on", files, *arguments)
    assert run.code == 2 and reason in run.err and run.out == b""


def test_tune_shares_what_it_finds(
    cli: Cli, files: Path, pack: Path, redis_url: str, dead_url: str, tmp_path: Path
) -> None:
    """A server gets it under its own lease, which is free again then; without it, it is kept here,
    and said.
    """
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    arguments = ["autotune", "tune", pack, "--on", files, "--store"]
    assert cli(*arguments, redis_url, **home).code == 0
    with RedisStore(parse_redis_url(redis_url)) as server:
        (record,) = server.items()
        name = f"tune:{record.key.key_hex}:{record.key.adapter_id}:{record.workload}"
        lease = server.lease(name, 60.0)
        assert lease is not None and lease.fence is not None
        assert record.fence is not None and record.fence.run_id == lease.fence.run_id
        run = cli(*arguments, redis_url, "--json", **home)
        assert run.lines[0]["stored"] in (False, True)
        assert [each.fence for each in server.items()] == [record.fence]
    run = cli(*arguments, dead_url, **home)
    assert run.code == 3 and "Connection refused" in run.err
    assert cli("autotune", "show", "--json", **home).lines[0]["workload"] == "some-small"


def test_verify_finds_regret(cli: Cli, files: Path, pack: Path, tmp_path: Path) -> None:
    """What was measured holds; what somebody stored without truth does not: exit code 1."""
    url = f"sqlite://{tmp_path / 'store.sqlite3'}"
    assert cli("autotune", "tune", pack, "--on", files, "--store", url).code == 0
    true = records_of(url)["some-small", False]
    forged = replace(
        true,
        choice=Choice.of(dispatch_bytes=4 << 20),
        gain=Gain(0.3, 0.29, 0.31, 500),
        measured=(),
    )
    with open_store(url) as store:
        store.remove([true.place])
        assert store.put(forged)
    run = cli("autotune", "verify", "--on", files, "--store", url, "--json")
    assert run.code == 1, run.err
    (line,) = run.lines
    assert (line["pack"], line["choice"]) == (str(pack), {"dispatch_bytes": 4 << 20})
    assert line["holds"] is False and line["pairs"] >= 48 and line["low"] > 0.31
    assert line["regret"] == max(0.0, line["ratio"] - 1)
    run = cli("autotune", "verify", pack, "--on", files, "--store", url)
    assert run.code == 1 and "does not hold" in run.out.decode()
    # as wide as it gets
    wide = replace(forged, choice=Choice.of(lane="serial"), gain=Gain(1.0, 0.05, 20.0, 5))
    with open_store(url) as store:
        store.remove([forged.place])
        assert store.put(wide)
    run = cli("autotune", "verify", pack, "--on", files, "--store", url, "--json")
    assert run.lines[0]["holds"] == (run.lines[0]["low"] <= 1.0)


def test_verify_says_what_it_can_not_measure(
    cli: Cli, files: Path, pack: Path, record: StoredRecord, tmp_path: Path
) -> None:
    """Other machines' records are none of its business; a class that is not there is told."""
    url = f"sqlite://{tmp_path / 'store.sqlite3'}"
    with open_store(url) as store:
        store.put(replace(record, workload="some-small", gain=Gain(1.0, 0.9, 1.0, 9)))
    run = cli("autotune", "verify", pack, "--on", files, "--store", url)
    assert run.code == 0 and "nothing to verify" in run.err
    assert cli("autotune", "tune", pack, "--on", files, "--store", url).code == 0
    (files / "one").mkdir()
    (files / "one" / "large.txt").write_text("nothing at all in here\n" * 100_000)
    run = cli("autotune", "verify", pack, "--on", files / "one", "--store", url)
    assert run.code == 3 and "rare-large only" in run.out.decode()

"""`vyre-dist autotune show`, `forget`, `export` and `import` of records of tuning."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import Provenance, StoredRecord
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.urls import open_store, parse_redis_url
from vyre_dist.dispatch.keys import AutotuneKey, SpecCacheKey

Cli = Callable[..., Any]


@pytest.fixture
def tuned(record: StoredRecord) -> list[StoredRecord]:
    """What scans and `tune` leave: winners of two packs and classes, and a choice that failed."""
    assert record.spec is not None
    winner = replace(
        record,
        workload="rare-small",
        choice=Choice.of(lane="serial"),
        gain=Gain(0.9, 0.88, 0.93, 40),
        provenance=Provenance((), "there", "2026-01-01", "shop.toml"),
        extra=(("engine", msgpack.packb({"later": [1, b"x"]})),),
    )
    other = SpecCacheKey(7, 2, (64, 1, 1), 5)
    young = datetime.datetime.now(datetime.UTC).date().isoformat()
    return [
        winner,
        replace(
            winner,
            key=AutotuneKey.of(other, "cpu somewhere"),
            spec=other,
            choice=Choice(),
            gain=Gain(1.0, 0.97, 1.0, 50),
            provenance=Provenance((), "there", young, "built in"),
        ),
        replace(
            winner,
            choice=Choice.of(threads=64),
            gain=None,
            failed_until=2**40 - 1,
            reason="found something else",
        ),
    ]


@pytest.fixture
def tuned_store(tuned: list[StoredRecord], tmp_path: Path) -> str:
    url = f"sqlite://{tmp_path / 'tuned.sqlite3'}"
    with open_store(url) as store:
        assert store.put_many(tuned) == 3
        assert store.get(tuned[0].key, tuned[0].spec, workload="rare-small") == tuned[0]  # type: ignore[arg-type]
    return url


def test_show_says_it_in_a_table(
    cli: Cli, tuned: list[StoredRecord], tuned_store: str, tmp_path: Path
) -> None:
    """Pack, choice, ratio with interval, class, device, host, age and hits, one line a record."""
    run = cli("autotune", "show", "--store", tuned_store)
    head, *rows = run.out.decode().splitlines()
    assert (run.code, run.err, len(rows)) == (0, "", 3)
    assert head.split() == [
        "KEY",
        "PACK",
        "CLASS",
        "CHOICE",
        "RATIO",
        "PAIRS",
        "DEVICE",
        "HOST",
        "AGE",
        "HITS",
    ]
    (line,) = [row for row in rows if "lane=serial" in row]
    for shown in (tuned[0].key.key_hex[:12], "shop.toml", "rare-small", "cpu somewhere", "there"):
        assert shown in line
    assert "0.900 [0.880, 0.930]  40" in line and line.endswith(" 1")
    assert any("not threads=64: found something else" in row for row in rows)
    assert any(" default " in row and " 0 d " in row for row in rows)
    (plain,) = [
        line
        for line in cli("autotune", "show", "--json", "--store", tuned_store).lines
        if line["choice"] == {"lane": "serial"}
    ]
    assert (plain["pack"], plain["workload"], plain["hits"]) == ("shop.toml", "rare-small", 1)
    assert (plain["ratio"], plain["low"], plain["high"], plain["pairs"]) == (0.9, 0.88, 0.93, 40)
    assert plain["host"] == "there" and plain["age_days"] > 300


def test_an_export_loses_nothing(
    cli: Cli, tuned: list[StoredRecord], tuned_store: str, tmp_path: Path
) -> None:
    """Not the classes, the failures, nor fields that only a later version knows."""
    file, other = tmp_path / "all.jsonl", f"sqlite://{tmp_path / 'other.sqlite3'}"
    assert "3 records written" in cli("autotune", "export", file, "--store", tuned_store).err
    run = cli("autotune", "import", file, "--store", other)
    assert (run.code, run.err) == (0, "3 of 3 records taken\n")
    with open_store(other) as store:
        assert set(store.items()) == set(tuned)
    assert cli("autotune", "import", file, "--store", other).code == 0
    wrong = cli("autotune", "export", tmp_path / "all.txt", "--store", tuned_store)
    assert wrong.code == 2 and ".jsonl" in wrong.err and ".toml" in wrong.err
    file.write_text(file.read_text() + "{}\n")
    run = cli("autotune", "import", file, "--store", other)
    assert run.code == 2 and "line 5" in run.err and "Traceback" not in run.err


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--all"], []),
        (["--pack", "shop.toml"], [1]),
        (["--pack", "none.toml"], [0, 1, 2]),
        (["--older-than", "30"], [1]),
        (["--older-than", "30", "--pack", "built in"], [0, 1, 2]),
        (["KEY"], [0, 2]),
    ],
)
def test_forget_removes_what_was_named(
    cli: Cli, tuned: list[StoredRecord], tuned_store: str, arguments: list[str], left: list[int]
) -> None:
    """And says what that was; nothing else goes."""
    named = [tuned[1].key.key_hex if each == "KEY" else each for each in arguments]
    run = cli("autotune", "forget", *named, "--store", tuned_store)
    gone = 3 - len(left)
    assert run.code == 0 and run.out.decode().count("removed: ") == gone
    assert f"{gone} record{'' if gone == 1 else 's'} removed" in run.err
    with open_store(tuned_store) as store:
        assert set(store.items()) == {tuned[number] for number in left}


@pytest.mark.parametrize(
    "arguments", [[], ["--all", "abcd"], ["xyz"], ["abc"], ["--older-than=-1"]]
)
def test_forget_wants_to_know_what(cli: Cli, tuned_store: str, arguments: list[str]) -> None:
    run = cli("autotune", "forget", *arguments, "--store", tuned_store)
    assert run.code == 2 and "Traceback" not in run.err
    with open_store(tuned_store) as store:
        assert len(list(store.items())) == 3


def test_a_key_that_nothing_has_is_told(cli: Cli, tuned_store: str) -> None:
    run = cli("autotune", "forget", "0123abcd", "--store", tuned_store)
    assert run.code == 0 and "no record has the key 0123abcd" in run.err


def test_forgetting_on_a_server(
    cli: Cli, redis_url: str, dead_url: str, tuned: list[StoredRecord], tmp_path: Path
) -> None:
    """It is gone there and here; without the server, that is said, and it is exit code 3."""
    own = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with RedisStore(parse_redis_url(redis_url)) as server:
        assert server.put_many(tuned) == 3
        assert cli("autotune", "show", "--store", redis_url, **own).out.count(b"\n") == 4
        run = cli("autotune", "forget", "--pack", "shop.toml", "--store", redis_url, **own)
        assert run.code == 0 and "2 records removed" in run.err
        assert set(server.items()) == {tuned[1]}
    run = cli("autotune", "forget", "--all", "--store", dead_url, **own)
    assert run.code == 3 and "Connection refused" in run.err


@pytest.mark.parametrize("url", [None, "sqlite"], ids=["default", "sqlite"])
def test_who_reads_makes_no_store(cli: Cli, tmp_path: Path, url: str | None) -> None:
    """Neither a file nor a folder, wherever the store would be."""
    home = tmp_path / "none"
    store = [] if url is None else ["--store", f"sqlite://{home}/store.sqlite3"]
    for command in (["show"], ["list"], ["forget", "--all"], ["verify"]):
        run = cli("autotune", *command, *store, XDG_CACHE_HOME=str(home), TMPDIR=str(home))
        assert run.code == 0 and run.out == b"" and "Traceback" not in run.err
        assert command[0] == "forget" or "there is no autotune store yet" in run.err
    assert (
        "0 records written"
        in cli("autotune", "export", tmp_path / "x.jsonl", *store, XDG_CACHE_HOME=str(home)).err
    )
    assert not home.exists()

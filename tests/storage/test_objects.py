"""ObjectStorage, on a real S3 server: what is put is whole, what is created is one's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from object_store import Gate

from vyre_dist.errors import UsageError
from vyre_dist.storage import LocalStorage, attempts, is_url, objects, open_storage
from vyre_dist.storage.attempts import PlaceDeniedError, PlaceError, PlaceMissingError
from vyre_dist.storage.filesystems import open_filesystem, root_of
from vyre_dist.storage.frames import DamagedError
from vyre_dist.storage.objects import ObjectStorage
from vyre_dist.storage.places import _filesystem


@pytest.fixture
def storage(s3_place: str, s3_environment: dict[str, str]) -> ObjectStorage:
    filesystem = open_filesystem("s3")
    return ObjectStorage(filesystem, root_of(filesystem, s3_place), s3_place, 5.0)


def again(storage: ObjectStorage, place: str = "", seconds: float = 5.0) -> ObjectStorage:
    """The same place for somebody who knows nothing of it, or another one."""
    root = place.removeprefix("s3://") or storage._root
    return ObjectStorage(storage._files, root, place or storage.place, seconds)


def test_files_are_put_listed_read_and_removed(storage: ObjectStorage) -> None:
    """As in a folder; nothing is where nothing was put."""
    assert storage.names() == storage.names("parts") == []
    storage.put("parts/b", [b"1", b"2"])
    storage.put("parts/a", [b"x" * 100_000])
    storage.put("parts/b", [b"3"])
    storage.put("run.json", [b"{}"])
    assert storage.names("parts") == ["a", "b"]
    assert storage.names() == ["parts", "run.json"]
    assert storage.read("parts/b") == b"3"
    assert storage.size("parts/a") == 100_000
    assert storage.read_at("parts/a", 99_990, 5) == b"xxxxx"
    assert storage.read_at("parts/a", 99_990, 50) == b"x" * 10
    assert storage.read_at("parts/a", 1, 0) == b""
    storage.remove("parts/a")
    storage.remove("parts/a")
    assert again(storage).names("parts") == ["b"]
    for missing in ("parts/a", "parts"):
        with pytest.raises(FileNotFoundError):
            storage.read(missing)
        with pytest.raises(FileNotFoundError):
            storage.size(missing)
    with pytest.raises(FileNotFoundError):
        storage.read_at("parts/a", 0, 10)


def test_only_one_creates_a_file(storage: ObjectStorage) -> None:
    """However many try one after the other, and what it holds is the first one's."""
    assert again(storage).create("owner/1", b"first")
    with ThreadPoolExecutor(4) as threads:
        won = threads.map(lambda i: again(storage).create("owner/1", b"%d" % i), range(8))
        assert not any(won)
    assert again(storage).read("owner/1") == b"first"


def test_a_log_is_what_was_appended(storage: ObjectStorage) -> None:
    """For who reads it meanwhile and later, with others beside it."""
    log = storage.log("ledger/000001")
    other = storage.log("ledger/000002")
    log.append(b"one")
    assert again(storage).read("ledger/000001") == b"one"
    log.append(b"two")
    other.append(b"x")
    log.append(b"three")
    log.close()
    assert log.size == 11
    assert storage.names("ledger") == ["000001", "000002"]
    late = again(storage)
    assert late.names("ledger") == ["000001", "000002"]
    assert late.read("ledger/000001") == b"onetwothree"
    assert late.read("ledger/000002") == b"x"
    with pytest.raises(FileExistsError):
        late.log("ledger/000001")
    storage.remove("ledger/000001-000000000001")
    with pytest.raises(DamagedError, match="one of its 3 objects is missing"):
        late.read("ledger/000001")


def test_two_writers_are_not_at_one_log(storage: ObjectStorage) -> None:
    """The second one's append is refused, wherever it is."""
    first, second = again(storage).log("ledger/1"), again(storage).log("ledger/1")
    first.append(b"a")
    with pytest.raises(FileExistsError):
        second.append(b"b")
    assert again(storage).read("ledger/1") == b"a"


def test_a_listing_that_lags_hides_nothing(storage: ObjectStorage) -> None:
    """What was appended since is read, too."""
    log = storage.log("ledger/1")
    log.append(b"a")
    reader = again(storage)
    reader.names("ledger")
    log.append(b"b")
    log.append(b"c")
    assert reader.read("ledger/1") == b"abc"


def test_sizes_of_many_files_are_listed(storage: ObjectStorage, gate: Gate) -> None:
    """Not asked for one by one: a resume looks at all part files."""
    for number in range(24):
        storage.put(f"parts/{number}", [b"x" * number])
    del gate.asked[:]
    assert [storage.size(f"parts/{number}") for number in range(24)] == list(range(24))
    assert len(gate.asked) == 16
    with pytest.raises(FileNotFoundError):
        storage.size("parts/24")
    storage.put("parts/24", [b"late"])
    assert storage.size("parts/24") == 4
    storage.put("parts/1", [b"another"])
    storage.remove("parts/2")
    assert storage.size("parts/1") == 7
    with pytest.raises(FileNotFoundError):
        storage.size("parts/2")


@pytest.mark.parametrize(
    "fate",
    ["503", "lost", *(pytest.param(each, marks=pytest.mark.nightly) for each in ("429", "cut"))],
)
def test_what_passes_is_tried_again(
    storage: ObjectStorage, gate: Gate, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    """And what was done, without an answer, is known to be one's own."""
    monkeypatch.setattr(attempts, "_FIRST_PAUSE", 0.01)
    left = {"PUT": 2, "GET": 2, "HEAD": 1, "DELETE": 1}

    def fault(method: str, path: str) -> str:
        left[method] = left.get(method, 0) - 1
        return fate if left[method] >= 0 else ""

    gate.fault = fault
    log = storage.log("ledger/1")
    log.append(b"a")
    assert left["PUT"] < 0 and left["HEAD"] < 0
    left["PUT"] = 1
    assert storage.create("owner/1", b"me")
    left["PUT"] = 1
    storage.put("owner/1", [b"still me"])
    log.append(b"b")
    left["GET"] = 2
    assert again(storage).read("owner/1") == b"still me"
    left["GET"] = 2
    assert storage.names("ledger") == ["1"]
    storage.remove("owner/1")
    gate.fault = lambda *_: ""
    assert again(storage).read("ledger/1") == b"ab"
    assert storage.names() == ["ledger"]


def test_a_store_that_comes_back_is_waited_for(
    storage: ObjectStorage, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as was said, and no longer."""
    tries: list[float] = []
    wait = time.sleep
    monkeypatch.setattr(attempts.time, "sleep", lambda pause: (tries.append(pause), wait(pause)))
    storage.put("a", [b"1"])
    gate.shut()
    threading.Timer(0.5, gate.open).start()
    assert storage.read("a") == b"1"
    gate.shut()
    waiting = again(storage, seconds=0.5)
    with pytest.raises(PlaceError, match=r"reading s3://.*when it was tried for the"):
        waiting.read("a")
    # who lets go of a run then does not wait so long for each of its files
    monkeypatch.setattr(objects, "_DOWN_SECONDS", 0.0)
    waiting._seconds = 60.0
    began = len(tries)
    with pytest.raises(PlaceError, match="writing"):
        waiting.put("a", [b"2"])
    assert len(tries) == began  # no second attempt
    gate.open()
    assert waiting.read("a") == b"1"
    threading.Timer(0.3, gate.open).start()
    gate.shut()
    assert waiting.read("a") == b"1"


def test_what_a_user_has_to_mend_is_told(
    storage: ObjectStorage, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, with the place and the cure; without a key."""
    with pytest.raises(PlaceMissingError, match="s3://nobody/run/a: there is no such bucket"):
        again(storage, "s3://nobody/run").read("a")
    with pytest.raises(PlaceMissingError):
        again(storage, "s3://nobody/run").names()
    gate.fault = lambda *_: "403"
    asked = len(gate.asked)
    with pytest.raises(PlaceDeniedError, match=r"access is denied.*allow listing") as denied:
        storage.read("a")
    with pytest.raises(PlaceDeniedError):
        storage.put("a", [b""])
    assert len(gate.asked) == asked + 2
    assert "not-a-secret" not in str(denied.value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PlaceDeniedError, match="there are no credentials"):
        ObjectStorage(open_filesystem("s3"), "runs/a", "s3://runs/a", 5.0).read("a")


def test_a_store_without_conditions_is_refused(tmp_path: Path) -> None:
    """Two drivers could have the same run there."""

    class Heedless(MemoryFileSystem):  # type: ignore[misc]
        store: dict[str, object] = {}  # noqa: RUF012
        pseudo_dirs = [""]  # noqa: RUF012

        def pipe_file(
            self, path: str, value: bytes, mode: str = "overwrite", **more: object
        ) -> None:
            super().pipe_file(path, value, mode="overwrite")

    storage = ObjectStorage(Heedless(), "/run", "heedless://run", 1.0)
    with pytest.raises(UsageError, match="two drivers could work on one run"):
        storage.create("owner/1", b"me")
    assert storage.names("owner") == []


@pytest.fixture
def folder_of_fsspec(tmp_path: Path) -> Iterator[ObjectStorage]:
    (tmp_path / "run").mkdir()
    files = DirFileSystem(str(tmp_path), LocalFileSystem(auto_mkdir=True))
    yield ObjectStorage(files, "run", "dir://run", 1.0)


def test_any_file_system_of_fsspec_will_do(folder_of_fsspec: ObjectStorage) -> None:
    """One without asynchronous calls, say."""
    storage = folder_of_fsspec
    log = storage.log("ledger/1")
    log.append(b"a")
    log.append(b"b")
    assert storage.create("owner/1", b"me") and not storage.create("owner/1", b"you")
    assert (storage.names("ledger"), storage.read("ledger/1")) == (["1"], b"ab")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("memory://run", "in the memory of one process"),
        ("s3://key:word@bucket/run", "has a password in it"),
        ("nosuch://bucket/run", "fsspec knows no nosuch://"),
        ("simplecache::s3://bucket/run", "several parts"),
    ],
)
def test_places_that_will_not_do(place: str, message: str) -> None:
    """Each for its reason; a password is not repeated."""
    with pytest.raises(UsageError, match=message) as refused:
        open_storage(place)
    with pytest.raises(UsageError, match=message):
        open_storage(place.replace("s3://", "S3://").replace("memory://", "Memory://"))
    assert "word@" not in str(refused.value)


def test_what_is_missing_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """fsspec itself, or what a scheme takes."""
    import importlib.util

    with pytest.raises(UsageError, match="python -m pip install gcsfs"):
        open_storage("gs://bucket/run")
    find = importlib.util.find_spec
    _filesystem.cache_clear()
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "fsspec" else find(name)
    )
    with pytest.raises(UsageError, match=r"pip install 'vyre-dist\[objects\]'$"):
        open_storage("s3://bucket/run")
    with pytest.raises(UsageError, match=r"pip install 'vyre-dist\[objects\]' gcsfs$"):
        open_storage("gs://bucket/run")


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    """With all that a folder can do."""
    storage = open_storage(f"file://{tmp_path}/run")
    assert isinstance(storage, LocalStorage)
    assert storage.path("a") == f"{tmp_path}/run/a"
    assert not is_url("file:///run") and not is_url("a:/b") and is_url("s3://a")

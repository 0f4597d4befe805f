"""LocalStorage: files that are whole or not there, for their owner alone."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from vyre_dist.errors import UsageError
from vyre_dist.storage import LocalStorage, open_storage, places


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing more to a file fails, as where the disk is full (Python ignores the signal)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # as Python has it when it starts; another test may have left it otherwise
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_files_are_put_listed_read_and_removed(tmp_path: Path) -> None:
    """In folders that are made when they are needed; a missing one has no files."""
    storage = LocalStorage(str(tmp_path / "run"))
    assert storage.names() == storage.names("parts") == []
    storage.put("parts/b", [b"1", b"2"])
    storage.put("parts/a", [b"x" * 100_000])
    storage.put("parts/b", [b"3"])
    assert storage.names("parts") == ["a", "b"]
    assert bytes(storage.read("parts/b")) == b"3"
    assert bytes(storage.read("parts/a")) == b"x" * 100_000
    storage.remove("parts/a")
    storage.remove("parts/a")
    assert storage.names("parts") == ["b"]
    with pytest.raises(FileNotFoundError):
        storage.read("parts/a")


def test_only_one_creates_a_file(tmp_path: Path) -> None:
    """However many try at once, and what it holds is that one's."""
    storage = LocalStorage(str(tmp_path / "run"))
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda i: storage.create("owner", b"%d" % i), range(32)))
    assert won.count(True) == 1
    assert bytes(storage.read("owner")) == b"%d" % won.index(True)
    assert storage.names() == ["owner"]


def test_all_is_its_owner_s_alone(tmp_path: Path) -> None:
    """Folders 0700, files 0600, whatever the umask."""
    before = os.umask(0)
    try:
        storage = LocalStorage(str(tmp_path / "run"))
        storage.put("parts/a", [b"1"])
        storage.create("owner/1", b"1")
        storage.log("ledger/1").append(b"1")
    finally:
        os.umask(before)
    for folder, _, files in os.walk(tmp_path / "run"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for file in files:
            assert stat.S_IMODE(os.stat(os.path.join(folder, file)).st_mode) == 0o600


def test_what_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    """Neither half of a file, nor half of what was appended."""
    storage = LocalStorage(str(tmp_path / "run"))
    log = storage.log("ledger/1")
    log.append(b"a" * 600)
    with files_of_at_most(1000):
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            storage.put("parts/a", [b"x" * 2000])
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            log.append(b"b" * 600)
    log.append(b"c")
    assert bytes(storage.read("ledger/1")) == b"a" * 600 + b"c"
    assert log.size == 601
    assert os.listdir(tmp_path / "run" / "parts") == []
    with pytest.raises(FileExistsError):
        storage.log("ledger/1")
    log.close()
    log.close()


def test_a_part_of_a_file_is_read_as_far_as_there_is_any(tmp_path: Path) -> None:
    """Such as a finding's place in a part file."""
    storage = open_storage(str(tmp_path / "run"))
    storage.put("parts/1", [b"abcdef"])
    assert storage.read_at("parts/1", 2, 3) == b"cde"
    assert storage.read_at("parts/1", 4, 9) == b"ef"
    assert storage.size("parts/1") == 6
    with pytest.raises(FileNotFoundError):
        storage.size("parts/2")
    with pytest.raises(FileNotFoundError):
        storage.read_at("parts/2", 0, 1)


def test_a_place_of_a_scheme_is_opened_by_who_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who knows none is told so; what is no URL is a folder, whatever it is called."""
    other = LocalStorage(str(tmp_path))
    monkeypatch.setitem(places.SCHEMES, "made-up", lambda _: other)
    assert open_storage("made-up://run") is other
    with pytest.raises(UsageError, match="fsspec knows no unknown://"):
        open_storage("unknown://run")
    assert isinstance(open_storage("made-up"), LocalStorage)

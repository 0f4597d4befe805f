"""ArtifactCache: all or nothing, by content, and never an error."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from privileges import NOBODY

from vyre_dist.program import ArtifactCache


@given(payload=st.binary(max_size=200), key=st.text(max_size=20))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, payload: bytes, key: str) -> None:
    """What was put under a key is what is got, and under no other key or kind."""
    cache = ArtifactCache(str(tmp_path_factory.mktemp("c")))
    assert cache.get("k", key) is None
    cache.put("k", key, payload)
    assert cache.get("k", key) == payload
    assert cache.get("k", key + "x") is None
    assert cache.get("kk", key) is None
    assert cache.write_error is None


def test_every_truncation_and_every_flipped_byte_is_a_miss(tmp_path: Path) -> None:
    """No damage goes unseen."""
    cache = ArtifactCache(str(tmp_path))
    cache.put("k", "key", b"payload")
    [path] = (tmp_path / "k").iterdir()
    good = path.read_bytes()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        assert cache.get("k", "key") is None
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x80]) + good[at + 1 :])
        assert cache.get("k", "key") is None
    path.write_bytes(good)
    assert cache.get("k", "key") == b"payload"


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the rename fails, the temporary file goes and the error is kept for whoever asks."""

    def no_space(_old: str, _new: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    cache = ArtifactCache(str(tmp_path))
    cache.put("k", "key", b"payload")
    assert cache.write_error is not None
    assert not list((tmp_path / "k").iterdir())
    assert cache.get("k", "key") is None


def test_a_directory_in_an_artifacts_place_is_a_miss(tmp_path: Path) -> None:
    """Reading and writing survive what has no business being there."""
    cache = ArtifactCache(str(tmp_path))
    cache.put("k", "key", b"payload")
    [path] = (tmp_path / "k").iterdir()
    path.unlink()
    path.mkdir()
    assert cache.get("k", "key") is None
    cache.put("k", "key", b"payload")
    assert isinstance(cache.write_error, OSError)
    assert [entry.name for entry in (tmp_path / "k").iterdir()] == [path.name]


def test_no_directory_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache without a directory keeps nothing and writes nothing."""
    monkeypatch.chdir(tmp_path)
    cache = ArtifactCache(None)
    cache.put("k", "key", b"payload")
    assert cache.get("k", "key") is None
    assert not list(tmp_path.iterdir())


def test_readers_see_all_or_nothing(tmp_path: Path) -> None:
    """While writers replace an artifact over and over, a reader gets one whole payload or
    another.
    """
    payloads = [bytes([n]) * 100_000 for n in range(3)]
    cache = ArtifactCache(str(tmp_path))
    cache.put("k", "key", payloads[0])
    done = threading.Event()

    def write(payload: bytes) -> None:
        while not done.is_set():
            cache.put("k", "key", payload)

    writers = [threading.Thread(target=write, args=(payload,)) for payload in payloads]
    for writer in writers:
        writer.start()
    try:
        assert all(cache.get("k", "key") in payloads for _ in range(300))
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert len(list((tmp_path / "k").iterdir())) == 1


def test_what_is_not_taken_goes_to_a_spare_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a file in its kind's way an artifact is kept elsewhere, found there by the next cache,
    and the trouble told.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    own = tmp_path / "own"
    own.mkdir()
    (own / "k").touch()
    for _ in range(2):
        cache = ArtifactCache(str(own))
        if cache.get("k", "key") is None:
            cache.put("k", "key", b"payload")
        cache.put("other", "key", b"as usual")
        assert cache.get("k", "key") == b"payload"
        assert str(own / "k") in cache.trouble and str(tmp_path / "vyre-dist-") in cache.trouble
    assert (own / "other").is_dir()
    (own / "k").unlink()
    cache = ArtifactCache(str(own))
    # not from there any more: nothing says that it is of this time
    assert (cache.get("k", "key"), cache.trouble) == (None, "")


@pytest.mark.parametrize("fault", ["open to all", "a link", "of another user"])
def test_a_folder_that_anybody_could_have_made(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder where everybody may write, one is trusted only if it is this user's, and nobody
    else may write to it.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    everybodys = tmp_path / "everybodys"
    everybodys.mkdir()
    everybodys.chmod(0o1777)
    good = ArtifactCache(str(everybodys / "own"))
    good.put("k", "key", b"payload")
    assert good.get("k", "key") == b"payload" and good.trouble == ""
    if fault == "open to all":
        (everybodys / "own").chmod(0o777)
    elif os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    elif fault == "of another user":
        os.chown(everybodys / "own", NOBODY, NOBODY)
    else:
        (everybodys / "own").rename(tmp_path / "elsewhere")
        (everybodys / "own").symlink_to(tmp_path / "elsewhere")
        os.chown(everybodys / "own", NOBODY, NOBODY, follow_symlinks=False)
    bad = ArtifactCache(str(everybodys / "own"))
    assert bad.get("k", "key") is None
    assert "another user's" in bad.trouble

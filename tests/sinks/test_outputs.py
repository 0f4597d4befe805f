"""Destinations: files appear whole or not at all, special files are written through, mistakes are
named.
"""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vyre_dist.errors import UsageError
from vyre_dist.finding import Finding
from vyre_dist.own_files import SUFFIX
from vyre_dist.sinks import (
    FORMATS,
    OutputError,
    RunSummary,
    Sink,
    SinkConflictError,
    SinkFormatError,
    SinkWriteError,
    open_sinks,
)
from vyre_dist.sinks.formats import OUTPUT_FORMATS

ROOT = Path(__file__).resolve().parents[2]
ONE = Finding("r", "p", 0, 1, 1, 1, b"match", b"secret")


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_file_appears_at_close(tmp_path: Path, format_name: str) -> None:
    """Until close there is nothing at the destination; then the whole, private to its owner, and no
    rest.
    """
    target = tmp_path / "out"
    with open_sinks([(format_name, str(target))]) as sinks:
        sinks.write([ONE] * 1000)
        assert not target.exists()
        sinks.close(RunSummary(findings=1000))
    assert target.stat().st_size > 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_failed_run_keeps_the_old_file(tmp_path: Path, format_name: str) -> None:
    """Where the run raises, the destination keeps what it had and no temporary file stays."""
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), open_sinks([(format_name, str(target))]) as sinks:
        sinks.write([ONE] * 1000)
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_killed_process_leaves_no_half_file(tmp_path: Path) -> None:
    """After SIGKILL in mid-write the old file is there as it was."""
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    code = (
        "import sys; from vyre_dist.finding import Finding; from vyre_dist.sinks import *\n"
        "s = open_sinks([('jsonl', sys.argv[1])])\n"
        "while True:\n"
        "    s.write([Finding('r', 'p', 0, 1, 1, 1, b'm' * 100, b's')] * 10000); print('.', "
        "flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(target)],
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert target.read_text() == "old"
    assert any(name.endswith(".part") for name in os.listdir(tmp_path))


def test_a_replaced_file_hands_on_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    """Replacing keeps the permissions; a link goes on pointing at its file."""
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    with open_sinks([("jsonl", str(tmp_path / "link"))]) as sinks:
        sinks.close(RunSummary())
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "real").read_text())["type"] == "summary"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640


@pytest.mark.parametrize("format_name", FORMATS)
def test_an_end_while_outputs_are_opened_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
) -> None:
    """Ctrl-C while a sink is made, which may have to import pyarrow first, drops its file and those
    before it.
    """
    during: list[str] = []

    def interrupted(*_: object) -> Sink:
        during.extend(os.listdir(tmp_path))
        raise KeyboardInterrupt

    form = OUTPUT_FORMATS[format_name]._replace(open_sink=interrupted)
    monkeypatch.setitem(OUTPUT_FORMATS, format_name, form)
    other = "jsonl" if format_name != "jsonl" else "csv"
    with pytest.raises(KeyboardInterrupt):
        open_sinks([(other, str(tmp_path / "a")), (format_name, str(tmp_path / "b"))])
    assert len(during) == 2
    assert os.listdir(tmp_path) == []


def test_parquet_without_pyarrow_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a usage error with the cure in it, and leaves no file."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(OutputError, match=r"parquet needs pyarrow .*pip install pyarrow"):
        open_sinks([("parquet", str(tmp_path / "a"))])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    ["x" * 240, "日" * 80, os.fsdecode(b"\xe9" * 240), "é" * 3],
    ids=["ASCII", "UTF-8", "no UTF-8", "short"],
)
def test_a_long_name_has_room_for_the_temporary_one(tmp_path: Path, name: str) -> None:
    """What a file system takes as a name is one, in any script; the temporary name begins with
    whole characters of it.
    """
    with open_sinks([("jsonl", str(tmp_path / name))]) as sinks:
        (temporary,) = os.listdir(tmp_path)
        sinks.close(RunSummary())
    beginning = temporary.removesuffix(SUFFIX)[1:].rpartition(".")[0]
    assert name.startswith(beginning) and not any("\udc80" <= c <= "\udcff" for c in beginning)
    assert os.listdir(tmp_path) == [name]


def test_what_is_open_already_is_written_to_as_it_is(tmp_path: Path) -> None:
    """/dev/fd/N, by any name, is the descriptor: a file that it leads to is not replaced, nor
    written from its beginning.
    """
    (tmp_path / "log").write_text("precious\n")
    with open(tmp_path / "log", "ab") as log:
        (tmp_path / "link").symlink_to(f"/dev/fd/{log.fileno()}")
        for name in (
            f"/dev/fd/{log.fileno()}",
            f"/proc/self/fd/{log.fileno()}",
            str(tmp_path / "link"),
        ):
            with open_sinks([("jsonl", name)]) as sinks:
                sinks.write([ONE])
                sinks.close(RunSummary())
        log.write(b"end\n")
    first, *lines, last = (tmp_path / "log").read_text().splitlines()
    assert (first, last) == ("precious", "end")
    assert [json.loads(line)["type"] for line in lines] == ["finding", "summary"] * 3
    assert sorted(os.listdir(tmp_path)) == ["link", "log"]


def test_descriptors_that_cannot_be_written_to_are_named(tmp_path: Path) -> None:
    """One that is not open, and one that is open for reading only, are known before anything is
    scanned.
    """
    (tmp_path / "a").touch()
    with open(tmp_path / "a", "rb") as readable:
        for number, why in ((readable.fileno(), "for reading only"), (999, "Bad file descriptor")):
            with pytest.raises(OutputError, match=why) as caught:
                open_sinks([("jsonl", f"/dev/fd/{number}")])
            assert caught.value.destination == f"/dev/fd/{number}"


@pytest.mark.parametrize("digits", [14, 5000])
def test_a_number_that_no_descriptor_has(digits: int) -> None:
    """It names a file that can't be, like any other name below /dev/fd."""
    with pytest.raises(OutputError):
        open_sinks([("jsonl", f"/dev/fd/{'9' * digits}")])


def test_special_files_are_written_through(tmp_path: Path) -> None:
    """A pipe or /dev/null stays what it is and takes the bytes."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    with open_sinks([("jsonl", str(fifo)), ("csv", os.devnull), ("sarif", os.devnull)]) as sinks:
        sinks.write([ONE])
        sinks.close(RunSummary())
    reader.join(timeout=30)
    assert [json.loads(line)["type"] for line in got[0].splitlines()] == ["finding", "summary"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_several_sinks_get_the_same(tmp_path: Path) -> None:
    """Each output gets all the findings."""
    out = io.BytesIO()
    with open_sinks(
        [("human", "-"), ("jsonl", str(tmp_path / "a")), ("csv", str(tmp_path / "b"))], stdout=out
    ) as sinks:
        sinks.write([ONE, ONE])
        sinks.write([ONE])
        sinks.close(RunSummary(findings=3))
    assert out.getvalue().count(b"p:1:1 r: match") == 3
    assert len((tmp_path / "a").read_text().splitlines()) == 4
    assert len((tmp_path / "b").read_text().splitlines()) == 4
    assert not out.closed


def test_unknown_formats_name_the_allowed(tmp_path: Path) -> None:
    """The error carries what was found and what is allowed, and nothing has been opened."""
    with pytest.raises(
        SinkFormatError, match=r"'xml'.*human, jsonl, sarif, csv, parquet"
    ) as caught:
        open_sinks([("csv", str(tmp_path / "a")), ("xml", str(tmp_path / "b"))])
    assert (caught.value.found, caught.value.allowed) == ("xml", FORMATS)
    assert isinstance(caught.value, UsageError)
    assert os.listdir(tmp_path) == []


def test_two_outputs_cannot_share_a_destination(tmp_path: Path) -> None:
    """The same file, by whatever name, or standard output twice, is a usage error."""
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(SinkConflictError):
        open_sinks([("csv", str(tmp_path / "a")), ("jsonl", str(tmp_path / "link"))])
    with pytest.raises(SinkConflictError, match="standard output"):
        open_sinks([("csv", "-"), ("jsonl", "-")])
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        with pytest.raises(SinkConflictError):
            open_sinks([("csv", "-"), ("jsonl", name)], stdout=io.BytesIO())
    with pytest.raises(SinkConflictError):
        open_sinks([("csv", "/dev/stderr"), ("jsonl", "/dev/fd/2")])


def test_destinations_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    """A missing directory, a directory or an impossible name is an OutputError; earlier outputs are
    dropped.
    """
    (tmp_path / "file").write_text("x")
    for bad in (tmp_path / "none" / "x", tmp_path, tmp_path / "file" / "x", "nul\0"):
        with pytest.raises(OutputError) as caught:
            open_sinks([("csv", str(tmp_path / "a")), ("jsonl", str(bad))])
        assert caught.value.destination == str(bad)
    assert os.listdir(tmp_path) == ["file"]


def test_parquet_refuses_a_terminal() -> None:
    """Binary output to a terminal is a usage error."""
    leader, follower = pty.openpty()
    try:
        with (
            open(follower, "wb", buffering=0, closefd=False) as terminal,
            pytest.raises(OutputError, match="terminal"),
        ):
            open_sinks([("parquet", "-")], stdout=terminal)
    finally:
        os.close(leader)
        os.close(follower)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_full_disk_is_an_error_that_names_the_output(tmp_path: Path, format_name: str) -> None:
    """Where the system refuses to write more, the error carries format, destination and errno; no
    file stays.
    """
    target = tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    big = Finding("r", "p", 0, 1, 1, 1, os.urandom(1 << 20), b"s")
    try:
        with (
            pytest.raises(SinkWriteError) as caught,
            open_sinks([(format_name, str(target))]) as sinks,
        ):
            for _ in range(80 if format_name != "human" else 5000):
                sinks.write([big])
            sinks.close(RunSummary())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert (caught.value.format, caught.value.destination, caught.value.errno) == (
        format_name,
        str(target),
        errno.EFBIG,
    )
    assert os.listdir(tmp_path) == []


def test_a_reader_that_left_is_a_broken_pipe(tmp_path: Path) -> None:
    """BrokenPipeError passes through unwrapped, and the file outputs of the run are dropped."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb", buffering=0) as out, pytest.raises(BrokenPipeError):  # noqa: SIM117
        with open_sinks([("jsonl", "-"), ("csv", str(tmp_path / "a"))], stdout=out) as sinks:
            sinks.write([ONE])
    assert os.listdir(tmp_path) == []


def test_imports_are_lazy() -> None:
    """Neither importing the sinks nor writing plain formats loads rich or pyarrow."""
    code = (
        "import sys, io, os; from vyre_dist.finding import Finding; from vyre_dist.sinks import *\n"
        "specs = [('human', '-'), *((f, os.devnull) for f in ('jsonl', 'csv', 'sarif'))]\n"
        "s = open_sinks(specs, stdout=io.BytesIO())\n"
        "s.write([Finding('r', 'p', 0, 1, 1, 1, b'm', b's')]); s.close(RunSummary())\n"
        "open_progress(io.StringIO()).close()\n"
        "print([m for m in ('rich', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"

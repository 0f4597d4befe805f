"""`vyre-dist scan`: formats, files, redaction, the report, and readers that leave early."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


def test_human_is_the_default(cli: Cli, pack: Path) -> None:
    """Findings with their places, then the totals; nothing on standard error but progress."""
    run = cli("scan", "-r", pack, "--progress", "never")
    lines = run.out.decode().splitlines()
    assert run.code == 1 and run.err == ""
    assert lines[0] == "a.txt:2:7 token: tok_aaaaaaaaaaaa"
    assert any(line.startswith("2 findings in 3 documents; 0.1 kB in ") for line in lines)
    assert "INCOMPLETE" not in run.out.decode()


def test_human_lists_what_was_not_scanned(cli: Cli, pack: Path) -> None:
    """The summary names it; standard error, which goes elsewhere, says that there is something to look for."""
    for path, shown in (("missing", "missing"), ("", "''")):
        run = cli("scan", "-r", pack, path)
        assert (
            run.out.decode().splitlines()[0] == f"not scanned: {shown}: not-found (No such file or directory)"
        )
        assert run.out.decode().endswith("INCOMPLETE: 1 input not scanned to the end\n")
        assert run.err == "vyre-dist: 1 input was not scanned to the end; the end of the output says which\n"


FORMATS = ["human", "jsonl", "csv", "sarif", "parquet"]


@pytest.mark.parametrize(
    "form", [*FORMATS, "human=file", "jsonl=file", "human=/dev/stderr", "sarif=/dev/fd/2"]
)
@pytest.mark.parametrize("where", ["2>err", "2>&1", "2>/dev/null", ">/dev/null", ">&-"])
def test_a_problem_is_named_once(
    pack: Path, tree: Path, environment: dict[str, str], tmp_path: Path, form: str, where: str
) -> None:
    """In whatever format and wherever the two standard streams go, together they name what was not scanned once."""
    (tmp_path / "out").touch()
    script = {
        "2>&1": ">>out 2>&1",
        ">&-": "2>err >&-",
    }.get(where, f">out {where}" if where.startswith("2") else f"2>err {where}")
    command = f'cd "$0"; exec "$@" {script.replace("out", "../out").replace("err", "../err")}'
    scan = [sys.executable, "-m", "vyre_dist", "scan", "-r", str(pack), "-f", form, ".", "no-such-name"]
    subprocess.run(["bash", "-c", command, str(tree), *scan], env=environment, timeout=60)
    said = b"".join((tmp_path / name).read_bytes() for name in ("out", "err") if (tmp_path / name).exists())
    lost = "2>/dev/null" in script and (form == "csv" or "=" in form)
    # what begins with a header fails before anything is scanned
    lost |= ">&-" in script and form in ("csv", "sarif", "parquet")
    assert said.count(b"no-such-name") == (0 if lost else 1), said


def test_a_summary_that_nobody_sees_names_nothing(cli: Cli, pack: Path, tree: Path) -> None:
    """`> /dev/null`: the problem is said on standard error."""
    script = 'exec "$@" > /dev/null'
    run = subprocess.run(
        ["bash", "-c", script, "-", sys.executable, "-m", "vyre_dist", "scan", "-r", str(pack), "missing"],
        cwd=tree,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=60,
    )
    said = b"vyre-dist: not scanned: missing: not-found (No such file or directory)\n"
    assert (run.returncode, run.stderr) == (3, said)


def read_csv(text: str) -> list[tuple[str, str]]:
    return [(row["path"], row["secret"]) for row in csv.DictReader(io.StringIO(text))]


def read_sarif(text: str) -> list[tuple[str, str]]:
    results = json.loads(text)["runs"][0]["results"]
    return [(r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "") for r in results]


FOUND = [("a.txt", "aaaaaaaaaaaa"), ("sub/b.txt", "bbbbbbbbbbbb")]


def test_each_format_on_standard_output(cli: Cli, pack: Path) -> None:
    """jsonl, csv, sarif and parquet say the same to a pipe."""
    import pyarrow.parquet as pq

    outputs = {f: cli("scan", "-r", pack, "-f", f) for f in ("jsonl", "csv", "sarif", "parquet")}
    assert {run.code for run in outputs.values()} == {1}
    assert [(f["path"], f["secret"]) for f in outputs["jsonl"].findings] == FOUND
    assert read_csv(outputs["csv"].out.decode()) == FOUND
    assert [path for path, _ in read_sarif(outputs["sarif"].out.decode())] == ["a.txt", "sub/b.txt"]
    table = pq.read_table(io.BytesIO(outputs["parquet"].out)).to_pylist()
    assert [(row["path"], row["secret"].decode()) for row in table] == FOUND


def test_several_formats_at_once(cli: Cli, pack: Path, tree: Path, tmp_path: Path) -> None:
    """Each FORMAT=FILE is written, readable by its owner alone, and one more goes to standard output."""
    names = {f: tmp_path / f"found.{f}" for f in ("human", "jsonl", "csv", "sarif", "parquet")}
    options = [arg for f, name in names.items() for arg in ("-f", f"{f}={name}")]
    run = cli("scan", "-r", pack, *options, "-f", "csv")
    assert run.code == 1 and read_csv(run.out.decode()) == FOUND
    assert read_csv(names["csv"].read_text()) == FOUND
    assert "2 findings in 3 documents" in names["human"].read_text()
    assert {path.stat().st_mode & 0o777 for path in names.values()} == {0o600}
    assert sorted(os.listdir(tmp_path)) == sorted([*(p.name for p in names.values()), "tree"])


def test_output_names_the_file_of_the_one_format(cli: Cli, pack: Path, tmp_path: Path) -> None:
    """-o is for the format without a file; standard output stays empty."""
    run = cli("scan", "-r", pack, "-f", "csv", "-o", tmp_path / "found.csv")
    assert run.out == b"" and read_csv((tmp_path / "found.csv").read_text()) == FOUND
    run = cli("scan", "-r", pack, "-o", tmp_path / "found.txt")
    assert run.out == b"" and "tok_aaaaaaaaaaaa" in (tmp_path / "found.txt").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "x", "-f", "csv=y"], "--output names one file, and 0 formats have none"),
        (["-o", "x", "-f", "csv", "-f", "human"], "--output names one file, and 2 formats have none"),
        (["-f", "csv=x", "-f", "jsonl=./x"], "two outputs go to './x'"),
        (["-f", "csv", "-f", "jsonl"], "two outputs go to standard output"),
        (["-f", "csv=no/such/folder/x"], "output 'no/such/folder/x': cannot be written: No such file"),
        (["-f", "csv=sub"], "output 'sub': is a directory"),
        (["-o", "x", "-o", "y", "-f", "csv"], "--output names 2 files, and 1 formats have none"),
        (
            ["-o", "x.html"],
            "no format is known for .html; name one (--format human --output x.html), or use one of .sarif",
        ),
        (["-o", "x.sarif.gz"], "no format is known for .gz"),
        (["-o", "x.sarif", "-o", "x.sarif"], "two outputs go to 'x.sarif'"),
        (["-f", "csv=x", "-f", "jsonl=x.incomplete"], "two outputs go to 'x.incomplete'"),
        (["--report", "no/such/x"], "output 'no/such/x': cannot be written: No such file"),
        (["--report", "x", "-o", "x"], "two outputs go to 'x'"),
        (["--report", "/dev/stdout"], "two outputs go to '/dev/stdout'"),
    ],
)
def test_outputs_that_cannot_be_are_2(scan: Cli, cli: Cli, options: list[str], message: str) -> None:
    """What can't be written is found out before anything is scanned."""
    run = cli("scan", "--progress", "never", *options)
    assert run.code == 2 and message in run.err and run.out == b""


def test_a_failed_run_keeps_the_file_that_was_there(cli: Cli, pack: Path, tree: Path, tmp_path: Path) -> None:
    """Usage errors after outputs were opened leave an older result alone, and no temporary file."""
    older = tmp_path / "found.csv"
    older.write_text("older")
    run = cli("scan", "-r", pack, "-f", f"csv={older}", "--backend", "abacus")
    assert run.code == 2 and older.read_text() == "older"
    assert sorted(os.listdir(tmp_path)) == ["found.csv", "tree"]


def test_redaction_reaches_every_stream(cli: Cli, pack: Path, tree: Path, tmp_path: Path) -> None:
    """With --redact no format, on no stream, in no file, has the secret; the places are all there."""
    names = {f: tmp_path / f"found.{f}" for f in ("jsonl", "csv", "sarif", "parquet")}
    options = [arg for f, name in names.items() for arg in ("-f", f"{f}={name}")]
    run = cli("scan", "--redact", "-r", pack, ".", *options, "-f", "human", "--report", tmp_path / "report")
    assert run.code == 1
    everything = [run.out, run.err.encode(), *(p.read_bytes() for p in tmp_path.iterdir() if p.is_file())]
    assert len(everything) == 7
    for stream in everything:
        assert b"aaaaaaaa" not in stream and b"bbbbbbbb" not in stream
    assert b"a.txt:2:7 token: tok_***" in run.out


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--redact", "***"),
        ("--redact=100", "***"),
        ("--redact=75", "aaa***"),
        ("--redact=1", "aaaaaaaaaaa***"),
    ],
)
def test_redacting_a_share(scan: Cli, option: str, shown: str) -> None:
    """--redact masks all, --redact=75 leaves the first quarter; the path behind it is a path."""
    run = scan(option, "a.txt")
    assert [(f["secret"], f["match"]) for f in run.findings] == [(shown, f"tok_{shown}")]


@pytest.mark.parametrize("value", ["0", "101", "x", ""])
def test_redacting_no_share_is_2(scan: Cli, value: str) -> None:
    """Only a percentage will do."""
    run = scan(f"--redact={value}", "a.txt")
    assert run.code == 2 and "--redact" in run.err


def test_the_report(cli: Cli, pack: Path, tree: Path, tmp_path: Path) -> None:
    """--report writes what the jsonl summary says, as one JSON object, with the speed."""
    run = cli("scan", "-r", pack, ".", "missing", "-f", "jsonl", "-j", "1", "--report", tmp_path / "report")
    report = json.loads((tmp_path / "report").read_text())
    speed = report.pop("megabytes_per_second")
    assert isinstance(speed, float)
    summary = run.summary
    del summary["type"]
    assert report == summary
    assert (report["documents"], report["findings"], report["findings_by_rule"]) == (3, 2, {"token": 2})
    assert (report["workers"], report["pool"], report["backend"]) == (1, "local", "cpu")
    assert [p["path"] for p in report["problems"]] == ["missing"] and report["complete"] is False


def test_progress_is_json_lines_where_they_are_asked_for(cli: Cli, pack: Path) -> None:
    """Standard error gets whole lines: messages, and progress with a last one that says so."""
    run = cli("scan", "-r", pack, ".", "missing", "-f", "csv", "--progress", "json")
    message, last = run.err.splitlines()
    assert message.startswith("vyre-dist: not scanned: missing")
    progress = json.loads(last)
    assert progress["type"] == "progress" and progress["final"] is True
    assert (progress["documents"], progress["documents_total"], progress["findings"]) == (3, 3, 2)
    assert progress["bytes"] > 0


@pytest.mark.parametrize("style", ["auto", "plain", "json", "bar", "never"])
def test_a_usage_error_stands_alone(cli: Cli, pack: Path, tree: Path, style: str) -> None:
    """What is found out when the workers start, after the outputs are open, has no progress before it."""
    (tree / "broken").write_text("import vyre_dist.kernels.backends as b\n")
    code = (
        "import sys; from vyre_dist.kernels import backends; from vyre_dist.errors import UsageError\n"
        "def refuse(*_): raise UsageError('no such luck')\n"
        "backends.BACKENDS['unlucky'] = refuse\n"
        "from vyre_dist.cli.main import main; main(sys.argv[1:])\n"
    )
    options = ["scan", "-r", str(pack), "--no-cache", "--backend", "unlucky", "--progress", style, "."]
    run = subprocess.run([sys.executable, "-c", code, *options], cwd=tree, capture_output=True, timeout=60)
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr.decode() == "vyre-dist: no such luck\n"


def test_a_short_scan_shows_no_progress_in_a_log(cli: Cli, pack: Path) -> None:
    """Off a terminal there is a line every 30 seconds, and none for what is over before."""
    run = cli("scan", "-r", pack, ".")
    assert (run.code, run.err) == (1, "")


# --- formats by the ending of a file's name


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("x.sarif", "sarif"),
        ("x.SARIF", "sarif"),
        ("x.sarif.json", "sarif"),
        ("x.json", "jsonl"),
        ("x.jsonl", "jsonl"),
        ("x.ndjson", "jsonl"),
        ("x.csv", "csv"),
        ("x.parquet", "parquet"),
        ("x.txt", "human"),
        ("x.log", "human"),
        ("x", "human"),
        (".sarif", "human"),
        ("results.2024", "human"),
        ("a.sarif/x", "human"),
    ],
)
def test_the_format_follows_the_ending(cli: Cli, pack: Path, tree: Path, name: str, form: str) -> None:
    """-o without --format writes what the name promises, and says so where that is not text."""
    (tree / "a.sarif").mkdir()
    run = cli("scan", "-r", pack, "a.txt", "-o", name)
    assert run.code == 1 and run.out == b""
    assert format_of((tree / name).read_bytes()) == form
    said = f"vyre-dist: {name} is written as {form}, as its name ends in "
    assert run.err.startswith(said) == (form != "human") and len(run.err.splitlines()) == (form != "human")


def format_of(data: bytes) -> str:
    if data.startswith(b"PAR1"):
        return "parquet"
    if data.startswith(b"rule_id,"):
        return "csv"
    if b'"version":"2.1.0"' in data:
        return "sarif"
    return "jsonl" if data.startswith(b'{"type":"finding"') else "human"


def test_several_outputs_by_their_endings(cli: Cli, pack: Path, tree: Path) -> None:
    """-o may be given several times, and beside --format FORMAT=FILE; none is lost."""
    run = cli("scan", "-r", pack, "a.txt", "-o", "x.sarif", "-o", "y.csv", "-f", "jsonl=z")
    assert run.code == 1 and run.out == b"" and len(run.err.splitlines()) == 2
    assert [format_of((tree / n).read_bytes()) for n in ("x.sarif", "y.csv", "z")] == [
        "sarif",
        "csv",
        "jsonl",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["-f", "csv", "-o", "x.sarif"],
            "x.sarif is written as csv, as --format says, though its name ends in .sarif",
        ),
        (["-f", "human=x.csv"], "x.csv is written as human, as --format says, though its name ends in .csv"),
        (["-f", "sarif", "-o", "x.json"], ""),
        (["-f", "jsonl", "-o", "x.txt"], ""),
        (["-f", "csv=x.tsv"], ""),
    ],
)
def test_a_format_that_is_asked_for_wins(cli: Cli, pack: Path, options: list[str], message: str) -> None:
    """Over a name that promises another one, which is said."""
    run = cli("scan", "-r", pack, "a.txt", *options)
    assert run.code == 1 and run.err == (f"vyre-dist: {message}\n" if message else "")


# --- readers that leave, disks that are full


@pytest.fixture
def many(tree: Path) -> Path:
    """A tree with more findings than any pipe holds."""
    for i in range(30):
        (tree / f"many{i:02d}").write_text("".join(f"tok_{n:012d}\n" for n in range(500)))
    return tree


@pytest.mark.parametrize("form", ["human", "jsonl", "csv", "sarif", "parquet"])
def test_a_reader_that_leaves_ends_the_scan_quietly(
    many: Path, pack: Path, environment: dict[str, str], form: str
) -> None:
    """`| head -1`: no traceback, exit code 3, as not everything was said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vyre_dist", "scan", "-r", str(pack), "-f", form, "--progress", "never", "."],
        cwd=many,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(10)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(30), error) == (3, b"")


@pytest.mark.parametrize("arguments", [["rules", "list"], ["rules", "check"], ["--help"], ["scan", "--help"]])
def test_other_commands_and_readers_that_leave(
    cli: Cli, tree: Path, environment: dict[str, str], arguments: list[str]
) -> None:
    """A pipe without a reader is no traceback and not the exit code of findings."""
    read, write = os.pipe()
    os.close(read)
    try:
        run = subprocess.run(
            [sys.executable, "-m", "vyre_dist", *arguments],
            cwd=tree,
            env=environment,
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(write)
    assert run.returncode == 3 and b"Traceback" not in run.stderr


@pytest.mark.parametrize("arguments", [["scan", "a.txt"], ["rules", "list"]])
def test_a_full_disk_is_3(
    cli: Cli, pack: Path, tree: Path, environment: dict[str, str], arguments: list[str]
) -> None:
    """Results that could not be written are a scan that is not complete."""
    with open("/dev/full", "wb") as full:
        run = subprocess.run(
            [sys.executable, "-m", "vyre_dist", *arguments],
            cwd=tree,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert run.returncode == 3
    assert b"No space left on device" in run.stderr and b"Traceback" not in run.stderr


@pytest.mark.parametrize("form", ["human", "jsonl", "csv", "sarif", "parquet"])
def test_a_full_disk_is_3_and_the_output_is_named(
    pack: Path, tree: Path, environment: dict[str, str], form: str
) -> None:
    """Standard output, whatever the format and whenever its beginning is written; and the report."""
    command = [sys.executable, "-m", "vyre_dist", "scan", "-r", str(pack), "--progress", "never"]
    with open("/dev/full", "wb") as full:
        run = subprocess.run(
            [*command, "-f", form],
            cwd=tree,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    said = f"vyre-dist: writing {form} to '-' failed: No space left on device\n"
    assert (run.returncode, run.stderr.decode()) == (3, said)
    options = ["-f", f"{form}={os.devnull}", "--report", "/dev/full"]
    run = subprocess.run([*command, *options], cwd=tree, env=environment, capture_output=True, timeout=60)
    said = "vyre-dist: writing the report to '/dev/full' failed: No space left on device\n"
    assert (run.returncode, run.stderr.decode()) == (3, said)


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_a_file_that_standard_output_goes_to_is_not_replaced(
    pack: Path, tree: Path, environment: dict[str, str], tmp_path: Path, name: str
) -> None:
    """`>> log` keeps what the log had, by whatever name it is asked for."""
    (tmp_path / "log").write_text("precious\n")
    command = ["scan", "-r", str(pack), "-f", f"jsonl={name}", "--progress", "never", "."]
    with open(tmp_path / "log", "ab") as log:
        run = subprocess.run(
            [sys.executable, "-m", "vyre_dist", *command], cwd=tree, env=environment, stdout=log, timeout=60
        )
        log.write(b"end\n")
    first, *lines, last = (tmp_path / "log").read_text().splitlines()
    assert (run.returncode, first, last) == (1, "precious", "end")
    assert [json.loads(line)["type"] for line in lines] == ["finding", "finding", "summary"]


def test_an_output_that_may_not_be_read_is_replaced(scan: Cli, tree: Path) -> None:
    """What is to be written need not be readable, and stays as private as it was."""
    for name in ("out", "report"):
        (tree / name).touch()
        (tree / name).chmod(0o200)
    code = (
        "import os, sys\n"
        "access = os.access\n"
        "os.access = lambda path, mode, **more: not mode & os.R_OK and access(path, mode, **more)\n"
        "from vyre_dist.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    options = ["scan", "--no-cache", "--progress", "never", "-o", "out", "--report", "report", "clean.txt"]
    run = subprocess.run([sys.executable, "-c", code, *options], cwd=tree, capture_output=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, b"")
    assert {os.stat(tree / name).st_mode & 0o777 for name in ("out", "report")} == {0o200}
    assert "0 findings in 1 document" in (tree / "out").read_text()


def test_an_output_file_that_cannot_grow_is_3_and_leaves_nothing(
    many: Path, pack: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """A file limit in the middle of writing: the message names the output, and the older file stays."""
    (tmp_path / "found.jsonl").write_text("older")
    limit = 300_000
    run = subprocess.run(
        [
            sys.executable, "-c",
            "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
            "from vyre_dist.cli.main import main; main(sys.argv[1:])",
            "scan", "-r", str(pack), "-f", f"jsonl={tmp_path / 'found.jsonl'}", "--no-cache", ".",
        ],
        cwd=many,
        env=environment,
        capture_output=True,
        timeout=60,
    )  # fmt: skip
    assert run.returncode == 3
    assert b"writing jsonl to" in run.stderr and b"File too large" in run.stderr
    assert (tmp_path / "found.jsonl").read_text() == "older"
    assert sorted(os.listdir(tmp_path)) == ["found.jsonl", "tree"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-", "1>&- 2>&-"])
def test_a_closed_standard_stream_is_no_crash(
    tree: Path, pack: Path, environment: dict[str, str], tmp_path: Path, closed: str
) -> None:
    """No file of ours takes its number and no traceback comes; files are whole, and what went to it is lost: 3."""
    command = ["-m", "vyre_dist", "scan", "-r", str(pack), "-f", "human", "-f", f"csv={tmp_path / 'c'}", "."]
    run = subprocess.run(
        ["bash", "-c", f'exec "$@" {closed}', "-", sys.executable, *command],
        cwd=tree,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    out_closed = "1>&-" in closed
    assert run.returncode == (3 if out_closed else 1) and b"Traceback" not in run.stderr
    assert (b"2 findings" in run.stdout) == (not out_closed)
    said = b"vyre-dist: writing human to '-' failed: it is closed\n"
    assert run.stderr == (said if out_closed and "2>&-" not in closed else b"")
    assert read_csv((tmp_path / "c").read_text()) == FOUND


@pytest.mark.parametrize(
    ("stream", "paths"), [(">&-", ["."]), (">&-", ["clean.txt"]), ("> /dev/full", ["."])]
)
@pytest.mark.parametrize("form", ["human", "jsonl", "csv", "sarif", "parquet"])
def test_results_that_nobody_gets_are_3(
    tree: Path, pack: Path, environment: dict[str, str], form: str, stream: str, paths: list[str]
) -> None:
    """Standard output is closed or full: whatever the format, and whether or not something was found."""
    command = ["-m", "vyre_dist", "scan", "-r", str(pack), "-f", form, *paths]
    for script in (f'exec "$@" {stream}', f'exec "$@" {stream} 2>&-'):
        run = subprocess.run(
            ["bash", "-c", script, "-", sys.executable, *command],
            cwd=tree,
            env=environment,
            capture_output=True,
            timeout=60,
        )
        assert run.returncode == 3, script
        if "2>" not in script:
            assert b"writing %s to '-' failed: " % form.encode() in run.stderr


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["scan", "."], 1),  # nothing was to be said there
        (["scan", "clean.txt"], 0),
        (["scan", ".", "-f", "csv", "missing"], 3),
        (["scan", ".", "-o", "x.csv"], 3),  # that it is csv could not be said
        (["scan", ".", "-f", "jsonl=/dev/stderr"], None),
        (["scan", ".", "--progress", "json"], 3),
        (["scan", "--nonsense"], 2),
        (["scan", "-r", "missing.toml"], 2),
        (["rules", "check", "missing.toml"], 2),
        (["submit"], 2),
    ],
)
def test_messages_that_nobody_gets(
    cli: Cli,
    pack: Path,
    tree: Path,
    environment: dict[str, str],
    arguments: list[str],
    code: int | None,
    closed: str,
) -> None:
    """Standard error that is closed or full ends no scan; a message of a scan that is lost is 3, usage errors stay 2."""
    if code is None:  # a descriptor that is not there is a usage error, a full one an output that failed
        code = 2 if closed == "2>&-" else 3
    if arguments[0] == "scan" and "-r" not in arguments:
        arguments = ["scan", "-r", str(pack), *arguments[1:]]
    run = subprocess.run(
        ["bash", "-c", f'exec "$@" {closed}', "-", sys.executable, "-m", "vyre_dist", *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert run.returncode == code
    if arguments[0] == "scan" and code == 3 and "jsonl=/dev/stderr" not in arguments:
        written = run.stdout or (tree / "x.csv").read_bytes()
        assert b"tok_aaaaaaaaaaaa" in written and b"tok_bbbbbbbbbbbb" in written


@pytest.mark.parametrize("arguments", [["rules", "list"], ["autotune", "list"], ["--help"], ["clean"]])
def test_other_commands_and_closed_streams(
    tree: Path, environment: dict[str, str], arguments: list[str]
) -> None:
    """What a command had to say on a closed standard output is lost: 3. One that has nothing to say is 0."""
    run = subprocess.run(
        ["bash", "-c", 'exec "$@" >&-', "-", sys.executable, "-m", "vyre_dist", *arguments],
        cwd=tree,
        env={**environment, "XDG_CACHE_HOME": str(tree / "no-cache")},
        capture_output=True,
        timeout=60,
    )
    assert run.returncode == (0 if arguments == ["autotune", "list"] else 3)
    assert b"Traceback" not in run.stderr


def test_one_output_that_fails_leaves_the_others(
    many: Path, pack: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """Every output and the report that can be written is whole, the one that can't is named, and its older file stays."""
    (tmp_path / "x.jsonl").write_text("older")
    limit = 1_000_000
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        "from vyre_dist.cli.main import main; main(sys.argv[1:])"
    )
    outputs = [f"--format=jsonl={tmp_path / 'x.jsonl'}", f"--format=parquet={tmp_path / 'x.parquet'}"]
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "scan",
            "-r",
            str(pack),
            *outputs,
            "--report",
            str(tmp_path / "report"),
            ".",
        ],
        cwd=many,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert run.returncode == 3
    said = f"vyre-dist: writing jsonl to '{tmp_path / 'x.jsonl'}' failed: File too large\n"
    assert run.stderr.decode() == said
    assert (tmp_path / "x.jsonl").read_text() == "older"
    assert format_of((tmp_path / "x.parquet").read_bytes()) == "parquet"
    assert json.loads((tmp_path / "report").read_text())["findings"] == 15_002
    assert sorted(os.listdir(tmp_path)) == ["report", "tree", "x.jsonl", "x.parquet"]


@pytest.mark.parametrize("why", ["missing", "full"])
def test_a_temporary_folder_that_cannot_take_standard_input_is_named(
    cli: Cli, pack: Path, tree: Path, environment: dict[str, str], tmp_path: Path, why: str
) -> None:
    """The folder that TMPDIR names: no other one is taken in its place."""
    folder = tmp_path / "none" if why == "missing" else tmp_path
    script = 'ulimit -f 1; exec "$@"' if why == "full" else 'exec "$@"'
    code = "import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from vyre_dist.cli.main import main; main()"
    run = subprocess.run(
        ["bash", "-c", script, "-", sys.executable, "-c", code, "scan", "-r", str(pack), "-"],
        input=b"x" * 100_000,
        cwd=tree,
        env={**environment, "TMPDIR": str(folder)},
        capture_output=True,
        timeout=60,
    )
    assert run.returncode == 2 and run.stdout == b""
    assert f"vyre-dist: <stdin> cannot be kept in '{folder}': " in run.stderr.decode()


def test_what_a_scan_writes_is_no_document_of_it(cli: Cli, pack: Path, tree: Path) -> None:
    """Output files and the report may lie in the folder that is scanned, however large."""
    (tree / "zz").mkdir()
    (tree / "many.txt").write_text("tok_aaaaaaaaaaaa\n" * 20_000)
    run = cli(
        *("scan", "-r", pack, "-", ".", "-f", "jsonl=zz/out.jsonl", "-f", "csv=zz/out.csv"),
        *("--report", "zz/report", "-j", "2", "--shard-size", "4K", "--progress", "never"),
        stdin=b"tok_cccccccccccc",
        TMPDIR=str(tree / "zz"),
    )
    report = json.loads((tree / "zz" / "report").read_text())
    assert (run.code, run.err) == (1, "")
    assert (report["documents"], report["findings"], report["problems"]) == (5, 20_003, [])
    # the two outputs and the report; the copy has no name
    assert report["skipped"] == {"own-file": 3}
    assert sorted(os.listdir(tree / "zz")) == ["out.csv", "out.jsonl", "report"]

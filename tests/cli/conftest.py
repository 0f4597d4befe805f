"""Running the command: in a process of its own, with a home and a cache that belong to the
tests.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from faulty_scans import PROGRAM, Start
from forked_command import ForkedCommand
from killed_runs import KilledRuns, write_corpus
from without_hyperscan import told

from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.vyre_toml import write_toml
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import VariantTiming

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60

PACK = r"""
schema = 1
name = "shop"

[[rules]]
id = "token"
description = "A token of the shop"
regex = '''tok_([a-z0-9]{12})'''
keywords = ["tok_"]
secret_group = 1
tags = ["shop"]

[[rules]]
id = "dotenv"
description = "A file of secrets"
path = '''\.env$'''
"""


@dataclass(frozen=True)
class Run:
    """How a command ended. `findings` and `summary` are those of the jsonl format on standard
    output.
    """

    code: int
    out: bytes
    err: str
    seconds: float

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def findings(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["type"] == "finding"]

    @property
    def summary(self) -> dict[str, Any]:
        (summary,) = [line for line in self.lines if line["type"] == "summary"]
        return summary

    @property
    def paths(self) -> list[str]:
        return [f["path"] for f in self.findings]


Cli = Callable[..., Run]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Nothing of the user's but PATH: no caches, no Ray cluster, no opinion on colours."""
    home = tmp_path_factory.mktemp("home")
    # short: Ray's sockets lie below it, and a socket's path has room for 107 bytes
    temporary = tempfile.mkdtemp(prefix="vt")
    yield {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TMPDIR": temporary,
        "LANG": "C.UTF-8",
    }
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="session")
def forked_command(environment: dict[str, str]) -> Iterator[ForkedCommand]:
    """What `cli` runs."""
    command = ForkedCommand(environment)
    yield command
    command.close()


@pytest.fixture
def cli(tree: Path, environment: dict[str, str], forked_command: ForkedCommand) -> Cli:
    """cli("scan", ..., stdin=bytes, cwd=Path): run `vyre-dist` with these arguments in `tree`.

    `stdout`, `stderr`: open files, or CLOSED; else what the command writes there is in the Run.
    """

    def run(
        *arguments: str | Path,
        stdin: bytes = b"",
        cwd: Path | None = None,
        stdout: BinaryIO | int | None = None,
        stderr: BinaryIO | int | None = None,
        **more: str,
    ) -> Run:
        began = time.monotonic()
        done = forked_command.run(
            [*map(str, arguments)],
            stdin=stdin,
            stdout=stdout if stdout is None or isinstance(stdout, int) else stdout.fileno(),
            stderr=stderr if stderr is None or isinstance(stderr, int) else stderr.fileno(),
            cwd=cwd or tree,
            env={**environment, **more},
            timeout=TIMEOUT_S,
        )
        return Run(done.returncode, done.stdout, told(done.stderr), time.monotonic() - began)

    return run


@pytest.fixture
def started_cli(tree: Path, environment: dict[str, str]) -> Cli:
    """started_cli("scan", ...): as `cli`, and Python starts for it as it does for a shell."""

    def run(*arguments: str | Path, **more: str) -> Run:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "vyre_dist", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=tree,
            env={**environment, **more},
            timeout=TIMEOUT_S,
        )
        return Run(done.returncode, done.stdout, told(done.stderr), time.monotonic() - began)

    return run


@pytest.fixture
def scan(cli: Cli, pack: Path) -> Cli:
    """scan(...): `vyre-dist scan` with the small pack, JSON lines and no progress."""

    def run(*arguments: str | Path, **more: Any) -> Run:
        return cli("scan", "-r", pack, "-f", "jsonl", "--progress", "never", *arguments, **more)

    return run


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of two rules: `tok_` and twelve characters, and files called .env."""
    path = tmp_path_factory.mktemp("pack") / "shop.toml"
    path.write_text(PACK)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with findings in two of three files: a.txt (line 2), sub/b.txt (line 1)."""
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("nothing\nkey = tok_aaaaaaaaaaaa\n")
    (root / "clean.txt").write_text("nothing at all\n")
    (root / "sub" / "b.txt").write_text("tok_bbbbbbbbbbbb")
    return root


@pytest.fixture
def many(tree: Path) -> Path:
    """A tree with more findings than any pipe holds."""
    for i in range(30):
        (tree / f"many{i:02d}").write_text("".join(f"tok_{n:012d}\n" for n in range(500)))
    return tree


@pytest.fixture
def instructive(tree: Path) -> Path:
    """A tree of so many bytes that a scan with one worker learns something for the autotune
    store.
    """
    text = b"a line of text with nothing in it, nor in what follows it.\n" * 4000
    for number in range(90):
        (tree / f"large{number:02d}").write_bytes(text)
    return tree


@pytest.fixture
def record() -> StoredRecord:
    """What an autotune store could hold."""
    spec = SpecCacheKey(1, 2, (64, 1, 1), 5)
    return StoredRecord(
        key=AutotuneKey.of(spec, "cpu somewhere"),
        record=AutotuneRecord((64, 1, 1), 4, (0, 0, 0), "2026-01-02"),
        spec=spec,
        timing=VariantTiming(1000, 2000),
        threshold_pct=20,
    )


@pytest.fixture
def good_toml(tmp_path: Path, record: StoredRecord) -> Path:
    """An export of the one record."""
    write_toml(tmp_path / "good.toml", [record])
    return tmp_path / "good.toml"


@pytest.fixture
def start(tree: Path, pack: Path, environment: dict[str, str]) -> Iterator[Start]:
    """start(args…): a scan of `tree` with the faulty backend, in a process group of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str | Path) -> subprocess.Popen[bytes]:
        command = ["scan", "-r", pack, "--backend", "faulty", "--progress", "never", *arguments]
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, command)],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def stuck_tree(tree: Path) -> Path:
    """A tree in which two workers get stuck, after a document with a finding was scanned."""
    for i in range(4):
        (tree / f"m{i}").write_text("STUCK")
    return tree


@pytest.fixture
def hung_url() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def dead_url() -> str:
    """A URL on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{probe.getsockname()[1]}/0"


@pytest.fixture
def stored(
    tmp_path: Path,
    pack: Path,
    environment: dict[str, str],
    s3_environment: dict[str, str],
    s3_place: str,
) -> KilledRuns:
    """Scans whose run directories are in an object store."""
    write_corpus(tmp_path / "corpus")
    (tmp_path / "out").mkdir()
    variables = {**environment, **s3_environment}
    return KilledRuns(tmp_path / "corpus", pack, tmp_path / "out", variables, s3_place)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for little."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k,mode=700", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)

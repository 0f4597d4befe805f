"""What the Ray tests share: a home and a folder for Ray's own files, a small corpus, and a way to
scan it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from ray_head import Head, running_head
from small_corpus import write_small_files

from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.pool import WorkerPool, WorkerSpec
from vyre_dist.driver.run import Callbacks, ScanOutcome, run_scan
from vyre_dist.engine.config import EngineConfig
from vyre_dist.finding import Finding
from vyre_dist.rules.model import PackData, Rule
from vyre_dist.sources import DocumentRef

PACK = PackData(
    "small",
    (
        Rule("key", r"AKIA[0-9A-Z]{16}", keywords=("akia",)),
        Rule("pair", r"(\w+)=(\d+)", secret_group=2),
        Rule("dotenv", None, path=r"\.env$"),
    ),
)

Scan = Callable[..., tuple[list[Finding], ScanOutcome, list[str]]]


def ref(path: Path | str) -> DocumentRef:
    """An existing file as the walk would list it."""
    st = os.stat(path)
    return DocumentRef(str(path), st.st_size, st.st_mtime_ns, st.st_ino)


@pytest.fixture(scope="session", autouse=True)
def ray_places() -> Iterator[Path]:
    """HOME and RAY_TMPDIR in a folder of our own: no token of the user is used, no cluster of this
    machine found.
    """
    # short: a Unix socket's path has room for 107 bytes, and Ray's part of it is long
    folder = Path(tempfile.mkdtemp(prefix="vr"))
    (folder / "home").mkdir()
    names = ("HOME", "RAY_TMPDIR", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ |= {
        "HOME": str(folder / "home"),
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    yield folder
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def head(ray_places: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head that asks for a token. Tests leave it running."""
    with running_head(tmp_path_factory.mktemp("head"), ray_places / "h") as head:
        yield head


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty files in three folders: small ones, empty ones, a .env, and one of 40 000 bytes that is
    cut into pieces.
    """
    root = tmp_path_factory.mktemp("corpus")
    write_small_files(root, 58)
    for i in range(0, 58, 20):
        (root / f"d{i % 3}" / f"f{i:02d}").write_text("")
    (root / "d0" / ".env").write_text("a=1\n")
    (root / "d1" / "long").write_text("".join(f"n{i}={i} text\n" for i in range(3000)))
    return root


@pytest.fixture
def documents(corpus: Path) -> list[DocumentRef]:
    """The corpus, in the order of its paths."""
    return [ref(p) for p in sorted(corpus.rglob("*")) if p.is_file()]


@pytest.fixture
def spec() -> WorkerSpec:
    """PACK on the CPU backend, with shards small enough that the corpus gives many tasks."""
    return WorkerSpec(PACK, EngineConfig(backend="cpu", shard_bytes=4096))


@pytest.fixture
def scan() -> Scan:
    """scan(pool, documents) -> findings, outcome, warnings. `watch` is called after every round of
    events.
    """

    def do(
        pool: WorkerPool,
        inputs: Sequence[DocumentRef],
        config: MachineConfig | None = None,
        watch: Callable[[], object] = lambda: None,
    ) -> tuple[list[Finding], ScanOutcome, list[str]]:
        found: list[Finding] = []
        warnings: list[str] = []
        callbacks = Callbacks(found.extend, lambda _: None, warnings.append, lambda _t, _p: watch())
        outcome = run_scan(Plan(inputs, 4096, 8), pool, PACK.rules, callbacks, config)
        return found, outcome, warnings

    return do

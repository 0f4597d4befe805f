"""An autotune store that is dead, refuses, or answers nonsense: what `scan` and `autotune` say of
it, in its own words.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import redis

from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.redis_reasons import VerbatimParser, reason_of
from vyre_dist.autotune.redis_scripts import REVISION_KEY, record_key
from vyre_dist.autotune.urls import parse_redis_url

Cli = Callable[..., Any]
Redis = Callable[..., Any]

PASSWORD = "hush-0123456789"


def with_login(url: str, login: str) -> str:
    return url.replace("redis://", f"redis://{login}@")


@pytest.fixture
def no_password(redis_factory: Redis) -> str:
    return str(redis_factory(tcp=True, options=("--requirepass", "another")).url)


@pytest.fixture
def wrong_password(no_password: str) -> str:
    return with_login(no_password, f":{PASSWORD}")


@pytest.fixture
def no_such_database(redis_factory: Redis) -> str:
    return str(redis_factory(tcp=True, options=("--databases", "1")).url).replace("/0", "/7")


@pytest.fixture
def no_rights(redis_factory: Redis) -> str:
    options = ("--user", "guest", "on", f">{PASSWORD}", "~*", "&*", "+@connection", "+select")
    return with_login(redis_factory(tcp=True, options=options).url, f"guest:{PASSWORD}")


@pytest.fixture
def no_master(redis_factory: Redis) -> str:
    """A replica that has lost its master, and says so."""
    options = ("--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "no")
    return str(redis_factory(tcp=True, options=options).url)


@pytest.fixture
def protected(redis_factory: Redis) -> str:
    """A server in protected mode, at an address of this machine that is not the loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but the loopback's")
        own = probe.getsockname()[0]
    options = ("--bind", "0.0.0.0", "--protected-mode", "yes")  # noqa: S104 - it lets nobody in
    return str(redis_factory(tcp=True, options=options).url).replace("127.0.0.1", own)


@pytest.fixture
def no_tls(redis_factory: Redis) -> str:
    return str(redis_factory(tcp=True).url).replace("redis://", "rediss://")


@pytest.fixture
def wants_tls(redis_factory: Redis, tmp_path: Path) -> str:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is missing")
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    subprocess.run(
        [openssl, *made, "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"],
        check=True,
        capture_output=True,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = (
        "--tls-cert-file",
        str(tmp_path / "certificate"),
        "--tls-key-file",
        str(tmp_path / "key"),
    )
    redis_factory(options=(*options, "--tls-auth-clients", "no", "--tls-port", str(port)))
    return f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def unknown_certificate(wants_tls: str) -> str:
    return wants_tls.replace("redis://", "rediss://")


@pytest.fixture
def still_loading(redis_program: str, redis_factory: Redis, tmp_path: Path) -> Iterator[str]:
    """A server that takes a minute to load what it has."""
    first = redis_factory(tmp_path)
    with redis.Redis.from_url(first.url) as client:
        client.mset({f"key {number}": bytes(100) for number in range(20_000)})
        client.save()
    first.stop()
    socket_ = tmp_path / "loading"
    slow = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
    command = [
        redis_program,
        "--port",
        "0",
        "--unixsocket",
        str(socket_),
        "--dir",
        str(tmp_path),
        *slow,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"Loading RDB" in line:
                break
        yield f"unix://{socket_}"
        process.kill()


@pytest.fixture
def no_redis() -> Iterator[str]:
    """A web server that repeats what it was sent."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        server.settimeout(0.05)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    sent = connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + sent)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"redis://:{PASSWORD}@127.0.0.1:{server.getsockname()[1]}/0"
        stop.set()
        thread.join()


@pytest.fixture
def no_socket(tmp_path: Path) -> str:
    return f"unix://{tmp_path}/none"


@pytest.fixture
def no_such_host() -> str:
    return f"redis://:{PASSWORD}@no-such-host.invalid:6379/0"


REASONS = {
    "dead_url": "Connection refused",
    "hung_url": "did not answer in time",
    "no_password": "NOAUTH Authentication required|unauthenticated",
    "wrong_password": "WRONGPASS invalid username-password pair",
    "no_such_database": "ERR DB index is out of range",
    "no_rights": "NOPERM this user has no permissions",
    "no_master": "MASTERDOWN Link with MASTER is down",
    "protected": "DENIED Redis is running in protected mode",
    "no_tls": "one without TLS never would",
    "wants_tls": "closed the connection; one that wants TLS",
    "unknown_certificate": "certificate verify failed",
    "still_loading": "LOADING (Redis|Valkey) is loading the dataset in memory|did not answer in "
    "time",
    "no_redis": "not what a Redis server would answer .*HTTP/1.1 400",
    "no_socket": "No such file or directory",
    "no_such_host": "no-such-host.invalid",
}


@pytest.mark.parametrize("server", REASONS)
def test_a_server_of_no_use_is_told_in_its_own_words(
    cli: Cli, pack: Path, tmp_path: Path, server: str, request: pytest.FixtureRequest
) -> None:
    """One line of a scan's standard error and a field of every summary say why; findings and exit
    code are as usual.
    """
    url = request.getfixturevalue(server)
    outputs = [
        f"{form}={tmp_path / form}" for form in ("jsonl", "sarif", "parquet", "human", "csv")
    ]
    formats = [argument for output in outputs for argument in ("-f", output)]
    arguments = [
        "scan",
        "-r",
        pack,
        *formats,
        "--report",
        tmp_path / "report",
        "--progress",
        "never",
    ]
    run = cli(*arguments, "--cache-dir", tmp_path / "cache", "--store", url)
    assert run.code == 1
    (line,) = run.err.splitlines()
    # with TLS it takes longer to know than a scan waits
    reason = REASONS[server]
    if server in ("no_tls", "wants_tls", "unknown_certificate"):
        reason = f"({reason}|did not answer in time)"
    assert re.search(f"warning: the autotune store .*: .*{reason}", line), line
    report = json.loads((tmp_path / "report").read_text())
    assert report["store_problem"] in line and report["complete"]
    lines = (tmp_path / "jsonl").read_text().splitlines()
    assert len(lines) == 3 and json.loads(lines[-1])["store_problem"] == report["store_problem"]
    (ran,) = json.loads((tmp_path / "sarif").read_text())["runs"]
    assert ran["invocations"][0]["properties"]["store_problem"] == report["store_problem"]
    metadata = pq.read_metadata(tmp_path / "parquet").metadata
    assert json.loads(metadata[b"vyre_dist.summary"])["store_problem"] == report["store_problem"]
    assert f"done without {report['store_problem'][:40]}" in (tmp_path / "human").read_text()
    everything = run.err + "".join(
        path.read_bytes().decode("latin-1") for path in tmp_path.glob("*") if path.is_file()
    )
    assert PASSWORD not in everything and PASSWORD[:8] not in everything


@pytest.mark.parametrize("server", REASONS)
def test_the_commands_of_the_store_tell_the_servers_words(
    cli: Cli, tmp_path: Path, good_toml: Path, server: str, request: pytest.FixtureRequest
) -> None:
    """`autotune list`, `export` and `import` end with 3 and the server's own reason; no file takes
    an older one's place.
    """
    url = request.getfixturevalue(server)
    before = good_toml.read_bytes()
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    for command in (["list"], ["export", good_toml], ["import", good_toml]):
        run = cli("autotune", *command, VYRE_DIST_STORE=url, **home)
        assert run.code == 3, command
        assert re.search(REASONS[server], run.err), (command, run.err)
        assert PASSWORD[:8] not in run.err and len(run.err.splitlines()) == 1 + (
            command[0] == "import"
        )
    assert good_toml.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--replicaof", "127.0.0.1", "1"), "READONLY You can't write against a read only replica"),
        ((), "OOM command not allowed"),
    ],
    ids=["replica", "full"],
)
def test_one_that_is_only_read_refuses_what_is_learned(
    cli: Cli,
    redis_factory: Redis,
    pack: Path,
    instructive: Path,
    good_toml: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    reason: str,
) -> None:
    """That is told to whoever writes: an import. For a scan see test_run_stores.py."""
    url = redis_factory(tcp=True, options=options).url
    if not options:
        with redis.Redis.from_url(url) as client:
            client.set(REVISION_KEY, 1)
            client.config_set("maxmemory", 1)
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert cli("autotune", "list", "--store", url, **home).code == 0
    run = cli("autotune", "import", good_toml, "--store", url, **home)
    assert run.code == 3 and reason in run.err


def test_a_server_with_garbage_in_it(
    cli: Cli, scan: Cli, redis_url: str, record: StoredRecord, tmp_path: Path
) -> None:
    """Entries that are no records are counted and told."""
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with redis.Redis.from_url(redis_url) as client:
        client.set(record_key(record.place), b"\xffgarbage")
    run = cli("autotune", "list", "--store", redis_url, **home)
    assert (run.code, run.out) == (3, b"") and "1 entry is no record" in run.err
    with redis.Redis.from_url(redis_url) as client:
        client.delete(record_key(record.place))
        client.hset(record_key(record.place), "of", b"another type")
    run = cli("autotune", "list", "--store", redis_url, **home)
    assert run.code == 3 and "1 entry is no record" in run.err


def test_a_server_in_good_health_is_not_spoken_of(
    cli: Cli, scan: Cli, redis_url: str, tmp_path: Path
) -> None:
    """No line, and null in the summary."""
    run = scan("--store", redis_url, "--cache-dir", tmp_path)
    assert (run.code, run.err, run.summary["store_problem"]) == (1, "", None)


# --- passwords


@pytest.mark.parametrize(
    "said",
    [
        f"ERR unknown command 'AUTH', with args beginning with: 'me' '{PASSWORD}'",
        f"ERR unknown command `AUTH`, with args beginning with: `{PASSWORD[:9]}",
        f"ERR you sent {PASSWORD}, not a password",
        f"ERR the end of it was {PASSWORD[-8:]}",
    ],
)
def test_what_a_server_repeats_of_a_password_is_not_shown(said: str) -> None:
    """Neither all of it nor the greater part, whatever a server puts into its message."""
    target = parse_redis_url(f"redis://me:{PASSWORD}@h/0")
    shown = reason_of(VerbatimParser.parse_error(said), target)
    assert shown.startswith("ERR ")
    for size in range(5, len(PASSWORD)):
        assert PASSWORD[:size] not in shown and PASSWORD[-size:] not in shown

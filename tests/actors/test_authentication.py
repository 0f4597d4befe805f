"""Tokens, on real heads: one that asks for a token, because its owner has one, and one that does
not.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from long_runs import nightly
from ray_head import Head, running_head

FINDINGS, USAGE = 1, 2
AT_ONCE_S = 15.0
"""Ray itself takes 20 s on an idle machine, and this includes starting Python on a busy one."""

TOKEN_FILE = Path(".ray", "auth_token")


@pytest.fixture(scope="module")
def guarded(ray_places: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """As `ray start --head` is for someone whose home has a token: nothing else is said about
    authentication.
    """
    folder = tmp_path_factory.mktemp("guarded")
    with_token(folder / "home", "t0ken" * 8)
    with running_head(folder, ray_places / "g", token=False) as head:
        yield head


@pytest.fixture(scope="module")
def open_head(ray_places: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head that asks for no token."""
    with running_head(tmp_path_factory.mktemp("open"), ray_places / "o", token=False) as head:
        yield head


def with_token(home: Path, token: str) -> Path:
    """A home with a token in Ray's place for it."""
    (home / TOKEN_FILE).parent.mkdir(parents=True, exist_ok=True)
    (home / TOKEN_FILE).write_text(token)
    return home


def reach(
    head: Head, way: str, tmp_path: Path, **environment: str
) -> tuple[subprocess.CompletedProcess[str], float]:
    """Scan a file with a finding on the head's cluster; and how many seconds that took."""
    rules, text = tmp_path / "rules.toml", tmp_path / "text"
    rules.write_text("[[rules]]\nid = 'r'\nregex = 'a+'\n")
    text.write_text("xaax")
    scan = [
        "scan",
        str(text),
        "-r",
        str(rules),
        "--backend",
        "cpu",
        "--no-cache",
        "-j",
        "1",
        "--progress",
        "never",
    ]
    dashboard = head.http.removeprefix("http://")
    command = {
        "gcs": [*scan, "--address", head.gcs],
        "auto": [*scan, "--address", "auto"],
        "client": [*scan, "--address", head.client],
        "job": ["submit", "--address", dashboard, "--", *scan],
        "job-by-cluster": ["submit", "--address", head.gcs, "--", *scan],
    }[way]
    if way == "auto":
        environment["RAY_ADDRESS"] = head.gcs
    began = time.monotonic()
    done = head.vyre(*command, **environment)
    return done, time.monotonic() - began


@pytest.mark.parametrize(
    "way", ["gcs", *nightly("auto", "client"), "job", *nightly("job-by-cluster")]
)
def test_a_token_that_is_there_is_used(guarded: Head, tmp_path: Path, way: str) -> None:
    """Without a variable that says so, the token of the user's home opens a cluster that asks for
    one.
    """
    done, _ = reach(guarded, way, tmp_path)
    assert done.returncode == FINDINGS, done.stdout + done.stderr


@pytest.mark.parametrize("variable", ["RAY_AUTH_TOKEN", *nightly("RAY_AUTH_TOKEN_PATH")])
def test_a_token_may_come_by_a_variable(guarded: Head, tmp_path: Path, variable: str) -> None:
    """Each of Ray's variables will do, RAY_AUTH_MODE need not be set."""
    file = Path(guarded.environment["HOME"]) / TOKEN_FILE
    value = str(file) if variable.endswith("_PATH") else file.read_text()
    done, _ = reach(guarded, "gcs", tmp_path, HOME=str(tmp_path), **{variable: value})
    assert done.returncode == FINDINGS, done.stderr


@pytest.mark.parametrize(
    ("way", "there"),
    [
        *((way, "none") for way in ("gcs", "client", "job")),
        *((way, "another") for way in ("gcs", "job")),
        ("gcs", "forbidden"),
        *(
            pytest.param(*case, marks=pytest.mark.nightly)
            for case in (
                ("auto", "none"),
                ("job-by-cluster", "none"),
                ("client", "another"),
                ("job", "forbidden"),
            )
        ),
    ],
)
def test_a_token_that_is_wanting_is_told_at_once(
    guarded: Head, tmp_path: Path, way: str, there: str
) -> None:
    """No token, one of another cluster, or a mode in which none is sent: bad usage, and which
    variables to set.
    """
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home)}
    if there == "another":
        with_token(home, "wrong")
    if there == "forbidden":
        environment = {"RAY_AUTH_MODE": "disabled"}
    done, seconds = reach(guarded, way, tmp_path, **environment)
    assert done.returncode == USAGE, done.stdout + done.stderr
    assert "RAY_AUTH_TOKEN_PATH" in done.stderr and "RAY_AUTH_TOKEN is" in done.stderr
    assert seconds < AT_ONCE_S
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("way", nightly("gcs", "auto", "client"))
def test_a_token_is_not_pressed_on_a_cluster_that_asks_for_none(
    open_head: Head, tmp_path: Path, way: str
) -> None:
    """A driver in token mode would turn its own workers away: so it is not, though its home has a
    token.
    """
    done, _ = reach(open_head, way, tmp_path, HOME=str(with_token(tmp_path / "home", "t0ken")))
    assert done.returncode == FINDINGS, done.stderr
    assert "was lost" not in done.stderr

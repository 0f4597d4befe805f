"""`vyre-dist doctor`: a line for each check, and an exit code that says whether scans work."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from import_recorder import Recorder
from lacking_packages import command
from lacking_packages import environment as lacking

from vyre_dist.doctor.examine import CHECKS

NAMES = [check.name for check in CHECKS]


def checks(out: bytes) -> dict[str, dict[str, object]]:
    """The checks that --json tells, by name."""
    return {each["name"]: each for each in json.loads(out)["checks"]}


def test_a_line_for_each_check(cli) -> None:
    """Status, name and what was found; the machine that the tests run on can scan."""
    run = cli("doctor")
    assert (run.code, run.err) == (0, "")
    lines = run.out.decode().splitlines()
    assert [line[9:].partition(":")[0] for line in lines] == NAMES
    for line in lines:
        assert line.split()[0] in ("ok", "warning", "failed")
        assert (" -> " in line) == (not line.startswith("ok ")), line


def test_json(cli) -> None:
    """The same as one JSON object."""
    run = cli("doctor", "--json")
    record = json.loads(run.out)
    assert run.code == 0 and record["usable"] is True
    assert [each["name"] for each in record["checks"]] == NAMES
    for each in record["checks"]:
        assert set(each) == {"name", "needed", "status", "found", "cure"}
        assert (each["status"] == "ok") == (each["cure"] == "")


def test_what_a_scan_goes_without_changes_no_exit_code(cli, dead_url: str, tmp_path: Path) -> None:
    """A dead store, a cluster where nobody listens and a missing TMPDIR have failed; scans work."""
    place = dead_url.removeprefix("redis://").removesuffix("/0")
    run = cli(
        "doctor", "--json", "--store", dead_url, "--address", place, TMPDIR=str(tmp_path / "none")
    )
    assert run.code == 0
    found = checks(run.out)
    for name in ("autotune store", "ray cluster", "temporary folder"):
        assert found[name]["status"] == "failed" and found[name]["cure"], name


def test_nothing_hangs(cli, hung_url: str) -> None:
    """A store and a cluster that take connections and never say a word cost a bounded time."""
    place = hung_url.removeprefix("redis://").removesuffix("/0")
    began = time.monotonic()
    run = cli("doctor", "--json", "--seconds", "8", "--store", hung_url, "--address", place)
    assert time.monotonic() - began < 8 + 5
    assert run.code == 0
    found = checks(run.out)
    assert "did not answer in time" in str(found["autotune store"]["found"])
    assert found["ray cluster"]["status"] == "failed"


def test_no_secret_is_told(cli, redis_factory: Callable[..., object], tmp_path: Path) -> None:
    """Neither a token nor a store's password, right or wrong, is in the output."""
    server = redis_factory(tcp=True, options=("--requirepass", "opensesame"))
    place = server.url.removeprefix("redis://")  # type: ignore[attr-defined]
    secrets = ("opensesame", "wrongsesame", "thetokenitself")
    for password, status in (("opensesame", ("ok", "warning")), ("wrongsesame", ("failed",))):
        url = f"redis://:{password}@{place}"
        for how in ({"VYRE_DIST_STORE": url}, {}):
            arguments = [] if how else ["--store", url]
            run = cli("doctor", "--json", *arguments, RAY_AUTH_TOKEN="thetokenitself", **how)
            assert checks(run.out)["autotune store"]["status"] in status
            assert not any(secret in run.out.decode() + run.err for secret in secrets)


@pytest.mark.parametrize(
    ("packages", "code", "failed"),
    [
        ({"ray", "cupy-cuda13x", "redis", "hyperscan"}, 0, {"autotune store"}),
        ({"google-re2"}, 2, {"google-re2"}),
    ],
    ids=["optional", "google-re2"],
)
def test_without_packages(tmp_path: Path, packages: set[str], code: int, failed: set[str]) -> None:
    """It works without what it looks for; only without google-re2 there is no scan."""
    variables = lacking(tmp_path / "env", packages) | {"VYRE_DIST_STORE": "redis://127.0.0.1:1/0"}
    done = subprocess.run(
        command("-m", "vyre_dist", "doctor", "--json"),
        env=variables,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert done.stderr == b""
    found = checks(done.stdout)
    assert failed <= {name for name, each in found.items() if each["status"] == "failed"}
    if "ray" in packages:
        for name in ("ray", "hyperscan"):
            assert found[name]["status"] == "warning" and "pip install" in str(found[name]["cure"])
        assert "redis" in str(found["autotune store"]["found"])
        assert found["ray cluster"]["status"] == "ok"


def test_a_folder_of_strangers_is_not_imported_from(started_cli, tree: Path, tmp_path) -> None:
    """No check looks for modules in the working directory."""
    recorder = Recorder(tmp_path / "recorder", tree)
    path = f"{recorder.folder}:{Path(__file__).parents[2]}"
    run = started_cli("doctor", PYTHONPATH=path, PYTHONSAFEPATH="1", **recorder.environment)
    assert run.code == 0 and recorder.misled == set()
    assert "re2" in recorder.modules

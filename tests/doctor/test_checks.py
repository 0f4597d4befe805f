"""Each check tells what it finds, and what mends it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stub_driver import make_driver

from vyre_dist.doctor import clusters, gpus, machine, stores
from vyre_dist.doctor.examine import CHECKS, Check, examine
from vyre_dist.doctor.result import Asked, CheckResult, Status

NOTHING = Asked()


def test_a_check_that_stumbles_is_a_check_that_failed() -> None:
    """What it raises, what it lacks and that it hangs are told in its line, with a cure."""

    def lacks(_: Asked) -> CheckResult:
        raise ModuleNotFoundError("No module named 'somewhere'")

    def stumbles(_: Asked) -> CheckResult:
        raise ValueError("odd\nvalue")

    def hangs(_: Asked) -> CheckResult:
        signal.pause()
        return CheckResult.ok("")

    checks = [
        Check("a", lacks),
        Check("b", stumbles, needed=True),
        Check("c", hangs, "look at it"),
        Check("d", lambda _: CheckResult.ok("fine")),
    ]
    lacking, stumbling, hanging, fine = examine(NOTHING, 2.0, checks)
    assert [each.status for each in (lacking, stumbling, hanging)] == [Status.FAILED] * 3
    assert lacking.found == "not looked at: No module named 'somewhere'"
    assert stumbling.found == "not looked at: ValueError: odd value" and stumbling.needed
    assert hanging.cure == "look at it" and "2 s" in hanging.found
    assert (fine.status, fine.found, fine.cure, fine.needed) == (Status.OK, "fine", "", False)


def test_what_others_say_is_shown_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token and a password in some library's message are masked, quoted or not."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "the-token-itself")
    asked = Asked(store="redis://me:p%40ssword@host/0")

    def tells(_: Asked) -> CheckResult:
        return CheckResult.failed("the-token-itself p@ssword p%40ssword", "say p@ssword")

    (answer,) = examine(asked, 30, [Check("a", tells)])
    assert (answer.found, answer.cure) == ("*** *** ***", "say ***")


def test_each_check_has_a_name_of_its_own() -> None:
    """The names are what programs know the checks by."""
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert {check.name for check in CHECKS if check.needed} == {"python", "google-re2"}


def test_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the token is, and that nobody else can read it; never what it is."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert clusters.token(NOTHING).status is Status.OK
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "missing"))
    missing = clusters.token(NOTHING)
    assert missing.status is Status.FAILED and "get-auth-token" in missing.cure
    file = tmp_path / "token"
    file.touch()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    assert clusters.token(NOTHING).status is Status.FAILED
    file.write_text("sesame")
    file.chmod(0o644)
    open_to_all = clusters.token(NOTHING)
    assert (open_to_all.status, open_to_all.cure) == (Status.WARNING, f"chmod 600 {file}")
    file.chmod(0o600)
    fine = clusters.token(NOTHING)
    assert fine.status is Status.OK and str(file) in fine.found and "sesame" not in fine.found
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert clusters.token(NOTHING).status is Status.WARNING


def test_limits() -> None:
    """A limit that is low for Ray is a warning, with how to raise it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, before[1]), before[1]))
    try:
        low = machine.open_files(NOTHING)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert low.status is Status.WARNING and low.found.startswith("200 ") and "ulimit" in low.cure
    before = resource.getrlimit(resource.RLIMIT_NPROC)
    (low,) = examine(NOTHING, 30, [Check("processes", _with_few_processes)])
    assert resource.getrlimit(resource.RLIMIT_NPROC) == before
    assert low.status is Status.WARNING and low.found.startswith("100 for this user")


def _with_few_processes(asked: Asked) -> CheckResult:
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    resource.setrlimit(resource.RLIMIT_NPROC, (100, hard))
    return machine.processes(asked)


def test_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than Ray wants is a warning; so is none."""
    monkeypatch.setattr(machine, "RAY_OBJECTS", 1)
    assert machine.shared_memory(NOTHING).status is Status.OK
    monkeypatch.setattr(machine, "RAY_OBJECTS", 1 << 60)
    little = machine.shared_memory(NOTHING)
    assert little.status is Status.WARNING and "--shm-size" in little.cure
    monkeypatch.setattr(machine, "_SHARED", "/no/such/folder")
    assert machine.shared_memory(NOTHING).status is Status.WARNING


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders that can't be written are told, with the one that is used instead."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    cache = machine.cache_folder(Asked(cache_dir=str(in_the_way / "cache")))
    assert cache.status is Status.WARNING and "is used instead" in cache.found
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    temporary = machine.temporary_folder(NOTHING)
    assert temporary.status is Status.FAILED and str(tmp_path / "missing") in temporary.found
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert machine.temporary_folder(NOTHING).status is Status.OK
    assert os.listdir(tmp_path) == ["file"]


def test_stores(redis_url: str, tmp_path: Path) -> None:
    """A server that answers, a file, and URLs that name no store."""
    server = stores.autotune_store(Asked(store=redis_url))
    assert server.status in (Status.OK, Status.WARNING) and " ms" in server.found
    file = stores.autotune_store(Asked(cache_dir=str(tmp_path / "cache")))
    assert file.status is Status.OK and file.found.endswith(", 0 records")
    assert stores.autotune_store(Asked(store="redis://")).status is Status.FAILED
    assert stores.autotune_store(Asked(store="mysql://host")).status is Status.FAILED
    (tmp_path / "text").write_text("no database")
    other = stores.autotune_store(Asked(store=f"sqlite://{tmp_path}/text"))
    assert other.status is Status.FAILED


_LOOK = """
from vyre_dist.doctor import gpus
from vyre_dist.doctor.result import Asked
gpus.has_nvidia_driver = lambda: True
for result in (gpus.driver(Asked()), gpus.gpu(Asked())):
    print(result.status, result.found, result.cure, sep="|")
"""


@pytest.mark.parametrize(
    ("stub", "driver", "gpu"),
    [
        ({}, "ok|for CUDA 13.0", "ok|an NVIDIA GPU (9.0)"),
        ({"version": 12040}, "failed|it knows CUDA 12.4, and 13.0 is needed", "ok|"),
        ({"init": 999}, "ok|", "failed|none can be used: it answers with error 999"),
        ({"count": 0}, "ok|", "warning|CUDA sees none"),
        ({"capability": (7, 5)}, "ok|", "warning|an NVIDIA GPU (7.5): compute capability 8.0"),
    ],
    ids=["fine", "old driver", "error", "none", "old device"],
)
def test_gpus(tmp_path: Path, stub: dict[str, int], driver: str, gpu: str) -> None:
    """What NVIDIA's driver answers, and what that means; what is wrong has a cure."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _LOOK],
        env={**os.environ, **make_driver(tmp_path, **stub)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    for line, expected in zip(done.stdout.splitlines(), (driver, gpu), strict=True):
        assert line.startswith(expected)
        status, _, cure = line.split("|")
        assert (status == "ok") == (cure == "")


def test_gpus_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only GPUs need may lack where there is none, and may not where there is one."""
    monkeypatch.setattr(gpus, "has_nvidia_driver", lambda: False)
    assert gpus.driver(NOTHING).status is gpus.gpu(NOTHING).status is Status.OK
    absent = gpus._missing("it is not installed")
    assert absent.status is Status.OK
    monkeypatch.setattr(gpus, "has_nvidia_driver", lambda: True)
    assert gpus._missing("it is not installed").status is Status.FAILED

"""The checks, in the order in which they are told, and running them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote

from vyre_dist.doctor import clusters, gpus, installed, machine, stores
from vyre_dist.doctor.bounded import Unanswered, run_bounded
from vyre_dist.doctor.result import Answer, Asked, CheckResult, Status


class Check(NamedTuple):
    """A check by its name. `needed`: no scan works without what it looks at. `hung`: what mends
    that it takes too long.
    """

    name: str
    run: Callable[[Asked], CheckResult]
    hung: str = "see whether the machine is overloaded (--seconds gives more time)"
    needed: bool = False


_LONGEST = 400
_SHORTEST = 4
"""Shorter secrets are parts of every word, and are nowhere in what others say."""

_FOLDER = "a file system does not answer: see its mount, or name another folder"
_NVIDIA = "the GPU's driver does not answer: see what nvidia-smi and dmesg say"
_NETWORK = "see the network, and the address"

CHECKS = (
    Check("python", installed.python, needed=True),
    Check("google-re2", installed.google_re2, needed=True),
    Check("hyperscan", installed.hyperscan),
    Check("ray", installed.ray),
    Check("ray cluster", clusters.cluster, _NETWORK),
    Check("ray token", clusters.token, _FOLDER),
    Check("gpu driver", gpus.driver, _NVIDIA),
    Check("gpu", gpus.gpu, _NVIDIA),
    Check("cupy", gpus.cupy, _NVIDIA),
    Check("nvrtc", gpus.nvrtc, _NVIDIA),
    Check("autotune store", stores.autotune_store, _NETWORK),
    Check("shared memory", machine.shared_memory, _FOLDER),
    Check("open files", machine.open_files),
    Check("processes", machine.processes),
    Check("memory lock", machine.memory_lock),
    Check("cache folder", machine.cache_folder, _FOLDER),
    Check("temporary folder", machine.temporary_folder, _FOLDER),
)


def examine(asked: Asked, seconds: float, checks: Sequence[Check] = CHECKS) -> list[Answer]:
    """What each check finds; together they take `seconds` at most.

    This process must have no other threads yet.
    """
    results = run_bounded([partial(_result, check, asked) for check in checks], seconds)
    secrets = _secrets(asked)
    return [_answer(check, result, secrets) for check, result in zip(checks, results, strict=True)]


def _result(check: Check, asked: Asked) -> CheckResult:
    """What the check finds, or that it could not look."""
    try:
        return check.run(asked)
    except ImportError as error:
        return CheckResult.failed(
            f"not looked at: {error}", "install what is missing, and see the other lines"
        )
    except Exception as error:  # noqa: BLE001 - a check that stumbles is told, as one that fails
        return CheckResult.failed(
            f"not looked at: {type(error).__name__}: {error}",
            "please report this line: the check has met what it does not know",
        )


def _answer(check: Check, result: CheckResult | Unanswered, secrets: Sequence[str]) -> Answer:
    if isinstance(result, Unanswered):
        cure = check.hung if result.hung else "see dmesg, and install again what it looks at"
        result = CheckResult(Status.FAILED, result.why, cure)
    found, cure = (_told(text, secrets) for text in (result.found, result.cure))
    return Answer(check.name, check.needed, result.status, found, cure)


def _told(text: str, secrets: Sequence[str]) -> str:
    """`text` in a line that is not too long, without the secrets: other libraries' words are in
    it.
    """
    for secret in secrets:
        text = text.replace(secret, "***")
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _secrets(asked: Asked) -> list[str]:
    """The token and the store's password, as far as they are known without looking."""
    login = (asked.store or "").partition("://")[2].rpartition("@")[0]
    password = login.partition(":")[2]
    known = {os.environ.get("RAY_AUTH_TOKEN", ""), password, unquote(password)}
    return sorted((each for each in known if len(each) >= _SHORTEST), key=len, reverse=True)

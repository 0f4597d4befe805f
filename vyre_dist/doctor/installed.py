"""Checks of what is installed: Python and what every scan imports, google-re2, Hyperscan, Ray."""

from __future__ import annotations

import importlib
import importlib.util
import platform
from importlib import metadata

from vyre_dist import __version__
from vyre_dist.doctor.result import Asked, CheckResult

_EVERY_SCANS = ("numpy", "msgpack", "xxhash")
_INSTALL = "install vyre-dist again, with what it needs (pip install -c constraints.txt .)"
_RAY = "2.60"


def python(_: Asked) -> CheckResult:
    """Python, and the libraries that every scan imports."""
    missing = []
    for name in _EVERY_SCANS:
        try:
            importlib.import_module(name)
        except ImportError as error:
            missing.append(f"{name} ({error})")
    versions = f"Python {platform.python_version()}, vyre-dist {__version__}"
    if missing:
        return CheckResult.failed(f"{versions}; can't be imported: {', '.join(missing)}", _INSTALL)
    return CheckResult.ok(versions)


def google_re2(_: Asked) -> CheckResult:
    """google-re2, which has the last word on every match."""
    try:
        re2 = importlib.import_module("re2")
    except ImportError as error:
        return CheckResult.failed(f"it can't be imported ({error})", "pip install google-re2")
    found = re2.search("a(b)", "ab")
    if found is None or found.group(1) != "b":
        return CheckResult.failed("it does not find what it should", "pip install google-re2")
    return CheckResult.ok(version_of("google-re2"))


def hyperscan(_: Asked) -> CheckResult:
    """Hyperscan, without which google-re2 searches alone."""
    from vyre_dist.kernels import backend_warning

    if backend_warning("cpu"):
        return CheckResult.warning(
            "it can't be imported: google-re2 searches alone, several times more slowly",
            "pip install 'hyperscan>=0.7.13,<0.7.23' (wheels: Python 3.11 to 3.13)",
        )
    return CheckResult.ok(version_of("hyperscan"))


def ray(_: Asked) -> CheckResult:
    """Ray, for scans on a cluster."""
    if not has_ray():
        return CheckResult.warning(
            "it is not installed: scans run on this machine alone",
            f"pip install 'ray[default]=={_RAY}.*'",
        )
    version = version_of("ray")
    if not version.startswith(f"{_RAY}."):
        return CheckResult.warning(
            f"{version}, and {_RAY} is what vyre-dist is tested with",
            f"pip install 'ray[default]=={_RAY}.*'",
        )
    from vyre_dist.actors.inspection import ray_version

    return CheckResult.ok(ray_version())


def has_ray() -> bool:
    """Whether Ray is installed."""
    return importlib.util.find_spec("ray") is not None


def version_of(distribution: str) -> str:
    """The version that is installed, as its metadata tells it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of an unknown version"

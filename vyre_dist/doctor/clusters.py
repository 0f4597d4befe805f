"""Checks of what a scan on a Ray cluster needs: the cluster, and its token."""

from __future__ import annotations

import os
import stat

from vyre_dist.doctor.installed import has_ray
from vyre_dist.doctor.result import Asked, CheckResult
from vyre_dist.errors import UsageError

_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 (a variable's name)
_TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"  # noqa: S105
_OWN_FILE = "~/.ray/auth_token"


def cluster(asked: Asked) -> CheckResult:
    """The cluster that was named, or this machine's."""
    named = asked.address or next(
        (value for name in _VARIABLES if (value := os.environ.get(name))), None
    )
    if not has_ray():
        if named is None:
            return CheckResult.ok("none was named, and Ray is not installed")
        return CheckResult.failed(f"{named} can't be asked: Ray is not installed", "install Ray")
    from vyre_dist.actors.inspection import ClusterFaultError, look_at_cluster

    try:
        seen = look_at_cluster(named)
    except ClusterFaultError as error:
        return CheckResult.failed(error.found, error.cure)
    except UsageError as error:
        found, _, cure = str(error).rpartition(": ")
        return CheckResult.failed(found or cure, cure if found else "name another --address")
    if seen is None:
        return CheckResult.ok("none was named, and none runs here: --pool ray starts its own")
    where = f"this machine's ({seen.address})" if named is None else seen.address
    versions = ", ".join(
        f"{name} {version}" for name, version in (("Ray", seen.ray), ("Python", seen.python))
        if version
    )  # fmt: skip
    token = "it takes our token" if seen.token else "it asks for no token"
    return CheckResult.ok(f"{where} answers; {versions + '; ' if versions else ''}{token}")


def token(_: Asked) -> CheckResult:
    """The token that Ray would send: where it is, and who can read it. It is never shown."""
    mode = os.environ.get("RAY_AUTH_MODE")
    if mode is not None and mode.lower() == "disabled":
        return CheckResult.warning(
            "RAY_AUTH_MODE=disabled: none is sent, and clusters started here ask for none",
            "unset RAY_AUTH_MODE",
        )
    if _TOKEN in os.environ:
        return CheckResult.ok(f"in {_TOKEN}")
    named = os.environ.get(_TOKEN_FILE)
    path = named or os.path.expanduser(_OWN_FILE)
    name = f"{path} ({_TOKEN_FILE})" if named else path
    make = f"make one: ray get-auth-token --generate, or copy the cluster's to {_OWN_FILE}"
    try:
        with open(path, "rb") as file:
            info, empty = os.fstat(file.fileno()), not file.read(1)
    except FileNotFoundError:
        if named:
            return CheckResult.failed(f"there is no file {name}", make)
        return CheckResult.ok("none: clusters that ask for none can be used, and those begun here")
    except OSError as error:
        return CheckResult.failed(
            f"{name} can't be read ({error.strerror})", "make its owner you, and its mode 600"
        )
    if empty:
        return CheckResult.failed(f"{name} is empty", make)
    if stat.S_IMODE(info.st_mode) & 0o077:
        return CheckResult.warning(f"others can read {name}", f"chmod 600 {path}")
    return CheckResult.ok(f"in {name}, for its owner alone")

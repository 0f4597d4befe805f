"""Which Ray cluster a pool works on: joining or starting it, and what may be placed on it.

Everything that is global in Ray (one connection per process, its environment, its token file) is
handled here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
from ray._private import ray_constants
from ray._private.services import canonicalize_bootstrap_address
from ray.exceptions import AuthenticationError
from ray.job_config import JobConfig

import vyre_dist
from vyre_dist.actors import authentication, ray_output
from vyre_dist.errors import UsageError
from vyre_dist.import_path import folder_of_an_uninstalled_package, guarded_children
from vyre_dist.processes.signals import handlers_restored

LOCAL = "local"
_CLIENT = "ray://"

# Tasks and answers are descriptors and findings; the default, a third of the memory, is more than a
# container's /dev/shm often has.
_LOCAL_OBJECT_STORE_BYTES = 512 << 20

# A cluster that lives as long as one scan does not report its use to anyone.
_LOCAL_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0"}

_LISTENER_SECONDS = 5.0


class ClusterError(UsageError):
    """A Ray cluster that can't be reached, started or used. `address` as it was asked for."""

    def __init__(self, address: str, found: str) -> None:
        super().__init__(f"Ray cluster at {address!r}: {found}")
        self.address = address


class InfeasibleError(UsageError):
    """More workers than the cluster can ever hold. Ray would wait for them without a word.

    `asked` and `capacity` count workers; `per_worker` is what one needs.
    """

    def __init__(self, asked: int, capacity: Capacity, per_worker: Mapping[str, float]) -> None:
        each = " and ".join(f"{n:g} {name}" for name, n in per_worker.items())
        cure = (
            "ask for fewer workers (--workers), or, where an autoscaler adds nodes, say so "
            "(--autoscale)"
        )
        if "GPU" in per_worker:
            cure += ", or use the processors instead (--backend cpu)"
        super().__init__(
            f"{asked} workers with {each} each were asked for; the cluster ({capacity.nodes} nodes "
            "with together "
            f"{capacity.gpus:g} GPU and {capacity.cpus:g} CPU) holds {capacity.workers}: {cure}"
        )
        self.asked = asked
        self.capacity = capacity.workers
        self.per_worker = dict(per_worker)


@dataclass(frozen=True, slots=True)
class Capacity:
    """A cluster's size, whether in use or not.

    The live nodes, their GPUs and CPUs, and how many workers of one kind fit on them.
    """

    nodes: int
    gpus: float
    cpus: float
    workers: int


def connect(
    address: str | None,
    *,
    local_cpus: int,
    local_gpus: int | None,
    runtime_env: Mapping[str, Any] | None,
    log_to_driver: bool,
) -> bool:
    """Have Ray connected; whether this call did it, so that `ray.shutdown()` is the caller's to do.

    A connection that the process has already is used as it is. Else `address` counts: None
    (RAY_ADDRESS, which is set inside a Ray job; without it a fresh cluster on this machine),
    "local" (a fresh one), "auto" (one that runs on this machine), "host:port", "ray://host:port". A
    fresh cluster gets `local_cpus` and `local_gpus` (None: those found). Raises ClusterError, and
    SystemExit(143) for SIGTERM, which Ray takes over for as long as it connects.
    """
    if ray.is_initialized():
        if runtime_env:
            raise ClusterError(
                address or "auto",
                "this process is connected already; a runtime_env must be given before that",
            )
        return False
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    if address.startswith(("http://", "https://")):
        raise ClusterError(
            address,
            "this is where jobs are submitted (vyre-dist submit); to connect directly, give "
            "host:port or ray://host:port",
        )
    require_listener(address)
    if (target := target_of(address)) and (
        reason := authentication.settle(target, client=address.startswith(_CLIENT))
    ):
        raise ClusterError(address, reason)
    options: dict[str, Any] = {"log_to_driver": log_to_driver}
    if runtime_env:
        options["runtime_env"] = dict(runtime_env)
    ray_output.divert()
    try:
        with handlers_restored(), _no_folder_of_uv():
            if address == LOCAL:
                _start_local(local_cpus, local_gpus, options)
            else:
                if "://" not in address:
                    options["job_config"] = _OwnPathOnly(runtime_env)
                ray.init(address=address, **options)
    except AuthenticationError as error:
        raise ClusterError(address, f"it asks for a token: {authentication.HOW}") from error
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        raise ClusterError(address, f"{type(error).__name__}: {error}") from error
    except OSError as error:
        # Ray raises its own without a number or a name: of a socket's path that is too long, say
        reason = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        raise ClusterError(
            address,
            f"Ray can't keep its own files ({reason}): set RAY_TMPDIR to a folder that can be "
            "written and whose path is short",
        ) from error
    except SystemExit as left:
        # its handler leaves with the signal's bare number
        if left.code == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    return True


def starts_here(address: str | None) -> bool:
    """Whether `connect` would start a cluster on this machine for `address`."""
    return not ray.is_initialized() and (address or os.environ.get("RAY_ADDRESS") or LOCAL) == LOCAL


def joined_as_client() -> bool:
    """Whether this process is connected through ray://, by a server on the cluster."""
    from ray.util.client import ray as client

    return bool(client.is_connected())


def require_listener(address: str) -> None:
    """Raise ClusterError where nobody listens at a host:port.

    Ray would go on trying for as long as one lets it.

    Ray Client's own attempts (ray://) come to an end, and may go through a proxy.
    """
    if "://" in address:
        return
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return
    if (
        host is None or port is None
    ):  # "auto", "local", or nothing that Ray takes, which it says itself
        return
    try:
        socket.create_connection((host, port), _LISTENER_SECONDS).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host looks like this
        raise ClusterError(
            address,
            f"nobody answers there ({error}): give the address that `ray start --head` printed on "
            "the head node, and see "
            "that the node runs and its port can be reached from here",
        ) from error


def target_of(address: str) -> str | None:
    """The host:port that Ray would ask, as far as there is one."""
    if address == LOCAL:
        return None
    if address.startswith(_CLIENT):
        return urlsplit(address).netloc
    try:
        return _this_machines() if address == "auto" else canonicalize_bootstrap_address(address)
    except (ValueError, OSError):  # no address, which Ray says itself
        return None


def _this_machines() -> str | None:
    """The address of the cluster that RAY_ADDRESS names, or that runs on this machine."""
    found: str | None = canonicalize_bootstrap_address("auto")
    return found


def _start_local(cpus: int, gpus: int | None, options: dict[str, Any]) -> None:
    authentication.let_ray_choose()
    with (
        guarded_children(),
        _environment({**_LOCAL_ENVIRONMENT, **authentication.token_without_a_file()}),
    ):
        ray.init(
            address=LOCAL,
            job_config=_OwnPathOnly(options.get("runtime_env")),
            num_cpus=cpus,
            num_gpus=gpus,
            include_dashboard=False,
            object_store_memory=_LOCAL_OBJECT_STORE_BYTES,
            # below it are only remarks on how this cluster is set up, which are addressed to us
            logging_level=logging.ERROR,
            **options,
        )


class _OwnPathOnly(JobConfig):  # type: ignore[misc]
    """Ray's configuration of a driver's workers, without the driver's working directory.

    Ray puts that, and its script's folder, in front of their `sys.path`; and the working directory
    is often what is scanned.
    """

    def __init__(self, runtime_env: Mapping[str, Any] | None) -> None:
        uninstalled = folder_of_an_uninstalled_package()
        # a package that is brought along must not be hidden by it
        self._folders = (
            [uninstalled] if uninstalled and "py_modules" not in (runtime_env or {}) else []
        )
        super().__init__()

    @property
    def _py_driver_sys_path(self) -> list[str]:
        return list(self._folders)

    @_py_driver_sys_path.setter
    def _py_driver_sys_path(self, _: list[str]) -> None:
        """Whoever sets it, or adds to it, changes nothing."""


@contextlib.contextmanager
def _no_folder_of_uv() -> Iterator[None]:
    """Keep Ray from sending the working directory to workers as code, as it does in `uv run`."""
    name = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"
    before = getattr(ray_constants, name)
    # who says himself that he wants it gets it
    setattr(ray_constants, name, before and name in os.environ)
    try:
        yield
    finally:
        setattr(ray_constants, name, before)


@contextlib.contextmanager
def _environment(defaults: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started inside; what the user has set stays."""
    ours = {k: v for k, v in defaults.items() if k not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def capacity_for(per_worker: Mapping[str, float], without: Container[str] = ()) -> Capacity:
    """How many workers the connected cluster's live nodes hold, when idle.

    `per_worker`: what one needs, as resource: amount.

    `without`: the ids of nodes that do not count.
    """
    nodes = [n["Resources"] for n in ray.nodes() if n["Alive"] and n["NodeID"] not in without]
    return Capacity(
        nodes=len(nodes),
        gpus=sum(n.get("GPU", 0.0) for n in nodes),
        cpus=sum(n.get("CPU", 0.0) for n in nodes),
        workers=sum(
            min(int(n.get(name, 0.0) / need) for name, need in per_worker.items()) for n in nodes
        ),
    )


def fitting_workers(asked: int | None, needs: Mapping[str, float], autoscale: bool) -> int:
    """How many workers to have: those asked for, or None for all that fit on the cluster.

    Raises InfeasibleError for more than fit, unless the cluster grows (`autoscale`), and for none.
    """
    capacity = capacity_for(needs)
    count = asked if asked is not None else capacity.workers
    if not autoscale and (count > capacity.workers or count == 0):
        raise InfeasibleError(max(count, 1), capacity, needs)
    return count


def node_of(actor: Any) -> str:
    """The id of the node that the actor was placed on, dead or alive; "" if nobody knows."""
    # Ray's public way to it goes through the dashboard, which a cluster may lack
    from ray._private import state

    found = state.actors(actor_id=actor._actor_id.hex())
    return str((found or {}).get("Address", {}).get("NodeID", ""))


def host_of(node: str) -> str:
    """The name of the node's host."""
    return next((str(n["NodeManagerHostname"]) for n in ray.nodes() if n["NodeID"] == node), "")


def lives(node: str) -> bool:
    """Whether the node with this id is alive, as far as the connected cluster knows."""
    return any(each["NodeID"] == node and each["Alive"] for each in ray.nodes())


def cpus_beside(gpus: int) -> int:
    """The CPUs of this node that go with so many of its GPUs, in use or not; 0 outside Ray."""
    if not ray.is_initialized():
        return 0
    own = ray.get_runtime_context().get_node_id()
    for node in ray.nodes():
        if node["NodeID"] == own:
            return int(
                node["Resources"].get("CPU", 0.0)
                * gpus
                / max(1.0, node["Resources"].get("GPU", 0.0))
            )
    return 0


def this_package() -> dict[str, Any]:
    """A runtime_env that brings this vyre_dist to workers; what it imports they must have."""
    return {"py_modules": [str(Path(vyre_dist.__file__).parent)]}

"""A look at a Ray cluster, or its job server, without joining it: is it there, does it ask for a
token, which versions does it run.
"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass

import ray

from vyre_dist.actors import authentication
from vyre_dist.actors.cluster import LOCAL, require_listener, target_of
from vyre_dist.errors import UsageError

_SECONDS = (3.0, 5.0)
"""For a connection to a job server, and for its answer."""

_SAME = "have the same Ray and Python everywhere (constraints.txt has the tested versions)"


class ClusterFaultError(UsageError):
    """What keeps a scan from a cluster: `found`, and its `cure`."""

    def __init__(self, found: str, cure: str) -> None:
        super().__init__(f"{found}: {cure}")
        self.found = found
        self.cure = cure


@dataclass(frozen=True, slots=True)
class SeenCluster:
    """A cluster that answers. `token`: it asks for one, and takes the one that is there. `ray` and
    `python`: its versions, "" where it does not say.
    """

    address: str
    token: bool
    ray: str = ""
    python: str = ""


def ray_version() -> str:
    """Ray's version, from Ray itself."""
    return str(ray.__version__)


def look_at_cluster(address: str | None) -> SeenCluster | None:
    """The cluster at `address`, as `scan` and `submit` take it; None: this machine's, if there is
    one. Raises ClusterFaultError, and ClusterError where nobody listens.
    """
    if address == LOCAL:
        return None
    asked = address or "auto"
    if asked.startswith(("http://", "https://")):
        return _job_server(asked.rstrip("/"))
    require_listener(asked)
    target = target_of(asked)
    if target is None:
        if address is None:
            return None
        raise ClusterFaultError(
            f"{asked} is no address of a cluster, and no cluster runs on this machine",
            "give HOST:PORT of the head, ray://HOST:PORT, or http://HOST:PORT of its dashboard",
        )
    client = asked.startswith("ray://")
    token = authentication.asks(target, client)
    if token is None:
        if not client:
            return _job_server(f"http://{asked}")
        raise ClusterFaultError(
            f"what answers at {asked} is no Ray cluster", "give the address of its head node"
        )
    if reason := authentication.settle(target, client=client):
        raise ClusterFaultError(f"the cluster at {asked} keeps us out", reason)
    seen = SeenCluster(asked, token) if client else _with_versions(asked, target, token)
    return _checked(seen)


def _with_versions(asked: str, target: str, token: bool) -> SeenCluster:
    from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY
    from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    stored = GcsClient(address=target).internal_kv_get(
        CLUSTER_METADATA_KEY, namespace=KV_NAMESPACE_CLUSTER
    )
    told = json.loads(stored) if stored else {}
    return SeenCluster(
        asked, token, str(told.get("ray_version", "")), str(told.get("python_version", ""))
    )


def _job_server(url: str) -> SeenCluster:
    import requests

    def ask(head: dict[str, str]) -> requests.Response:
        try:
            return requests.get(f"{url}/api/version", timeout=_SECONDS, headers=head)
        except requests.RequestException as error:
            raise ClusterFaultError(
                f"no job server answers at {url} ({type(error).__name__})",
                "see that the head runs, and give the dashboard's address (port 8265 by default)",
            ) from error

    answer = ask({})
    token = answer.status_code in (401, 403)
    if token:
        if reason := authentication.use_token_if(True):
            raise ClusterFaultError(f"the job server at {url} keeps us out", reason)
        answer = ask(dict(authentication.token_head()))
    if answer.status_code in (401, 403):
        raise ClusterFaultError(f"the job server at {url} refuses the token", authentication.HOW)
    try:
        version = str(answer.json()["ray_version"])
    except (ValueError, KeyError, TypeError):
        raise ClusterFaultError(
            f"what answers at {url} is no job server (HTTP {answer.status_code})",
            "give the dashboard's address (port 8265 by default)",
        ) from None
    return _checked(SeenCluster(url, token, version))


def _checked(seen: SeenCluster) -> SeenCluster:
    """`seen`, if its versions are ours. Raises ClusterFaultError."""
    if seen.ray and seen.ray != ray.__version__:
        raise ClusterFaultError(
            f"the cluster at {seen.address} runs Ray {seen.ray}, this machine {ray.__version__}",
            _SAME,
        )
    here = platform.python_version()
    if seen.python and seen.python.split(".")[:2] != here.split(".")[:2]:
        raise ClusterFaultError(
            f"the cluster at {seen.address} runs Python {seen.python}, this machine {here}", _SAME
        )
    return seen

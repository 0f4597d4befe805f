"""The job server of a Ray cluster: its address, its token, and retries while it is not well."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from vyre_dist.errors import UsageError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_T = TypeVar("_T")
Warn = Callable[[str], object]

_DEFAULT_PORT = 8265
_GIVE = f"give the dashboard's address, http://HOST:{_DEFAULT_PORT} by default"
_PROBE_SECONDS = (5.0, 20.0)
"""For a connection, and for an answer: the server may have a lot to do."""

PATIENCE_SECONDS = 30.0
"""How long a server that answers, but not as it should, may take to come to itself."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 4.0

# "No available agent" is a 500: the node has not come up yet
_PASSING = re.compile(r"status code (429|500|502|503|504)\b")
_PASSING_CODES = frozenset({429, 500, 502, 503, 504})

_TLS = "RAY_USE_TLS"
_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


class JobServerError(UsageError):
    """The cluster's job server can't be reached, or does not take the job.

    `address`: as it was asked for.
    """

    def __init__(self, address: str | None, found: str) -> None:
        super().__init__(f"job server {address or 'of the cluster on this machine'}: {found}")
        self.address = address


def open_client(address: str | None, warn: Warn) -> JobSubmissionClient:
    """A client of the job server at `address`. Raises JobServerError.

    `address`: http://HOST:PORT, HOST:PORT, or a cluster's own address, which Ray looks up; None for
    the environment's, else this machine's cluster.
    """
    import logging

    from ray.exceptions import AuthenticationError, RayError
    from ray.job_submission import JobSubmissionClient

    # it tells every time that a followed log has come to its end
    logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
    # Ray's client lets the environment win over the argument, without a word
    named = next((value for name in _ADDRESS_VARIABLES if (value := os.environ.get(name))), None)
    if address is not None:
        for name in _ADDRESS_VARIABLES:
            value = os.environ.get(name)
            if value is not None and _url(value) != _url(address):
                raise JobServerError(
                    address, f"{name}={value} would be used in its place: unset it"
                )
    asked = address or named
    found = _server_at(asked) if asked else _of_a_cluster("auto")
    try:
        with _without(_ADDRESS_VARIABLES):
            return patiently(lambda: JobSubmissionClient(found), warn)
    except AuthenticationError as error:
        raise JobServerError(asked, _why_refused(error)) from error
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise JobServerError(asked, f"{_in_a_line(error)} ({_GIVE})") from error


def patiently(call: Callable[[], _T], warn: Warn) -> _T:
    """What `call` returns; what it raises is retried for PATIENCE_SECONDS, if it looks passing."""
    until, pause = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE
    while True:
        try:
            return call()
        except (OSError, RuntimeError) as error:
            if not _passing(error) or time.monotonic() + pause > until:
                raise
            if pause == _FIRST_PAUSE:
                warn(
                    f"the job server answers {_in_a_line(error)!r:.200}; trying again for "
                    f"{PATIENCE_SECONDS:g} s"
                )
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _passing(error: Exception) -> bool:
    import requests

    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in _PASSING_CODES
    if isinstance(error, requests.RequestException):
        return isinstance(error, requests.ConnectionError | requests.Timeout)
    return isinstance(error, RuntimeError) and bool(_PASSING.search(str(error)))


def _url(address: str) -> str:
    """An address of HOST:PORT or HOST as a URL; others as they are."""
    if "://" in address or address in ("auto", "local"):
        return address.rstrip("/")
    host = address.rpartition("]")[2] if address.startswith("[") else address
    return f"http://{address}" if ":" in host else f"http://{address}:{_DEFAULT_PORT}"


def _server_at(asked: str) -> str:
    """The URL at which somebody speaks HTTP, or a cluster's address, for Ray's client.

    Where a token is asked for, Ray is told to send it.
    """
    import requests

    url = _url(asked)
    if not url.startswith(("http://", "https://")):
        return _of_a_cluster(asked)
    try:
        answer = requests.get(f"{url}/api/version", timeout=_PROBE_SECONDS)
    except requests.exceptions.SSLError:
        return url  # for Ray's client to judge
    except requests.RequestException as error:
        if "://" not in asked and not _nobody(error):
            return _of_a_cluster(asked)
        raise JobServerError(
            asked,
            f"nobody answers there ({_in_a_line(error)}): {_GIVE}, as `ray start --head` or `ray "
            "dashboard` printed it",
        ) from error
    if answer.status_code in (401, 403):
        from vyre_dist.actors.authentication import use_token_if

        if reason := use_token_if(True):
            raise JobServerError(asked, reason)
    return url


def _of_a_cluster(asked: str) -> str:
    """A cluster's own address, at which Ray's client asks for its job server and is let in."""
    from vyre_dist.actors.authentication import asks, settle
    from vyre_dist.actors.cluster import target_of

    named = asked != "auto" and "://" not in asked
    if named and _TLS not in os.environ and (target := target_of(asked)) and asks(target) is None:
        raise JobServerError(
            asked,
            f"neither a job server nor a cluster's head answers there: {_GIVE}, as `ray start "
            "--head` printed it",
        )
    if (target := target_of(asked)) and (
        reason := settle(target, client=asked.startswith("ray://"))
    ):
        raise JobServerError(asked, reason)
    return asked


def _nobody(error: Exception) -> bool:
    """Whether no connection came about at all."""
    import requests
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)


def _why_refused(error: Exception) -> str:
    from vyre_dist.actors.authentication import HOW

    return f"it does not take the token, or there is none: {HOW} ({_in_a_line(error):.200})"


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Have these variables unset for the time being."""
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

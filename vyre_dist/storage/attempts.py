"""Attempts: what an object store answers with an error is tried again where that may pass, for a
bounded time; what a user has to mend is told as such.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_PASSING_NUMBERS = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EPIPE,
        errno.EREMOTEIO,
        errno.ETIMEDOUT,
    }
)
_PASSING_STATUS = frozenset({408, 409, 425, 429})
_PASSING_TYPES = frozenset(
    {
        "aiohttp.client_exceptions.ClientError",
        "botocore.exceptions.ConnectionError",
        "botocore.exceptions.HTTPClientError",
        "botocore.exceptions.IncompleteReadError",
        "botocore.parsers.ResponseParserError",
        "http.client.HTTPException",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
    }
)
"""What the libraries behind fsspec raise that is no OSError."""


class PlaceError(OSError):
    """An object store did not do what it was asked to. `status`: of HTTP, 0 if there was none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class PlaceDeniedError(PlaceError, PermissionError):
    """It does not let this user do that, or does not know who that is."""


class PlaceMissingError(PlaceError):
    """There is no such bucket."""


def attempted(what: str, attempt: Callable[[], T], seconds: float) -> T:
    """What `attempt` comes to, tried again for `seconds`. `what`: the place, and what is done.

    Raises FileNotFoundError and FileExistsError as they come, and PlaceError for all else.
    """
    until = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    tried = 0
    while True:
        tried += 1
        try:
            return attempt()
        except Exception as error:  # each library behind fsspec has its own
            told = _told(what, error, tried)
            if not _passes(error) or time.monotonic() + pause > until:
                raise told from error
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _passes(error: BaseException) -> bool:
    """Whether the same may succeed a little later."""
    status = _status(error)
    if status:
        return status >= 500 or status in _PASSING_STATUS
    if isinstance(error, (FileNotFoundError, FileExistsError, PermissionError)):
        return False
    if isinstance(error, (TimeoutError, ConnectionError)):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING_NUMBERS:
        return True
    return any(f"{kind.__module__}.{kind.__name__}" in _PASSING_TYPES for kind in type(error).mro())


def _told(what: str, error: BaseException, tried: int) -> OSError:
    """What a user is told of `error`."""
    status, code = _status(error), _code(error)
    detail = " ".join(str(error).split()) or type(error).__name__
    if code == "NoSuchBucket":
        return PlaceMissingError(f"{what}: there is no such bucket ({detail}): make it first")
    if _is_condition(error, status, code):
        return FileExistsError(errno.EEXIST, f"{what}: it is there already")
    if isinstance(error, FileNotFoundError) or status == 404:
        return FileNotFoundError(errno.ENOENT, f"{what}: there is none")
    if isinstance(error, PermissionError) or status in (401, 403):
        return PlaceDeniedError(
            f"{what}: access is denied ({detail}): the credentials that are found here have to "
            "allow listing, reading, writing and deleting there",
            status,
        )
    if type(error).__name__ in _NO_CREDENTIALS:
        return PlaceDeniedError(
            f"{what}: there are no credentials ({detail}): put them where the store's own tools "
            "look for them (AWS_ACCESS_KEY_ID, ~/.aws, an instance's role)"
        )
    times = "" if tried == 1 else f", also when it was tried for the {tried}th time"
    return PlaceError(f"{what}: {detail}{times}", status)


_NO_CREDENTIALS = frozenset(
    {
        "CredentialRetrievalError",
        "DefaultCredentialsError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
    }
)


def _is_condition(error: BaseException, status: int, code: str) -> bool:
    """Whether something was to be made that is there already."""
    return isinstance(error, FileExistsError) or status == 412 or code == "PreconditionFailed"


def _response(error: BaseException) -> dict[str, object]:
    """What botocore has of the answer, which s3fs keeps behind its own error."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return response
    return {}


def _status(error: BaseException) -> int:
    about = _response(error).get("ResponseMetadata")
    found = about.get("HTTPStatusCode") if isinstance(about, dict) else None
    for name in ("status", "code", "status_code"):
        found = found if isinstance(found, int) else getattr(error, name, None)
    return found if type(found) is int and 100 <= found < 600 else 0


def _code(error: BaseException) -> str:
    about = _response(error).get("Error")
    return str(about.get("Code", "")) if isinstance(about, dict) else ""

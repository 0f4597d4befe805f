"""Opens the file systems of fsspec: object stores and other places that a URL names.

Credentials are looked for where each store's own tools look for them, and nowhere else.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vyre_dist.errors import UsageError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_CONNECT_SECONDS = 5
_READ_SECONDS = 15
_WITH_SECRET = re.compile(r"[^/]+://[^/]*:[^/]*@")
_OPTIONS: Mapping[str, Mapping[str, object]] = {
    # how often and how long is tried is decided in one place, attempts.py
    "s3": {
        "config_kwargs": {
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _READ_SECONDS,
            "retries": {"total_max_attempts": 1},
        },
        # else it asks for an object's size before it reads one
        "max_concurrency": 1,
    }
}
_BEYOND = {"abfs": " adlfs", "az": " adlfs", "gcs": " gcsfs", "gs": " gcsfs"}
"""What a scheme takes besides."""


def check_place(place: str) -> None:
    """Raise UsageError for a URL that shows a secret."""
    if _WITH_SECRET.match(place):
        raise UsageError(
            f"the {place.partition('://')[0]}:// URL has a password in it, which would be in logs "
            "and in the shell's history: leave it out, and have it where the store's own tools "
            "look for it"
        )


def open_filesystem(scheme: str) -> AbstractFileSystem:
    """The file system behind the URLs of a scheme.

    Raises UsageError where the packages for it are not installed, or nobody else could see it.
    """
    if scheme == "memory":
        raise UsageError(
            "memory:// is in the memory of one process, where neither workers nor a later driver "
            "see it: name another --run-dir"
        )
    if importlib.util.find_spec("fsspec") is None:
        raise UsageError(
            f"{scheme}:// takes fsspec, which is not installed: python -m pip install "
            f"'vyre-dist[objects]'{_BEYOND.get(scheme, '')}"
        )
    import fsspec

    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ValueError as error:
        raise UsageError(
            f"fsspec knows no {scheme}:// ({error}); a run can be in a directory, or at "
            "s3://BUCKET/PATH, for one"
        ) from error
    except ImportError as error:
        package = _package(scheme)
        raise UsageError(
            f"{scheme}:// takes a package that is not installed ({error})"
            + (f": python -m pip install {package}" if package else "")
        ) from error
    options = _OPTIONS.get("s3" if scheme == "s3a" else scheme, {})
    # a listing is looked at to see what others have done since
    filesystem = kind(use_listings_cache=False, skip_instance_cache=True, **options)
    if hasattr(filesystem, "retries"):
        filesystem.retries = 1
    return filesystem


def root_of(filesystem: AbstractFileSystem, place: str) -> str:
    """Where the URL `place` is in its file system."""
    return str(filesystem._strip_protocol(place)).rstrip("/")


def _package(scheme: str) -> str:
    """What to install for a scheme; "" where its class is fsspec's own, which says so itself."""
    from fsspec.registry import known_implementations

    module = str(known_implementations.get(scheme, {}).get("class", "")).partition(".")[0]
    return {"s3fs": "'vyre-dist[objects]'", "fsspec": ""}.get(module, module)

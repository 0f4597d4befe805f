"""Check of the autotune store: that it can be opened, and answers in time."""

from __future__ import annotations

import os
import time

from vyre_dist.doctor.result import Asked, CheckResult
from vyre_dist.errors import UsageError, VyreError

_VARIABLE = "VYRE_DIST_STORE"
_SLOW_SECONDS = 0.1
_GOES_ON = "scans go on without it, and measure anew"


def autotune_store(asked: Asked) -> CheckResult:
    """The store that `--store` or the environment names, or the file in the cache folder."""
    from vyre_dist.autotune.urls import uses_folder, without_login

    url = asked.store or None
    if url is None or not uses_folder(url):
        return _local(asked, url)
    place = without_login(url)
    try:
        from vyre_dist.autotune.redis_store import RedisStore
        from vyre_dist.autotune.signing import key_from
        from vyre_dist.autotune.urls import parse_redis_url

        store = RedisStore(parse_redis_url(url), key=key_from(os.environ))
    except ImportError as error:
        return CheckResult.failed(f"{place}: redis-py can't be imported ({error})", "install redis")
    except UsageError as error:
        return _bad_url(error)
    began = time.monotonic()
    try:
        store.revision()
    except VyreError as error:
        return CheckResult.failed(
            f"{error}; {_GOES_ON}",
            f"start the server or open its port, or set {_VARIABLE} to another (the password in "
            "the URL, if it asks for one)",
        )
    finally:
        store.close()
    took = time.monotonic() - began
    found = f"{place} answers in {took * 1e3:.0f} ms"
    if took > _SLOW_SECONDS:
        return CheckResult.warning(
            f"{found}; a scan waits 300 ms for it in all", "use a server that is nearer"
        )
    return CheckResult.ok(found)


def _local(asked: Asked, url: str | None) -> CheckResult:
    from vyre_dist.autotune.urls import FILE_NAME, open_store, without_login
    from vyre_dist.cache_folder import choose

    path = None
    if url is None:
        folder = choose(asked.cache_dir).path
        if folder is None:
            return CheckResult.warning("in memory: no folder can keep it", "see cache folder")
        path = os.path.join(folder, FILE_NAME)
    try:
        store = open_store(url, local_path=path)
    except UsageError as error:
        return _bad_url(error)
    try:
        records = sum(1 for _ in store.items())
        trouble = store.trouble
    finally:
        store.close()
    if trouble:
        return CheckResult.failed(
            f"{trouble}; {_GOES_ON}", "see that the file can be written, or name another --store"
        )
    place = path if url is None else without_login(url)
    return CheckResult.ok(f"{place}, {records} records")


def _bad_url(error: UsageError) -> CheckResult:
    # its message has no login in it, and ends with what to do
    return CheckResult.failed(str(error), f"set {_VARIABLE}, or --store, to a store's URL")

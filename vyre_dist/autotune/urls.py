"""Which store a URL names, and how to open it. Messages and reprs never show a password."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.autotune.redis_target import DEFAULT_PORT, RedisTarget
from vyre_dist.autotune.signing import key_from
from vyre_dist.autotune.sqlite_file import fault_of_file
from vyre_dist.autotune.sqlite_store import SqliteStore
from vyre_dist.autotune.store import AutotuneStore, RecordStore
from vyre_dist.autotune.wait_budget import WaitBudget
from vyre_dist.cache_folder import choose, default_folder
from vyre_dist.errors import UsageError

ALLOWED = (
    "memory:, sqlite:///absolute/path, redis://[user[:password]@]host[:port][/db], rediss://… "
    "(TLS; options "
    "ssl_ca_certs, ssl_certfile, ssl_keyfile) or unix://[user[:password]@]/path/to/socket[?db=N]"
)
_QUOTE = "write special characters of a password as %XX"
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_OPTIONS = {"redis": frozenset[str](), "rediss": _TLS_OPTIONS, "unix": frozenset({"db"})}
FILE_NAME = "autotune.sqlite3"
_SQLITE_MAGIC = b"SQLite format 3\0"


class StoreUrlError(UsageError):
    """A URL that names no store. `reason` says why, `url` is the URL without its secrets."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = without_login(url)
        self.reason = reason
        super().__init__(
            f"cannot open the autotune store {self.url!r}: {reason}. Allowed: {ALLOWED}"
        )


def without_login(url: str) -> str:
    """`url` as it may be shown: scheme and address, without login and options.

    Less is shown where it is not certain what is secret.
    """
    scheme, colon, _ = url.partition(":")
    if not colon:
        return "…" if "@" in url else url[:100]
    try:
        parts = urlsplit(url)
        place, port = parts.hostname, parts.port
    except ValueError:
        return f"{scheme}:…"
    if _may_hold_secret(parts):
        return f"{scheme}:…"
    if parts.scheme in ("sqlite", "unix"):
        return f"{scheme}://{parts.path}"
    if not place:
        return f"{scheme}:…"
    login = "***@" if "@" in parts.netloc else ""
    return f"{scheme}://{login}{place}" + (f":{port}" if port else "")


def has_password(url: str) -> bool:
    """Whether `url` is that of a server, with a password in it; also if it could not be opened."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in _OPTIONS:
        return False
    login = rest.rpartition("@")[0]
    # redis-py takes it as an option; we refuse those, but whoever sees the URL has seen it
    options = parse_qsl(rest.partition("?")[2])
    return login.partition(":")[2] != "" or any("password" in name.lower() for name, _ in options)


def _may_hold_secret(parts: SplitResult) -> bool:
    """Whether any part may be secret: an unquoted / ? or # in a password ends the login early."""
    return any("@" in part for part in (parts.path, parts.query, parts.fragment))


def uses_folder(url: str | None) -> bool:
    """Whether the store that `url` names has a file in a cache folder. The URL may be wrong."""
    return url is None or url.partition("://")[0].lower() in _OPTIONS


def open_store(
    url: str | None,
    *,
    local_path: str | os.PathLike[str] | None = None,
    budget: WaitBudget | None = None,
    create: bool = True,
) -> AutotuneStore:
    """Open the store that `url` names. No server is contacted yet.

    None stands for the SQLite file at `local_path`. By default that is in the user's cache folder;
    where none is known, in a spare folder, and without one the store is in memory. A Redis URL
    gives a TieredStore: memory, then that same SQLite file, then Redis in the background.

    `create`: False for who only reads: where there is no file yet, none is made, and the store is
    empty.

    `budget`: how long callers may wait for it in all; without one they wait as long as it takes,
    which each operation bounds by itself. Records on a server are signed with the key that the
    environment names (signing.py).

    Raises SecretKeyError for a key that can't be used; StoreUrlError for a URL that names no store,
    and for a file in it that is of another kind or damaged. The local file is ours: a damaged one
    is moved aside and begun anew.
    """
    if url is None:
        return _local(local_path, budget, create)
    if url == "memory:":
        return MemoryStore()
    parts = _split(url)
    if parts.scheme == "sqlite":
        path = _sqlite_path(url, parts)
        _refuse_other_file(url, path)
        if not create and _is_missing(path):
            return MemoryStore()
        return SqliteStore(path, recover=False, budget=budget)
    target = parse_redis_url(url)
    # these take a while to import: only those who use them pay; redis itself comes later still
    from vyre_dist.autotune.redis_store import RedisStore
    from vyre_dist.autotune.tiered import TieredStore

    remote = RedisStore(target, key=key_from(os.environ))
    return TieredStore(_local(local_path, budget, create), remote, budget=budget)


def _local(
    path: str | os.PathLike[str] | None, budget: WaitBudget | None, create: bool
) -> RecordStore:
    if path is None:
        folder = default_folder() or (choose(None).path if create else None)
        if folder is None:
            return MemoryStore()
        path = os.path.join(folder, FILE_NAME)
    if not create and _is_missing(path):
        return MemoryStore()
    return SqliteStore(path, budget=budget)


def _is_missing(path: str | os.PathLike[str]) -> bool:
    """Whether nothing is there yet; not so where a file can't be."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def parse_redis_url(url: str) -> RedisTarget:
    """The server that `url` names. Raises StoreUrlError, also for options of redis-py only."""
    parts = _split(url)
    if parts.scheme not in _OPTIONS:
        raise StoreUrlError(url, f"no such kind of store as {parts.scheme[:20]!r}")
    try:
        port = parts.port or DEFAULT_PORT
        options = dict(
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        )
    except ValueError:
        # urllib's own message may quote the part of the URL with the password in it.
        raise StoreUrlError(url, f"its port or its options cannot be read ({_QUOTE})") from None
    if _may_hold_secret(parts):
        raise StoreUrlError(url, f"there is an @ behind the host ({_QUOTE})")
    if parts.fragment:
        raise StoreUrlError(url, f"there is a # in it ({_QUOTE})")
    unknown = sorted(set(options) - _OPTIONS[parts.scheme])
    if unknown:
        raise StoreUrlError(url, f"option {unknown[0]!r:.40} is not one for {parts.scheme}://")
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if parts.scheme == "unix":
        path = unquote(parts.path)
        if not path.startswith("/") or parts.hostname:
            raise StoreUrlError(url, "unix:// needs the absolute path of a socket")
        return RedisTarget(
            path=path,
            db=_database(url, options.get("db", "")),
            username=username,
            password=password,
        )
    if not parts.hostname:
        raise StoreUrlError(url, "no host")
    return RedisTarget(
        host=parts.hostname,
        port=port,
        db=_database(url, parts.path.strip("/")),
        tls=parts.scheme == "rediss",
        username=username,
        password=password,
        tls_files=tuple(sorted(options.items())),
    )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise StoreUrlError(url, "it is not a URL") from None


def _sqlite_path(url: str, parts: SplitResult) -> Path:
    path = unquote(parts.path)
    whole = not (parts.netloc or parts.query or parts.fragment)
    if not whole or not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise StoreUrlError(url, "sqlite:/// needs the absolute path of a file, and nothing else")
    return Path(path)


def _refuse_other_file(url: str, path: Path) -> None:
    """Raise StoreUrlError for a file that can't be a store: who named it gets no records from it,
    and must know why.

    What cannot be looked at is left to SqliteStore, for which it is a medium that fails.
    """
    try:
        # a named pipe would be waited for
        if not path.is_file():
            return
        with open(path, "rb") as file:
            start = file.read(len(_SQLITE_MAGIC))
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return
    if start and start != _SQLITE_MAGIC:
        found = "is no SQLite database"
    else:
        found = fault_of_file(path)
    if found:
        raise StoreUrlError(
            url,
            f"there is a file of {size} bytes that {found}; it was left as it is: "
            "name another file, or move this one away",
        )


def _database(url: str, text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise StoreUrlError(url, "the database must be a number")
    return int(text)

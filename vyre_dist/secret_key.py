"""SecretKey: names secrets without telling them, so that the same one can be seen in many places.

The names (`secret_id`) are HMACs: without the key nobody can try out what a secret might be. The
key stays in the process that reads it: workers never see it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from typing import NoReturn

from vyre_dist.errors import UsageError

MIN_BYTES = 16
MAX_BYTES = 4096
_LABEL = b"vyre-dist: the fingerprint of a secret key"


class SecretKeyError(UsageError):
    """A key that can't be used; `source` says where it came from. The key itself is never in the
    message.
    """

    def __init__(self, source: str, found: str) -> None:
        super().__init__(f"{source}: {found}")
        self.source = source


class SecretKey:
    """A key of 16 to 4096 bytes. `fingerprint` (32 hex digits) tells keys apart, and is safe to
    show if the key is random.

    `own_files`: (device, inode) of the file that it came from, which a scan must not report.
    """

    __slots__ = ("_key", "fingerprint", "own_files")

    def __init__(self, key: bytes, source: str = "the secret key") -> None:
        """Raises SecretKeyError for one that is too short or too long."""
        if not MIN_BYTES <= len(key) <= MAX_BYTES:
            size = "it is empty" if not key else f"it has {'more than ' * (len(key) > MAX_BYTES)}"
            if key:
                size += f"{min(len(key), MAX_BYTES)} bytes"
            raise SecretKeyError(
                source,
                f"{size}; {MIN_BYTES} to {MAX_BYTES} random bytes make a key: openssl rand -hex 32",
            )
        self._key = bytes(key)
        self.fingerprint = self._digest(_LABEL)[:32]
        self.own_files: frozenset[tuple[int, int]] = frozenset()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SecretKey:
        """The key that a file holds: its bytes, but for one line break at the end.

        Raises SecretKeyError: it can't be read, others may read or write it, or it holds no key.
        """
        path = os.fspath(path)
        source = f"secret key file {path!r}"
        try:
            with open(path, "rb", buffering=0) as file:
                info = os.fstat(file.fileno())
                _check(source, path, info)
                key = b""
                while len(key) <= MAX_BYTES + 2 and (more := file.read(MAX_BYTES + 3 - len(key))):
                    key += more
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise SecretKeyError(source, f"the key can't be read: {why}") from error
        loaded = cls(
            key.removesuffix(b"\n").removesuffix(b"\r") if key.endswith(b"\n") else key, source
        )
        if stat.S_ISREG(info.st_mode):
            loaded.own_files = frozenset({(info.st_dev, info.st_ino)})
        return loaded

    def secret_id(self, secret: bytes) -> str:
        """The name of a secret: HMAC-SHA-256 under this key, as 64 hex digits."""
        return self._digest(secret)

    def _digest(self, message: bytes) -> str:
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()

    def __repr__(self) -> str:
        return f"SecretKey(fingerprint={self.fingerprint!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key does not leave its process: give it to what makes findings")


def _check(source: str, path: str, info: os.stat_result) -> None:
    """A pipe that the user's shell made has no rights to speak of; another user's file is that
    user's business.
    """
    mode = stat.S_IMODE(info.st_mode)
    if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
        return
    if mode & 0o077:
        raise SecretKeyError(
            source,
            f"others may read or change the key (mode {mode:04o}); allowed is 0600: chmod 600 "
            f"{path}",
        )

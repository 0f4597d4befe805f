"""SecretKey: makes secret ids, which tell that two findings have the same secret, but not which.

The ids are HMACs: without the key nobody can try out what a secret might be. The key stays in the
process that reads it: workers never see it.
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
    """A key that can't be used. `source`: where it came from. The message never has the key."""

    def __init__(self, source: str, found: str) -> None:
        super().__init__(f"{source}: {found}")
        self.source = source


class SecretKey:
    """A key of 16 to 4096 bytes.

    `fingerprint` (32 hex digits) tells keys apart, and is safe to show if the key is random.
    `own_files`: (device, inode) of the key's file, which a scan must not report.
    """

    __slots__ = ("_key", "fingerprint", "own_files")

    def __init__(self, key: bytes, source: str = "the secret key") -> None:
        """Raises SecretKeyError if the key is too short or too long."""
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
        """The key in a file: its bytes without one line break at the end.

        Raises SecretKeyError if the file can't be read, if others may read or write it, or if it
        holds no key.
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
        """The id of a secret: HMAC-SHA-256 under this key, as 64 hex digits."""
        return self._digest(secret)

    def _digest(self, message: bytes) -> str:
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()

    def __repr__(self) -> str:
        return f"SecretKey(fingerprint={self.fingerprint!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key does not leave its process: give it to what makes findings")


def _check(source: str, path: str, info: os.stat_result) -> None:
    """Raise SecretKeyError if others may read or write this user's file.

    Pipes of the user's shell have no useful mode, and other users answer for their own files.
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

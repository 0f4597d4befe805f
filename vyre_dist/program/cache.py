"""ArtifactCache: compiled things on disk, by content hash, shared by any number of processes.

Here: names, checksums, atomic publishing; callers know what is in an artifact. A file that is
missing, damaged or of another schema is a miss. A directory that can't be written costs the time to
compile and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os

from vyre_dist import cache_folder
from vyre_dist.atomic_file import AtomicFile

_MAGIC = b"vyre-dist artifact 1\n"


class ArtifactCache:
    """Files `<directory>/<kind>/<sha256 of key>`; each is magic, SHA-256 of the payload, payload.

    `directory` None turns the cache off. What can't be written there is kept in a spare folder of
    this user's (cache_folder.spares). No method raises: a cache is never worth failing a scan for.
    `write_error`: the first OSError that kept something from being stored in `directory`.
    """

    def __init__(self, directory: str | None) -> None:
        self.directory = directory
        self.write_error: OSError | None = None
        self._spare: str | None = None
        self._tried: dict[str, bool] = {}

    @property
    def trouble(self) -> str:
        """What went wrong with `directory` so far, as a line for the user; "" for nothing."""
        if self.write_error is None:
            return ""
        reason = self.write_error.strerror or type(self.write_error).__name__
        path = self.write_error.filename or self.directory
        instead = (
            f"{self._spare} is used instead" if self._spare else "what is compiled is not kept"
        )
        return f"the cache can't be written ({path}: {reason}): {instead}"

    def get(self, kind: str, key: str) -> bytes | None:
        """The payload stored under `key`, or None."""
        if self.directory is None:
            return None
        payload = _read(self.directory, kind, key)
        if payload is None and not self._writable(self.directory, kind):
            # an earlier process will have met the same
            for spare in self._spares():
                if (payload := _read(spare, kind, key)) is not None:
                    self._spare = spare
                    break
        return payload

    def put(self, kind: str, key: str, payload: bytes) -> None:
        """Publish `payload`, atomically: it is written to a file beside and renamed.

        Another process may do so first, which is fine: both write the same bytes.
        """
        if self.directory is None:
            return
        if self._writable(self.directory, kind):
            try:
                _write(self.directory, kind, key, payload)
                return
            except OSError as error:
                self._failed(kind, error)
        for spare in self._spares():
            with contextlib.suppress(OSError):
                _write(spare, kind, key, payload)
                self._spare = spare
                return

    def _spares(self) -> list[str]:
        return [spare for spare in cache_folder.spares() if spare != self.directory]

    def _writable(self, directory: str, kind: str) -> bool:
        """Whether the directory takes artifacts of this kind, as far as a small write can tell."""
        if kind not in self._tried:
            # once is enough for the room on the disk, which the kinds share
            room = 0 if self._tried else cache_folder.ENOUGH_BYTES
            self._tried[kind] = True
            try:
                cache_folder.make(directory)
                own = os.path.join(directory, kind)
                # it is made when there is something to be put into it
                cache_folder.try_to_write(own if os.path.lexists(own) else directory, room)
            except OSError as error:
                self._failed(kind, error)
        return self._tried[kind]

    def _failed(self, kind: str, error: OSError) -> None:
        self._tried[kind] = False
        self.write_error = self.write_error or error


def _path(directory: str, kind: str, key: str) -> str:
    return os.path.join(directory, kind, hashlib.sha256(key.encode()).hexdigest()[:40])


def _read(directory: str, kind: str, key: str) -> bytes | None:
    try:
        with open(_path(directory, kind, key), "rb") as f:
            raw = f.read()
    except OSError:
        return None
    head = len(_MAGIC) + 32
    payload = raw[head:]
    if not raw.startswith(_MAGIC) or hashlib.sha256(payload).digest() != raw[len(_MAGIC) : head]:
        return None
    return payload if cache_folder.is_ours(directory) else None


def _write(directory: str, kind: str, key: str, payload: bytes) -> None:
    """Raises OSError; nothing is left behind then."""
    path = _path(directory, kind, key)
    cache_folder.make(directory)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    file = AtomicFile(path, durable=False)
    try:
        file.remove_leftovers()
        file.stream.write(_MAGIC + hashlib.sha256(payload).digest())
        file.stream.write(payload)
        file.commit()
    finally:
        file.abort()

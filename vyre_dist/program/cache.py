"""ArtifactCache: compiled things on disk, by content hash, shared by any number of processes.

What is inside an artifact is the caller's business. Here: names, checksums, atomic publishing. A file that
is missing, damaged or of another schema is a miss; a directory that can't be written costs the time to
compile and nothing else.
"""

from __future__ import annotations

import hashlib
import os

import platformdirs

from vyre_dist.atomic_file import AtomicFile

_MAGIC = b"vyre-dist artifact 1\n"


def default_cache_dir() -> str:
    """The user's cache directory for vyre-dist (XDG_CACHE_HOME is respected)."""
    return platformdirs.user_cache_dir("vyre-dist")


class ArtifactCache:
    """Files `<directory>/<kind>/<sha256 of key>`; each is magic, SHA-256 of the payload, payload.

    `directory` None turns the cache off. No method raises: a cache is never worth failing a scan for. `write_error`
    holds the last OSError that kept something from being stored, for whoever wants to report it.
    """

    def __init__(self, directory: str | None) -> None:
        self.directory = directory
        self.write_error: OSError | None = None

    @staticmethod
    def _path(directory: str, kind: str, key: str) -> str:
        return os.path.join(directory, kind, hashlib.sha256(key.encode()).hexdigest()[:40])

    def get(self, kind: str, key: str) -> bytes | None:
        """The payload stored under `key`, or None."""
        if self.directory is None:
            return None
        try:
            with open(self._path(self.directory, kind, key), "rb") as f:
                raw = f.read()
        except OSError:
            return None
        head = len(_MAGIC) + 32
        payload = raw[head:]
        if not raw.startswith(_MAGIC) or hashlib.sha256(payload).digest() != raw[len(_MAGIC) : head]:
            return None
        return payload

    def put(self, kind: str, key: str, payload: bytes) -> None:
        """Publish `payload`: written beside its place and renamed, so that a reader sees all or nothing.

        Losing the race to another process is fine: both wrote the same thing.
        """
        if self.directory is None:
            return
        path = self._path(self.directory, kind, key)
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            file = AtomicFile(path, durable=False)
            try:
                file.stream.write(_MAGIC + hashlib.sha256(payload).digest())
                file.stream.write(payload)
                file.commit()
            finally:
                file.abort()
        except OSError as error:
            self.write_error = error

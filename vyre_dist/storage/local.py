"""LocalStorage: a folder of a file system, readable by its owner alone."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterable, Sequence

from vyre_dist.atomic_file import AtomicFile
from vyre_dist.leftovers import destination_of

_FOLDER_MODE, _FILE_MODE = 0o700, 0o600


class LocalStorage:
    """See Storage. The folder need not be there yet. `durable`: what is put there outlives a power
    failure, too.
    """

    group_seconds = 0.0

    def __init__(self, place: str, *, durable: bool = True) -> None:
        self.place = place
        self._durable = durable
        self._root = os.path.abspath(place)
        self._folders: set[str] = set()

    def path(self, name: str) -> str:
        """See Storage."""
        return os.path.join(self._root, name)

    def names(self, folder: str = "") -> Sequence[str]:
        """See Storage."""
        try:
            found = os.listdir(self.path(folder))
        except FileNotFoundError:
            return []
        return sorted(name for name in found if destination_of(name) is None)

    def read(self, name: str) -> bytes | memoryview:
        """See Storage. A large file is mapped: its bytes are read where somebody looks at them."""
        with open(self.path(name), "rb") as file:
            if os.fstat(file.fileno()).st_size < mmap.PAGESIZE:
                return file.read()
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def read_at(self, name: str, offset: int, size: int) -> bytes:
        """See Storage."""
        fd = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(fd, size, offset)
            while len(data) < size and (more := os.pread(fd, size - len(data), offset + len(data))):
                data += more
        finally:
            os.close(fd)
        return data

    def size(self, name: str) -> int:
        """See Storage."""
        return os.stat(self.path(name)).st_size

    def put(self, name: str, data: Iterable[bytes]) -> None:
        """See Storage."""
        file = AtomicFile(self._made(name), mode=_FILE_MODE, durable=self._durable)
        try:
            file.stream.writelines(data)
            file.commit()
        finally:
            file.abort()
        if self._durable:
            self._sync_folder(name)

    def create(self, name: str, data: bytes) -> bool:
        """See Storage."""
        path = self._made(name)
        whole = f"{path}.{os.urandom(6).hex()}"
        try:
            _write_new(whole, data)
            # unlike a rename, a link fails where there is a file
            os.link(whole, path)
        except FileExistsError:
            return False
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(whole)
        self._sync_folder(name)
        return True

    def sync(self, name: str) -> None:
        """See Storage."""
        _sync(self.path(name), os.O_RDONLY)

    def remove(self, name: str) -> None:
        """See Storage."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(name))

    def log(self, name: str) -> LocalLog:
        """See Storage."""
        log = LocalLog(self._made(name))
        self._sync_folder(name)
        return log

    def _made(self, name: str) -> str:
        """The path of a file whose folder is there."""
        path = self.path(name)
        folder = os.path.dirname(path)
        if folder not in self._folders:
            os.makedirs(self._root, _FOLDER_MODE, exist_ok=True)
            os.makedirs(folder, _FOLDER_MODE, exist_ok=True)
            self._folders.add(folder)
        return path

    def _sync_folder(self, name: str) -> None:
        sync_folder(os.path.dirname(self.path(name)))


class LocalLog:
    """See Log."""

    def __init__(self, path: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, _FILE_MODE)
        self.size = 0

    def append(self, data: bytes) -> None:
        """See Log."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            os.fdatasync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    def close(self) -> None:
        """See Log."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def sync_folder(folder: str) -> None:
    """Have the names in `folder` outlive a power failure."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: str, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_new(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)

"""Reading whole files for the scan: as few system calls as a small file allows, and every way it can go wrong.

Pieces of big files go through FileDocument; this is the path that tens of thousands of small files take.
"""

from __future__ import annotations

import os

from vyre_dist.engine.document import DocumentError, check_regular, read_error

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


def read_whole(open_path: str, path: str, planned: int, limit: int) -> bytes:
    """The bytes of a regular file as it is now.

    `planned` is its size when it was listed: if it is still that, four system calls do. A file that changed
    is read as it is, but not beyond `limit` bytes. Raises DocumentError: vanished, permission, io-error,
    not-a-file, or changed (it outgrew the limit).
    """
    try:
        fd = os.open(open_path, _FLAGS)
    except OSError as error:
        raise read_error(path, error) from error
    try:
        data = os.read(fd, planned + 1)
        # nothing where something was planned may be a FIFO that took the file's place; an empty plan, a /proc file
        if len(data) == planned and planned > 0:
            return data
        return _read_changed(fd, data, path, limit)
    except OSError as error:
        raise read_error(path, error) from error
    finally:
        os.close(fd)


def _read_changed(fd: int, data: bytes, path: str, limit: int) -> bytes:
    check_regular(path, os.fstat(fd).st_mode)
    parts = [data]
    total = len(data)
    while data:
        if total > limit:
            raise DocumentError(
                path, "changed", f"the file outgrew {limit} bytes during the scan; scan it again"
            )
        data = os.read(fd, 1 << 20)
        parts.append(data)
        total += len(data)
    return b"".join(parts)

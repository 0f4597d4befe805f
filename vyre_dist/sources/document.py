"""What a source yields: documents that can be opened, and the problems of inputs that cannot.

Only descriptors live here; no bytes are read. Walking is in walk.py, lists and standard input in
lists.py.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import Literal, NamedTuple

from vyre_dist.input_problem import InputProblem

DocumentKind = Literal["file", "stdin"]

ProblemReason = Literal[
    "not-found",
    "vanished",
    "permission",
    "symlink-loop",
    "dangling-symlink",
    "fifo",
    "socket",
    "device",
    "invalid-name",
    "path-too-long",
    "ignore-file",
    "git-index",
    "io-error",
]

_REASON_OF_ERRNO: dict[int, ProblemReason] = {
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.ENOENT: "vanished",
    errno.ENOTDIR: "vanished",
    errno.ESTALE: "vanished",
    errno.ELOOP: "symlink-loop",
    errno.ENAMETOOLONG: "path-too-long",
}


class DocumentRef(NamedTuple):
    """One document to scan.

    `path` is in its written form (document_paths.py): the argument joined with what was found below
    it. Bytes that are not UTF-8 are kept as surrogates (os.fsencode gives them back). `size`
    (bytes), `mtime_ns` and `ctime_ns` are those at the time of listing: a reader must expect more
    or fewer bytes, and files of /proc have size 0. `inode`: a hint for reading in disk order.
    `open_path`: the file to open, if it differs from `path`.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    open_path: str = ""
    kind: DocumentKind = "file"
    ctime_ns: int = 0

    def location(self, cwd: str = "") -> str:
        """The path to open; a relative one is joined to `cwd`, if a process runs elsewhere."""
        return os.path.join(cwd, self.open_path or self.path)


class FolderFiles(NamedTuple):
    """Regular files of one folder, in order. `prefix` + name is a file's written path, and also the
    path to open unless there is an `open_prefix`.

    Only the folder has been listed: whoever reads the files finds out their sizes. A folder may
    come in several of these. If a name's written form differs from that on disk, both are in the
    two prefixes, and the only one of `names` is empty.
    """

    prefix: str
    names: Sequence[str]
    open_prefix: str | None = None


def problem_of(path: str, error: OSError, *, missing: ProblemReason = "vanished") -> InputProblem:
    """The problem that an OSError on `path` means. `missing`: the reason for ENOENT and ENOTDIR."""
    reason = _REASON_OF_ERRNO.get(error.errno or 0, "io-error")
    if reason == "vanished":
        reason = missing
    return InputProblem(path, reason, error.strerror or type(error).__name__)


def ignore_file_problem(error: OSError) -> InputProblem:
    """The problem that an ignore file could not be read: what it would leave out is scanned."""
    return InputProblem(os.fsdecode(error.filename or ""), "ignore-file", error.strerror or "")


def special_file_problem(path: str, info: os.stat_result) -> InputProblem:
    """The problem with something that is neither a regular file, nor a directory, nor a link."""
    mode = info.st_mode
    if stat.S_ISFIFO(mode):
        return InputProblem(
            path,
            "fifo",
            "a named pipe is read only where it is an argument itself, or as standard input",
        )
    if stat.S_ISSOCK(mode):
        return InputProblem(path, "socket", "a socket has no content")
    return InputProblem(
        path, "device", "devices are not scanned; pipe its content to standard input instead"
    )

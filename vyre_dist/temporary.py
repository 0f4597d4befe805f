"""Where temporary files go: TMPDIR, and nowhere else where that is set."""

from __future__ import annotations

import os

from vyre_dist.errors import UsageError


def temporary_directory() -> str:
    """The folder for temporary files, as an absolute path. It may be one that can't be written: who
    does so says it.

    Python's own choice passes over a TMPDIR that it can't write to, and takes the working directory
    in the end: what may hold secrets is not to lie where nobody looks for it. Raises UsageError
    where there is none.
    """
    if chosen := os.environ.get("TMPDIR"):
        return os.path.abspath(chosen)
    import tempfile

    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UsageError(f"{error.strerror}: set TMPDIR to a folder that can be written") from error

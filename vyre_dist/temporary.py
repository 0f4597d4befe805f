"""Where temporary files go: into TMPDIR, if it is set."""

from __future__ import annotations

import os

from vyre_dist.errors import UsageError


def temporary_directory() -> str:
    """The folder for temporary files, as an absolute path. It may be one that can't be written.

    Python's own choice passes over a TMPDIR that it can't write to, and may take the working
    directory. But files that may hold secrets must not lie where nobody looks for them. Raises
    UsageError if there is no such folder.
    """
    if chosen := os.environ.get("TMPDIR"):
        return os.path.abspath(chosen)
    import tempfile

    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UsageError(f"{error.strerror}: set TMPDIR to a folder that can be written") from error

"""Keeps the working directory, which may be a stranger's, out of what Python imports from.

Python puts it on `sys.path` for `-c` and `-m`, so for each process that multiprocessing spawns, and
for entries of PYTHONPATH that are empty or relative. `-P`, or PYTHONSAFEPATH, keeps it out.
"""

from __future__ import annotations

import contextlib
import os
import site
import sys
import threading
from collections.abc import Iterator

_SAFE = "PYTHONSAFEPATH"
_PATH = "PYTHONPATH"

PACKAGE_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder that this package was imported from."""

_LIBRARY = os.path.dirname(os.__file__)

# the environment is the whole process's
_environment_changes = threading.RLock()


def guard_this_process() -> None:
    """Keep this process and those that it starts from importing from the working directory.

    Changes `sys.path` and the environment: only for a process that is our own.
    """
    for entry in _relative():
        _leave_out(os.path.abspath(entry))
    os.environ[_SAFE] = "1"
    _set(_PATH, _absolute_only(os.environ.get(_PATH)))


def leave_out_start_folder() -> None:
    """Undo what `python -m` did to `sys.path`, unless this package was found by it."""
    if not sys.flags.safe_path and sys.path and os.path.abspath(sys.path[0]) != PACKAGE_FOLDER:
        del sys.path[0]


@contextlib.contextmanager
def guarded_children() -> Iterator[None]:
    """Processes that are started in this context do not import from the working directory."""
    with _environment_changes:
        before = {name: os.environ.get(name) for name in (_SAFE, _PATH)}
        os.environ[_SAFE] = "1"
        _set(_PATH, _absolute_only(before[_PATH]))
        try:
            yield
        finally:
            for name, value in before.items():
                _set(name, value)


def folder_of_an_uninstalled_package() -> str | None:
    """PACKAGE_FOLDER, if this process finds the package only by the way it was started; else None.

    Another process with the same environment would not find the package.
    """
    inherited = (os.environ.get(_PATH) or "").split(os.pathsep)
    for entry in sys.path:
        # the entries after it are the interpreter's own, and the same in all processes
        if entry == _LIBRARY:
            break
        if os.path.abspath(entry) == PACKAGE_FOLDER:
            return None if entry in inherited else PACKAGE_FOLDER
    return None


def _relative() -> list[str]:
    """The entries of PYTHONPATH that depend on the working directory."""
    value = os.environ.get(_PATH)
    return [entry for entry in value.split(os.pathsep) if not os.path.isabs(entry)] if value else []


def _leave_out(folder: str) -> None:
    # Python lists no folder twice. If a scan is started in one of Python's own folders, this is its
    # only entry
    if folder not in {
        PACKAGE_FOLDER,
        _LIBRARY,
        *site.getsitepackages(),
        site.getusersitepackages(),
    }:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _absolute_only(value: str | None) -> str | None:
    entries = [entry for entry in (value or "").split(os.pathsep) if os.path.isabs(entry)]
    return os.pathsep.join(entries) or None


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value

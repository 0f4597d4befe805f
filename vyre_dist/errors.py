"""The errors that every layer raises: typed, with facts as attributes and a cure in the message.

Nothing in vyre-dist branches on a message's text; catch the class and read the attributes. Errors
of one layer are subclasses, and live beside the code that raises them.
"""

from __future__ import annotations

import operator


class VyreError(Exception):
    """Base of every error that vyre-dist raises on purpose."""


class UsageError(VyreError):
    """The caller asked for something that cannot be done: exit code 2 from the shell."""


class WorkerUnusableError(VyreError):
    """A worker has lost something that it needs. It ends, and another takes its place."""


class GpuGoneError(WorkerUnusableError):
    """No process can own the worker's GPU; nor could another worker in its place."""


def as_int(name: str, value: object) -> int:
    """`value` as a plain int: an int, or what stands for one, such as NumPy's integers.

    Raises UsageError for anything else. A bool is an int to Python, but a True among counts is
    somebody's mix-up.
    """
    if type(value) is int:
        return value
    try:
        if not isinstance(value, bool):
            return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass  # what was found is said below
    raise UsageError(f"{name} must be an int, found {type(value).__name__} {value!r:.100}")

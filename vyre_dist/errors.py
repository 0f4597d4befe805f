"""The errors every layer raises: typed, with the facts as attributes and a cure in the message.

Nothing in vyre-dist branches on a message's text; catch the class, read the attributes.
Layer-specific errors (a regex's position, a pack's problems, a dispatch's outputs) are subclasses
that live beside the code that raises them.
"""

from __future__ import annotations


class VyreError(Exception):
    """Base of every error that vyre-dist raises on purpose."""


class UsageError(VyreError):
    """The caller asked for something that cannot be done: exit code 2 from the shell."""


class WorkerUnusableError(VyreError):
    """What a worker can't do without is gone: it ends, and another takes its place."""


class GpuGoneError(WorkerUnusableError):
    """No process can own the worker's GPU: one in its place would find it so, too."""

"""Inputs that could not be scanned whole, and what else is to be said of an input.

Sources, readers and workers make them; the run's summary lists them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InputProblem:
    """An input that was asked for and could not be scanned to its end.

    `path` is how it is written (document_paths.py). `reason` is a short code, `detail` is for
    people. The sources' codes are in sources/document.py; readers and workers have more.
    """

    path: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class InputNote:
    """A remark about an input that was scanned as planned: `grew`. Fields as InputProblem's."""

    path: str
    reason: str
    detail: str = ""

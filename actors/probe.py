"""Probe: an actor that could not be reached, and is asked again."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Probe:
    """An actor that could not be reached.

    `deadline`: until when it may answer. `lost`: the tasks whose answers were lost on the way.
    """

    deadline: float
    lost: list[int] = field(default_factory=list)
    again_at: float | None = 0.0

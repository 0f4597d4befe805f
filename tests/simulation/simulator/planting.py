"""Planting: how bugs come into the product for a while, and how soon the simulator finds them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from unittest.mock import patch

from simulator.simulation import Result, simulate

MOST_SECONDS = 60.0
"""In which a planted bug must be found."""

Planting = Callable[[ExitStack], None]


@dataclass(frozen=True, slots=True)
class Bug:
    """`name`: what goes wrong. `plant`: makes it so. `rare`: few worlds show it, so that it may
    take longer than others are given.
    """

    name: str
    plant: Planting
    rare: bool = False


class Adder(Protocol):
    """Adds a bug to a list, by its name."""

    def __call__(self, name: str, *, rare: bool = False) -> Callable[[Planting], Planting]:
        """See Bug."""


def in_list(bugs: list[Bug]) -> Adder:
    """What adds to `bugs`."""

    def bug(name: str, *, rare: bool = False) -> Callable[[Planting], Planting]:
        def add(plant: Planting) -> Planting:
            bugs.append(Bug(name, plant, rare))
            return plant

        return add

    return bug


@contextmanager
def planted(bug_: Bug) -> Iterator[None]:
    """The bug is there."""
    with ExitStack() as stack:
        bug_.plant(stack)
        yield


def change(stack: ExitStack, place: Any, name: str, new: Any) -> Any:
    """Have another function in the place of one; the old one."""
    old = getattr(place, name)
    stack.enter_context(patch.object(place, name, new))
    return old


def found(bug_: Bug) -> tuple[float, Result | None]:
    """Processor seconds until a seed tells of the bug, and what it says; None if none does in
    time.
    """
    began, seed = time.process_time(), 0
    with planted(bug_):
        while (seconds := time.process_time() - began) < MOST_SECONDS:
            result = simulate(seed)
            if result.violation:
                if "<locals>" in result.violation:
                    raise AssertionError(f"{bug_.name} does not fit: {result.violation}")
                return time.process_time() - began, result
            seed += 1
    return seconds, None

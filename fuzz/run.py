"""Fuzzes our readers: mutates what they read, and checks what must hold.

    python fuzz/run.py [--seconds 60] [--runs N] [--seed 7] [TARGET ...]
    python fuzz/run.py --replay fuzz/crashes/FILE TARGET

Without targets all of fuzz/targets take their turns, each for --seconds. A seed gives the same
inputs in the same order, whatever the time: --runs says how many. What breaks a property is written
to fuzz/crashes, and printed with its seed; the exit code is then 1. Mutation is in mutation.py.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mutation import mutated
from targets import TARGETS
from targets.target import Target

CRASHES = Path(__file__).parent / "crashes"
_MOST_KEPT = 2000
"""Inputs that are kept to be mutated further."""


@dataclass(frozen=True, slots=True)
class Crash:
    """An input that broke the property, and how."""

    number: int
    data: bytes
    error: Exception


def fuzz(target: Target, seed: int, seconds: float, runs: int | None) -> tuple[int, Crash | None]:
    """(how many inputs were tried, the first that broke the property)."""
    rng = random.Random(seed)
    kept = target.seeds()
    seen = {target.check(data) for data in kept}
    end = time.monotonic() + seconds
    number = 0
    while (runs is None or number < runs) and time.monotonic() < end:
        data = mutated(rng, rng.choice(kept), target.words, rng.choice(kept))
        number += 1
        try:
            outcome = target.check(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we are looking for
            return number, Crash(number, data, error)
        if outcome not in seen and len(kept) < _MOST_KEPT:
            seen.add(outcome)
            kept.append(data)
    return number, None


def report(name: str, seed: int, crash: Crash, folder: Path) -> None:
    """Save the input and say how to see it again."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}-{seed}-{crash.number}"
    file.write_bytes(crash.data)
    traceback.print_exception(crash.error, file=sys.stderr)
    print(
        f"{name}: seed {seed}, input {crash.number} broke it: {crash.data[:80]!r}\n"
        f"  again: python fuzz/run.py --replay {file} {name}\n"
        f"  or:    python fuzz/run.py --seed {seed} --runs {crash.number} {name}",
        file=sys.stderr,
    )


def main(
    arguments: list[str] | None = None, targets: dict[str, Callable[[], Target]] | None = None
) -> int:
    """The command; its exit code. `targets`: those to choose from, by name."""
    targets = dict(TARGETS) if targets is None else targets
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="TARGET", help=", ".join(targets))
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--runs", type=int, help="inputs for each target; default: time decides")
    parser.add_argument("--seed", type=int, help="default: another one each time")
    parser.add_argument("--crashes", type=Path, default=CRASHES, help="where inputs are saved")
    parser.add_argument("--replay", type=Path, help="check this file only")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(targets):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(targets)}")
    if options.replay:
        if len(options.names) != 1:
            parser.error("--replay needs the one target that reads the file")
        targets[options.names[0]]().check(options.replay.read_bytes())
        print("the property holds")
        return 0
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    failed = 0
    for name in options.names or targets:
        number, crash = fuzz(targets[name](), seed, options.seconds, options.runs)
        print(f"{name}: {number} inputs, seed {seed}", flush=True)
        if crash:
            report(name, seed, crash, options.crashes)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

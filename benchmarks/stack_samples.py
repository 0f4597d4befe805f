"""What benchmarks/sampling has seen of a scan: who was busy, and with what.

    python benchmarks/stack_samples.py FOLDER

For each kind of process: how many there were, how busy a processor each was, and the functions and
lines in which its threads spent most of their time: `own` while no other function of Python's was
called from there, `all` otherwise; in percent of what that kind's busiest thread was seen. Beside
it `FOLDER/ROLE.stacks`, a line for each stack with its milliseconds, as flame graphs want it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

SAMPLER = Path(__file__).resolve().parent / "sampling"
ROWS = 22


def print_samples(folder: Path) -> None:
    """All of them, the busiest kind of process first."""
    roles: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in folder.glob("*.json"):
        seen = json.loads(path.read_text())
        roles[seen["role"]].append(seen)
    for role, processes in sorted(roles.items(), key=lambda item: -_processor_seconds(item[1])):
        print_role(role, processes)
        stacks = merged(processes)
        lines = [f"{stack} {round(1000 * wall)}\n" for stack, (wall, _) in stacks.items()]
        (folder / f"{role.replace(' ', '-')}.stacks").write_text("".join(lines))


def print_role(role: str, processes: list[dict[str, Any]]) -> None:
    """The functions of one kind of process."""
    used = _processor_seconds(processes)
    wall = sum(each["seconds"] for each in processes)
    print(
        f"\n{role}: {len(processes)} processes, {wall / len(processes):.1f} s each, busy "
        f"{100 * used / wall:.0f} % of a processor each"
    )
    threads: defaultdict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    for stack, times in merged(processes).items():
        thread, _, rest = stack.partition(";")
        threads[thread][rest] = times
    for thread, stacks in sorted(threads.items(), key=lambda item: -_busy(item[1])):
        if _busy(stacks) > 0.02 * wall:
            print_thread(thread, stacks)


def print_thread(thread: str, stacks: dict[str, tuple[float, float]]) -> None:
    """The lines and functions of one thread, of all processes of a kind."""
    own: Counter[str] = Counter()
    cpu: Counter[str] = Counter()
    under: Counter[str] = Counter()
    for stack, (seconds, busy) in stacks.items():
        frames = stack.split(";")
        own[frames[-1]] += seconds
        cpu[frames[-1]] += busy
        under.update(dict.fromkeys({frame.rsplit(":", 1)[0] for frame in frames}, seconds))
    total = sum(own.values())
    print(f"  {thread}: busy {100 * _busy(stacks) / total:.0f} % of {total:.1f} s")
    print("     own   busy  line")
    for name, seconds in own.most_common(ROWS):
        if seconds > 0.005 * total:
            print(f"   {100 * seconds / total:4.1f} % {100 * cpu[name] / total:4.1f} %  {name}")
    print("     all  function")
    for name, seconds in under.most_common(ROWS):
        if seconds > 0.02 * total:
            print(f"   {100 * seconds / total:4.1f} %  {name}")


def merged(processes: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """(seconds, processor seconds) of each stack."""
    wall: Counter[str] = Counter()
    busy: Counter[str] = Counter()
    for each in processes:
        for stack, (seconds, used) in each["stacks"].items():
            wall[stack] += seconds
            busy[stack] += used
    return {stack: (wall[stack], busy[stack]) for stack in wall}


def _processor_seconds(processes: list[dict[str, Any]]) -> float:
    return sum(each["processor seconds"] for each in processes)


def _busy(stacks: dict[str, tuple[float, float]]) -> float:
    return sum(busy for _, busy in stacks.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    print_samples(parser.parse_args().folder)


if __name__ == "__main__":
    main()

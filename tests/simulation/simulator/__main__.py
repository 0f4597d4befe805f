"""Runs seeds: `python -m simulator --seeds 0:200`, or one with all that happened: `--seed 7`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from simulator.planted_bugs import BUGS, RARE, found
from simulator.simulation import Simulation


def find_bugs(*, rare: bool) -> int:
    """Print how soon each planted bug is found; 1 if one is not. `rare`: those others."""
    missed = 0
    print(f"{'seconds':>7}  {'seed':>5}  bug, and what told of it")
    bugs = RARE if rare else BUGS
    for bug in bugs:
        seconds, result = found(bug)
        missed += result is None
        told = "NOT FOUND" if result is None else result.violation
        seed = "" if result is None else str(result.seed)
        print(f"{seconds:7.2f}  {seed:>5}  {bug.name}: {told[:110]}", flush=True)
    print(f"{len(bugs)} bugs, {missed} not found")
    return bool(missed)


def main() -> int:
    """Run what the arguments ask for; 1 if something does not hold."""
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="0:200", help="FIRST:END (0:200)")
    parser.add_argument("--bugs", action="store_true", help="how soon planted bugs are found")
    parser.add_argument("--rare-bugs", action="store_true", help="those that few worlds show")
    args = parser.parse_args()
    if args.bugs or args.rare_bugs:
        return find_bugs(rare=args.rare_bugs)
    if args.seed is not None:
        simulation = Simulation(args.seed, traced=True)
        result = simulation.run()
        print("\n".join(result.trace))
        if result.violation:
            traceback.print_exception(simulation.error)
        print(result.seed, result.violation or "held", f"digest {result.digest:08x}")
        return bool(result.violation)
    first, end = map(int, args.seeds.split(":"))
    began, failed, drivers = time.process_time(), 0, 0
    for seed in range(first, end):
        result = Simulation(seed).run()
        drivers += result.drivers
        if result.violation:
            failed += 1
            print(f"{seed}: {result.violation[:300]}", flush=True)
    seconds = time.process_time() - began
    each = seconds / max(end - first, 1)
    print(f"{end - first} seeds, {drivers} drivers, {failed} failed, {each:.4f} s a seed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Runs seeds: `python -m simulator --seeds 0:200`, or one with all that happened: `--seed 7`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from simulator.simulation import Simulation


def main() -> int:
    """Run what the arguments ask for; 1 if something does not hold."""
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="0:200", help="FIRST:END (0:200)")
    args = parser.parse_args()
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

"""Where the time of GpuStream's batches goes: when the bus copies, when kernels run, and what the
driving thread waits for.

    python benchmarks/gpu_timeline.py --sample SAMPLE --rules PACK [--workers 12] [--batches 60]
    [--store]

SAMPLE is gpu_scan.py's. Prints, over the batches after the first ones: how long a copy takes while
everything else runs, how long the bus is idle between copies, how long kernels take from the end of
their copy, the thread's own time in `put` and its parts, and how long it waited for `findings`
because no slot was free. `--workers 0` leaves extraction out; `--store` copies from Ray's object
store.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
from corpus import read_sample
from gpu_scan import SLOT_BYTES

from vyre_dist.compiler.arena import Arena
from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.rules import RulePack
from vyre_dist.rules.byte_filters import byte_filters_of
from vyre_dist.stream import ExtractionPool, GpuStream, gpu_stream


class NoExtraction:
    """Takes the place of an ExtractionPool: rows are thrown away."""

    workers = 12

    def warm_up(self) -> None:
        """Nothing has to start."""

    def submit(self, shared: str, jobs: object) -> list[Any]:
        """Nothing to wait for."""
        del shared, jobs
        return []

    def forget(self, shared: object) -> None:
        """Nothing is held."""


class Timeline:
    """Events around every large copy and behind every search for matches, and the host's times."""

    def __init__(self, stream: GpuStream) -> None:
        import cupy

        self._cupy = cupy
        self.copies: list[tuple[Any, Any]] = []
        self.ends: list[Any] = []
        steps = ("put", "start", "wait", "jobs", "submit", "findings")
        self.host: dict[str, list[float]] = {step: [] for step in steps}
        self.base = cupy.cuda.Event()
        self.base.record(cupy.cuda.Stream.null)
        self.base.synchronize()
        runtime = cupy.cuda.runtime
        plain_copy = runtime.memcpyAsync

        def copy(there: int, here: int, size: int, kind: int, on: int) -> None:
            if size < 1 << 24:
                plain_copy(there, here, size, kind, on)
                return
            queue = cupy.cuda.ExternalStream(on)
            pair = cupy.cuda.Event(), cupy.cuda.Event()
            pair[0].record(queue)
            plain_copy(there, here, size, kind, on)
            pair[1].record(queue)
            self.copies.append(pair)

        runtime.memcpyAsync = copy
        for slot in stream._slots:
            self._watch(slot.lane)
        gpu_stream.jobs_of = self._timed("jobs", gpu_stream.jobs_of)
        stream._pool.submit = self._timed("submit", stream._pool.submit)

    def _watch(self, lane: Any) -> None:
        search, start, finish = lane._search, lane.start, lane.finish

        def searched() -> None:
            search()
            end = self._cupy.cuda.Event()
            end.record(lane._stream)
            self.ends.append(end)

        lane._search = searched
        lane.start, lane.finish = self._timed("start", start), self._timed("wait", finish)

    def _timed(self, name: str, work: Any) -> Any:
        def run(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = work(*arguments)
            self.host[name].append(1e3 * (time.perf_counter() - began))
            return result

        return run

    def milliseconds(self, events: list[Any]) -> np.ndarray[Any, Any]:
        """When the events were, since the base event."""
        return np.array([self._cupy.cuda.get_elapsed_time(self.base, event) for event in events])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sample", required=True)
    parser.add_argument("--rules", required=True)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--store", action="store_true")
    args = parser.parse_args()
    from vyre_dist.kernels.cuda import DevicePack

    paths, documents = read_sample(args.sample)
    copies = max(1, SLOT_BYTES // (sum(map(len, documents)) + 16 * len(documents)))
    paths, documents = paths * copies, documents * copies
    pack = RulePack.load(args.rules)
    compiled = compile_pack(pack.data)
    device_pack = DevicePack(compiled, ArtifactCache(None), byte_filters_of(pack.data))
    pool: Any = NoExtraction()
    if args.workers:
        pool = ExtractionPool(pack.data, compiled, device_pack.reading, args.workers)
    with GpuStream(device_pack, pack.data, pool, slots=args.slots, slot_bytes=SLOT_BYTES) as stream:
        numbered = list(zip(range(len(documents)), paths, documents, strict=True))
        ready = []
        while (slot := stream.free_slot()) is not None:
            ready.append(slot.fill(iter(numbered))[0])
        if args.store:
            import ray

            ray.init(
                address="local", num_cpus=1, object_store_memory=6 << 30, include_dashboard=False
            )
            refs = [ray.put(np.array(batch.arena.data)) for batch in ready]
            for batch, ref in zip(ready, refs, strict=True):
                own = batch.arena
                batch.arena = Arena(ray.get(ref), own.starts, own.ends, own.at_start, own.at_end)
        size = ready[0].arena.data.size
        timeline: Timeline | None = None
        for number in range(2 * args.slots + args.batches):
            if number == 2 * args.slots:
                ready += [batch for batch, _ in stream.drain()]
                timeline, began = Timeline(stream), time.perf_counter()
            entered = time.perf_counter()
            if not ready:
                ready.append(stream.next_finished()[0])
                if timeline is not None:
                    timeline.host["findings"].append(1e3 * (time.perf_counter() - entered))
            entered = time.perf_counter()
            ready += [batch for batch, _ in stream.put(ready.pop(0))]
            if timeline is not None:
                timeline.host["put"].append(1e3 * (time.perf_counter() - entered))
        ready += [batch for batch, _ in stream.drain()]
        seconds = time.perf_counter() - began
        assert timeline is not None
        begins = timeline.milliseconds([pair[0] for pair in timeline.copies])
        ends = timeline.milliseconds([pair[1] for pair in timeline.copies])
        done = timeline.milliseconds(timeline.ends)
        print(
            f"{args.batches * size / seconds / 1e9:.1f} GB/s, {1e3 * seconds / args.batches:.2f} "
            "ms a batch of "
            f"{size >> 20} MiB"
        )
        # a copy that had to wait for the one before it began when that one ended
        real = np.maximum(begins[1:], ends[:-1])
        idle = np.maximum(begins[1:] - ends[:-1], 0)
        took = ends[1:] - real
        print(
            f"copy            {np.median(took):6.2f} ms, median; mean {np.mean(took):.2f}, a tenth "
            "above "
            f"{np.quantile(took, 0.9):.2f}, worst {took.max():.2f}"
        )
        print(f"bus idle before {np.mean(idle):6.2f} ms, mean; worst {idle.max():.2f}")
        print(f"kernels         {np.median(done - ends):6.2f} ms from the end of the copy, median")
        for name, own in timeline.host.items():
            if own:
                print(
                    f"host {name:10} {statistics.median(own):6.2f} ms, median; mean "
                    f"{statistics.mean(own):.2f}, "
                    f"worst {max(own):.2f}, {len(own)} times"
                )
        print("copies began", np.round(begins[:12] - begins[0], 1).tolist())
        print("copies ended", np.round(ends[:12] - begins[0], 1).tolist())
        print("kernels done", np.round(done[:12] - begins[0], 1).tolist())
    if args.workers:
        pool.close()


if __name__ == "__main__":
    main()

"""ProgramInstances: a pack's programs for each Tunables that were asked for, on one device.

What is compiled is compiled by a thread, beside the programs that run. It is loaded by whoever
launches: loading takes a millisecond, and may wait for the device.
"""

from __future__ import annotations

import threading

from vyre_dist.compiler import PackTables
from vyre_dist.errors import UsageError, VyreError
from vyre_dist.kernels.cuda.programs import CudaPrograms
from vyre_dist.kernels.tuned import COMPILING, READY
from vyre_dist.program.tunables import Tunables


class ProgramInstances:
    """`default`: those that a device runs unless it is told otherwise, of the pack whose tables are
    `tables`.

    All methods are for the thread that launches.
    """

    def __init__(self, default: CudaPrograms, tables: PackTables, max_steps: int) -> None:
        self.device, self.default = default.device, default
        self._tables, self._max_steps = tables, max_steps
        self._loaded = {default.tunables: default}
        self._compiling: dict[Tunables, threading.Thread] = {}
        self._refused: dict[Tunables, str] = {}

    def prepare(self, tunables: Tunables) -> str:
        """READY if there are programs with these; else they are being compiled: COMPILING.

        Raises UsageError: why they can't be launched here, now or ever.
        """
        if tunables in self._loaded:
            return READY
        thread = self._compiling.get(tunables)
        if thread is None and tunables not in self._refused:
            self._check(tunables)
            # whoever ends waits for it: the compiler must not go on while its library is unloaded
            thread = threading.Thread(
                target=self._compile, args=(tunables,), name="vyre-compile", daemon=False
            )
            self._compiling[tunables] = thread
            thread.start()
        if thread is not None and thread.is_alive():
            return COMPILING
        self._compiling.pop(tunables, None)
        if tunables not in self._refused:
            try:
                self._loaded[tunables] = CudaPrograms(
                    self.device,
                    self._tables,
                    tunables,
                    self._max_steps,
                    there=self.default.tables,
                )
            except Exception as error:  # noqa: BLE001 - whatever the driver says, others still run
                self._refused[tunables] = _said(error)
        if reason := self._refused.get(tunables):
            raise UsageError(reason)
        return READY

    def get(self, tunables: Tunables) -> CudaPrograms:
        """The programs with these, which are READY. Raises KeyError."""
        return self._loaded[tunables]

    def _check(self, tunables: Tunables) -> None:
        """Raise UsageError for what no compiler need be asked about."""
        threads, most = tunables.threads * tunables.blocks_per_sm, self.device.limits
        if threads > most["threads_per_sm"]:
            raise UsageError(
                f"{tunables.blocks_per_sm} blocks of {tunables.threads} threads: a multiprocessor "
                f"of {self.device.product} runs {most['threads_per_sm']} threads"
            )
        shared = (1 << tunables.bitmap_bits) // 8
        if tunables.blocks_per_sm > self.device.blocks_that_fit(shared):
            raise UsageError(
                f"{tunables.blocks_per_sm} blocks with {shared} bytes of shared memory each: a "
                f"multiprocessor of {self.device.product} has {most['shared_bytes_per_sm']}"
            )

    def _compile(self, tunables: Tunables) -> None:
        """On a thread of its own; nothing of the device is touched."""
        try:
            for instance in CudaPrograms.tuned_instances(tunables):
                self.device.compile(instance)
        except Exception as error:  # noqa: BLE001 - what the compiler says is why they are refused
            self._refused[tunables] = _said(error)


def _said(error: Exception) -> str:
    """One line."""
    text = str(error) if isinstance(error, VyreError) else f"{type(error).__name__} {error}"
    return " ".join(text.split())[:500]

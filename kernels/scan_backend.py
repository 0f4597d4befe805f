"""ScanBackend: what executes a compiled pack on windows of documents.

Which backends there are, and how they are opened, is in backends.py; a scan dispatches through
`scan_windows`; contract.py shows a ScanBackend to the dispatch core, in buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar

from vyre_dist.autotune.choice import Choice
from vyre_dist.dispatch.backend import DispatchConfig
from vyre_dist.dispatch.prefilter_confirm import takes_fused_path
from vyre_dist.dispatch.speculator import Speculator
from vyre_dist.errors import UsageError
from vyre_dist.extract import RuleMatcher, Window
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome, StartedDispatch
from vyre_dist.program import CompiledPack
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.program.scan_program import ScanProgram
from vyre_dist.program.tunables import Tunables


class ScanPrograms(NamedTuple):
    """The two programs of a backend. Their tunables are those that it runs with."""

    fused: ScanProgram
    prefilter: ScanProgram

    @classmethod
    def of(
        cls,
        compiled: CompiledPack,
        tunables: Tunables | None = None,
        *,
        engine: str = "",
        tables: str = "",
        sources: str = "",
    ) -> ScanPrograms:
        """Those for a pack. `tunables`: None for a backend that has none; others: see
        ScanProgram.
        """
        fused, prefilter = (
            ScanProgram(kind, compiled.key, tunables, engine, tables, sources)
            for kind in ("fused", "prefilter")
        )
        return cls(fused, prefilter)

    def facts(self, adapter: str, limits: Mapping[str, int]) -> ProgramFacts:
        """What a worker says of them; `adapter`: what timings hold for."""
        tunables = () if self.fused.tunables is None else self.fused.tunables.plain()
        keys = self.fused.spec_key, self.prefilter.spec_key
        return ProgramFacts(adapter, *keys, tunables, limits)


class PrefilterOutput:
    """What a prefilter listed: candidates for `confirm`. Each backend has its own kind of it."""


OutputT = TypeVar("OutputT", bound=PrefilterOutput)


def checked_output(kind: type[OutputT], output: PrefilterOutput) -> OutputT:
    """`output`, if it is of the `kind` that a backend lists. Raises UsageError otherwise."""
    if not isinstance(output, kind):
        raise UsageError(
            f"a backend that lists {kind.__name__} was given {type(output).__name__} to confirm: "
            "give it what its own run_prefilter has listed"
        )
    return output


class ScanBackend(Protocol):
    """Finds the matches of the one pack that it was opened with. Not thread-safe."""

    compiled: CompiledPack
    matchers: dict[int, RuleMatcher]
    """By rule number; also the engine's for groups and for what straddles two windows."""
    most_bytes: int
    """What `dispatch_bytes` is at most."""

    @property
    def name(self) -> str: ...

    @property
    def supports_speculation(self) -> bool: ...

    @property
    def programs(self) -> ScanPrograms:
        """What the next dispatch runs."""
        ...

    @property
    def facts(self) -> ProgramFacts | None:
        """What it runs by default, and on what; None as long as that is not known. Waits for
        nothing.
        """
        ...

    def prepare(self, choice: Choice) -> str:
        """READY if the next dispatch may run with `choice`, see `choose`; else COMPILING or
        ELSEWHERE (tuned.py). Compiles beside what runs, and waits for nothing.

        Nothing may be on its way. Raises UsageError: why it can never be run.
        """
        ...

    def choose(self, choice: Choice) -> None:
        """Run with `choice`, which is READY, from the next dispatch on; what is on its way ends as
        it began.
        """
        ...

    def alone(self) -> AbstractContextManager[ScanBackend | None]:
        """The one backend that has the next dispatch, to be measured: what runs there counts for
        nobody's decisions. None where there is none to be measured now.
        """
        ...

    @property
    def dispatch_bytes(self) -> int:
        """A dispatch should have about so many bytes, or `dispatch_windows` windows, whichever
        comes first.
        """
        ...

    @property
    def dispatch_windows(self) -> int:
        """See dispatch_bytes."""
        ...

    @property
    def warm(self) -> bool:
        """Whether times of dispatches say something about later ones."""
        ...

    @property
    def read_memory(self) -> Callable[[int], memoryview] | None:
        """Gives memory of so many bytes to read documents into: what lies there, in order and each
        at a multiple of 16, need not be copied for a dispatch. Called once at most. None: any
        memory will do.
        """
        ...

    def run_fused(self, windows: Sequence[Window]) -> DispatchOutcome:
        """The speculative path: the matches in `windows`, and a report."""
        ...

    def start_fused(self, windows: Sequence[Window]) -> StartedDispatch:
        """The same, over or begun. What was begun has to be waited for before anything else is
        asked of the backend; until then the windows' data must stay as it is.
        """
        ...

    def run_prefilter(self, windows: Sequence[Window]) -> PrefilterOutput:
        """The serial path's first half."""
        ...

    def confirm(self, windows: Sequence[Window], output: PrefilterOutput) -> DispatchOutcome:
        """Its second half: the same matches as run_fused gives, without a report.

        `windows` are those that run_prefilter was given, `output` what it returned. Raises
        UsageError for what another backend listed.
        """
        ...


def scan_windows(
    backend: ScanBackend,
    speculator: Speculator,
    windows: Sequence[Window],
    config: DispatchConfig,
) -> DispatchOutcome:
    """The matches in `windows`, by the path that `config` and `speculator` choose.

    The choice, and what the speculator learns, are dispatch_prefilter_confirm's; only the outputs
    are objects. Raises UnsupportedFeatureError where that does, and what the backend raises.
    """
    started = start_scan(backend, speculator, windows, config)
    return started if isinstance(started, DispatchOutcome) else started()


def start_scan(
    backend: ScanBackend,
    speculator: Speculator,
    windows: Sequence[Window],
    config: DispatchConfig,
) -> StartedDispatch:
    """`scan_windows`, over or begun; see ScanBackend.start_fused. The serial path is over."""
    if not takes_fused_path(backend, speculator, config):
        return backend.confirm(windows, backend.run_prefilter(windows))
    started = backend.start_fused(windows)

    def recorded(outcome: DispatchOutcome) -> DispatchOutcome:
        if outcome.report is None:
            raise AssertionError(f"the backend {backend.name} counted no tiles in a fused dispatch")
        speculator.record(outcome.report)
        return outcome

    if isinstance(started, DispatchOutcome):
        return recorded(started)
    return lambda: recorded(started())


def rule_matchers(compiled: CompiledPack) -> dict[int, RuleMatcher]:
    """A matcher for each rule number of `compiled`."""
    return {
        r.index: RuleMatcher(
            r.pattern,
            r.max_width,
            r.max_match_bytes,
            captures_matter=r.captures_matter,
            loose_pattern=r.loose_pattern,
        )
        for r in compiled.rules
    }

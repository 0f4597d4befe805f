"""Backend: what runs a program on inputs and returns output buffers.

Backends themselves (CUDA, CPU, reference) live in kernels/.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from vyre_dist.dispatch.report import ByteBuffer


class SpeculationMode(enum.Enum):
    """Who chooses the path: the speculator (AUTO), or the caller (FORCE fused, DISABLE it)."""

    AUTO = "auto"
    FORCE = "force"
    DISABLE = "disable"


@dataclass(frozen=True, slots=True)
class DispatchConfig:
    """How to dispatch. `speculation` None means AUTO."""

    speculation: SpeculationMode | None = None


class Program(Protocol):
    """What the dispatcher knows of a program: a name, for messages. It is hashable."""

    @property
    def name(self) -> str: ...


ProgramT = TypeVar("ProgramT", bound=Program)
ProgramT_contra = TypeVar("ProgramT_contra", bound=Program, contravariant=True)


class Speculating(Protocol):
    """What the choice of a path asks of a backend."""

    @property
    def name(self) -> str: ...

    @property
    def supports_speculation(self) -> bool: ...


class Backend(Speculating, Protocol[ProgramT_contra]):
    """Runs programs of its own type. What the inputs are is between the backend and its caller."""

    def dispatch(
        self, program: ProgramT_contra, inputs: Sequence[Any], config: DispatchConfig
    ) -> Sequence[ByteBuffer]:
        """Run `program` on `inputs` and return its output buffers, in the program's order."""

"""WorkloadClass: what of a workload a measurement depends on, in few steps.

A winner on small files with rare hits says nothing of one large file full of them. The class is a
field beside a record's key, so that one program has one key whatever it scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from vyre_dist.errors import UsageError

Density = Literal["rare", "some", "many"]
Size = Literal["small", "medium", "large"]

# Matches for each MiB, before filters. Source has some 10 where keywords stand near to them; a file
# of keys has thousands.
_SOME_FROM, _MANY_FROM = 16, 1024
# Bytes of a document on average: below, what is paid for each document tells; above, none ends in
# the dispatch where it began.
_MEDIUM_FROM, _LARGE_FROM = 16 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class WorkloadClass:
    """How dense hits are, and how large documents are. `name`: both, as records have it.

    Raises UsageError for other names than those of Density and Size.
    """

    density: Density
    size: Size

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("density", self.density, get_args(Density)),
            ("size", self.size, get_args(Size)),
        ):
            if value not in allowed:
                raise UsageError(
                    f"unknown {name} of a workload {value!r:.40}: use one of {', '.join(allowed)}"
                )

    @property
    def name(self) -> str:
        return f"{self.density}-{self.size}"

    @classmethod
    def of(cls, scanned: int, documents: int, matches: int) -> WorkloadClass | None:
        """The class of `scanned` bytes in so many documents (or pieces of some), with so many
        matches before filters. None where nothing was scanned: that is of no class.
        """
        if scanned <= 0 or documents <= 0:
            return None
        dense = matches * (1 << 20)
        density: Density = (
            "rare"
            if dense < _SOME_FROM * scanned
            else "some"
            if dense < _MANY_FROM * scanned
            else "many"
        )
        mean = scanned // documents
        size: Size = "small" if mean < _MEDIUM_FROM else "medium" if mean < _LARGE_FROM else "large"
        return cls(density, size)

    @classmethod
    def named(cls, name: str) -> WorkloadClass:
        """The class that `name` is of. Raises UsageError."""
        density, _, size = name.partition("-")
        return cls(density, size)  # type: ignore[arg-type] # checked there

"""CheckResult: what a check found, and what mends it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    """It works, but more slowly, less safely or in part."""
    FAILED = "failed"
    """It does not work: what was asked for, or what a scan can't do without."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found, in a line; `cure`: what mends it, "" where nothing need be."""

    status: Status
    found: str
    cure: str = ""

    @classmethod
    def ok(cls, found: str) -> CheckResult:
        """All is well, or there is nothing to be well."""
        return cls(Status.OK, found)

    @classmethod
    def warning(cls, found: str, cure: str) -> CheckResult:
        """See Status."""
        return cls(Status.WARNING, found, cure)

    @classmethod
    def failed(cls, found: str, cure: str) -> CheckResult:
        """See Status."""
        return cls(Status.FAILED, found, cure)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the checks are about: a Ray cluster's or a job server's address, a store's URL and a
    cache folder, as the command's options name them; None for what a scan takes by default.
    """

    address: str | None = None
    store: str | None = None
    cache_dir: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A check's name and its result. `needed`: no scan works without what it looks at."""

    name: str
    needed: bool
    status: Status
    found: str
    cure: str

    def record(self) -> dict[str, object]:
        """It as JSON has it."""
        return asdict(self)

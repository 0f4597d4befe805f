"""Identity of a compiled variant and what a tuner decided for it: keys and record, in Vyre's terms.

How these are kept, compared and exchanged lives in vyre_dist.autotune.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from vyre_dist.dispatch.report import U32_MAX, check_count, check_counts
from vyre_dist.errors import UsageError

U64_MAX = 0xFFFF_FFFF_FFFF_FFFF
MAX_ADAPTER_ID_CHARS = 256

Dim3 = tuple[int, int, int]

_KEY_HEX = re.compile(r"[0-9a-f]{32}\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


def check_dim3(name: str, value: object) -> Dim3:
    """`value`, a tuple of three u32, as plain ints. Raises UsageError for anything else."""
    if not isinstance(value, tuple) or len(value) != 3:
        raise UsageError(f"{name} must be a tuple of three u32, found {value!r}")
    x, y, z = (check_count(f"{name}[{i}]", v, U32_MAX) for i, v in enumerate(value))
    return (x, y, z)


def check_dims(instance: object, *names: str) -> None:
    """`check_dim3` for fields of a frozen dataclass; they are plain ints afterwards."""
    for name in names:
        object.__setattr__(instance, name, check_dim3(name, getattr(instance, name)))


def check_date(name: str, value: object) -> str:
    """`value` if it is a calendar date `YYYY-MM-DD` or empty; a UsageError otherwise."""
    if value == "" and isinstance(value, str):
        return value
    if isinstance(value, str) and _DATE.match(value):
        try:
            datetime.date.fromisoformat(value)
        except ValueError:
            pass  # a thirteenth month: the error below says what is allowed
        else:
            return value
    raise UsageError(f"{name} must be a date as YYYY-MM-DD, or empty, found {value!r}")


@dataclass(frozen=True, slots=True)
class SpecCacheKey:
    """What tells one compiled variant from another: three u64 hashes, workgroup (3 × u32)."""

    shader_hash: int
    binding_sig: int
    workgroup_size: Dim3
    spec_hash: int

    def __post_init__(self) -> None:
        check_counts(self, U64_MAX, "shader_hash", "binding_sig", "spec_hash")
        check_dims(self, "workgroup_size")


@dataclass(frozen=True, slots=True)
class AutotuneRecord:
    """What the tuner chose. `tile`: all 0 without tiles; `recorded_at`: may be empty."""

    workgroup_size: Dim3
    unroll: int
    tile: Dim3 = (0, 0, 0)
    recorded_at: str = ""

    def __post_init__(self) -> None:
        check_dims(self, "workgroup_size", "tile")
        check_counts(self, U32_MAX, "unroll")
        check_date("recorded_at", self.recorded_at)


@dataclass(frozen=True, slots=True, order=True)
class AutotuneKey:
    """Where a record is filed: the folded SpecCacheKey (32 hex digits) and the adapter's id.

    The fold can collide, so a record is believed only if the whole SpecCacheKey it carries agrees.
    """

    key_hex: str
    adapter_id: str

    def __post_init__(self) -> None:
        if not isinstance(self.key_hex, str) or not _KEY_HEX.match(self.key_hex):
            raise UsageError(f"key_hex must be 32 lower-case hex digits, found {self.key_hex!r}")
        adapter = self.adapter_id
        # Printable only: the id stands in file formats, server keys and messages.
        if (
            not isinstance(adapter, str)
            or not 0 < len(adapter) <= MAX_ADAPTER_ID_CHARS
            or not adapter.isprintable()
        ):
            raise UsageError(
                f"adapter_id must be 1 to {MAX_ADAPTER_ID_CHARS} printable characters, found "
                f"{adapter!r}"
            )

    @classmethod
    def of(cls, spec: SpecCacheKey, adapter_id: str) -> AutotuneKey:
        """The key under which Vyre files a record of `spec`, too: the same fold to 16 bytes."""
        x, y, z = spec.workgroup_size
        workgroup = (x ^ y << 16 ^ z << 32) & U64_MAX
        low = (spec.spec_hash ^ workgroup).to_bytes(8, "little")
        high = (spec.shader_hash ^ spec.binding_sig).to_bytes(8, "little")
        return cls((low + high).hex(), adapter_id)

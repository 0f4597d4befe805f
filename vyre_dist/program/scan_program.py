"""ScanProgram: a program for a pack, as plain values, and the key that tells it from all others.

What a program does is defined by vyre_dist.compiler.arena_executor; who runs it is in kernels/.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgpack

from vyre_dist.dispatch.keys import SpecCacheKey
from vyre_dist.errors import UsageError
from vyre_dist.program.tunables import Tunables

Kind = Literal["prefilter", "confirm", "fused"]
KINDS: tuple[Kind, ...] = get_args(Kind)

PROGRAM_SCHEMA = 2
"""Raised whenever what a program of these names does, or puts out, changes."""

_MAGIC = b"vyre-dist program\n"


@dataclass(frozen=True, slots=True)
class ScanProgram:
    """`prefilter` puts out candidates, `confirm` takes them and puts out rows, `fused` does both
    and puts out the counter tail besides. What a backend's output buffers hold is the backend's to
    say, except for the tail.

    `pack_key`: CompiledPack.key. `tunables`: those that it runs with. None where there are none, as
    in the cpu backend, which does not run the compiled tables, and where the backend has not been
    asked; ScanBackend.programs always names the true ones. `engine`: what executes it and in which
    versions, as far as its speed depends on them; "" where that does not matter. `tables`: a hash
    of what it reads of the pack, which then stands for that in the key: packs that differ in what
    filters look at have the same programs. `sources`: one of what it is compiled from.

    Raises:
        UsageError: an unknown kind.
    """

    kind: Kind
    pack_key: str
    tunables: Tunables | None = None
    engine: str = ""
    tables: str = ""
    sources: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(
                f"unknown kind of program {self.kind!r}: use one of {', '.join(KINDS)}"
            )

    @property
    def name(self) -> str:
        """For messages and logs."""
        return f"{self.kind}[{self.pack_key[:12]}]"

    @property
    def spec_key(self) -> SpecCacheKey:
        """The one key of this program for stores of timings and records, the same on every machine:
        what is run, on what layout, in what blocks, for which tables, tunables and engine. The
        version of this package is in none of it.
        """
        engine = (self.engine,) if self.engine else ()
        read = f"tables {self.tables}" if self.tables else self.pack_key
        if self.tunables is None:
            return SpecCacheKey(
                shader_hash=_u64("shader", self.kind, PROGRAM_SCHEMA, self.sources),
                binding_sig=_u64("binding", "no tables"),
                workgroup_size=(1, 1, 1),
                spec_hash=_u64("spec", read, *engine),
            )
        # 50 ms to import, which a scan on processors need not wait for
        from vyre_dist.compiler.codec import table_layout

        return SpecCacheKey(
            shader_hash=_u64("shader", self.kind, PROGRAM_SCHEMA, self.sources),
            binding_sig=_u64("binding", *table_layout()),
            workgroup_size=(self.tunables.threads, 1, 1),
            spec_hash=_u64("spec", read, *self.tunables.plain(), *engine),
        )

    def to_bytes(self) -> bytes:
        """The program as bytes for from_bytes: versioned, with a checksum."""
        tunables = None if self.tunables is None else list(self.tunables.plain())
        body: bytes = msgpack.packb(
            [
                PROGRAM_SCHEMA,
                self.kind,
                self.pack_key,
                tunables,
                self.engine,
                self.tables,
                self.sources,
            ]
        )
        return _MAGIC + hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, blob: bytes) -> ScanProgram:
        """The program that to_bytes wrote.

        Raises:
            UsageError: the bytes are damaged, of another version, or ask for what there is not.
        """
        head = len(_MAGIC) + 32
        body = blob[head:]
        if not blob.startswith(_MAGIC) or hashlib.sha256(body).digest() != blob[len(_MAGIC) : head]:
            raise UsageError(
                "a stored program is damaged: its magic bytes or checksum don't fit; store it anew"
            )
        schema, *fields = _unpacked(body)
        if schema != PROGRAM_SCHEMA or len(fields) != 6 or not isinstance(fields[1], str):
            raise UsageError(
                f"a stored program is of schema {schema!r}, this version reads {PROGRAM_SCHEMA}; "
                "store it anew"
            )
        kind, pack_key, plain, engine, tables, sources = fields
        tunables = None if plain is None else Tunables.from_plain(plain)
        return cls(kind, pack_key, tunables, engine, tables, sources)


def _unpacked(body: bytes) -> list[Any]:
    try:
        values = msgpack.unpackb(body)
    except (ValueError, msgpack.UnpackException):
        values = None
    return values if isinstance(values, list) and values else [None]


def _u64(*parts: object) -> int:
    """A 64-bit hash of plain values; lengths keep neighbouring texts apart."""
    return int.from_bytes(
        hashlib.sha256(msgpack.packb([str(part) for part in parts])).digest()[:8], "little"
    )

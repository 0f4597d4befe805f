"""Records as tables for people, and as plain values for scripts."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.sinks.text import visible

_HEAD = ("KEY", "PACK", "CLASS", "CHOICE", "RATIO", "PAIRS", "DEVICE", "HOST", "AGE", "HITS")
_MOST_CHARS = 48
_KEY_CHARS = 12


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with columns below each other. Nothing in them steers a terminal."""
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]


def choice_text(choice: Choice) -> str:
    """For people: `lane=serial`, or `default`."""
    return " ".join(f"{name}={value}" for name, value in choice.pairs) or "default"


def ratio_text(ratio: float, low: float, high: float) -> str:
    return f"{ratio:.3f} [{low:.3f}, {high:.3f}]"


def days_old(stored: StoredRecord) -> int | None:
    """Since it was measured; None where that is not known."""
    date = stored.provenance.date or stored.record.recorded_at
    if not date:
        return None
    today = datetime.datetime.now(datetime.UTC).date()
    return max(0, (today - datetime.date.fromisoformat(date)).days)


def name_of(stored: StoredRecord) -> str:
    """A record in a line."""
    return visible("  ".join(cell for cell in _row(stored, 0)[:-1] if cell != "-"))


def lines_of(records: Sequence[StoredRecord], hits: Sequence[int]) -> list[str]:
    """A table with a head; nothing where there are no records."""
    rows = [_row(stored, count) for stored, count in zip(records, hits, strict=True)]
    return table([_HEAD, *rows]) if rows else []


def _row(stored: StoredRecord, hits: int) -> tuple[str, ...]:
    age = days_old(stored)
    choice = choice_text(stored.choice)
    if stored.failed_until:
        choice = f"not {choice}: {stored.reason}"
    elif stored.gain is None:
        choice = "-"
    return (
        stored.key.key_hex[:_KEY_CHARS],
        _short(stored.provenance.pack) or "-",
        stored.workload or "-",
        choice,
        _ratio(stored.gain),
        str(stored.gain.pairs) if stored.gain else "-",
        _short(stored.key.adapter_id),
        stored.provenance.host or "-",
        "-" if age is None else f"{age} d",
        str(hits),
    )


def _ratio(gain: Gain | None) -> str:
    return ratio_text(gain.ratio, gain.low, gain.high) if gain else "-"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"


def plain_of(stored: StoredRecord, hits: int) -> dict[str, Any]:
    """All that scripts may want, by name. What a record does not have is left out, but for what
    `show` always shows: that is None.
    """
    gain, timing, spec = stored.gain, stored.timing, stored.spec
    plain: dict[str, Any] = {
        "key": stored.key.key_hex,
        "program": None if spec is None else f"{spec.shader_hash:016x}-{spec.binding_sig:016x}",
        "pack": stored.provenance.pack or None,
        "workload": stored.workload or None,
        "choice": stored.choice.plain(),
        **plain_gain(gain),
        "adapter": stored.key.adapter_id,
        "host": stored.provenance.host or None,
        "date": stored.provenance.date or stored.record.recorded_at or None,
        "age_days": days_old(stored),
        "hits": hits,
        "versions": dict(stored.provenance.versions),
        "measured": [
            {"choice": other.choice.plain(), **plain_gain(other.gain)} for other in stored.measured
        ],
        "threshold_pct": stored.threshold_pct,
    }
    if stored.failed_until:
        plain |= {"failed_until": stored.failed_until, "reason": stored.reason}
    if timing is not None:
        plain |= {"compile_ns": timing.compile_ns, "dispatch_ns": timing.dispatch_ns}
    return plain


def plain_gain(gain: Gain | None) -> dict[str, float | int | None]:
    """Its fields, None each where there is no gain."""
    if gain is None:
        return {"ratio": None, "low": None, "high": None, "pairs": None}
    return {"ratio": gain.ratio, "low": gain.low, "high": gain.high, "pairs": gain.pairs}

"""Bytes, names and the summary as text and JSON types that are safe to print or to store.

All sinks share it; nothing is written here.
"""

from __future__ import annotations

import base64
import os
from typing import Any

from vyre_dist.sinks.summary import ChoiceSummary, RunSummary, TuningSummary, WorkerSummary


def visible(text: str) -> str:
    r"""`text` with each character that could steer a terminal escaped: \n, \x1b, \u202e.

    Escapes every character that Unicode does not call printable: controls, direction marks,
    surrogates, unassigned.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # one undecodable byte
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return _SHORT.get(char, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible_bytes(data: bytes) -> str:
    """Bytes for a person: UTF-8 where it is, other bytes and unprintable characters escaped."""
    return visible(data.decode("utf-8", "surrogateescape"))


def lossy(data: bytes) -> tuple[str, str | None]:
    """(text of `data`, None), or (text with replacements, base64) where `data` is not UTF-8."""
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), base64.b64encode(data).decode("ascii")


def lossy_path(path: str) -> tuple[str, str | None]:
    """`lossy` of a path, whose undecodable bytes are surrogates."""
    if path.isascii():
        return path, None
    return lossy(os.fsencode(path))


def summary_record(summary: RunSummary) -> dict[str, Any]:
    """A run's summary as plain JSON types."""
    metrics = summary.metrics
    left_out = {
        lossy_path(reason)[0]: [lossy_path(rule)[0] for rule in rules]
        for reason, rules in summary.rules_left_out.items()
    }
    return {
        "complete": summary.complete,
        "documents": metrics.documents,
        "bytes": metrics.bytes,
        "seconds": round(summary.seconds, 6),
        "findings": summary.findings,
        "findings_by_rule": dict(sorted(summary.findings_by_rule.items())),
        "problems": [problem_record(p.path, p.reason, p.detail) for p in summary.problems],
        "notes": [problem_record(n.path, n.reason, n.detail) for n in summary.notes],
        "warnings": [lossy_path(warning)[0] for warning in summary.warnings],
        "commit": {
            "committed": metrics.committed,
            "rolled_back": metrics.rolled_back,
            "rate_pct": metrics.commit_rate_pct,
        },
        **metrics.metric_record(),
        "skipped": dict(sorted(summary.skipped.items())),
        **({"rules_left_out": left_out} if left_out else {}),
        "workers": summary.workers,
        "pool": summary.pool,
        "backend": summary.backend,
        **({"secret_key_fingerprint": summary.secret_key} if summary.secret_key else {}),
        "store_problem": lossy_path(summary.store_problem)[0] or None,
        "tuning": None if summary.tuning is None else _tuning(summary.tuning),
        "workers_used": [_worker(used) for used in summary.workers_used],
        "workers_left_out": [lossy_path(why)[0] for why in summary.left_out],
    }


def _tuning(tuning: TuningSummary) -> dict[str, Any]:
    return {
        "trials": tuning.trials,
        "seconds": round(tuning.seconds, 6),
        "probes": tuning.probes,
        "drifted": tuning.drifted,
        "hits": tuning.hits,
        "misses": tuning.misses,
        "taken": tuning.taken,
        "published": tuning.published,
        "kept": tuning.kept,
        "refused": tuning.refused,
        "chosen": [_chosen(each) for each in tuning.chosen],
    }


def _chosen(each: ChoiceSummary) -> dict[str, Any]:
    return {
        "device": each.device,
        "program": each.program,
        "workload": each.workload,
        "stage": each.stage,
        "source": each.source or None,
        "choice": dict(each.choice),
        "ratio": None if each.ratio is None else [round(end, 4) for end in each.ratio],
        "pairs": each.pairs,
        "decided_at": round(each.decided_at, 3) or None,
        "workers": each.workers,
        "taken_seconds": round(each.taken_seconds, 3),
    }


def _worker(used: WorkerSummary) -> dict[str, Any]:
    return {
        "worker": used.worker,
        "node": used.node,
        "node_id": used.node_id or None,
        "backend": used.backend,
        "device": used.device,
        **({"gpus": list(used.gpus)} if used.gpus else {}),
        "version": used.version,
        "python": used.python,
        "processes": used.processes,
        "tasks": used.tasks,
        "bytes": used.bytes,
        "bytes_by_backend": dict(used.bytes_by_backend),
    }


def problem_record(path: str, reason: str, detail: str) -> dict[str, str]:
    """A problem or a note as plain JSON types."""
    shown, exact = lossy_path(path)
    record = {"path": shown, "reason": reason, "detail": lossy_path(detail)[0]}
    if exact is not None:
        record["path_base64"] = exact
    return record

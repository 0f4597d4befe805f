"""Finding: one match of one rule that passed its pack's filters. The engine makes them, and sinks
write them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One confirmed match.

    `start` and `end` are byte offsets into the document (end exclusive). `line` and `column` count
    from 1; the column counts bytes from the line's start. `match`: the matched bytes. `secret`: the
    part of them that is the secret (the secret group, or the whole match). `groups`: the numbered
    capture groups, None for one that took no part. `entropy`: Shannon's, of `secret`, in bits per
    byte.

    `end_line` is the line of `end`. The columns `…_utf16` are those of `start` and `end` in the
    lines' text, in UTF-16 code units, from 1; a character that the match cuts is counted with it.
    These three are 0 if they are not known, as for a file that changed while it was scanned.

    `fingerprint` (32 hex digits) is the same in every run, wherever in its document the match lies.
    `secret_id` (64 hex digits) is the same for the same secret in any document; None without a
    SecretKey. A rule that has only a path pattern gives 0 for all numbers, an empty match and no
    `secret_id`.
    """

    rule_id: str
    path: str
    start: int
    end: int
    line: int
    column: int
    match: bytes
    secret: bytes
    groups: tuple[bytes | None, ...] = ()
    entropy: float = 0.0
    description: str = ""
    tags: tuple[str, ...] = field(default=())
    fingerprint: str = ""
    secret_id: str | None = None
    end_line: int = 0
    start_column_utf16: int = 0
    end_column_utf16: int = 0

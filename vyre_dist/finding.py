"""Finding: one match of one rule that passed its pack's filters. What flows from the engine to the
sinks.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One confirmed match.

    `start` and `end` are byte offsets into the document (end exclusive). `line` and `column` count
    from 1; the column counts bytes from the line's start. `match` and `secret` are the matched
    bytes and the part of them that is the secret (the secret group, or the whole match); `groups`
    are the numbered capture groups, None for one that took no part. `entropy` is Shannon's, in bits
    per byte, of `secret`. `end_line` is the line of `end`; the columns `…_utf16` are those of
    `start` and `end` in the lines' text, in UTF-16 code units, from 1: a character that the match
    cuts is counted with it. Of a file that changed while it was scanned they may not be known, and
    are 0. `fingerprint` (32 hex digits) is the same in every run, wherever in its document the
    match lies; `secret_id` (64 hex digits) is that of the same secret in any document, None without
    a SecretKey. A rule that has only a path pattern gives zero for all of these, empty match and no
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

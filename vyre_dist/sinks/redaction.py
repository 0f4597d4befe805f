"""Masks secrets before any sink sees them, so that no format can leak what another hides."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from vyre_dist.errors import UsageError
from vyre_dist.finding import Finding, FindingBatch

MASK = b"***"

Groups: TypeAlias = tuple[bytes | None, ...]
_Redacted: TypeAlias = tuple[bytes, bytes, Groups]


class RedactionError(UsageError):
    """A share to mask that is no percentage. `percent`: what was given."""

    def __init__(self, percent: int) -> None:
        super().__init__(f"--redact={percent}: the share to mask is a percentage, 1 to 100")
        self.percent = percent


def redact(finding: Finding, percent: int = 100) -> Finding:
    """`finding` with `percent` of its secret masked: the start stays (rounded down), the rest
    becomes `***`.

    The secret is masked wherever it occurs in the match and in a group; a group that is a part of
    the secret is masked whole. Where the secret does not occur in the match, the match is masked
    whole. The length of the mask says nothing; `start` and `end` still do. Paths stay. Raises
    RedactionError for a percentage outside 1 to 100.
    """
    if not 1 <= percent <= 100:
        raise RedactionError(percent)
    match, secret, groups = _redacted(finding.match, finding.secret, finding.groups, percent)
    return replace(finding, match=match, secret=secret, groups=groups)


def redact_batch(batch: FindingBatch, percent: int) -> FindingBatch:
    """The same of many findings. `percent` is 1 to 100."""
    columns = zip(batch.match, batch.secret, batch.groups, strict=True)
    masked = [_redacted(match, secret, groups, percent) for match, secret, groups in columns]
    match, secret, groups = zip(*masked, strict=True)
    return replace(batch, match=match, secret=secret, groups=groups)


def _redacted(match: bytes, secret: bytes, groups: Groups, percent: int) -> _Redacted:
    if not secret:
        # nothing is known about where the secret is: hide all (a path rule has nothing to hide)
        return match and MASK, secret, tuple([g and MASK for g in groups])
    masked = secret[: len(secret) * (100 - percent) // 100] + MASK
    if match == secret and not groups:
        return masked, masked, groups
    return (
        _masked(match, secret, masked) if secret in match else MASK,
        masked,
        tuple([g and _masked_group(g, secret, masked) for g in groups]),
    )


def _masked_group(group: bytes, secret: bytes, masked: bytes) -> bytes:
    return MASK if group in secret and group != secret else _masked(group, secret, masked)


def _masked(text: bytes, secret: bytes, masked: bytes) -> bytes:
    """`text` with each stretch that occurrences of `secret` cover, overlapping or not, as one
    mask.
    """
    out: list[bytes] = []
    done = 0
    at = text.find(secret)
    while at >= 0:
        out.append(text[done:at] + masked)
        done = at + len(secret)
        at = text.find(secret, at + 1)
        while 0 <= at < done:
            done = at + len(secret)
            at = text.find(secret, at + 1)
    out.append(text[done:])
    return b"".join(out)

"""Masks secrets before any sink sees them, so that no format can leak what another hides."""

from __future__ import annotations

from dataclasses import replace

from vyre_dist.errors import UsageError
from vyre_dist.finding import Finding

MASK = b"***"


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
    secret = finding.secret
    if not secret:
        # nothing is known about where the secret is: hide all (a path rule has nothing to hide)
        groups = tuple(g and MASK for g in finding.groups)
        return replace(finding, match=finding.match and MASK, groups=groups)
    masked = secret[: len(secret) * (100 - percent) // 100] + MASK
    return replace(
        finding,
        match=_masked(finding.match, secret, masked) if secret in finding.match else MASK,
        secret=masked,
        groups=tuple(g and _masked_group(g, secret, masked) for g in finding.groups),
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

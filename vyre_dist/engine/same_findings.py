"""Whether two outcomes of one batch come to the same findings and parts."""

from __future__ import annotations

from collections.abc import Callable

from vyre_dist.engine.batch import Batch
from vyre_dist.engine.tasks import TaskResult
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome

_RAW = ("spans", "groups", "contents", "keywords", "unsearched")


def same_findings(
    batch: Batch,
    one: DispatchOutcome,
    other: DispatchOutcome,
    take_in: Callable[[Batch, DispatchOutcome, TaskResult], None],
    new_result: Callable[[], TaskResult],
) -> bool:
    """`take_in`: adds an outcome to a result, `new_result`: gives an empty one.

    Two paths may differ in what they leave to others: spans that a filter drops, groups that are
    not worked out yet. So where the outcomes differ, what is made of them is compared.
    """
    if all(getattr(one, name) == getattr(other, name) for name in _RAW):
        return True
    made = []
    for outcome in (one, other):
        result = new_result()
        take_in(batch, outcome, result)
        made.append((result.findings.blocks, result.parts, result.audits, result.capped))
    return made[0] == made[1]

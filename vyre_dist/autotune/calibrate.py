"""From measured costs to the commit rate at which speculation breaks even."""

from __future__ import annotations

from vyre_dist.autotune.record import MOST_THRESHOLD_PCT
from vyre_dist.dispatch.report import PPM, PPM_PER_PCT, MergedReport, SpeculationReport, check_count


def break_even_pct(
    report: SpeculationReport | MergedReport, fused_ns: int, serial_ns: int
) -> int | None:
    """The commit rate from which the fused path is the cheaper one: whole percent, rounded up, at
    most 100.

    Both paths did the same work, on which the fused one counted `report`: it took `fused_ns`, the
    serial one `serial_ns`. The model is linear: the fused path pays per attempted tile and the
    serial one per committed tile, so they meet where rate = observed rate × fused_ns / serial_ns.
    None when the measurement says nothing about it: no committed tile, or no time.
    """
    fused_ns = check_count("fused_ns", fused_ns, None)
    serial_ns = check_count("serial_ns", serial_ns, None)
    if report.committed_tiles == 0 or fused_ns == 0 or serial_ns == 0:
        return None
    ppm = min(-(-report.commit_rate_ppm * fused_ns // serial_ns), PPM)
    return -(-ppm // PPM_PER_PCT)


def threshold_to_store(
    report: SpeculationReport | MergedReport, fused_ns: int, serial_ns: int
) -> int | None:
    """Where a speculator should start that does, at the rate that was seen, what was measured as
    the cheaper thing.

    That is the break-even rate, moved where whole percent and the speculator's margin (a quarter,
    see AdaptiveSpeculator) would turn the measurement round: where fused is not the slower one,
    down to a full percent, to 0 without a committed tile; where it is, beyond the margin above the
    rate that was seen. Where they meet at no rate below 100 %, beyond the margin above that:
    speculation is off whatever commits. None as of `break_even_pct`.
    """
    even = break_even_pct(report, fused_ns, serial_ns)
    seen = report.commit_rate_ppm
    if 0 < fused_ns <= serial_ns:
        return seen * fused_ns // serial_ns // PPM_PER_PCT
    if even is None:
        return None
    if seen * fused_ns >= PPM * serial_ns:
        return MOST_THRESHOLD_PCT
    return min(MOST_THRESHOLD_PCT, max(even, seen * 4 // (3 * PPM_PER_PCT) + 1))

"""What tasks and results say of tuning, as arrays, and back with every value checked."""

from __future__ import annotations

import math

from vyre_dist.autotune.choice import Choice
from vyre_dist.dispatch.keys import SpecCacheKey
from vyre_dist.engine.tasks import Challenge, TaskResult, TrialPair
from vyre_dist.engine.wire import Wire, fields_of, number_of, numbers_of, text_of
from vyre_dist.errors import UsageError
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.tuning.workload import WorkloadClass


def choice_of(value: object) -> Choice:
    """A choice that was sent. Raises ValueError, as all here do."""
    try:
        return Choice.from_plain(value)
    except UsageError as error:
        raise ValueError(str(error)) from error


def wire_trial(trial: Challenge) -> Wire:
    """As an array."""
    return trial.challenger.plain(), trial.pairs, trial.ns, trial.workload


def trial_of(value: object) -> Challenge:
    """The inverse of wire_trial."""
    challenger, pairs, ns, workload = fields_of(value, 4)
    if about := text_of(workload):
        try:
            WorkloadClass.named(about)
        except UsageError as error:
            raise ValueError(str(error)) from error
    return Challenge(choice_of(challenger), number_of(pairs), number_of(ns), about)


def wire_tuned(r: TaskResult) -> Wire:
    """What a result says of tuning."""
    pairs = [(pair.challenger.plain(), *pair[1:5], *pair[6:], int(pair.equal)) for pair in r.pairs]
    programs = None if r.programs is None else wire_programs(r.programs)
    return pairs, r.ran.plain(), r.unfit, programs, r.tried_ns


def pair_of(value: object) -> TrialPair:
    """A trial's pair."""
    challenger, workload, ratio, incumbent, own, refused, size, equal = fields_of(value, 8)
    if type(ratio) is not float or not math.isfinite(ratio):
        raise ValueError(f"{ratio!r:.60} for the logarithm of a ratio")
    return TrialPair(
        choice_of(challenger),
        text_of(workload),
        ratio,
        number_of(incumbent),
        number_of(own),
        bool(number_of(equal)),
        text_of(refused),
        number_of(size),
    )


def wire_programs(p: ProgramFacts) -> Wire:
    """What a worker runs by default, as an array."""
    return p.adapter, _wire_spec(p.fused), _wire_spec(p.prefilter), p.tunables, p.limits


def programs_of(value: object) -> ProgramFacts:
    """The inverse of wire_programs."""
    adapter, fused, prefilter, tunables, limits = fields_of(value, 5)
    if not isinstance(limits, dict):
        raise ValueError(f"{limits!r:.60} for a device's limits")
    return ProgramFacts(
        text_of(adapter),
        _spec(fused),
        _spec(prefilter),
        numbers_of(tunables),
        {text_of(name): number_of(limit) for name, limit in limits.items()},
    )


def _wire_spec(spec: SpecCacheKey) -> Wire:
    return spec.shader_hash, spec.binding_sig, spec.workgroup_size, spec.spec_hash


def _spec(value: object) -> SpecCacheKey:
    shader, binding, workgroup, own = fields_of(value, 4)
    x, y, z = numbers_of(workgroup, 3)
    try:
        return SpecCacheKey(number_of(shader), number_of(binding), (x, y, z), number_of(own))
    except UsageError as error:
        raise ValueError(str(error)) from error

"""Each rule's route through the cpu backend, in words, for `vyre-dist rules check`."""

from __future__ import annotations

from vyre_dist.kernels.backends import has_hyperscan
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.program.compiled import MOST_SEARCHED


def rule_routes(compiled: CompiledPack) -> dict[int, str]:
    """By rule number: how candidates are found. Every route is exact; they differ in speed."""
    if not has_hyperscan():
        return _without_hyperscan(compiled)
    from vyre_dist.kernels.hyperscan_db import candidate_databases

    databases = candidate_databases(compiled, ArtifactCache(None))
    always, approximate = set(databases.always), databases.approximate
    routes = {}
    for rule in compiled.rules:
        if rule.index in always and rule.min_width == 0:
            route = "google-re2 on every document: the regex matches the empty string"
        elif rule.index in always:
            route = "google-re2 on every document: Hyperscan refuses the regex"
        elif rule.index in approximate:
            route = "Hyperscan (prefilter mode), then google-re2: Hyperscan refuses the exact regex"
        elif rule.keyword_pattern is not None:
            route = (
                "keywords, then Hyperscan, then google-re2: the regex has no literal to search for"
            )
        else:
            route = "Hyperscan, then google-re2"
        if rule.loose_pattern is not None:
            route += (
                f"; repeats of more than {MOST_SEARCHED} are looked for as loops and counted where "
                "these begin, "
                "which may take as many steps for each such place"
            )
        routes[rule.index] = route
    return routes


def _without_hyperscan(compiled: CompiledPack) -> dict[int, str]:
    from vyre_dist.kernels.re2_candidates import Re2Candidates

    always = Re2Candidates(compiled.rules).always
    everywhere = "google-re2 on every document: no literal is in all matches"
    return {
        rule.index: everywhere if rule.index in always else "its literals, then google-re2"
        for rule in compiled.rules
    }

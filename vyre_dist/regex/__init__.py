"""Regexes: RE2's syntax over bytes, as trees.

`parse` gives a `Regex`. analysis.py, loops.py, emptiness.py and factor_search.py say things about
its tree. `to_re2` and `to_pcre` print it for google-re2 and Hyperscan. Nothing here runs a regex or
knows of rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vyre_dist.regex.analysis import (
        anchored_in_lines,
        before_loops,
        capture_count,
        captures_matter,
        first_bytes,
        last_bytes,
        max_width,
        may_be_cut_off,
        min_width,
        nullable,
        position_count,
        repeats_empty,
        strip_captures,
    )
    from vyre_dist.regex.emptiness import never_matches
    from vyre_dist.regex.errors import RegexSyntaxError, RepeatRewriteError
    from vyre_dist.regex.factor_search import Cost, Factor, FactorSet, byte_cost, factors
    from vyre_dist.regex.limits import MOST_SEARCHED
    from vyre_dist.regex.loops import (
        alphabet,
        bytes_outside,
        has_optional_loop,
        lazy_loops,
        loop_bytes,
    )
    from vyre_dist.regex.nodes import (
        ANY_BYTE,
        EMPTY,
        NO_MATCH,
        Alternate,
        Assertion,
        AssertionKind,
        Capture,
        CharClass,
        Concat,
        Empty,
        Node,
        Repeat,
        alternate,
        concat,
        fold,
        literal,
        rebuild,
    )
    from vyre_dist.regex.parser import MAX_EXPANDED_POSITIONS, MAX_NESTING, Regex, parse
    from vyre_dist.regex.render import to_pcre, to_re2
    from vyre_dist.regex.repeats import counts_apart, fit_repeats, loosen_repeats

__all__ = [
    "ANY_BYTE",
    "EMPTY",
    "MAX_EXPANDED_POSITIONS",
    "MAX_NESTING",
    "MOST_SEARCHED",
    "NO_MATCH",
    "Alternate",
    "Assertion",
    "AssertionKind",
    "Capture",
    "CharClass",
    "Concat",
    "Cost",
    "Empty",
    "Factor",
    "FactorSet",
    "Node",
    "Regex",
    "RegexSyntaxError",
    "Repeat",
    "RepeatRewriteError",
    "alphabet",
    "alternate",
    "anchored_in_lines",
    "before_loops",
    "byte_cost",
    "bytes_outside",
    "capture_count",
    "captures_matter",
    "concat",
    "counts_apart",
    "factors",
    "first_bytes",
    "fit_repeats",
    "fold",
    "has_optional_loop",
    "last_bytes",
    "lazy_loops",
    "literal",
    "loop_bytes",
    "loosen_repeats",
    "max_width",
    "may_be_cut_off",
    "min_width",
    "never_matches",
    "nullable",
    "parse",
    "position_count",
    "rebuild",
    "repeats_empty",
    "strip_captures",
    "to_pcre",
    "to_re2",
]

_HOMES = {
    "ANY_BYTE": "nodes",
    "Alternate": "nodes",
    "Assertion": "nodes",
    "AssertionKind": "nodes",
    "Capture": "nodes",
    "CharClass": "nodes",
    "Concat": "nodes",
    "Cost": "factor_search",
    "EMPTY": "nodes",
    "Empty": "nodes",
    "Factor": "factor_search",
    "FactorSet": "factor_search",
    "MAX_EXPANDED_POSITIONS": "parser",
    "MAX_NESTING": "parser",
    "NO_MATCH": "nodes",
    "Node": "nodes",
    "Regex": "parser",
    "RegexSyntaxError": "errors",
    "Repeat": "nodes",
    "RepeatRewriteError": "errors",
    "alphabet": "loops",
    "alternate": "nodes",
    "anchored_in_lines": "analysis",
    "before_loops": "analysis",
    "byte_cost": "factor_search",
    "bytes_outside": "loops",
    "capture_count": "analysis",
    "captures_matter": "analysis",
    "concat": "nodes",
    "factors": "factor_search",
    "first_bytes": "analysis",
    "fit_repeats": "repeats",
    "fold": "nodes",
    "has_optional_loop": "loops",
    "last_bytes": "analysis",
    "lazy_loops": "loops",
    "literal": "nodes",
    "loop_bytes": "loops",
    "MOST_SEARCHED": "limits",
    "counts_apart": "repeats",
    "loosen_repeats": "repeats",
    "max_width": "analysis",
    "may_be_cut_off": "analysis",
    "min_width": "analysis",
    "never_matches": "emptiness",
    "nullable": "analysis",
    "parse": "parser",
    "position_count": "analysis",
    "rebuild": "nodes",
    "repeats_empty": "analysis",
    "strip_captures": "analysis",
    "to_pcre": "render",
    "to_re2": "render",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: a scan with a compiled pack parses nothing."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(f"vyre_dist.regex.{home}"), name)
    return value

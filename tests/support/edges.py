"""Patterns that look at where a text begins and ends: what is searched with others must not see
them.
"""

from __future__ import annotations

EDGES = {
    "begins": r"\Aab",
    "ends": r"ab\z",
    "all": r"\Aab+\z",
    "either": r"(?:\A|;)b",
    "or the end": r"b(?:;|$)",
    "line": r"(?m)^ab$",
    "word": r"\bab\b",
    "inside": r"\Bb\B",
    "not": r"[^b]b[^;]",
    "over": r"b\na",
    "loop": r"a(?s:.)*b",
}

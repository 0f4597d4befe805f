r"""Random patterns and haystacks that have much to do with each other: few letters, newlines, a
byte above 0x7F.

google-re2's Latin-1 mode folds 0xE9 with 0xC9 where `(?i)` is on, ours does not (design: folding is
ASCII only), so a pattern has either `(?i)` or \xe9.
"""

from __future__ import annotations

from hypothesis import strategies as st

_COMMON = r"a b c ab ba abc a|b . (?s:.) [ab] [^a] [^\n] \w \W \d \s \n - x{0} \b \B ^ $ \A \z (?m:^) (?m:$)"
COMMON_ATOMS = [*_COMMON.split(), "", " "]
HIGH_ATOMS = [r"\xe9", r"[a\xe9]", r"[^\xe9]", r"[^\x00-\xff]", "é"]
FOLDED_GROUPS = ["(?i:", "(?i)(?:"]
GROUPS = ["(", "(", "(?:", "(?:", "(?m:", "(?s:", "(?U:"]
OPERATORS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}", "{3,}?", "{0}"]
DENSE = [
    "a*",
    "a?",
    "[^b]",
    "(?s:.)",
    r"\w*",
    "",
    "(?m:^)",
    r"\b",
    "a|",
    "|a",
    "(?:a|b)*?",
    r"$|a",
    r"(?m:$)|\n",
]

LETTERS = [
    b"a",
    b"a",
    b"b",
    b"b",
    b"c",
    b"ab",
    b"abc",
    b"A",
    b"B",
    b"\n",
    b" ",
    b"1",
    b"-",
    b"_",
    b"\xe9",
    "é".encode(),
]


@st.composite
def patterns(draw: st.DrawFn, depth: int = 2) -> str:
    """A valid RE2 pattern."""
    folded = draw(st.booleans())
    atoms = COMMON_ATOMS if folded else COMMON_ATOMS + HIGH_ATOMS
    groups = GROUPS + FOLDED_GROUPS if folded else GROUPS

    def branch(level: int) -> str:
        return "".join(piece(level) for _ in range(draw(st.integers(1, 3))))

    def piece(level: int) -> str:
        if level and draw(st.integers(0, 2)) == 0:
            text = (
                draw(st.sampled_from(groups))
                + "|".join(branch(level - 1) for _ in range(draw(st.integers(1, 2))))
                + ")"
            )
        else:
            text = draw(st.sampled_from(atoms))
            if len(text) > 1 and text[0] not in "(\\[" and "|" not in text:
                text = f"(?:{text})"
        if text and "|" not in text[-2:] and draw(st.integers(0, 2)) == 0:
            text = (f"(?:{text})" if text[-1] in "}*+?" else text) + draw(
                st.sampled_from(OPERATORS)
            )
        return text

    return "|".join(branch(depth) for _ in range(draw(st.integers(1, 2))))


def packs() -> st.SearchStrategy[dict[str, str]]:
    """One to three rules by id; now and then one that matches nearly everywhere."""
    one = st.one_of(patterns(), patterns(depth=1), patterns(depth=0), st.sampled_from(DENSE))
    return st.lists(one, min_size=1, max_size=3).map(
        lambda ps: {f"r{i}": p for i, p in enumerate(ps)}
    )


def haystacks(max_size: int = 24) -> st.SearchStrategy[bytes]:
    """A document of a few letters; long runs of one letter occur."""
    letters = st.sampled_from(LETTERS)
    runs = st.tuples(letters, st.integers(1, 6)).map(lambda run: run[0] * run[1])
    return st.lists(st.one_of(letters, letters, runs), max_size=max_size).map(b"".join)

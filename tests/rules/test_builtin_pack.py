"""The built-in rule pack: it is well formed, every rule does what its examples say, and it is
quiet.

Matching here is google-re2 over whole documents with the pack's filters; engines are tested
elsewhere.
"""

from __future__ import annotations

import json
import random
import re
import sysconfig
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from vyre_dist import regex as rx
from vyre_dist.regex import charclass
from vyre_dist.rules import CompiledFilters, RulePack, check_pack
from vyre_dist.rules.search import compile_pattern

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MAX_PROGRAM_SIZE = 20_000
# rules whose format has no literal; the file says so above each
WITHOUT_KEYWORDS = {"asana-personal-token", "discord-bot-token", "mailgun-sending-key"}


class Hit(NamedTuple):
    rule_id: str
    line: int
    match: bytes
    secret: bytes


class Scanner:
    """Every rule by google-re2 over a whole document, with all filters."""

    def __init__(self, pack: RulePack) -> None:
        self.pack = pack
        self.filters = CompiledFilters(pack)
        self.programs: list[Any] = []
        for regex in pack.regexes:
            assert regex is not None
            self.programs.append(compile_pattern(rx.to_re2(regex), captures=True).regexp)

    def scan(self, data: bytes, path: str = "", only: int | None = None) -> list[Hit]:
        folded = data.lower()
        hits = []
        for index in range(len(self.programs)) if only is None else (only,):
            if not self.filters.rule_applies_to_path(index, path) or not self.filters.has_keyword(
                index, folded
            ):
                continue
            for found in self.programs[index].finditer(data):
                start, end = found.span()
                line = data[data.rfind(b"\n", 0, start) + 1 : (data + b"\n").find(b"\n", end)]
                kept = self.filters.judge(
                    index, path, found.group(), found.groups(), lambda line=line: line
                )
                if kept is not None:
                    number = data.count(b"\n", 0, start) + 1
                    hits.append(Hit(self.pack.rules[index].id, number, found.group(), kept[0]))
        return hits


@pytest.fixture(scope="module")
def pack() -> RulePack:
    return RulePack.builtin()


@pytest.fixture(scope="module")
def scanner(pack: RulePack) -> Scanner:
    return Scanner(pack)


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    folder = resources.files("vyre_dist.rules") / "builtin"
    return {f.name: f.read_text("utf-8") for f in folder.iterdir() if f.name.endswith(".toml")}


def test_size(pack: RulePack) -> None:
    """The built-in pack has more than 200 rules, and loads without a warning."""
    assert len(pack) > 200
    assert pack.warnings == ()


def test_ids_are_unique_kebab_case(sources: dict[str, str]) -> None:
    """No two rules of all files share an id, and every id is kebab-case."""
    ids = [rule["id"] for text in sources.values() for rule in tomllib.loads(text)["rules"]]
    assert [rule_id for rule_id, count in Counter(ids).items() if count > 1] == []
    assert [
        rule_id for rule_id in ids if not re.fullmatch(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*", rule_id)
    ] == []


def test_every_rule_is_described(pack: RulePack) -> None:
    """Every rule has a description of its own, tags, examples and near misses."""
    bare = [
        r.id for r in pack if not (r.description and r.tags and r.examples and r.negative_examples)
    ]
    assert bare == []
    descriptions = Counter(rule.description for rule in pack)
    assert [text for text, count in descriptions.items() if count > 1] == []


def test_rules_without_keywords_say_why(pack: RulePack, sources: dict[str, str]) -> None:
    """A rule without keywords has a comment above it that gives the reason."""
    assert {rule.id for rule in pack if not rule.keywords} == WITHOUT_KEYWORDS
    text = "\n".join(sources.values())
    for rule_id in WITHOUT_KEYWORDS:
        head = text[: text.index(f'id = "{rule_id}"')].rsplit("\n\n", 1)[1]
        assert head.startswith("# No keyword: "), rule_id


def test_examples(pack: RulePack) -> None:
    """Every example is reported by its rule and no near miss is."""
    wrong = {
        report.rule_id: (report.problems, report.missed_examples, report.matched_negatives)
        for report in check_pack(pack)
        if not report.ok
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"one line\n", b"\nanother line\n"),
        (b"one line\r\n", b"\r\nanother line\r\n"),
        (b"\xe9\0\n", b"\n\0\xff"),
    ],
    ids=["lines", "crlf", "binary"],
)
def test_examples_inside_a_document(
    pack: RulePack, scanner: Scanner, before: bytes, after: bytes
) -> None:
    """An example is reported with the same secret, on its own line, when other lines surround
    it.
    """
    for index, rule in enumerate(pack):
        for example in rule.examples:
            data = example.encode()
            alone = scanner.scan(data, only=index)
            inside = scanner.scan(before + data + after, only=index)
            assert [hit.secret for hit in inside] == [hit.secret for hit in alone], rule.id
            assert [hit.line for hit in inside] == [hit.line + 1 for hit in alone], rule.id


def _sampler(regex: rx.Regex, rng: random.Random) -> Callable[[], bytes]:
    """Makes texts that the regex matches, boundaries permitting; repeats stay near their least."""

    def combine(node: rx.Node, parts: Sequence[Callable[[], bytes]]) -> Callable[[], bytes]:
        match node:
            case rx.CharClass(mask=mask):
                choice = bytes(charclass.members(mask))
                return lambda: bytes([rng.choice(choice)])
            case rx.Alternate():
                return lambda: rng.choice(parts)()
            case rx.Repeat(min=low, max=high):
                top = low + 3 if high is None else min(high, low + 3)
                return lambda: b"".join(parts[0]() for _ in range(rng.randint(low, top)))
            case _:
                return lambda: b"".join(part() for part in parts)

    return rx.fold(regex.root, combine)


def test_keywords_occur_in_every_match(pack: RulePack, scanner: Scanner) -> None:
    """Whatever a rule's regex matches holds one of its keywords, so the keyword filter never drops
    a match.
    """
    rng = random.Random(20)
    unsampled = []
    for rule, regex, program in zip(pack, pack.regexes, scanner.programs, strict=True):
        assert regex is not None
        words = [word.encode() for word in rule.keywords]
        assert all(word == word.lower() for word in words), rule.id
        sample = _sampler(regex, rng)
        texts = [b"\n" + sample() + b"\n" for _ in range(20)] + [
            text.encode() for text in rule.examples
        ]
        matches = [found.group() for text in texts for found in program.finditer(text)]
        for match in matches if words else ():
            assert any(word in match.lower() for word in words), (rule.id, match)
        if len(matches) < 15:
            unsampled.append(rule.id)
    assert unsampled == []


def test_regexes_stay_small(pack: RulePack, scanner: Scanner) -> None:
    """No regex compiles to a program of more than 20 000 instructions."""
    sizes = {
        rule.id: program.programsize for rule, program in zip(pack, scanner.programs, strict=True)
    }
    assert {rule_id: size for rule_id, size in sizes.items() if size >= MAX_PROGRAM_SIZE} == {}


def test_hyperscan_takes_every_regex(pack: RulePack) -> None:
    """Hyperscan compiles each regex as it stands, without flags."""
    hyperscan = pytest.importorskip("hyperscan")
    refused = {}
    for rule, regex in zip(pack, pack.regexes, strict=True):
        assert regex is not None
        try:
            hyperscan.Database().compile(
                expressions=[rx.to_pcre(regex)], ids=[0], elements=1, flags=0
            )
        except hyperscan.error as error:
            refused[rule.id] = str(error)
    assert refused == {}


def test_unbounded_rules_carry_a_cap(pack: RulePack) -> None:
    """A regex without a longest match says where it may be cut; one with a longest match needs no
    cap.
    """
    for rule, regex in zip(pack, pack.regexes, strict=True):
        assert regex is not None
        unbounded = rx.max_width(regex.root) is None
        assert unbounded == (rule.max_match_bytes is not None), rule.id


def test_no_rule_matches_nothing(pack: RulePack) -> None:
    """Every match is at least ten bytes long."""
    short = [
        r.id
        for r, regex in zip(pack, pack.regexes, strict=True)
        if regex and rx.min_width(regex.root) < 10
    ]
    assert short == []


def test_files_share_one_allowlist(sources: dict[str, str]) -> None:
    """Every file starts with the same placeholders: a file's allow lists hold for its own rules
    only.
    """
    assert len({json.dumps(tomllib.loads(text)["allowlists"]) for text in sources.values()}) == 1


@pytest.mark.parametrize(
    "secret",
    [
        "x" * 36,
        "X" * 36,
        "*" * 36,
        "${GITHUB_TOKEN}",
        "your_github_token_with_36_characters",
        "a1b2xxxxxxxxxxxxxxxxxxxxxxxxxxxxc3d4",
    ],
)
def test_placeholders_are_dropped(scanner: Scanner, secret: str) -> None:
    """What documentation writes in place of a token is not reported."""
    lines = (
        f"token = ghp_{secret}",
        f"GITHUB_TOKEN={secret}",
        f'password = "{secret}"',
        f"authorization: bearer {secret}",
    )
    text = "\n".join(lines)
    assert scanner.scan(text.encode()) == []


def test_example_corpus(scanner: Scanner) -> None:
    """In examples/ exactly the planted secrets of EXPECTED.json are found, by rule, path and
    line.
    """
    expected = [
        (e["path"], e["line"], e["rule_id"])
        for e in json.loads((EXAMPLES / "EXPECTED.json").read_text())
    ]
    found = []
    for file in EXAMPLES.rglob("*"):
        if file.is_file():
            path = file.relative_to(EXAMPLES).as_posix()
            found += [
                (path, hit.line, hit.rule_id) for hit in scanner.scan(file.read_bytes(), path)
            ]
    assert expected == sorted(expected)
    assert sorted(found) == expected
    assert len(expected) >= 25


def test_example_corpus_is_varied() -> None:
    """examples/ stays small and keeps its odd files: CRLF, Latin-1, NUL bytes, long line, no last
    newline.
    """
    files = {
        f.relative_to(EXAMPLES).as_posix(): f.read_bytes()
        for f in EXAMPLES.rglob("*")
        if f.is_file()
    }
    assert sum(map(len, files.values())) < 200_000
    assert b"\r\n" in files["legacy/settings.properties"]
    assert b"\0" in files["data/session.bin"]
    assert b"\n" not in files["web/public/bundle.min.js"].strip()
    assert not files["logs/app.log"].endswith(b"\n")
    with pytest.raises(UnicodeDecodeError):
        files["legacy/notizen.txt"].decode()


def test_quiet_on_ordinary_code(scanner: Scanner) -> None:
    """Nothing is found in the modules of Python's own library."""
    found = []
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        found += [
            (file.name, hit.line, hit.rule_id) for hit in scanner.scan(file.read_bytes(), file.name)
        ]
    assert found == []

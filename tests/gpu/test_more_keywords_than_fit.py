"""Packs with as many keywords as a device's table can hold, and with more: then the host looks for
them. Findings are the oracle's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from gpu_device import Gpu
from oracle import Hit, filtered, hits_of

from vyre_dist import RulePack
from vyre_dist.compiler.arena import WATCHED_BYTES
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.reported import Reporter
from vyre_dist.engine.shards import cut
from vyre_dist.engine.tasks import Piece, ScanTask, Stamp, StitchTask
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.kernels.cuda.keywords import MOST_KEYWORDS
from vyre_dist.rules.keyword_table import KeywordTable
from vyre_dist.rules.model import Rule

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECE = 100_000


def word(number: int) -> str:
    """Few of them have the first three letters in common."""
    first = [LETTERS[number // 26**place % 26] for place in range(3)]
    return "".join(first) + f"_{number}"


def pack_with(keywords: int, path: Path) -> RulePack:
    """Of so many keywords two thirds are one rule's, and others are of rules with few."""
    words = [word(number) for number in range(keywords - 1)]
    most = len(words) * 2 // 3
    rules = {
        "most": (r"tok_[0-9a-f]{8}", words[:most]),
        "others": (r"key_[0-9]{6}", words[most:]),
        "few": (r"\bq[0-9]{5}q\b", ["needle", "zz"]),
        "none": (r"free_[a-z]{4}", []),
    }
    text = "schema = 1\nname = 'many'\n"
    for name, (regex, own) in rules.items():
        text += f"[[rules]]\nid = '{name}'\nregex = '''{regex}'''\n"
        text += f"keywords = {own}\n" if own else ""
    path.write_text(text)
    return RulePack.load(path)


def documents(keywords: int, rng: random.Random) -> list[bytes]:
    """Small ones and long ones, with matches of all rules and a keyword of one or of none of them,
    anywhere: before, behind and inside of what matches, and where pieces are cut.
    """
    last, between = keywords - 2, (keywords - 1) * 2 // 3
    words = ["", word(0), word(between - 1), word(between), word(last), "NEEDLE", "zz"]
    made = []
    for size in (300, WATCHED_BYTES, 2 * PIECE + 7_000):
        for own in words:
            text = bytearray(b"line of text\n" * (size // 13))
            for match in (b" tok_0123abcd ", b" key_012345 ", b" q12345q ", b" free_text "):
                at = rng.randrange(len(text) - len(match))
                text[at : at + len(match)] = match
            places = [0, len(text) - len(own), len(text) // 2, PIECE - 2, 2 * PIECE - len(own)]
            at = rng.choice([place for place in places if place <= len(text) - len(own)])
            made.append(bytes(text[:at]) + own.upper().encode() + bytes(text[at + len(own) :]))
    return made


def expected(rules: Sequence[Rule], text: bytes) -> list[Hit]:
    """What google-re2 finds of the rules that have a keyword in the text, or need none."""
    lowered = text.lower()
    applying = [rule for rule in rules if not rule.keywords or has_any(lowered, rule.keywords)]
    return filtered([replace(rule, keywords=()) for rule in applying], text, "")


def has_any(text: bytes, words: Sequence[str]) -> bool:
    """Whether any of the words is in a text, whose stretches of a word's length are looked up."""
    wanted = {word.encode().lower() for word in words}
    return any(
        text[at : at + size] in wanted
        for size in {len(each) for each in wanted}
        for at in range(len(text) - size + 1)
    )


def scanned(engine: ScanEngine, path: Path) -> list[Hit]:
    """What an engine finds in a file, whole or in pieces."""
    stamp, size = Stamp.of(path.stat()), path.stat().st_size
    whole = Piece(0, str(path), size, 0, size, None, stamp)
    result = engine.run(ScanTask((whole,)))
    if size > 2 * PIECE:
        parts = [engine.run(ScanTask((piece,))).parts[0] for piece in cut(whole, PIECE)]
        result = engine.run(StitchTask(whole, tuple(parts)))
    reporter = Reporter(engine.pack.rules)
    return hits_of([each for _, each in reporter.findings(result.findings, lambda _: str(path))])


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["cuda", "cpu"])
@pytest.mark.parametrize("keywords", [MOST_KEYWORDS, MOST_KEYWORDS + 4])
def test_findings_are_those_of_the_oracle(
    gpu: Gpu, keywords: int, backend: str, tmp_path: Path
) -> None:
    """And the device looks for keywords as long as their numbers fit."""
    pack = pack_with(keywords, tmp_path / "rules.toml").data
    assert len(KeywordTable.of_pack(pack).words) == keywords
    engine = ScanEngine(pack, EngineConfig(backend=backend, speculation="force"))
    found = []
    for number, text in enumerate(documents(keywords, random.Random(keywords))):
        path = tmp_path / str(number)
        path.write_bytes(text)
        found.append(scanned(engine, path))
        assert found[-1] == expected(pack.rules, text), number
    assert {hit.rule for own in found for hit in own} == {"most", "others", "few", "none"}

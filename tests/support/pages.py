"""README and docs/ as tests read them: pages, their blocks, and the comments that say what a test
needs to know of a block.

Here is the reading only. What must hold of blocks is in tests/docs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")
PAGES = sorted([*(ROOT / name for name in _TOP), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(r"^(\s*)(`{3,})(\S*)\s*$")
_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.) ")
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a page. `kind`: fence, table, comment, heading or text (a paragraph, or one item of
    a list). `line` counts from 1. `language` is a fence's; its `text` is what it holds.
    """

    kind: str
    text: str
    line: int
    language: str = ""

    @property
    def plain(self) -> str:
        """The text without code spans."""
        return _SPAN.sub("``", self.text)

    @property
    def spans(self) -> list[str]:
        """The code spans."""
        # one may run over a line's end
        return _SPAN.findall(re.sub(r"\n\s*", " ", self.text))

    def comment(self, name: str) -> str | None:
        """What a comment `<!-- name: … -->` says; None where this is none."""
        found = re.fullmatch(r"<!--\s*([\w ]+):(.*?)-->", self.text.strip(), re.DOTALL)
        return found[2].strip() if self.kind == "comment" and found and found[1] == name else None


def name_of(page: Path) -> str:
    """The page's path in the tree, for the names of tests."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """All of a page."""
    lines = page.read_text().splitlines()
    found: list[Block] = []
    number = 0
    while number < len(lines):
        first, line = number, lines[number]
        number += 1
        if not line.strip():
            continue
        if fence := _FENCE.match(line):
            while lines[number].strip() != fence[2]:
                number += 1
            text = "\n".join(each.removeprefix(fence[1]) for each in lines[first + 1 : number])
            found.append(Block("fence", text, first + 1, fence[3]))
            number += 1
            continue
        kind = _kind(line)
        if kind == "comment":
            while "-->" not in lines[number - 1]:
                number += 1
        elif kind != "heading":
            while number < len(lines) and _goes_on(kind, lines[number]):
                number += 1
        found.append(Block(kind, "\n".join(lines[first:number]), first + 1))
    return found


def _kind(line: str) -> str:
    start = line.lstrip()
    for beginning, kind in (("<!--", "comment"), ("|", "table"), ("#", "heading")):
        if start.startswith(beginning):
            return kind
    return "text"


def _goes_on(kind: str, line: str) -> bool:
    if not line.strip() or _FENCE.match(line):
        return False
    return _kind(line) == kind and not (kind == "text" and _ITEM.match(line))


def table_cells(block: Block) -> list[list[str]]:
    """A table's rows, the header first, without the line below it."""
    rows = []
    for line in block.text.splitlines():
        cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
        rows.append([cell.strip() for cell in cells])
    return [rows[0], *rows[2:]]

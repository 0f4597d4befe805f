"""How the pages are set: wrapped, and with every block of code in a named language."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import PAGES, blocks, name_of

LANGUAGES = {"sh", "console", "python", "toml", "text"}
COLUMNS = 100


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_wrap(page: Path) -> None:
    """No line of prose is wider than 100 columns; tables and comments may be."""
    for block in blocks(page):
        if block.kind in ("table", "comment"):
            continue
        for line in block.text.splitlines():
            alone = " " not in line.strip()  # a link has no place to wrap at
            assert len(line) <= COLUMNS or alone, f"{name_of(page)}:{block.line}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_is_fenced(page: Path) -> None:
    """Code stands in fences that name a language, never indented: tests read fences."""
    for block in blocks(page):
        if block.kind == "fence":
            assert block.language in LANGUAGES, f"{name_of(page)}:{block.line}"
        elif block.kind == "text":
            assert not block.text.startswith("    "), f"{name_of(page)}:{block.line}"

"""What the pages name is there: links, files, and names of the code."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path, PurePosixPath

import pytest
from pages import PAGES, ROOT, blocks, name_of

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SOURCES = ("vyre_dist/", "actors/", "kernels/", "fuzz/", "tests/", "benchmarks/")
_FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)*\.(?:py|cuh|cu|cpp|h|md|toml|jsonl|bin|yaml)")
_NAME = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z_]\w*)*(?:\(\))?")

# pages about the code: what looks like one of its names has to be one
ABOUT_CODE = [
    page
    for page in PAGES
    if page.stem
    in (
        "CONTRIBUTING",
        "architecture",
        "journey",
        "glossary",
        "driver",
        "engine",
        "compiler",
        "gpu",
    )
    and page.parent.name != "history"
]


@cache
def tracked() -> frozenset[PurePosixPath]:
    """Every file of the tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    return frozenset(map(PurePosixPath, names))


@cache
def words() -> frozenset[str]:
    """Every word in the sources, tests and settings."""
    found: set[str] = set()
    for file in tracked():
        if file.suffix in (".py", ".cuh", ".cpp", ".h") or str(file) in (
            "Makefile",
            "pyproject.toml",
        ):
            found.update(re.findall(r"\w+", (ROOT / file).read_text()))
    return frozenset(found)


def anchors(document: Path) -> set[str]:
    """The names that GitHub gives a document's headings."""
    headings = [block.text.lstrip("# ") for block in blocks(document) if block.kind == "heading"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link names a file of the tree and, behind a #, one of its headings."""
    text = re.sub(r"(?s)```.*?```|`[^`]*`", "", document.read_text())
    for target in _LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = document.parent / name if name else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_are_there(page: Path) -> None:
    """A path that begins at the top of the tree is one of its files or folders. So is, in a page
    about the code, the name of a source file.
    """
    for block in blocks(page):
        for span in block.spans if block.kind != "fence" else ():
            where = f"{name_of(page)}:{block.line}: {span}"
            if span.startswith((*_SOURCES, "docs/")) and _FILE.fullmatch(span):
                assert PurePosixPath(span) in tracked(), where
            elif span.startswith(_SOURCES) and re.fullmatch(r"[\w./-]+/", span):
                assert (ROOT / span).is_dir(), where
            elif page in ABOUT_CODE and re.fullmatch(r"[\w./-]+\.(py|cuh|cpp|md|yaml)", span):
                end = PurePosixPath(span).parts
                assert any(file.parts[-len(end) :] == end for file in tracked()), where


@pytest.mark.parametrize("page", ABOUT_CODE, ids=name_of)
def test_names_of_the_code_are_there(page: Path) -> None:
    """`like_this`, `LikeThis` and `like.this()` are names that the sources use."""
    for block in blocks(page):
        for span in block.spans if block.kind != "fence" else ():
            if not _NAME.fullmatch(span) or _FILE.fullmatch(span):
                continue
            for word in span.removesuffix("()").split("."):
                coded = "_" in word.strip("_") or re.search(r"[a-z][A-Z]", word) or word != span
                assert not coded or word in words(), f"{name_of(page)}:{block.line}: {span}"


def test_every_page_is_found_from_the_readme() -> None:
    """Whoever follows links from the README comes to every page."""
    found: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in found:
            continue
        found.add(page)
        links = [link.partition("#")[0] for link in _LINK.findall(page.read_text())]
        waiting += [(page.parent / link).resolve() for link in links if link.endswith(".md")]
    assert set(PAGES) <= found


def test_security_is_found_from_the_readme() -> None:
    """The README links the page on what is defended, and the one on how to report, which link each
    other.
    """
    readme = (ROOT / "README.md").read_text()
    assert "(docs/security.md)" in readme and "(SECURITY.md)" in readme
    assert "(docs/security.md)" in (ROOT / "SECURITY.md").read_text()
    assert "(../SECURITY.md)" in (ROOT / "docs" / "security.md").read_text()

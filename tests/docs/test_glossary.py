"""docs/glossary.md: each term once, in order, with a meaning. That the names in it are there is in
test_links.py.
"""

from __future__ import annotations

from pages import ROOT, blocks, table_cells

PAGE = ROOT / "docs" / "glossary.md"
(TABLE,) = [table_cells(block) for block in blocks(PAGE) if block.kind == "table"]


def test_terms_are_sorted_and_stand_once() -> None:
    """The table is in alphabetical order, so that a term that is there already is seen."""
    terms = [row[0].lower() for row in TABLE[1:]]
    assert terms == sorted(terms) and len(set(terms)) == len(terms) > 50


def test_every_term_has_a_meaning() -> None:
    """A term is explained, or leads to another one of the table."""
    terms = {row[0] for row in TABLE[1:]}
    for term, meaning, where in TABLE[1:]:
        assert meaning, term
        assert where or meaning.removeprefix("see ") in terms, term

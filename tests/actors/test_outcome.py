"""The line in which a job tells its outcome: found in a log that comes in any pieces, and in
nothing else.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.actors import outcome
from vyre_dist.actors.outcome import OutcomeReader

WORD = "0123abcd"


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int) -> str:
    monkeypatch.setenv(outcome.VARIABLE, WORD)
    outcome.tell(code)
    return capsys.readouterr().err


LINES = st.sampled_from(
    ["[", "[vyre-dist ", f"[vyre-dist {WORD}", "a\n", "\n", "[vyre-dist ffff: exit code 1]\n", "ü"]
)


@given(
    before=st.lists(LINES),
    after=st.lists(LINES),
    cuts=st.lists(st.integers(0, 200)),
    code=st.integers(0, 255),
)
def test_it_is_found_in_any_pieces(
    before: list[str], after: list[str], cuts: list[int], code: int
) -> None:
    """The code is read, and the rest of the log comes through, but for an end that could be another
    line's start.
    """
    log = f"{''.join(before)}[vyre-dist {WORD}: exit code {code}]\n{''.join(after)}"
    reader, got = OutcomeReader(WORD), ""
    places = sorted({0, len(log), *(min(cut, len(log)) for cut in cuts)})
    for start, end in pairwise(places):
        got += reader.feed(log[start:end])
    whole = "".join(before) + "".join(after)
    assert reader.code == code
    assert whole.startswith(got)
    assert len(whole) - len(got) <= len(f"[vyre-dist {WORD}: exit code ")


@pytest.mark.parametrize("code", [0, 1, 3, 130])
def test_what_is_told_is_what_is_read(monkeypatch, capsys, code: int) -> None:
    """Both ends agree on the line."""
    reader = OutcomeReader(WORD)
    assert reader.feed("log\n" + told(monkeypatch, capsys, code)) == "log\n"
    assert reader.code == code


def test_another_word_is_not_believed(monkeypatch, capsys) -> None:
    """A line that a document could have left in the log says nothing: it does not know the word."""
    reader = OutcomeReader("another")
    line = told(monkeypatch, capsys, 0)
    assert reader.feed(line) == line
    assert reader.code is None


def test_nobody_asked(monkeypatch, capsys) -> None:
    """Outside of a submitted job nothing is written."""
    monkeypatch.delenv(outcome.VARIABLE, raising=False)
    outcome.tell(1)
    assert capsys.readouterr().err == ""

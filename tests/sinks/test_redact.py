"""Redaction: the secret is in no output of any format."""

from __future__ import annotations

import base64
import io
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vyre_dist.finding import Finding
from vyre_dist.sinks import FORMATS, RedactionError, RunSummary, open_sinks, redact

# Long enough and of letters that no field name, mask or base64 of other content holds by chance.
SECRETS = st.text("ZQXJ\u00fe\u20ac", min_size=6, max_size=40).map(str.encode) | st.binary(
    min_size=8, max_size=40
).map(lambda b: b"\xfdQ" + b + b"J\xfc")
AROUND = st.text("abcZQX \n=", max_size=12).map(str.encode)


@st.composite
def secret_findings(draw: st.DrawFn) -> Finding:
    secret = draw(SECRETS)
    before, between, after = draw(AROUND), draw(AROUND), draw(AROUND)
    match = before + secret + (between + secret if draw(st.booleans()) else b"") + after
    inner = secret[draw(st.integers(0, 2)) : len(secret) - draw(st.integers(0, 2))]
    groups = draw(st.permutations([None, secret, inner, match, before, before + secret, b""]))
    return Finding(
        "rule",
        "path",
        3,
        3 + len(match),
        2,
        1,
        match,
        secret,
        tuple(groups),
        4.0,
        "about",
        ("tag",),
    )


def outputs(finding: Finding, percent: int) -> dict[str, bytes]:
    result = {}
    for name in FORMATS:
        out = io.BytesIO()
        with open_sinks([(name, "-")], redact_percent=percent, stdout=out) as sinks:
            sinks.write([finding])
            sinks.close(RunSummary(findings=1, findings_by_rule={"rule": 1}))
        data = out.getvalue()
        if name == "parquet":
            rows = pq.read_table(io.BytesIO(data)).to_pylist()
            data += (
                repr(rows).encode()
                + rows[0]["match"]
                + rows[0]["secret"]
                + b"|".join(g or b"" for g in rows[0]["groups"])
            )
        result[name] = data
    return result


def disguises(secret: bytes) -> list[bytes]:
    """The forms in which a format could hold these bytes."""
    text = secret.decode("utf-8", "replace")
    forms = [secret, text.encode(), json.dumps(text)[1:-1].encode(), repr(secret)[2:-1].encode()]
    for shift in range(3):  # base64 of a longer string in which the secret stands anywhere
        coded = base64.b64encode(b"\0" * shift + secret)
        forms.append(coded[4 if shift else 0 : len(coded) // 4 * 4 - 4])
    return forms


@settings(max_examples=60, deadline=None)
@given(secret_findings())
def test_no_format_shows_a_redacted_secret(finding: Finding) -> None:
    """With full redaction no format's output has the secret, plain or encoded."""
    for name, data in outputs(finding, 100).items():
        for form in disguises(finding.secret):
            if len(form) >= 6:  # the base64 core of a short secret could stand there by chance
                assert form not in data, (name, form)


def test_the_disguises_are_what_formats_write() -> None:
    """Without redaction each format does hold one of the forms looked for."""
    secret = b"\xfdQwertyuiopJ\xfc"
    finding = Finding("rule", "path", 3, 16, 2, 1, b"k=" + secret, secret, (secret,))
    for name in FORMATS:
        out = io.BytesIO()
        with open_sinks([(name, "-")], stdout=out) as sinks:
            sinks.write([finding])
            sinks.close(RunSummary())
        data = out.getvalue()
        if name == "parquet":
            data = pq.read_table(io.BytesIO(data)).to_pylist()[0]["match"]
        shown = [*disguises(secret), rb"\xfdQwertyuiopJ\xfc"]
        assert any(form in data for form in shown), name


@pytest.mark.parametrize(
    ("percent", "secret", "match", "expected"),
    [
        (100, b"0123456789", b"k=0123456789;", (b"***", b"k=***;")),
        (99, b"0123456789", b"k=0123456789;", (b"***", b"k=***;")),
        (75, b"0123456789", b"k=0123456789;", (b"01***", b"k=01***;")),
        (1, b"0123456789", b"k=0123456789;", (b"012345678***", b"k=012345678***;")),
        (100, b"aa", b"xaaay", (b"***", b"x***y")),
        (100, b"aba", b"ababa-aba", (b"***", b"***-***")),
        (100, b"zz", b"not in here", (b"***", b"***")),
        (100, b"", b"match", (b"", b"***")),
        (100, b"", b"", (b"", b"")),
    ],
)
def test_what_is_masked(
    percent: int, secret: bytes, match: bytes, expected: tuple[bytes, bytes]
) -> None:
    """The start that may stay stays, occurrences that overlap go together, doubt hides
    everything.
    """
    masked = redact(Finding("r", "p", 0, 1, 1, 1, match, secret), percent)
    assert (masked.secret, masked.match) == expected
    assert (masked.rule_id, masked.path, masked.start, masked.end) == ("r", "p", 0, 1)


def test_groups_are_masked() -> None:
    """A group that holds the secret is masked in it, a part of the secret whole, others stay."""
    groups = (None, b"", b"SECRET", b"x=SECRET", b"CRE", b"x")
    masked = redact(Finding("r", "p", 0, 1, 1, 1, b"x=SECRET", b"SECRET", groups))
    assert masked.groups == (None, b"", b"***", b"x=***", b"***", b"x")


@pytest.mark.parametrize("percent", [0, -1, 101])
def test_percentages_out_of_range_are_refused(percent: int) -> None:
    """A share that is no percentage is a usage error that carries it."""
    with pytest.raises(RedactionError) as caught:
        open_sinks([("jsonl", "-")], redact_percent=percent, stdout=io.BytesIO())
    assert caught.value.percent == percent
    with pytest.raises(RedactionError):
        redact(Finding("r", "p", 0, 1, 1, 1, b"m", b"m"), percent)

"""PackData to bytes and back: nothing is lost, and nothing else is taken for a pack."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.rules.codec import SCHEMA, PackCodecError, decode_pack, encode_pack
from vyre_dist.rules.model import Allowlist, Origin, PackData, Rule

# lone surrogates of the kind that os.fsdecode makes are part of it
texts = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcff"), max_size=8
)
many = st.lists(texts, max_size=3).map(tuple)
allowlists = st.builds(
    Allowlist,
    description=texts,
    condition=st.sampled_from(["OR", "AND"]),
    commits=many,
    paths=many,
    regexes=many,
    regex_target=st.sampled_from(["secret", "match", "line"]),
    stopwords=many,
    target_rules=many,
)
rules = st.builds(
    Rule,
    id=texts,
    regex=st.none() | texts,
    description=texts,
    path=st.none() | texts,
    secret_group=st.integers(0, 99),
    entropy=st.none() | st.floats(0, 8) | st.integers(0, 8),
    keywords=many,
    tags=many,
    allowlists=st.lists(allowlists, max_size=2).map(tuple),
    examples=many,
    negative_examples=many,
    max_match_bytes=st.none() | st.integers(1, 1 << 30),
    origin=st.builds(Origin, texts, st.integers(0, 1 << 20)),
)
packs = st.builds(
    PackData,
    texts,
    st.lists(rules, max_size=3).map(tuple),
    st.lists(allowlists, max_size=2).map(tuple),
)


@given(packs)
def test_a_pack_survives_the_journey(pack: PackData) -> None:
    """Every field comes back as it was, and so does the content hash."""
    arrived = decode_pack(encode_pack(pack))
    assert arrived == pack
    assert arrived.content_hash() == pack.content_hash()


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_no_pack(data: bytes) -> None:
    """Whatever the bytes, the answer is the codec's own error."""
    with pytest.raises(PackCodecError):
        decode_pack(data)


PACK = PackData("p", (Rule("r", "a+", allowlists=(Allowlist(paths=("x",)),)),))
BODY = msgpack.unpackb(encode_pack(PACK))[1]


def _changed(path: tuple[Any, ...], value: Any) -> bytes:
    """PACK's bytes with one value replaced (… drops the key)."""
    body = msgpack.unpackb(msgpack.packb(BODY))
    at = body
    for step in path[:-1]:
        at = at[step]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return bytes(msgpack.packb([SCHEMA, body]))


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("name",), None, "pack.name"),
        (("name",), b"p", "pack.name"),
        (("name",), ..., "pack"),
        (("colour",), "red", "pack"),
        (("rules",), {}, "pack.rules"),
        (("rules", 0), "a rule", "pack.rules[0]"),
        (("rules", 0, "id"), 7, "pack.rules[0].id"),
        (("rules", 0, "secret_group"), True, "pack.rules[0].secret_group"),
        (("rules", 0, "secret_group"), 1.0, "pack.rules[0].secret_group"),
        (("rules", 0, "entropy"), "3", "pack.rules[0].entropy"),
        (("rules", 0, "keywords"), "ab", "pack.rules[0].keywords"),
        (("rules", 0, "keywords"), ["a", 1], "pack.rules[0].keywords[1]"),
        (("rules", 0, "origin"), None, "pack.rules[0].origin"),
        (
            ("rules", 0, "allowlists", 0, "condition"),
            "XOR",
            "pack.rules[0].allowlists[0].condition",
        ),
        (
            ("rules", 0, "allowlists", 0, "condition"),
            ["OR"],
            "pack.rules[0].allowlists[0].condition",
        ),
    ],
)
def test_a_wrong_field_is_named(path: tuple[Any, ...], value: Any, where: str) -> None:
    """A field of the wrong type, a missing one and an unknown one are refused by name."""
    with pytest.raises(PackCodecError) as caught:
        decode_pack(_changed(path, value))
    assert caught.value.where == where


@pytest.mark.parametrize("body", [[SCHEMA + 1, BODY], [SCHEMA], [], BODY, None, [SCHEMA, BODY, 0]])
def test_another_schema_is_refused(body: Any) -> None:
    """What does not say that it is this schema is not looked into."""
    with pytest.raises(PackCodecError):
        decode_pack(msgpack.packb(body))


def test_all_fields_of_the_model_are_carried() -> None:
    """A field added to the model is carried without a change here."""
    assert set(BODY["rules"][0]) == {f.name for f in dataclasses.fields(Rule)}

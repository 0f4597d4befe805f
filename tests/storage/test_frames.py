"""Frames: what is torn at the end is left out, what is damaged before it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vyre_dist.storage.frames import DamagedError, framed, read_frame, read_frames

contents = st.lists(st.binary(max_size=40), min_size=1, max_size=5)


def written(parts: list[bytes]) -> bytes:
    return b"".join([framed(number, part) for number, part in enumerate(parts)])


def read(data: bytes) -> list[bytes]:
    return [bytes(frame.data) for frame in read_frames("log", data)]


@given(contents)
def test_what_was_written_is_read(parts: list[bytes]) -> None:
    """Whole files, and where each frame's bytes are."""
    data = written(parts)
    assert read(data) == parts
    for frame in read_frames("log", data):
        assert data[frame.start : frame.start + len(frame.data)] == frame.data


@given(contents, st.data())
def test_a_torn_end_is_left_out(parts: list[bytes], data: st.DataObject) -> None:
    """Wherever the file ends, and whatever is in the last frame's place."""
    whole = written(parts)
    last = len(whole) - len(framed(len(parts) - 1, parts[-1]))
    end = data.draw(st.integers(last, len(whole) - 1))
    assert read(whole[:end]) == parts[:-1]
    # of what was not synchronized, some may be zeros
    assert read(whole[:end] + bytes(len(whole) - end)) in (parts[:-1], parts)


@given(contents, st.data())
def test_damage_before_the_end_is_told(parts: list[bytes], data: st.DataObject) -> None:
    """Any bit of any frame but the last: the file and the frame's place are named."""
    parts = [*parts, b"the last one"]
    whole = bytearray(written(parts))
    last = len(whole) - len(framed(len(parts) - 1, parts[-1]))
    at = data.draw(st.integers(0, last - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedError, match="log is damaged at byte") as raised:
        read(bytes(whole))
    starts = [0]
    for number, part in enumerate(parts):
        starts.append(starts[-1] + len(framed(number, part)))
    assert raised.value.name == "log"
    assert raised.value.offset == max(start for start in starts if start <= at)


@given(st.binary(max_size=40), st.integers(0, 9), st.data())
def test_one_frame_is_checked(part: bytes, number: int, data: st.DataObject) -> None:
    """As it is read from a part file: any bit that is another one, and any byte that is missing."""
    whole = framed(number, part)
    assert read_frame("part", whole, 7) == part
    at = data.draw(st.integers(0, len(whole) - 1))
    other = bytearray(whole)
    other[at] ^= 1 << data.draw(st.integers(0, 7))
    for wrong in (bytes(other), whole[:at], whole + b"x"):
        with pytest.raises(DamagedError, match="part is damaged at byte 7"):
            read_frame("part", wrong, 7)

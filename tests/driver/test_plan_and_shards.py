"""From listed documents to shards: every byte once, in order, within the limits, and no faster than
asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vyre_dist.engine.shards as shards_module
from vyre_dist.driver.events import PlanEnded, ShardPlanned
from vyre_dist.driver.plan import Plan
from vyre_dist.engine.shards import ASSUMED_BYTES, cut, pack_shards
from vyre_dist.engine.task_codec import decode_task, encode_task
from vyre_dist.engine.tasks import (
    FolderRun,
    Item,
    Piece,
    ScanTask,
    Stamp,
    count,
    split_at,
)
from vyre_dist.sources import DocumentRef, FolderFiles, InputProblem

sizes = st.lists(st.integers(0, 50), max_size=40)


def document(number: int, size: int) -> Piece:
    return Piece(number, f"d{number}", size, 0, size, stamp=Stamp(number, size, 7))


def ref(number: int, size: int) -> DocumentRef:
    return DocumentRef(f"d{number}", size, number, size)


@given(sizes, st.integers(1, 20), st.integers(1, 5))
def test_shards_cover_every_byte_once_and_in_order(
    given_sizes: list[int], limit: int, count: int
) -> None:
    """The pieces, laid end to end, are the documents; an empty one has a piece of its own."""
    documents = [document(i, size) for i, size in enumerate(given_sizes)]
    shards = list(pack_shards(documents, limit, count))
    pieces = [piece for shard in shards for piece in shard]
    at = [(i, 0) for i, size in enumerate(given_sizes) if size == 0]
    at += [(i, start) for i, size in enumerate(given_sizes) for start in range(0, size, limit)]
    assert [(p.document, p.start) for p in pieces] == sorted(at)
    for piece in pieces:
        whole = documents[piece.document]
        assert piece.end == min(piece.start + limit, whole.size)
        assert (piece.path, piece.size, piece.stamp) == (whole.path, whole.size, whole.stamp)


@given(sizes, st.integers(1, 20), st.integers(1, 5))
def test_shards_keep_to_their_limits_and_are_full(
    given_sizes: list[int], limit: int, count: int
) -> None:
    """No shard has more bytes or pieces than allowed, and none ends before the next piece would not
    fit.
    """
    documents = [document(i, size) for i, size in enumerate(given_sizes)]
    shards = list(pack_shards(documents, limit, count))
    for i, shard in enumerate(shards):
        total = sum(p.end - p.start for p in shard)
        assert shard and total <= limit and len(shard) <= count
        if i + 1 < len(shards):
            first = shards[i + 1][0]
            assert total + first.end - first.start > limit or len(shard) == count


@given(sizes, st.integers(1, 20), st.integers(1, 5), st.integers(1, 20), st.integers(0, 100))
def test_the_first_large_documents_are_cut_smaller(
    given_sizes: list[int], limit: int, count: int, piece_bytes: int, first_bytes: int
) -> None:
    """Their pieces cover every byte once and in order; each small one has a shard of its own. There
    are no more of them than are worth their messages.
    """
    documents = [document(i, size) for i, size in enumerate(given_sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards_module, "FIRST_PIECE_BYTES", piece_bytes)
        patch.setattr(shards_module, "FIRST_BYTES", first_bytes)
        shards = list(pack_shards(documents, limit, count))
    pieces = [piece for shard in shards for piece in shard]
    for whole in documents:
        own = [p for p in pieces if p.document == whole.document]
        assert [p.start for p in own] == [0, *(p.end for p in own[:-1])]
        assert own[-1].end == whole.size
    assert [p.document for p in pieces] == sorted(p.document for p in pieces)
    assert all(sum(p.end - p.start for p in shard) <= limit for shard in shards)
    small = [p for p in pieces if p.end - p.start == piece_bytes and not p.whole]
    if piece_bytes < limit:
        large = sum(size for size in given_sizes if size > limit)
        first = min(first_bytes, large)
        slack = len(given_sizes) * piece_bytes
        assert first - slack <= len(small) * piece_bytes <= first + slack
        assert all([p] in shards for p in small)


@pytest.mark.parametrize(
    ("size", "limit", "expected"),
    [
        (0, 10, [(0, 0)]),
        (10, 10, [(0, 10)]),
        (11, 10, [(0, 10), (10, 11)]),
        (20, 10, [(0, 10), (10, 20)]),
        (3, 1, [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_cutting(size: int, limit: int, expected: list[tuple[int, int]]) -> None:
    """A document is cut where it is larger than a shard, and only there."""
    pieces = cut(document(0, size), limit)
    assert [(p.start, p.end) for p in pieces] == expected
    assert all(p.whole for p in pieces) == (len(pieces) == 1)


@given(sizes, st.integers(1, 20), st.integers(1, 5))
def test_a_plan_introduces_each_document_with_its_first_piece(
    given_sizes: list[int], limit: int, count: int
) -> None:
    """`documents` of a shard are those that begin in it, whole; paths are known until they are
    forgotten.
    """
    plan = Plan([ref(i, size) for i, size in enumerate(given_sizes)], limit, count)
    seen: list[int] = []
    while isinstance(planned := plan.next(), ShardPlanned):
        begin_here = [p.document for p in planned.pieces if p.start == 0]
        assert [d.document for d in planned.documents] == begin_here
        for whole in planned.documents:
            assert whole.whole and whole.size == given_sizes[whole.document]
            assert plan.path_of(whole.document) == f"d{whole.document}"
        seen += begin_here
    assert seen == [*range(len(given_sizes))]
    assert plan.ended and plan.documents == len(given_sizes)
    plan.forget(seen)
    with pytest.raises(KeyError):
        plan.path_of(0)
    assert plan.next() == PlanEnded()


def test_a_plan_is_lazy() -> None:
    """Planning a shard reads the listing no further than one document beyond it."""
    read = 0

    def listing() -> Iterator[DocumentRef]:
        nonlocal read
        for number in range(1000):
            read += 1
            yield ref(number, 10)

    plan = Plan(listing(), 50)
    plan.next()
    assert read == 6
    assert plan.documents == 6 and not plan.ended


def test_a_plan_that_is_forgotten_as_it_goes_does_not_grow() -> None:
    """A listing of any length costs the memory of what is in flight."""
    plan = Plan((ref(number, 10) for number in range(20_000)), 50)
    most = 0
    while isinstance(planned := plan.next(), ShardPlanned):
        plan.forget([d.document for d in planned.documents])
        most = max(most, len(plan._paths), len(plan._new))
    assert most <= 12


def test_problems_of_the_listing_are_kept_in_order_and_take_no_number() -> None:
    """What the sources could not list is no document."""
    problems = [InputProblem("a", "not-found"), InputProblem("c", "fifo")]
    plan = Plan([problems[0], ref(0, 1), problems[1], ref(1, 1)], 100)
    planned = plan.next()
    assert isinstance(planned, ShardPlanned)
    assert [p.document for p in planned.pieces] == [0, 1] and plan.problems == problems


@given(
    st.lists(
        st.tuples(st.binary(max_size=20), st.integers(0, 50), st.integers(1, 20), st.booleans()),
        max_size=8,
    )
)
def test_a_plan_survives_the_wire(rows: list[tuple[bytes, int, int, bool]]) -> None:
    """Pieces come out of a message as they went in, whatever bytes the path has; a stamp only where
    it is checked.
    """
    pieces = []
    for number, (path, size, limit, elsewhere) in enumerate(rows):
        shown = path.decode("utf-8", "surrogateescape")
        whole = Piece(
            number, shown, size, 0, size, "/elsewhere" if elsewhere else None, Stamp(5, 6, 7)
        )
        pieces += cut(whole, limit)
    task = decode_task(encode_task(ScanTask(tuple(pieces))))
    assert isinstance(task, ScanTask)
    for sent, received in zip(pieces, task.pieces, strict=True):
        assert received._replace(stamp=None) == sent._replace(stamp=None)
        assert received.stamp == sent.stamp or (sent.whole and received.stamp is None)


# --- folders, whose files' sizes are not known

# no name has a NUL in it
letters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
folders = st.lists(
    st.one_of(st.integers(0, 50), st.lists(st.text(letters, min_size=1, max_size=3), min_size=1)),
    max_size=12,
)


def items_of(given_folders: list[int | list[str]]) -> list[Item]:
    items: list[Item] = []
    number = 0
    for given_item in given_folders:
        if isinstance(given_item, int):
            items.append(document(number, given_item))
            number += 1
        else:
            items.append(FolderRun.of(number, f"f{number}/", given_item))
            number += len(given_item)
    return items


def one_by_one(items: Iterable[Item]) -> list[tuple[int, str]]:
    """(number, path) of every piece and file."""
    rows = []
    for item in items:
        if isinstance(item, FolderRun):
            rows += [(item.first + i, item.prefix + name) for i, name in enumerate(item.names)]
        else:
            rows.append((item.document, item.path))
    return rows


@given(folders, st.integers(1, 4 * ASSUMED_BYTES), st.integers(1, 5))
def test_folders_are_packed_by_an_assumed_size(
    given_folders: list[int | list[str]], limit: int, most: int
) -> None:
    """Every file once and in order, and no shard of more documents, or more assumed bytes, than
    allowed.
    """
    items = items_of(given_folders)
    shards = list(pack_shards(items, limit, most))
    cut_up = [
        piece
        for item in items
        for piece in (cut(item, limit) if isinstance(item, Piece) else [item])
    ]
    assert one_by_one(item for shard in shards for item in shard) == one_by_one(cut_up)
    for shard in shards:
        number = count(shard)
        assert 1 <= number <= most
        runs = sum(len(item.names) for item in shard if isinstance(item, FolderRun))
        assert runs <= max(1, limit // ASSUMED_BYTES)


@given(folders, st.integers(0, 60))
def test_a_task_is_split_between_any_two_files(
    given_folders: list[int | list[str]], position: int
) -> None:
    """The two parts, one after the other, are the whole, and the first has as many as were asked
    for.
    """
    items = items_of(given_folders)
    left, right = split_at(items, position)
    assert one_by_one([*left, *right]) == one_by_one(items)
    assert count(left) == min(position, count(items))


@given(folders, st.integers(1, 4 * ASSUMED_BYTES), st.integers(1, 5))
def test_folders_paths_are_known_until_forgotten(
    given_folders: list[int | list[str]], limit: int, most: int
) -> None:
    """Any document's path is answered while its shard is not forgotten, and none after that."""
    items = items_of(given_folders)
    inputs = [
        FolderFiles(item.prefix, item.names)
        if isinstance(item, FolderRun)
        else ref(item.document, item.size)
        for item in items
    ]
    plan = Plan(inputs, limit, most)
    known = dict(one_by_one(items))
    while isinstance(planned := plan.next(), ShardPlanned):
        for number, path in one_by_one(planned.pieces):
            assert plan.path_of(number) == path == known[number]
        ended = [
            n
            for n, _ in one_by_one(
                i for i in planned.pieces if isinstance(i, FolderRun) or i.end == i.size
            )
        ]
        plan.forget(ended)
        for number in ended:
            with pytest.raises(KeyError):
                plan.path_of(number)
    assert plan.documents == len(known) and len(plan._paths) == 0
    with pytest.raises(KeyError):
        plan.path_of(len(known))


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5), st.booleans())
def test_a_folder_survives_the_wire(names: list[bytes], elsewhere: bool) -> None:
    """Names come out of a message as they went in, whatever bytes they have."""
    decoded = [n.replace(b"\0", b"\n").decode("utf-8", "surrogateescape") for n in names]
    run = FolderRun.of(7, "p/", decoded, "/q/" if elsewhere else None)
    task = ScanTask((document(1, 5)._replace(stamp=None), run))
    assert decode_task(encode_task(task)) == task

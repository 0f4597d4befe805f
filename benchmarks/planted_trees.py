"""Trees of files to scan in which it is known what must be found: text without findings, with
secrets planted in it.

The text is whole files of a tree or a sample, less those in which something is found, joined. A
file is a stretch of it from a place of its own, round and round, with a secret now and then. So all
distinct files have different bytes at the same place, and nothing but what was planted is found. A
tree has as many files as are asked for; beyond the distinct ones they are hard links, and fit the
page cache however many they are.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
import os
import random
import re
import shutil
import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from corpus import read_sample, shuffled_paths

from vyre_dist import Scanner

FOLDER_FILES = 50
SPREAD = 1.2
"""Of the sizes of small files: log-normal, as those of source trees are."""
LEAST_BYTES, MOST_MEANS = 64, 64
LONG_BYTES = 2048
SECRETS = 97
ROUNDS = 20
SEAM_BYTES = 1 << 20
"""More than the longest match."""

_LETTERS = string.ascii_letters + string.digits
_BASE32 = string.ascii_uppercase + "234567"
# what many packs have a rule for; those that a pack has none for are left out
_FORMS = (
    (("AKIA", _BASE32, 16),),
    (("ghp_", _LETTERS, 36),),
    (("glpat-", _LETTERS, 20),),
    (("npm_", string.ascii_lowercase + string.digits, 36),),
    (("AIza", _LETTERS, 35),),
    (("SG.", _LETTERS, 22), (".", _LETTERS, 43)),
    (("sk_live_", _LETTERS, 24),),
    (("dop_v1_", "0123456789abcdef", 64),),
    (("xoxb-", string.digits, 11), ("-", string.digits, 12), ("-", _LETTERS, 24)),
)

Result = TypeVar("Result")
Place = tuple[str, int, int]
"""(rule, start, end) of what must be found in a file."""


@dataclass(frozen=True)
class Kind:
    """What a tree's files are like. `spread`: whether they differ in size, as small ones do."""

    name: str
    file_bytes: int
    spread: bool


@dataclass(frozen=True)
class Secret:
    """A line to plant, and what is found in it alone."""

    line: bytes
    places: tuple[Place, ...]


@dataclass
class Distinct:
    """The files of a kind that are no links: their sizes and what must be found in each."""

    kind: Kind
    folder: Path
    sizes: list[int] = field(default_factory=list)
    places: list[tuple[Place, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ends: list[int] = []

    def path(self, number: int) -> Path:
        """Where a distinct file lies."""
        return self.folder / str(number // FOLDER_FILES) / str(number)

    @property
    def ends(self) -> list[int]:
        """The bytes of the first one, two, … files."""
        if len(self._ends) != len(self.sizes):
            self._ends = list(itertools.accumulate(self.sizes))
        return self._ends

    def size(self, files: int) -> int:
        """The bytes of a tree of so many files."""
        whole, rest = divmod(files, len(self.sizes))
        return whole * self.ends[-1] + (self.ends[rest - 1] if rest else 0)

    def files_for(self, size: float) -> int:
        """How many files a tree of about `size` bytes has, one at least."""
        whole, rest = divmod(int(size), self.ends[-1])
        return max(1, whole * len(self.sizes) + bisect.bisect_right(self.ends, rest))

    def expected(self, files: int) -> Iterator[tuple[str, Place]]:
        """(path in the tree, place) of all that must be found in a tree of so many files."""
        loud = [number for number, places in enumerate(self.places) if places]
        for first in range(0, files, len(self.sizes)):
            for number in loud:
                if first + number < files:
                    for place in self.places[number]:
                        yield name_of(first + number), place


def name_of(number: int) -> str:
    """Where a tree has its file: folders of 50, 1000 of these in a folder."""
    folder = number // FOLDER_FILES
    return f"{folder // 1000:03}/{folder % 1000:03}/{number:08}.txt"


def digest(found: list[tuple[str, Place]]) -> str:
    """Of (path, place) in any order."""
    lines = sorted(f"{path}\t{rule}\t{start}\t{end}\n" for path, (rule, start, end) in found)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


class Corpus:
    """Text without findings, secrets to plant, and the files made of them, in `root`.

    `text`: a tree of files, or a sample that gpu_scan.py has written; `megabytes` of it are used.
    `every`: the bytes of text for each secret.
    """

    def __init__(
        self, root: Path, text: str, rules: str | None, megabytes: float, every: int
    ) -> None:
        self._root, self._every = root, every
        scanner = Scanner(rules, backend="cpu")
        self.text = quiet_text(documents_of(text, megabytes), scanner)
        self.secrets = secrets(scanner)
        self.digest = hashlib.sha256(
            self.text + b"".join(s.line for s in self.secrets) + str(every).encode()
        ).hexdigest()[:16]

    def write(self, kind: Kind, size: float, processes: int) -> Distinct:
        """Distinct files, `size` bytes of them and one at least."""
        made = Distinct(kind, self._root / kind.name / "distinct")
        count = max(1, round(size / kind.file_bytes))
        for low in range(0, count, FOLDER_FILES):
            made.path(low).parent.mkdir(parents=True)
        step = 1 if kind.file_bytes > 1 << 20 else 4 * FOLDER_FILES
        ranges = [(low, min(count, low + step)) for low in range(0, count, step)]
        for written in in_processes(lambda each: self._write_range(made, *each), ranges, processes):
            for length, places in written:
                made.sizes.append(length)
                made.places.append(places)
        return made

    def _write_range(
        self, made: Distinct, low: int, high: int
    ) -> list[tuple[int, tuple[Place, ...]]]:
        out = []
        for number in range(low, high):
            parts, places = self._file(made.kind, number)
            with made.path(number).open("wb", buffering=0) as file:
                # a small one in one call
                for part in parts if made.kind.file_bytes > 1 << 20 else [b"".join(parts)]:
                    file.write(part)
            out.append((sum(map(len, parts)), places))
        return out

    def _file(self, kind: Kind, number: int) -> tuple[list[bytes | memoryview], tuple[Place, ...]]:
        """A file's parts and places."""
        rng = random.Random(f"{kind.name} {number}")
        size = kind.file_bytes
        if kind.spread and number:
            size = int(rng.lognormvariate(math.log(size) - SPREAD**2 / 2, SPREAD))
            size = max(LEAST_BYTES, min(MOST_MEANS * kind.file_bytes, size))
        place, written = self._to_break(0, rng.randrange(len(self.text))), 0
        parts: list[bytes | memoryview] = []
        places: list[Place] = []
        # the first file of every kind has one, so that a tree of one file has a finding
        due = 0 if number == 0 else int(rng.expovariate(1 / self._every))
        while written < size:
            length = self._to_break(place, min(due, size - written))
            parts += self._stretch(place % len(self.text), length)
            written += length
            place += length
            if written < size:
                secret = rng.choice(self.secrets)
                parts.append(secret.line)
                places += [(r, written + start, written + stop) for r, start, stop in secret.places]
                written += len(secret.line)
                due = int(rng.expovariate(1 / self._every))
        return parts, tuple(places)

    def _to_break(self, place: int, least: int) -> int:
        """The bytes from `place` to behind an empty line, `least` at least; to the next line where
        the text has no empty one for long.

        Elsewhere a cut could make a match out of what none was, as where a line says that it is
        none. The text ends with an empty line.
        """
        start = (place + least) % len(self.text)
        found = self.text.find(b"\n\n", start, start + LONG_BYTES)
        end = found + 2 if found >= 0 else self.text.index(b"\n", start) + 1
        return least + end - start

    def _stretch(self, place: int, length: int) -> Iterator[memoryview]:
        whole = memoryview(self.text)
        while length > 0:
            part = whole[place : place + length]
            yield part
            length -= len(part)
            place = 0


def link_tree(made: Distinct, files: int, tree: Path, processes: int) -> Path:
    """A tree of so many files, all of them links; kept where it is there already."""
    if tree.exists():
        return tree
    step = 20 * FOLDER_FILES
    ranges = [(low, min(files, low + step)) for low in range(0, files, step)]
    try:
        for _ in in_processes(lambda each: _link_range(made, tree, *each), ranges, processes):
            pass
    except SystemExit:
        remove_tree(tree, processes)
        raise
    return tree


def _link_range(made: Distinct, tree: Path, low: int, high: int) -> None:
    # of strings, not of paths: there are millions
    distinct, source, target = len(made.sizes), str(made.folder), str(tree)
    for number in range(low, high):
        path = f"{target}/{name_of(number)}"
        if number % FOLDER_FILES == 0:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        own = number % distinct
        os.link(f"{source}/{own // FOLDER_FILES}/{own}", path)


def remove_tree(tree: Path, processes: int) -> None:
    """Millions of files are removed by several processes."""
    parts = [str(part) for part in tree.glob("*")]
    for _ in in_processes(
        lambda each: subprocess.run(["rm", "-rf", *parts[slice(*each)]], check=True).returncode,
        [(number, number + 1) for number in range(len(parts))],
        processes,
    ):
        pass
    shutil.rmtree(tree, ignore_errors=True)


def in_processes(
    work: Callable[[tuple[int, int]], Result], ranges: list[tuple[int, int]], processes: int
) -> Iterator[Result]:
    """What `work` returns for each range, in their order; forked processes do every n-th."""
    context = get_context("fork")
    children, ends = [], []
    for number in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        share = ranges[number::processes]
        child = context.Process(target=_work_through, args=(work, share, theirs), daemon=True)
        child.start()
        theirs.close()
        children.append(child)
        ends.append(ours)
    for number in range(len(ranges)):
        try:
            yield ends[number % processes].recv()
        except EOFError:
            raise SystemExit("a process that makes files has ended (is there room?)") from None
    for child in children:
        child.join()


def _work_through(
    work: Callable[[tuple[int, int]], Result], share: list[tuple[int, int]], end: Connection
) -> None:
    for each in share:
        end.send(work(each))


def documents_of(text: str, megabytes: float) -> list[bytes]:
    """The text files of a tree or a sample, in a fixed order."""
    if Path(text).is_dir():
        contents = (Path(path).read_bytes() for path in shuffled_paths(text, 7))
    else:
        contents = iter(read_sample(text)[1])
    documents, size = [], 0
    for content in contents:
        if size >= megabytes * 1e6:
            break
        if content and b"\0" not in content:
            documents.append(content)
            size += len(content)
    return documents


def quiet_text(documents: list[bytes], scanner: Scanner) -> bytes:
    """The documents joined, less those in which something is found when they are.

    They are scanned with their beginning behind their end, as files go round and round.
    """
    for _ in range(ROUNDS):
        text = b"".join(document + b"\n\n" for document in documents)
        ends = list(itertools.accumulate(len(document) + 2 for document in documents))
        loud = set()
        for found in scanner.scan(text + text[:SEAM_BYTES]):
            first = bisect.bisect_right(ends, found.start % len(text))
            last = bisect.bisect_right(ends, max(0, found.end - 1) % len(text))
            loud |= {first, last}
        if not loud:
            return text
        documents = [each for number, each in enumerate(documents) if number not in loud]
        if not documents:
            break
    raise SystemExit("no text is left in which these rules find nothing")


def secrets(scanner: Scanner) -> list[Secret]:
    """Lines in each of which the pack finds what was put there, and only that."""
    rng, kept, tries = random.Random(15), [], 0
    forms = list(_FORMS)
    while len(kept) < SECRETS and tries < 40 * SECRETS:
        tries += 1
        form = forms[tries % len(forms)]
        token = "".join(
            head + "".join(rng.choice(letters) for _ in range(count))
            for head, letters, count in form
        ).encode()
        line = b"\n\nseen " + token + b" there\n\n"
        found = scanner.scan(line)
        start = line.index(token)
        # a rule may take what stands around it, too
        if len(found) == 1 and found[0].start <= start and found[0].end >= start + len(token):
            kept.append(Secret(line, ((found[0].rule_id, found[0].start, found[0].end),)))
    if len(kept) < SECRETS:
        raise SystemExit(f"these rules find too few of the planted secrets: {len(kept)}")
    return kept


def missing_and_more(
    found: list[tuple[str, Place]], expected: list[tuple[str, Place]]
) -> tuple[list[tuple[str, Place]], list[tuple[str, Place]]]:
    """What was not found, and what was found but not planted."""
    return sorted(set(expected) - set(found)), sorted(set(found) - set(expected))


def kind_of(name: str, size: str) -> Kind:
    """`size`: with a unit, k or M."""
    match = re.fullmatch(r"(\d+)([kM])", size)
    if match is None:
        sys.exit(f"a size is a number with k or M behind it, not {size!r}")
    return Kind(name, int(match[1]) * {"k": 1000, "M": 1 << 20}[match[2]], name == "small")

"""Tasks and results: what travels between the driver and its workers.

A task names byte ranges of files, a result carries findings and spans. No document's bytes travel,
but for those of `inline` documents, which no worker could open. How both look as bytes is in
task_codec.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple, TypeAlias

from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.engine.content import Evidence
from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.spool import Kept
from vyre_dist.engine.tally import Tally
from vyre_dist.metrics import Metrics
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.sources.document import DocumentRef
from vyre_dist.sources.file_names import FileNames


class Stamp(NamedTuple):
    """What tells one state of a file from another. `ctime_ns`: 0 if unknown."""

    mtime_ns: int
    inode: int
    ctime_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> Stamp:
        """The stamp of a file that stat told of."""
        return cls(info.st_mtime_ns, info.st_ino, info.st_ctime_ns)


class Piece(NamedTuple):
    """The part [start, end) of document number `document`, which has `size` bytes.

    `open_path`: what to open when that is not `path`. `inline`: the document's bytes when there is
    no file. `stamp`: as planned; it is checked when a document is scanned in several pieces.

    A NamedTuple: two are made for every file of a tree, and it takes a third of a dataclass's time.
    """

    document: int
    path: str
    size: int
    start: int
    end: int
    open_path: str | None = None
    stamp: Stamp | None = None
    inline: bytes | None = None

    @property
    def whole(self) -> bool:
        """Whether this is all of the document."""
        return self.start == 0 and self.end == self.size


def piece_of(number: int, ref: DocumentRef) -> Piece:
    """A listed document as the one piece that is all of it."""
    stamp = Stamp(ref.mtime_ns, ref.inode, ref.ctime_ns)
    return Piece(number, ref.path, ref.size, 0, ref.size, ref.open_path or None, stamp)


class FolderRun(NamedTuple):
    """Whole files of one folder: documents number `first`, `first` + 1, …, of unknown size.

    Their paths are `prefix` + name. `open_prefix`: what to put before a name to open it, when that
    is not `prefix`.
    """

    first: int
    prefix: str
    names: FileNames
    open_prefix: str | None = None

    @classmethod
    def of(
        cls, first: int, prefix: str, names: Iterable[str], open_prefix: str | None = None
    ) -> FolderRun:
        """With any names."""
        return cls(first, prefix, FileNames.of(names), open_prefix)


Item: TypeAlias = Piece | FolderRun


@dataclass(frozen=True, slots=True)
class PartResult:
    """What scanning one piece of a split document gave, before filters, in document coordinates.

    `spans`: encode_spans of them, as window 0, each rule's in order. `newlines`: in [start, end),
    for each NEWLINE_BLOCK of it, as lines.pack_counts gives them. `digest`: of all the bytes that
    were read for the piece (content.py). `kept`: the piece's own findings, for the join
    (settled.py), and for a document that can't be joined (salvage.py). `unsearched`: rules that
    were not searched, as none of their keywords is in the piece or begins in it. `reaches`: (rule,
    end) of the last matches, of those that go to the piece's end or farther. `keywords`: rules with
    matches and, as is known, a keyword in the piece; `keyless`: the others with matches.
    `keyword_flags`: of all rules, for KeywordTable.has; b"": nobody looked.

    `newlines`, `spans` and `kept` are bytes because the driver keeps those of all pieces, in files,
    until the last one is done, and looks into `kept` only where joining failed.
    """

    document: int
    start: int
    end: int
    newlines: Kept
    spans: Kept
    digest: bytes = b""
    kept: Kept = b""
    unsearched: tuple[int, ...] = ()
    reaches: tuple[tuple[int, int], ...] = ()
    keywords: tuple[int, ...] = ()
    keyless: tuple[int, ...] = ()
    keyword_flags: bytes = b""


@dataclass(frozen=True, slots=True)
class ScanTask:
    """Scan these, in this order.

    `choice`: what to run with, from the next dispatch on; `trial`: what to compare that with.
    `part`: the file for what is found (part_files.py), "" for none. `proof`: see handing_in.py.
    """

    pieces: tuple[Item, ...]
    choice: Choice = DEFAULT_CHOICE
    part: str = ""
    proof: str = ""
    trial: Challenge | None = None


class Reach(NamedTuple):
    """How far a rule's matches reach where a stretch of a document ends.

    `end`: of the last one that goes there or beyond, 0 if none does. `uncapped`: where the chain of
    matches without the rule's cap is (too_long.py), 0 if it has not gone beyond; `last_end`: where
    its last match has ended.
    """

    rule: int
    end: int = 0
    uncapped: int = 0
    last_end: int = 0


class Stretch(NamedTuple):
    """What the rest of a document says where some of its parts are joined by themselves.

    `newlines`: before the stretch. `reaches`: of the matches before it. `elsewhere`: rules that
    were not searched in all parts, but in some. `keywords`: rules that have one in the document;
    `keyless`: rules that have none. `asked`: rules of which the task is to tell that.
    `keyword_flags`: the document's.
    """

    newlines: int = 0
    reaches: tuple[Reach, ...] = ()
    elsewhere: tuple[int, ...] = ()
    keywords: tuple[int, ...] = ()
    keyless: tuple[int, ...] = ()
    asked: tuple[int, ...] = ()
    keyword_flags: bytes = b""


@dataclass(frozen=True, slots=True)
class StitchTask:
    """Join parts of one split document (`piece`: all of it) into its findings.

    `stretch`: None where these are all of its parts. `part`, `proof`: as a
    ScanTask's.
    """

    piece: Piece
    parts: tuple[PartResult, ...]
    stretch: Stretch | None = None
    part: str = ""
    proof: str = ""


class AuditCursor(NamedTuple):
    """How far an audit has come: rules before number `rule` are done, and of that one, matches that
    start before `pos`.

    `last_end`: where the latest match has ended, -1 for none. `keyword`: whether the rule has one
    of its keywords in the document; None if nobody has looked. `line`: of offset `line_at`, whose
    line starts at `line_start`. `seconds`: what it has taken. `found`: what the audit has found.
    """

    rule: int = 0
    pos: int = 0
    last_end: int = -1
    keyword: bool | None = None
    line_at: int = 0
    line: int = 1
    line_start: int = 0
    seconds: float = 0.0
    found: Tally = Tally()


BEGIN = AuditCursor()


@dataclass(frozen=True, slots=True)
class AuditTask:
    """Scan a document again, with google-re2 alone, and compare; or go on with that.

    `piece`: all of it. `evidence`: the bytes that were scanned. `found`: what the scan has found.
    `part`: an audit fills no file.
    """

    piece: Piece
    evidence: tuple[Evidence, ...]
    found: Tally
    cursor: AuditCursor = BEGIN
    part: ClassVar[str] = ""
    proof: ClassVar[str] = ""


Task: TypeAlias = ScanTask | StitchTask | AuditTask


def searched_elsewhere(parts: Sequence[PartResult]) -> tuple[int, ...]:
    """The rules that were searched in some of a document's parts, and not in all.

    One that nobody has searched has no keyword in the document.
    """
    nowhere = frozenset(parts[0].unsearched).intersection(*[p.unsearched for p in parts])
    return tuple(sorted({rule for part in parts for rule in part.unsearched} - nowhere))


def count(pieces: Iterable[Item]) -> int:
    """How many pieces and files of folders there are in `pieces`."""
    return sum([len(item.names) if isinstance(item, FolderRun) else 1 for item in pieces])


def split_at(pieces: Sequence[Item], position: int) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """The first `position` of `pieces`, as `count` counts them, and the others."""
    for i, item in enumerate(pieces):
        size = len(item.names) if isinstance(item, FolderRun) else 1
        if position < size:
            if position == 0 or not isinstance(item, FolderRun):
                return tuple(pieces[:i]), tuple(pieces[i:])
            left = item._replace(names=item.names[:position])
            right = item._replace(first=item.first + position, names=item.names[position:])
            return (*pieces[:i], left), (right, *pieces[i + 1 :])
        position -= size
    return tuple(pieces), ()


class Challenge(NamedTuple):
    """Compare `challenger` with the task's choice, on the same bytes.

    `pairs`: of runs, at most so many. `ns`: what the challenger's runs may take together; another
    one begins only where it is likely to end in that time, but for the first. `workload`: the class
    that it is about, by name: dispatches of documents of another size are left alone; "" for any.
    """

    challenger: Choice
    pairs: int
    ns: int
    workload: str = ""


class TrialPair(NamedTuple):
    """The bytes of a dispatch, scanned with the task's choice and with the challenger.

    `workload`: the class of these bytes, by name. `log_ratio`: log(challenger's time /
    incumbent's). `equal`: whether both found the same. `refused`: why the challenger could not be
    run, or what differed, in one line; "" for neither. `bytes`: of the dispatch.
    """

    challenger: Choice
    workload: str
    log_ratio: float
    incumbent_ns: int
    challenger_ns: int
    equal: bool
    refused: str = ""
    bytes: int = 0


class DocumentProblem(NamedTuple):
    """Why a document was not scanned to its end.

    `reason`: a reason code of the sources; `detail`: for people.
    """

    document: int
    reason: str
    detail: str


class DocumentNote(NamedTuple):
    """What is worth a word about a document that was scanned as planned."""

    document: int
    reason: str
    detail: str


class LargeDocument(NamedTuple):
    """A file that turned out to be larger than a shard; nothing of it was scanned.

    `piece`: all of it. `piece_bytes`: the size to cut it to.
    """

    piece: Piece
    piece_bytes: int


class AuditAnswer(NamedTuple):
    """What came of an AuditTask. `cursor`: where to go on; None when it is over.

    `reason`: "" where both have found the same, AUDIT_DIFFERS, or NOT_AUDITED.
    """

    cursor: AuditCursor | None
    reason: str = ""
    detail: str = ""


@dataclass(slots=True)
class TaskResult(Metrics):
    """What a worker did, and its metrics; mutable, since the engine fills it as it goes.

    Every document of the task is in exactly one of: finished, `parts`, `problems`, `skipped`,
    `large`, or among the `undone`. `skipped`: those that a global allowlist's path rules out.
    `undone`: how many at the task's end were not begun, as its files held a shard's bytes before.
    `scanned`: bytes by the backend that scanned them. `reaches`, `keywords`: of a stretch that was
    joined: at its end; those of the asked rules that have a keyword in the document. `audits`: of
    the finished documents that were chosen. `audit`: what came of one. `pairs`: of the task's
    trial. `ran`: what the latest dispatch ran with; `unfit`: why the task's choice can't be, and
    the default is run in its place. `programs`: what it runs by default, if that is known.
    `tried_ns`: what trials took beside the runs that count.
    """

    findings: Findings = field(default_factory=Findings)
    parts: list[PartResult] = field(default_factory=list)
    problems: list[DocumentProblem] = field(default_factory=list)
    notes: list[DocumentNote] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    large: list[LargeDocument] = field(default_factory=list)
    undone: int = 0
    seconds: float = 0.0
    pairs: list[TrialPair] = field(default_factory=list)
    ran: Choice = DEFAULT_CHOICE
    unfit: str = ""
    programs: ProgramFacts | None = None
    tried_ns: int = 0
    scanned: dict[str, int] = field(default_factory=dict)
    reaches: tuple[Reach, ...] = ()
    keywords: tuple[int, ...] = ()
    audits: list[AuditTask] = field(default_factory=list)
    audit: AuditAnswer | None = None


def without_tuning(result: TaskResult) -> TaskResult:
    """The result without what it says of how it came about, which a later run has no use for."""
    return replace(result, pairs=[], ran=DEFAULT_CHOICE, unfit="", programs=None, tried_ns=0)

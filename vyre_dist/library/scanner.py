"""Scanner: one rule pack, ready to scan bytes, text, batches and paths."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, SupportsIndex, TypeAlias, TypedDict, Unpack

from vyre_dist.driver.in_process_pool import InProcessPool
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.run import Callbacks, run_scan
from vyre_dist.engine.reported import Reporter
from vyre_dist.engine.shards import pack_shards
from vyre_dist.engine.tasks import Piece, ScanTask
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.errors import UsageError, as_int
from vyre_dist.finding import Finding
from vyre_dist.kernels import backend_warning
from vyre_dist.library.documents import (
    Content,
    check_batch,
    document_of,
    documents_of,
    rows_of,
)
from vyre_dist.library.engines import Engines
from vyre_dist.library.options import EngineOptions, WorkerOptions, audited, walk_options
from vyre_dist.library.pack_argument import PackArgument, load, names_files
from vyre_dist.library.path_scan import PathScan, ScanProgress
from vyre_dist.library.paths import PathRun
from vyre_dist.library.result import ScanResult
from vyre_dist.library.row_scan import RowFinding, RowScan, lists_for
from vyre_dist.library.tables import Table, findings_in_table
from vyre_dist.program import ArtifactCache
from vyre_dist.program.packs import LoadedPack
from vyre_dist.rules.codec import decode_pack, encode_pack
from vyre_dist.secret_key import SecretKey
from vyre_dist.sinks.redaction import redact as masked

if TYPE_CHECKING:
    from vyre_dist.engine.config import EngineConfig
    from vyre_dist.rules.diagnostics import Diagnostic
    from vyre_dist.rules.left_out import LeftOut

# Smaller batches are scanned document by document, so that the row databases need not be made.
_FEWEST_ROWS = 64
# So many documents of a batch are looked at together.
_CHUNK = 16384

FilePath: TypeAlias = str | os.PathLike[str]


class PathOptions(TypedDict, total=False):
    """The options of `Scanner.iter_paths`, which says what they mean."""

    include: Sequence[str]
    exclude: Sequence[str]
    max_file_size: SupportsIndex | None
    respect_gitignore: bool
    follow_symlinks: bool
    workers: SupportsIndex | None
    address: str | None
    autoscale: bool
    gpus: SupportsIndex | str | None
    audit: float | None
    progress: Callable[[ScanProgress], object] | None
    cancel: threading.Event | None


class Scanner:
    """Scans bytes, text and files with one rule pack.

    `pack`: a rule file, a folder of such files or a built-in pack's name, or a list of these; a
    RulePack; a dict of regexes by rule id; None for everything built in. `skip_unsupported`: as for
    RulePack.load. `backend`: `auto`, `cpu`, `cuda` or `reference`. `secret_key`: a SecretKey, or
    the path of a key file; findings have a `secret_id` under it. `redact`: the share of each secret
    to mask, in percent.

    `cache_dir`: where compiled packs are kept. Default: the user's cache folder for a pack from
    files, nowhere for a dict or PackData, as there may be many of those. `no_cache`: nowhere.
    `config`: everything else; its own `cache_dir` then takes the place of the default.
    `shard_bytes`, `max_match_bytes` and `speculation` may be given by keyword.

    Raises PackError or another UsageError for what it can't work with. Safe to use from several
    threads: each scan that is under way has an engine of its own. It can be pickled: its rules and
    options travel, and the path of a key file; a SecretKey does not.
    """

    def __init__(
        self,
        pack: PackArgument = None,
        backend: str = "auto",
        *,
        config: EngineConfig | None = None,
        shard_bytes: SupportsIndex | None = None,
        max_match_bytes: SupportsIndex | None = None,
        speculation: str | None = None,
        secret_key: SecretKey | FilePath | None = None,
        redact: SupportsIndex | None = None,
        cache_dir: FilePath | None = None,
        no_cache: bool = False,
        skip_unsupported: bool = False,
    ) -> None:
        options = EngineOptions.of(
            backend,
            config,
            shard_bytes=shard_bytes,
            max_match_bytes=max_match_bytes,
            speculation=speculation,
            cache_dir=cache_dir,
            no_cache=no_cache,
            keeps=names_files(pack),
        )
        config = options.config()
        loaded = load(pack, ArtifactCache(config.cache_dir), skip_unsupported=skip_unsupported)
        self._set_up(loaded, options, config, _key_source(secret_key), _share(redact))
        self._engines.give_back(self._engines.borrow())  # what is wrong with the rules is told now
        if slow := backend_warning(backend):
            warnings.warn(slow, RuntimeWarning, stacklevel=2)

    def _set_up(
        self,
        loaded: LoadedPack,
        options: EngineOptions,
        config: EngineConfig,
        key_source: SecretKey | str | None,
        redact: int | None,
    ) -> None:
        self._loaded, self._redact = loaded, redact
        self._options, self._config = options, config
        self._key_source = key_source
        self._key = SecretKey.load(key_source) if isinstance(key_source, str) else key_source
        # only scans of paths tell what an audit has come to
        self._engines = Engines(loaded.data, replace(config, audit_rate=0.0))
        self._reporter = Reporter(loaded.data.rules, self._key)

    @property
    def engine(self) -> ScanEngine:
        """The engine of the next scan, for its backend, speculator and compiled pack."""
        engine = self._engines.borrow()
        self._engines.give_back(engine)
        return engine

    @property
    def pack_warnings(self) -> tuple[Diagnostic, ...]:
        """What is odd about the pack's files but does no harm."""
        return self._loaded.warnings

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The rules that `skip_unsupported` has left out."""
        return self._loaded.left_out

    def scan(self, content: Content, path: str = "<bytes>") -> list[Finding]:
        """The findings in one document, in order of their start.

        Text stands for its UTF-8 bytes: offsets and columns count those. `path` is a local path,
        which is written as that of a file would be (docs/inputs.md), or a URL, which stays as it
        is. Raises UsageError for what is neither bytes-like nor str.
        """
        return self._scan_document(document_of(0, content, path))

    def scan_batch(self, documents: Iterable[Content | tuple[str, Content]]) -> list[list[Finding]]:
        """The findings of each document of a batch, in order: one list for each.

        A document is its content, or (path, content). Both are as for `scan`.
        """
        check_batch(documents)
        given = documents if isinstance(documents, list) else list(documents)
        if len(given) < _FEWEST_ROWS:
            return self._scan_pieces(documents_of(given))
        lists, scan = lists_for(given), self._rows()
        for first in range(0, len(given), _CHUNK):
            contents, paths = rows_of(given[first : first + _CHUNK], first)
            for row, finding in scan.in_rows(contents, paths):
                lists[first + row].append(finding)
        return lists

    def scan_table(
        self,
        table: Table,
        column: str | None = None,
        *,
        id_column: str | None = None,
        path: str = "<table>",
    ) -> Iterator[RowFinding]:
        """The findings in a column of Arrow data, in order, each with its row's number.

        `table`: a pyarrow Table, RecordBatch or RecordBatchReader, anything else with Arrow's C
        stream (a polars DataFrame, a DuckDB result), or an iterable of batches. Batches are taken
        as findings are asked for. `column`: a column of strings or binary values, large, views or
        of a fixed size, or a dictionary of these; it may be left out where there is only one such
        column. Each value is a document by itself, a null is none.

        `id_column`: a column of strings, binary values or integers that names the rows: a
        finding's `path` is the row's id, which decides like any path which rules apply. A row
        without an id, and each without `id_column`, has the path `PATH#NUMBER`. Raises UsageError
        for what is no table, and for columns that don't fit.
        """
        return findings_in_table(self._rows(), table, column, id_column, path)

    def scan_paths(
        self,
        paths: FilePath | Sequence[FilePath],
        **options: Unpack[PathOptions],
    ) -> ScanResult:
        """The findings in files, directories, globs and named pipes, with the totals of the scan.

        The options are `iter_paths`'s. Inputs that can't be read are among the result's `problems`.
        After `cancel` the result holds what was found until then, and `complete` is False.
        """
        with self.iter_paths(paths, **options) as scan:
            return scan.collect()

    def iter_paths(
        self,
        paths: FilePath | Sequence[FilePath],
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        max_file_size: SupportsIndex | None = None,
        respect_gitignore: bool = True,
        follow_symlinks: bool = False,
        workers: SupportsIndex | None = None,
        address: str | None = None,
        autoscale: bool = False,
        gpus: SupportsIndex | str | None = None,
        audit: float | None = None,
        progress: Callable[[ScanProgress], object] | None = None,
        cancel: threading.Event | None = None,
    ) -> PathScan:
        """Begin a scan of files, directories, globs and named pipes: an iterator over the findings.

        `include`, `exclude`: globs in gitignore's language. `max_file_size`: in bytes; larger files
        are left out and counted. `workers`: so many local processes; None: the calling process.
        `address`: a Ray cluster (`auto`, HOST:PORT, ray://HOST:PORT, or `local`) in their place,
        with `workers` actors at most; `autoscale`: it adds nodes when asked. `gpus`: of this
        machine, for local processes: how many, or a list with commas as CUDA_VISIBLE_DEVICES has
        it; None: all. `audit`: the share of all documents, chosen at random, that is scanned again
        with google-re2 alone; where that finds something else is a problem. `progress`: called
        after each round of the scan, in the thread that iterates. `cancel`: an event that ends the
        scan when it is set.

        A pipe is read to its end before anything is scanned. Raises UsageError for options that
        don't fit; the iterator raises one where pipes find no room or no worker can start, and
        ScanAbortedError where too many workers are lost.
        """
        run = PathRun(
            _names(paths),
            walk_options(include, exclude, max_file_size, respect_gitignore, follow_symlinks),
            WorkerOptions.of(workers, address, autoscale=autoscale, gpus=gpus),
            self._loaded.data,
            audited(self._config, audit),
            self._engines,
            self._key,
        )
        return PathScan(run.rounds, None if self._redact is None else self._shown, progress, cancel)

    def _rows(self) -> RowScan:
        # made for each scan: kept here, it would keep this object
        return RowScan(
            self._engines,
            self._reporter,
            self._config.shard_bytes,
            self._shown,
            self._scan_document,
        )

    def _shown(self, finding: Finding) -> Finding:
        return finding if self._redact is None else masked(finding, self._redact)

    def _scan_pieces(self, pieces: list[Piece]) -> list[list[Finding]]:
        """The findings of each of a few documents."""
        lists: list[list[Finding]] = [[] for _ in pieces]
        limit = self._config.shard_bytes
        paths = [piece.path for piece in pieces]
        engine = self._engines.borrow()
        try:
            for shard in pack_shards((piece for piece in pieces if piece.size <= limit), limit):
                rows = engine.run(ScanTask(tuple(shard))).findings
                for number, finding in self._reporter.findings(rows, paths.__getitem__):
                    lists[number].append(self._shown(finding))
        finally:
            self._engines.give_back(engine)
        for piece in pieces:
            if piece.size > limit:
                lists[piece.document] = self._scan_document(piece)
        return lists

    def _scan_document(self, piece: Piece) -> list[Finding]:
        engine = self._engines.borrow()
        try:
            if piece.size <= self._config.shard_bytes:
                rows = engine.run(ScanTask((piece._replace(document=0),))).findings
                reported = self._reporter.findings(rows, lambda _: piece.path)
                return [self._shown(finding) for _, finding in reported]
            findings: list[Finding] = []
            told = Callbacks(findings.extend, _nobody, _nobody, _nobody)
            plan, pool = Plan([piece], self._config.shard_bytes), InProcessPool(engine)
            run_scan(plan, pool, self._loaded.data.rules, told, secret_key=self._key)
            return [self._shown(finding) for finding in findings]
        finally:
            self._engines.give_back(engine)

    def __reduce__(self) -> tuple[object, ...]:
        if isinstance(self._key_source, SecretKey):
            raise TypeError(
                "a Scanner with a SecretKey does not leave its process: give secret_key the path "
                "of the key file instead, which travels in the key's place"
            )
        rules = encode_pack(self._loaded.data)
        told = self._loaded.warnings, self._loaded.left_out
        state = rules, told, self._options, self._key_source, self._redact
        return _restored, (type(self), *state)

    def __repr__(self) -> str:
        data = self._loaded.data
        return f"<Scanner {data.name!r}: {len(data.rules)} rules, backend {self._config.backend}>"


def _restored(
    kind: type[Scanner],
    rules: bytes,
    told: tuple[tuple[Diagnostic, ...], tuple[LeftOut, ...]],
    options: EngineOptions,
    key_source: str | None,
    redact: int | None,
) -> Scanner:
    """A Scanner that was pickled. Its engine is opened at the first scan."""
    scanner = kind.__new__(kind)
    loaded = LoadedPack(decode_pack(rules), *told)
    scanner._set_up(loaded, options, options.config(), key_source, redact)
    return scanner


def _names(paths: FilePath | Sequence[FilePath]) -> list[str]:
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    if isinstance(given, bytes | bytearray | memoryview):
        raise UsageError("paths are str or os.PathLike, found bytes: scan(content) scans those")
    names = []
    for path in given:
        if not isinstance(path, str | os.PathLike):
            raise UsageError(f"a path is str or os.PathLike, found {type(path).__name__}")
        names.append(os.fsdecode(path))
    return names


def _key_source(key: object) -> SecretKey | str | None:
    if key is None or isinstance(key, SecretKey):
        return key
    if isinstance(key, str | os.PathLike):
        return os.path.abspath(os.fsdecode(key))
    # what it is may be the key itself: it is not shown
    raise UsageError(
        f"secret_key is a SecretKey or the path of a key file, found {type(key).__name__}"
    )


def _share(redact: SupportsIndex | None) -> int | None:
    if redact is None:
        return None
    percent = as_int("redact", redact)
    if not 1 <= percent <= 100:
        raise UsageError(f"redact is a percentage, 1 to 100, found {percent}")
    return percent


def _nobody(*_: object) -> None:
    """Nobody wants to know."""

"""Turns what the user named (files, directories, globs) into a stream of documents, in a fixed
order.

A scan uses `walk_folders`: the files of a directory come together, by name only. `walk` gives each
of them with its size.

Arguments keep their order; tree.py defines the order inside of a directory. An input that cannot be
scanned is yielded as an InputProblem; an entry that is left out on purpose is counted in WalkStats.
Only directories and ignore files are opened: whoever reads a file finds out that it can't be read
(see problem_of).

Decisions:
- Paths are those on disk until `_Walk.run` yields them in their written form (document_paths.py).
- An argument is taken whatever ignore files say of it, and a link given as an argument is followed.
  Links met inside of a directory are left out and counted, unless `follow_symlinks`.
- If arguments overlap or links are followed, a document is yielded once; once.py defines what one
  document is. Each argument yields what it would yield alone, whatever came before it.
- `.git` directories are left out and counted unless `git_dir`: their objects are compressed
  copies.
- .gitignore files count in a git repository from its top level down, the part above the argument
  included; a nested repository starts afresh. A file that the index lists is never ignored. Both
  are git's rules.
- Outside of repositories .gitignore files count from the argument down, unless `require_git`. An
  argument's own file that would leave nothing of it, as in Debian's unpacked sources, is not used,
  and noted in WalkStats.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice

from vyre_dist.document_paths import needs_escape, normal_path, written_path
from vyre_dist.input_problem import InputProblem
from vyre_dist.own_files import SUFFIX
from vyre_dist.sources import globs
from vyre_dist.sources.document import (
    DocumentRef,
    FolderFiles,
    ignore_file_problem,
    problem_of,
    special_file_problem,
)
from vyre_dist.sources.file_names import FileNames
from vyre_dist.sources.gitignore import IgnoreChain
from vyre_dist.sources.listings import Listings
from vyre_dist.sources.once import Once
from vyre_dist.sources.path_globs import PathGlobs, from_here
from vyre_dist.sources.pipes import FileId, Pipes
from vyre_dist.sources.repository import rules_above
from vyre_dist.sources.tree import Frame, WalkRules, walk_tree
from vyre_dist.sources.walk_options import WalkOptions
from vyre_dist.sources.walk_stats import WalkStats

Item = FolderFiles | DocumentRef | InputProblem


def walk(
    paths: Iterable[str | bytes | os.PathLike[str]],
    options: WalkOptions = WalkOptions(),  # noqa: B008 (frozen)
    *,
    own_files: Set[tuple[int, int]] = frozenset(),
    stats: WalkStats | None = None,
    names: Iterable[str | bytes | os.PathLike[str]] = (),
    pipes: Pipes | None = None,
) -> Iterator[DocumentRef | InputProblem]:
    """Yield every document below `paths`, and a problem for every input that cannot be one.

    The parameters are walk_folders'.
    """
    stats = stats if stats is not None else WalkStats()
    items = walk_folders(paths, options, own_files=own_files, stats=stats, names=names, pipes=pipes)
    return _with_sizes(items, stats)


def walk_folders(
    paths: Iterable[str | bytes | os.PathLike[str]],
    options: WalkOptions = WalkOptions(),  # noqa: B008 (frozen)
    *,
    own_files: Set[tuple[int, int]] = frozenset(),
    stats: WalkStats | None = None,
    names: Iterable[str | bytes | os.PathLike[str]] = (),
    pipes: Pipes | None = None,
    listings: Listings | None = None,
) -> Iterator[Item]:
    """Yield the files below `paths` folder by folder, files that were named themselves as
    documents, and a problem for every input that cannot be one.

    `own_files` are (device, inode) of regular files to leave out as the scan's own. `names` come
    after `paths` and are taken literally: there is no glob among them. Both are read as they are
    needed, but for the first two arguments, which are read at once. `pipes`: the content of named
    pipes among `paths` (pipes.py); any other pipe is a problem. `stats` gets the counts.
    `listings`: lists folders ahead.
    """
    given = chain(
        ((os.fsdecode(path), True) for path in paths),
        ((os.fsdecode(name), False) for name in names),
    )
    first = list(islice(given, 2))
    twice = (
        len(first) > 1
        or options.follow_symlinks
        or any(may and globs.has_glob(path) for path, may in first)
    )
    rules = WalkRules(options, Once() if twice else None, own_files, listings=listings)
    stats = stats if stats is not None else WalkStats()
    include, exclude = PathGlobs(options.include), PathGlobs(options.exclude)
    walker = _Walk(rules, include, exclude, stats, dict(pipes or {}))
    return walker.run(chain(first, given))


def _with_sizes(items: Iterable[Item], stats: WalkStats) -> Iterator[DocumentRef | InputProblem]:
    """`items`, with each file of a folder as a document of its own."""
    for item in items:
        if not isinstance(item, FolderFiles):
            yield item
            continue
        for name in item.names:
            path = item.prefix + name
            on_disk = path if item.open_prefix is None else item.open_prefix + name
            try:
                info = os.stat(on_disk)
            except OSError as error:
                found: DocumentRef | InputProblem = problem_of(path, error)
            else:
                found = _document(path, info, "" if on_disk == path else on_disk)
            if isinstance(found, DocumentRef):
                stats.bytes += found.size
            else:  # it was a file a moment ago, when the folder was listed
                stats.files -= 1
                stats.problems += 1
            yield found


def _ref(path: str, info: os.stat_result, open_path: str = "") -> DocumentRef:
    numbers = info.st_size, info.st_mtime_ns, info.st_ino
    return DocumentRef(path, *numbers, open_path, "file", info.st_ctime_ns)


def _document(path: str, info: os.stat_result, open_path: str) -> DocumentRef | InputProblem:
    if stat.S_ISREG(info.st_mode):
        return _ref(path, info, open_path)
    if stat.S_ISDIR(info.st_mode):
        return InputProblem(path, "vanished", "a folder has taken the file's place")
    return special_file_problem(path, info)


def _written(item: Item) -> Iterator[Item]:
    """`item` with its paths, which are those on disk, in their written form."""
    if isinstance(item, InputProblem):
        yield InputProblem(written_path(item.path), item.reason, item.detail)
    elif isinstance(item, DocumentRef):
        apart = needs_escape(item.path) and (path := written_path(item.path)) != item.path
        yield item._replace(path=path, open_path=item.open_path or item.path) if apart else item
    elif not isinstance(item.names, FileNames) and needs_escape("/".join(item.names)):
        yield from _names_apart(item)
    else:
        prefix = _written_prefix(item.prefix)
        yield item if prefix == item.prefix else FolderFiles(prefix, item.names, item.prefix)


def _names_apart(files: FolderFiles) -> Iterator[FolderFiles]:
    """`files`, with each name apart whose written form differs from that on disk; in order."""
    prefix = _written_prefix(files.prefix)
    open_prefix = None if prefix == files.prefix else files.prefix
    for special, names in groupby(files.names, needs_escape):
        if special:
            for name in names:
                yield FolderFiles(written_path(files.prefix + name), [""], files.prefix + name)
        else:
            yield FolderFiles(prefix, list(names), open_prefix)


def _written_prefix(prefix: str) -> str:
    """The written form of a folder's prefix, which ends in a slash unless it is empty."""
    return written_path(prefix).rstrip("/") + "/" if needs_escape(prefix) else prefix


@dataclass(frozen=True, slots=True)
class _Walk:
    rules: WalkRules
    include: PathGlobs
    exclude: PathGlobs
    stats: WalkStats
    pipes: dict[FileId, DocumentRef | InputProblem | None]
    walked: set[str] = field(default_factory=set)

    def run(self, given: Iterable[tuple[str, bool]]) -> Iterator[Item]:
        for path, may_be_glob in given:
            for item in self._given(path, may_be_glob):
                if isinstance(item, InputProblem):
                    self.stats.problems += 1
                yield from _written(item)

    def _given(self, path: str, may_be_glob: bool) -> Iterator[Item]:
        try:
            info = os.stat(path)
        except ValueError as error:  # a NUL in the name
            yield InputProblem(path, "invalid-name", str(error))
        except OSError as error:
            if os.path.lexists(path) or not (may_be_glob and globs.has_glob(path)):
                yield _missing(normal_path(path), error)
                return
            empty = True
            for found in globs.expand(path):
                empty = False
                if isinstance(found, InputProblem):
                    yield found
                    continue
                try:
                    info = os.stat(found)
                except OSError as gone:
                    yield _missing(found, gone)
                else:
                    yield from self._argument(found, info, named=False)
            if empty:
                what = "no directory" if path.endswith("/") else "nothing"
                yield InputProblem(
                    path, "not-found", f"no such file, and as a glob it matches {what}"
                )
        else:
            yield from self._argument(path, info, named=may_be_glob)

    def _argument(self, path: str, info: os.stat_result, named: bool) -> Iterator[Item]:
        """Yield an argument's documents. `named`: by the user, not by a list or a glob's match."""
        rules, options, stats = self.rules, self.rules.options, self.stats
        # not earlier: `file/` is no file
        path = normal_path(path)
        normal = from_here(path)
        is_dir = stat.S_ISDIR(info.st_mode)
        if SUFFIX in normal or (info.st_dev, info.st_ino) in rules.own_files:
            stats.skipped["own-file"] += 1
            return
        if self.exclude.match(normal, is_dir):
            stats.skipped["excluded-glob"] += 1
            return
        included = not self.include or self.include.match(normal, is_dir)
        if is_dir:
            if rules.once is not None:
                if normal in self.walked:
                    # it would yield nothing but its problems once more
                    stats.skipped["duplicate"] += 1
                    return
                self.walked.add(normal)
            errors: list[OSError] = []
            above = (
                rules_above(path, rules.repositories, errors) if options.respect_gitignore else None
            )
            loose = above is None and not options.require_git
            ignore, tracked = above or (IgnoreChain() if loose else None, None)
            yield from map(ignore_file_problem, errors)
            prefix = "" if path == "." else path.rstrip("/") + "/"
            globbed = self.exclude.chain(normal), self.include.chain(normal)
            frame = Frame(path, prefix, ignore, *globbed, included, loose=loose, tracked=tracked)
            if rules.once is not None:
                rules.once.next_argument()
            yield from walk_tree(frame, rules, stats)
        elif not stat.S_ISREG(info.st_mode) and not (
            named and (info.st_dev, info.st_ino) in self.pipes
        ):
            yield special_file_problem(path, info)
        elif not included:
            stats.skipped["not-included"] += 1
        elif not stat.S_ISREG(info.st_mode):
            yield from self._pipe(path, (info.st_dev, info.st_ino))
        elif options.max_file_size is not None and info.st_size > options.max_file_size:
            stats.skipped["too-large"] += 1
        elif rules.once is not None and not rules.once.claim_file(path):
            stats.skipped["duplicate"] += 1
        else:
            stats.files += 1
            stats.bytes += info.st_size
            yield _ref(path, info)

    def _pipe(self, path: str, identity: FileId) -> Iterator[Item]:
        """Yield a named pipe's document or problem, the first time that it is named."""
        found, self.pipes[identity] = self.pipes[identity], None
        if found is None:
            self.stats.skipped["duplicate"] += 1
        elif isinstance(found, InputProblem):
            yield replace(found, path=path)
        else:
            self.stats.files += 1
            self.stats.bytes += found.size
            yield found._replace(path=path)


def _missing(path: str, error: OSError) -> InputProblem:
    return problem_of(
        path, error, missing="dangling-symlink" if os.path.islink(path) else "not-found"
    )

"""Turns one directory tree into a stream of folders with their files. This loop has to be quick.

A directory's files come first, then its subdirectories, each sorted by the bytes of their names.
The listing tells an entry's kind, and that is enough: asking for each file's size would cost three
times as much as the listing itself. walk.py takes arguments and options; gitignore.py decides what
is ignored.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter

from vyre_dist.input_problem import InputProblem
from vyre_dist.own_files import SUFFIX
from vyre_dist.sources.document import (
    FolderFiles,
    ProblemReason,
    ignore_file_problem,
    problem_of,
    special_file_problem,
)
from vyre_dist.sources.gitignore import IgnoreChain
from vyre_dist.sources.listings import Listings
from vyre_dist.sources.once import Met, Once
from vyre_dist.sources.repository import read_ignore_file, repository_rules, tracked_in
from vyre_dist.sources.tracked import Repositories, Tracked
from vyre_dist.sources.walk_options import WalkOptions
from vyre_dist.sources.walk_stats import SkipReason, WalkStats

#: reasons that depend on the argument that a name is reached from
_BY_ARGUMENT: frozenset[SkipReason] = frozenset({"gitignored", "excluded-glob", "not-included"})
_NOTHING: frozenset[str] = frozenset()
_LISTED_AHEAD = 64
"""Folders that are named to who lists them."""
_name_of = attrgetter("name")


@dataclass(frozen=True, slots=True)
class WalkRules:
    """What holds for a whole walk.

    `once`: what has been met, None where nothing can be met twice. `own_files`: (device, inode) of
    regular files. `listings`: lists folders ahead; None where nobody does.
    """

    options: WalkOptions
    once: Once | None
    own_files: Set[tuple[int, int]] = frozenset()
    repositories: Repositories = field(default_factory=Repositories)
    listings: Listings | None = None

    @property
    def takes_plain_folders(self) -> bool:
        """Whether all of a plain folder is taken, as far as the options say."""
        o = self.options
        return self.once is None and o.max_file_size is None and o.hidden


@dataclass(frozen=True, slots=True)
class Frame:
    """A directory still to be listed: `location` to open, `prefix` to show before a name.

    `ignore`: the chain before the directory's own ignore file; None if ignore files do not count
    here. `included`: an include glob matched a directory above it, or there are no such globs.
    `above`: the directories that led here, kept only if the walk has a `once`. `loose`: an argument
    outside of any repository. `tracked`: what git tracks here, None for nothing.
    """

    location: str
    prefix: str
    ignore: IgnoreChain | None
    exclude: IgnoreChain
    include: IgnoreChain
    included: bool
    above: frozenset[tuple[int, int]] = frozenset()
    loose: bool = False
    tracked: Tracked | None = None

    @property
    def takes_all(self) -> bool:
        """Whether everything in here is taken that is plain (listings.py)."""
        return self.included and not (self.ignore or self.exclude or self.include or self.tracked)

    def enter(self, name: str) -> Frame:
        """A folder in here, where everything is taken."""
        return Frame(
            self.prefix + name,
            self.prefix + name + "/",
            self.ignore,
            self.exclude,
            self.include,
            self.included,
            self.above,
        )


def walk_tree(
    root: Frame, rules: WalkRules, stats: WalkStats
) -> Iterator[FolderFiles | InputProblem]:
    """Yield the files and problems below `root`, and count into `stats`."""
    stack = [root]
    listings = rules.listings if rules.takes_plain_folders else None
    while stack:
        frame, plain = stack.pop(), None
        below: list[Frame] = []
        if listings is not None and frame.takes_all:
            plain = listings.of(frame.location)
        if plain is not None:
            if plain.files:
                stats.files += len(plain.files)
                yield FolderFiles(frame.prefix, plain.files)
            stats.directories += 1
            below += [frame.enter(name) for name in plain.folders]
        else:
            for item in _walk_folder(frame, rules, stats, below):
                if isinstance(item, FolderFiles):
                    stats.files += len(item.names)
                yield item
        below.reverse()
        stack += below
        if listings is not None and listings.wants_more():
            following = reversed(stack[-_LISTED_AHEAD:])
            listings.want([frame.location for frame in following if frame.takes_all])


def _walk_folder(
    frame: Frame, rules: WalkRules, stats: WalkStats, below: list[Frame]
) -> Iterator[FolderFiles | InputProblem]:
    """The files and problems of one directory; `below` gets its subdirectories, in order."""
    options, once, skipped = rules.options, rules.once, stats.skipped
    limit = options.max_file_size
    entries: list[os.DirEntry[str]] = []
    above, identity = frame.above, (0, 0)
    met: Met | None = None
    try:
        if once is not None:
            info = os.stat(frame.location)
            identity = (info.st_dev, info.st_ino)
            if identity in above:
                once.mark_partial(above)
                yield InputProblem(
                    frame.location, "symlink-loop", "leads back to a directory above it"
                )
                return
            met = once.claim_directory(identity, above)
            if met is None:
                skipped["duplicate"] += 1
                return
            above = above | {identity}
        with os.scandir(frame.location) as listing:
            entries.extend(listing)
    except OSError as error:
        yield problem_of(frame.location, error)
        # the entries before an error in the middle of a listing are scanned all the same
        if once is not None and met is not None:
            once.give_back(identity, met, map(_name_of, entries))
    # None: this is the directory's first listing
    left_out_before = None if met is None else met.left_out
    if left_out_before is None:
        stats.directories += 1
    names = list(map(_name_of, entries))
    # the surrogates of undecodable bytes do not sort as the bytes do
    joined = "".join(names)
    order = None if joined.isascii() else os.fsencode
    own = {name for name in names if name.endswith(SUFFIX)} if SUFFIX in joined else set()
    if rules.own_files:
        inodes = {inode for _, inode in rules.own_files}
        own.update(e.name for e in entries if e.inode() in inodes and _is_own(e, rules.own_files))
    try:
        directories = {e.name for e in entries if e.is_dir(follow_symlinks=False)}
    except OSError:  # this file system's listings tell no kinds, so each entry was looked at
        directories = {e.name for e in entries if _is_directory(e)}
    folders = directories
    if options.follow_symlinks:
        folders = directories.union(e.name for e in entries if _is_link_to_directory(e))
    already: Set[str] = _NOTHING if met is None else met.taken.intersection(names)
    if left_out_before is not None:
        already = already | set(names).difference(folders, left_out_before)
        if already:
            skipped["duplicate"] += 1
    ignore, tracked = frame.ignore, frame.tracked
    if options.respect_gitignore:
        errors: list[OSError] = []
        ignore, tracked = _own_rules(frame, names, rules.repositories, errors)
        yield from map(ignore_file_problem, errors)
    ignored: Set[str] = ignore.ignored(names, directories) if ignore else _NOTHING
    if tracked is not None and tracked.alone:
        ignored = set(names)
    kept: Set[str] = _NOTHING
    if ignored and tracked is not None:
        kept = tracked.among(ignored, directories)
        ignored = ignored - kept
        if (problem := tracked.repository.take_problem()) is not None:
            yield problem
    if frame.loose and names and len(ignored) == len(names) and ".git" not in names:
        # Debian's unpacked sources end their list in "/*": not meant for who names this very folder
        stats.unused_ignore_files.append(f"{frame.prefix}.gitignore")
        ignore, ignored = frame.ignore, _NOTHING
    # to git a link is a file wherever it leads; to globs it is what will be walked
    excluded = frame.exclude.ignored(names, folders) if frame.exclude else _NOTHING
    wanted = frame.include.ignored(names, folders) if frame.include else _NOTHING
    all_wanted = frame.included and options.hidden and not (ignored or excluded or already or own)
    prefix = frame.prefix
    files: list[str] = []
    if all_wanted and limit is None:
        # nearly every folder of a tree: only files and folders, and all of them wanted
        with suppress(OSError):  # the loop below tells which entry failed
            files = [e.name for e in entries if e.is_file(follow_symlinks=False)]
        if len(files) + len(directories) == len(entries):
            files.sort(key=order)
            entries = [e for e in entries if e.name in directories] if directories else []
        else:
            files = []
    by_name: dict[str, SkipReason] = {}
    if not all_wanted:
        if not frame.included:
            by_name |= dict.fromkeys(set(names).difference(folders, wanted), "not-included")
        if not options.hidden:
            by_name |= dict.fromkeys([n for n in names if n.startswith(".")], "hidden")
        by_name |= dict.fromkeys(ignored, "gitignored")
        by_name |= dict.fromkeys(excluded, "excluded-glob")
        by_name |= dict.fromkeys(already, "duplicate")
        by_name |= dict.fromkeys(own, "own-file")
        if once is not None:
            if not _BY_ARGUMENT.isdisjoint(by_name.values()):
                once.mark_partial(above)
            # before any link is followed: it may lead to one of these
            for name in by_name.keys() - already:
                once.leave_out(identity, name)
    if len(entries) > 1:
        entries.sort(key=_name_of if order is None else lambda e: os.fsencode(e.name))
    for entry in entries:
        name = entry.name
        is_dir = name in directories
        reason = by_name.get(name)
        if is_dir and name == ".git":
            reason = None if options.git_dir else "git-dir"
        if reason is None and not is_dir:
            is_link = False
            try:
                info = entry.stat(follow_symlinks=False)
                is_link = stat.S_ISLNK(info.st_mode)
                if is_link and (once is None or not options.follow_symlinks):
                    reason = "symlink"
                elif is_link and once is not None:
                    info = entry.stat()
                    if stat.S_ISREG(info.st_mode):
                        if (info.st_dev, info.st_ino) in rules.own_files:
                            reason = "own-file"
                        elif limit is not None and info.st_size > limit:
                            reason = "too-large"  # like the file itself, whatever it is called
                        elif not once.claim_file(prefix + name):
                            reason = "duplicate"
                is_dir = stat.S_ISDIR(info.st_mode)
            except OSError as error:
                missing: ProblemReason = "dangling-symlink" if is_link else "vanished"
                if files:
                    yield FolderFiles(prefix, files)
                    files = []
                yield problem_of(prefix + name, error, missing=missing)
                continue
            if reason is None and not is_dir:
                if not stat.S_ISREG(info.st_mode):
                    if files:
                        yield FolderFiles(prefix, files)
                        files = []
                    yield special_file_problem(prefix + name, info)
                    continue
                if limit is None or info.st_size <= limit:
                    files.append(name)
                    continue
                reason = "too-large"
        if reason is None:
            if name in directories:
                tracked_below = tracked and tracked.enter(name, alone=name in kept)
            else:  # a link: git knows what it leads to by its own path
                tracked_below = (
                    tracked_in(prefix + name, rules.repositories)
                    if options.respect_gitignore
                    else None
                )
            below.append(
                Frame(
                    prefix + name,
                    prefix + name + "/",
                    ignore.enter(name) if ignore is not None and name != ".git" else None,
                    frame.exclude.enter(name),
                    frame.include.enter(name),
                    frame.included or name in wanted,
                    above,
                    tracked=tracked_below,
                )
            )
        else:
            # a folder that is listed again has been counted, and so have the entries it left out
            if left_out_before is None or not (reason == "duplicate" or name in left_out_before):
                skipped[reason] += 1
            if once is not None and name not in by_name and reason != "duplicate":
                once.leave_out(identity, name)
    if files:
        yield FolderFiles(prefix, files)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """False also if that can't be told; the loop over the entries yields the problem."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_link_to_directory(entry: os.DirEntry[str]) -> bool:
    """True also if the target can't be reached; the loop over the entries yields the problem."""
    try:
        if not entry.is_symlink():
            return False
    except OSError:
        return False
    try:
        return entry.is_dir()
    except NotADirectoryError:  # it goes through a file
        return False
    except OSError:
        return True


def _is_own(entry: os.DirEntry[str], own_files: Set[tuple[int, int]]) -> bool:
    try:
        info = entry.stat(follow_symlinks=False)
    except OSError:  # the loop over the entries yields the problem
        return False
    return (info.st_dev, info.st_ino) in own_files


def _own_rules(
    frame: Frame, names: list[str], repositories: Repositories, errors: list[OSError]
) -> tuple[IgnoreChain | None, Tracked | None]:
    """The rules from above with the directory's own .gitignore; new ones at a repository's top
    level.
    """
    ignore, tracked = frame.ignore, frame.tracked
    if ".git" in names:
        fresh = repository_rules(frame.location, repositories, errors)
        ignore, tracked = (ignore, tracked) if fresh is None else fresh
    # if only tracked files count, there is nothing left to ignore
    if ignore is not None and ".gitignore" in names and not (tracked and tracked.alone):
        own = read_ignore_file(os.path.join(frame.location, ".gitignore"), errors)
        ignore = ignore if own is None else ignore.with_file(own)
    return ignore, tracked

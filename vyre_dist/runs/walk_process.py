"""WalkProcess: lists a run's inputs in a process of its own.

Listing takes the driver twice as long as all else that it does for a file. Many workers, or a GPU,
read faster than that.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import msgpack

from vyre_dist.errors import VyreError
from vyre_dist.input_problem import InputProblem
from vyre_dist.processes.child import Child
from vyre_dist.processes.messages import DONE, FAILED, READY, message, read_message, text_message
from vyre_dist.processes.serve import detail_of
from vyre_dist.processes.start import fork
from vyre_dist.runs.folder_listers import FolderListers
from vyre_dist.sources import DocumentRef, FileNames, FolderFiles, WalkStats

_FEWEST_PROCESSORS = 8
"""With fewer, the workers leave nothing for one more process."""

# few at first, so that the workers have something to do
_FIRST_NAMES, _MOST_NAMES = 64, 4096
_MOST_AHEAD = 128
"""Messages that wait for the driver: some hundred thousand names, in a few megabytes."""
_LONGEST_SECONDS = 0.05
"""A message holds so many names, or what could be listed in this time."""

_FOLDER, _DOCUMENT, _PROBLEM = range(3)

Item: TypeAlias = FolderFiles | DocumentRef | InputProblem


class WalkLostError(VyreError):
    """The process that lists the inputs has ended before it was done."""


def pays(paths: Sequence[str]) -> bool:
    """Whether to list `paths` in a process of its own, where that can be forked."""
    return (
        len(os.sched_getaffinity(0)) >= _FEWEST_PROCESSORS
        and sys.platform == "linux"
        and threading.active_count() == 1
        and any(map(os.path.isdir, paths))
    )


class WalkProcess:
    """Yields what `walk` does, which runs in a process forked here; to be closed.

    `stats`: what `walk` counts into; here they are as of the latest items. `listers`: those that
    `walk` asks; they live as long as this. Raises OSError where no process can be started.
    """

    def __init__(
        self, walk: Iterable[Item], stats: WalkStats, listers: FolderListers | None = None
    ) -> None:
        self._stats, self._listers = stats, listers
        try:
            if listers is not None:
                listers.start()
            self._child: Child = fork(lambda theirs: _list(walk, stats, theirs), "vyre-walk", ())
        except OSError:
            if listers is not None:
                listers.close()
            raise
        if listers is not None:
            listers.let_go()

    def close(self) -> None:
        """End the process, and those that list for it."""
        if self._child.process is not None:
            self._child.terminate()
            self._child.end()
            self._child.process = None
        if self._listers is not None:
            self._listers.close()

    def __iter__(self) -> Iterator[Item]:
        """The items, from which on the process lists. Raises WalkLostError."""
        connection = self._child.connection
        try:
            connection.send_bytes(message(READY))
            while True:
                said = read_message(connection.recv_bytes())
                if said.kind == FAILED:
                    raise WalkLostError(f"the inputs could not be listed: {said.text}")
                items, is_last = _decode(said.body, self._stats)
                yield from items
                if is_last:
                    return
        except (EOFError, OSError) as error:
            death = self._child.death("the process that lists them,")
            raise WalkLostError(f"not all inputs are known: {death}") from error


def _list(walk: Iterable[Item], stats: WalkStats, connection: Connection) -> None:
    """The process's life."""
    # not before the first items are wanted: the outputs may not have been opened yet
    with suppress(EOFError, OSError):  # the driver is gone
        connection.recv_bytes()
        with closing(_Ahead(connection.send_bytes)) as ahead:
            try:
                _send_all(walk, stats, ahead.send)
            except ConnectionError:
                raise
            except Exception as error:  # noqa: BLE001 - the driver tells
                ahead.send(text_message(FAILED, detail_of(error)))


class _Ahead:
    """Sends messages on a thread, in order: the walk goes on while the driver does something else.

    A pipe holds few: with nothing between them, one of the two would wait for the other most of the
    time.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_MOST_AHEAD)
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._send_on, daemon=True)
        self._thread.start()

    def send(self, data: bytes) -> None:
        """Send it soon; waits where many wait. Raises OSError: nobody hears of it any more."""
        self._waiting.put(data)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Wait until all is sent, or nobody hears of it any more."""
        self._waiting.put(None)
        self._thread.join()

    def _send_on(self) -> None:
        while (data := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._send(data)
                except OSError as error:
                    self._error = error


def _send_all(walk: Iterable[Item], stats: WalkStats, send: Callable[[bytes], None]) -> None:
    packed: list[object] = []
    names, most, since = 0, _FIRST_NAMES, time.monotonic()
    for item in walk:
        if isinstance(item, FolderFiles):
            packed.append((_FOLDER, item.prefix, FileNames.of(item.names).packed, item.open_prefix))
            names += len(item.names)
        elif isinstance(item, DocumentRef):
            packed.append((_DOCUMENT, *item))
            names += 1
        else:
            packed.append((_PROBLEM, item.path, item.reason, item.detail))
            names += 1
        if names >= most or time.monotonic() - since > _LONGEST_SECONDS:
            send(_encode(packed, stats, is_last=False))
            packed.clear()
            names, most, since = 0, min(2 * most, _MOST_NAMES), time.monotonic()
    send(_encode(packed, stats, is_last=True))


def _encode(items: list[object], stats: WalkStats, *, is_last: bool) -> bytes:
    counts = (stats.files, stats.directories, stats.bytes, stats.problems)
    body = (items, is_last, counts, dict(stats.skipped), stats.unused_ignore_files)
    packed: bytes = msgpack.packb(body, unicode_errors="surrogateescape")
    return message(DONE, packed)


def _decode(body: memoryview, stats: WalkStats) -> tuple[list[Item], bool]:
    """The items of a message, and whether they are the last; `stats` is brought up to date."""
    items, is_last, counts, skipped, unused = msgpack.unpackb(
        body, unicode_errors="surrogateescape"
    )
    stats.files, stats.directories, stats.bytes, stats.problems = counts
    stats.skipped = Counter(skipped)
    stats.unused_ignore_files[:] = unused
    return [_item(*each) for each in items], is_last


def _item(kind: int, *fields: Any) -> Item:
    if kind == _FOLDER:
        prefix, names, open_prefix = fields
        return FolderFiles(prefix, FileNames(names), open_prefix)
    if kind == _DOCUMENT:
        return DocumentRef._make(fields)
    return InputProblem(*map(str, fields))

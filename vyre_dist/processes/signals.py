"""Signals that end a driver: blocked while it starts processes, and its handlers kept."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker

from vyre_dist.import_path import guarded_children

ENDING = frozenset({signal.SIGTERM, signal.SIGHUP})
"""Beside Ctrl-C. A process that was started with them held back lets them through when it has seen
to its own handlers.
"""


@contextlib.contextmanager
def signals_blocked(spawns: bool) -> Iterator[None]:
    """Ctrl-C and ENDING wait until the end of this; processes started in it never get them.

    Ctrl-C reaches the whole process group, but it is the driver that ends its processes.

    `spawns`: by multiprocessing's spawn, which starts a process of its own before the first one,
    and then lets signals in. None of them looks for code in the working directory.
    """
    with guarded_children() if spawns else contextlib.nullcontext():
        yield from _blocked(spawns)


def _blocked(spawns: bool) -> Iterator[None]:
    if spawns:
        resource_tracker.ensure_running()
    held = {signal.SIGINT, *ENDING}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        with _handlers_wait(held):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _handlers_wait(held: set[signal.Signals]) -> Iterator[None]:
    """Replace the handlers meanwhile, too: the mask is this thread's only.

    Where another thread, NumPy's say, gets a signal, its handler runs in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {each: signal.getsignal(each) for each in held}
    # a signal that is ignored is so in the processes that are started, too
    handlers = {each: own for each, own in handlers.items() if own not in (None, signal.SIG_IGN)}
    for each in handlers:
        signal.signal(each, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for each, own in handlers.items():
            signal.signal(each, own)
        for number in came:
            signal.raise_signal(number)


@contextlib.contextmanager
def handlers_restored() -> Iterator[None]:
    """Restores the handlers of Ctrl-C and ENDING on exit.

    ray.init and ray.shutdown set their own and leave them there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, *ENDING)}
    try:
        yield
    finally:
        for each, own in handlers.items():
            if own is not None:  # None: it was not Python that set it
                signal.signal(each, own)

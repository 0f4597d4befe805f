"""The command `vyre-dist`: its subcommands, and how errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

import click

from vyre_dist import __version__
from vyre_dist.actors import outcome
from vyre_dist.cli import log
from vyre_dist.cli.exit_codes import Ended, ExitCode
from vyre_dist.errors import UsageError, VyreError

_NAME = "vyre-dist"
_COMPLETE = "_VYRE_DIST_COMPLETE"

_FINALIZERS = os.path.join("multiprocessing", "util.py")
_AGAIN_SECONDS = 0.01
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CLEAN_UP_SECONDS = 5.0
_left_at: float | None = None

# name -> (module, attribute): only who calls a subcommand pays for its imports
_COMMANDS = {
    "scan": ("vyre_dist.cli.scan", "scan"),
    "merge": ("vyre_dist.cli.merge", "merge"),
    "status": ("vyre_dist.cli.status", "status"),
    "rules": ("vyre_dist.cli.rules", "rules"),
    "submit": ("vyre_dist.cli.submit", "submit"),
    "jobs": ("vyre_dist.cli.jobs", "jobs"),
    "autotune": ("vyre_dist.cli.autotune", "autotune"),
    "clean": ("vyre_dist.cli.clean", "clean"),
    "doctor": ("vyre_dist.cli.doctor", "doctor"),
}


class _LazyGroup(click.Group):
    """A group that imports a subcommand when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        import importlib

        module, attribute = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=_NAME)
def cli() -> None:
    """Scan very large corpora with whole rule packs: on this machine, or on a Ray cluster of GPUs.

    Exit codes: 0 nothing found, 1 findings, 2 bad usage or rules, 3 some input could not be
    scanned.
    """


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with an ExitCode."""
    # imports and a plan make many small objects and no cycles: the collector's usual rhythm would
    # take 3 % of the time
    gc.set_threshold(50_000, 20, 100)
    _fill_closed_streams()
    args = sys.argv[1:] if args is None else args
    log.choose(args)
    end_in_order()
    try:
        ended = _run(args)
    finally:
        _signals_done()
    _exit(ended if isinstance(ended, Ended) else Ended(ended))


def _fill_closed_streams() -> None:
    """Open a file that can't be written in place of each standard stream that is closed.

    Otherwise the next file to be opened would take the stream's number. Output that is lost so is
    an error.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        nothing = os.open(os.devnull, os.O_RDONLY)
        if nothing != number and not _is_open(number):
            os.dup2(nothing, number)
            os.close(nothing)
            nothing = number
        os.set_inheritable(nothing, True)
        if name != "stdin":
            # a file of its own would close the descriptor with it
            stream = open(nothing, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def _is_open(number: int) -> bool:
    """Whether the descriptor is in use: what Python itself loaded may keep a file open."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _run(args: list[str]) -> int | Ended:
    """Run the command line; its exit code, or its end.

    click's own `main` would give 1, the code for findings, where a pipe has no reader.
    """
    try:
        if instruction := os.environ.get(_COMPLETE):
            from click.shell_completion import shell_complete

            return shell_complete(cli, {}, _NAME, _COMPLETE, instruction)
        with cli.make_context(_NAME, list(args), obj=tuple(args)) as context:
            code = cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as left:
        return left.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _failed("interrupted", ExitCode.INTERRUPTED)
    except click.ClickException as error:
        if log.is_json():
            return _failed(error.format_message(), ExitCode.USAGE)
        with contextlib.suppress(OSError):  # as in _failed
            error.show()
        return ExitCode.USAGE
    except UsageError as error:
        return _failed(str(error), ExitCode.USAGE)
    except VyreError as error:
        more = getattr(error, "__notes__", ())
        return _failed(str(error), ExitCode.INCOMPLETE, *more)
    except BrokenPipeError:
        # who read our output has seen enough
        return ExitCode.INCOMPLETE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else "input or output failed: "
        return _failed(f"{where}{error.strerror or error}", ExitCode.INCOMPLETE)
    except Exception:  # noqa: BLE001 - a bug; Python's own exit code for it is 1, ours for findings
        return _bug()
    return code if isinstance(code, int | Ended) else ExitCode.CLEAN


def _failed(message: str, code: ExitCode, *more: str) -> ExitCode:
    # the exit code tells it, whether or not anybody can read the message
    with contextlib.suppress(OSError):
        for each in (message, *more):
            if log.is_json():
                log.say(each, "error", exit_code=int(code))
            else:
                click.echo(f"vyre-dist: {each}", err=True)
    return code


def _bug() -> ExitCode:
    import traceback

    if log.is_json():
        with contextlib.suppress(OSError):
            message = "this is a bug in vyre-dist; please report it with the traceback"
            code = ExitCode.INCOMPLETE
            log.say(message, "error", exit_code=int(code), traceback=traceback.format_exc())
        return ExitCode.INCOMPLETE
    with contextlib.suppress(OSError):
        traceback.print_exc()
    return _failed("this is a bug in vyre-dist; please report the lines above", ExitCode.INCOMPLETE)


def end_in_order() -> None:
    """Have SIGTERM and SIGHUP clean up as Ctrl-C does. A signal that nohup ignores stays ignored.

    For some seconds after the first signal, further ones change nothing.
    """
    for signum in _ENDING:
        if signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(signum, _leave)


def _leave(signum: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt or SystemExit, but not in a finalizer: Python only reports what is
    raised there, and goes on.
    """
    global _left_at
    if _left_at is not None and time.monotonic() - _left_at < _CLEAN_UP_SECONDS:
        return  # it would cut the clean-up short
    if _in_finalizer(frame):
        signal.signal(signal.SIGALRM, lambda _alarm, later: _leave(signum, later))
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        return
    _left_at = time.monotonic()
    if signum == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + signum)


def _signals_done() -> None:
    """Ignore further signals once one has been heeded.

    Python drops its handlers at exit: another signal would end the process with a wrong exit code.
    """
    if _left_at is not None:
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)


def _in_finalizer(frame: FrameType | None) -> bool:
    """Whether the frame is, or was called by, a `__del__` or one of multiprocessing's
    finalizers.
    """
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or (
            code.co_name == "__call__" and code.co_filename.endswith(_FINALIZERS)
        ):
            return True
        frame = frame.f_back
    return False


def _exit(ended: Ended) -> NoReturn:
    """Leave with empty buffers: the interpreter would try to write them again, and complain."""
    code = ended.code
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            code = ExitCode.INCOMPLETE if stream is sys.stdout else code
    if outcome.VARIABLE in os.environ:
        outcome.tell(code)
    # the process ends: a search for garbage in all that it has loaded would take more than a tenth
    # of a small scan
    gc.freeze()
    gc.disable()
    sys.exit(0 if ended.findings_succeed and code == ExitCode.FINDINGS else code)

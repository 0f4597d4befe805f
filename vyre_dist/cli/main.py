"""The command `vyre-dist`: its subcommands, and how errors become messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

import click

from vyre_dist import __version__
from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.errors import UsageError, VyreError

# name -> (module, attribute): a subcommand's imports are paid only by those who call it
_COMMANDS = {
    "scan": ("vyre_dist.cli.scan", "scan"),
    "rules": ("vyre_dist.cli.rules", "rules"),
    "submit": ("vyre_dist.cli.submit", "submit"),
    "autotune": ("vyre_dist.cli.autotune", "autotune"),
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
@click.version_option(__version__, prog_name="vyre-dist")
def cli() -> None:
    """Scan very large corpora with whole rule packs: on this machine, or on a Ray cluster of GPUs.

    Exit codes: 0 nothing found, 1 findings, 2 bad usage or rules, 3 some input could not be scanned.
    """


def main(args: list[str] | None = None) -> Any:
    """Run the command line and exit with an ExitCode."""
    for name in ("stdout", "stderr"):
        # closed by whoever started us; were it left so, the next file to be opened would take its place
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (lives as long as we)
    for signum in (signal.SIGTERM, signal.SIGHUP):
        # so that they clean up as Ctrl-C does; nohup's choice to ignore one is left alone
        if signal.getsignal(signum) is signal.SIG_DFL:
            signal.signal(signum, _leave)
    try:
        code = cli.main(args=args, prog_name="vyre-dist", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        _fail("interrupted", ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except UsageError as error:
        _fail(str(error), ExitCode.USAGE)
    except VyreError as error:
        _fail(str(error), ExitCode.INCOMPLETE)
    except BrokenPipeError:
        _reader_has_left()
    except SystemExit as left:
        # click ends with 1 where its output has no reader; here 1 says that something was found
        if isinstance(left.__context__, BrokenPipeError):
            _reader_has_left()
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else "input or output failed: "
        _fail(f"{where}{error.strerror or error}", ExitCode.INCOMPLETE)
    except Exception:  # noqa: BLE001 - a bug; Python's own exit code for it would be 1: something was found
        import traceback

        traceback.print_exc()
        _fail("this is a bug in vyre-dist; please report the lines above", ExitCode.INCOMPLETE)
    sys.exit(code if isinstance(code, int) else ExitCode.CLEAN)


def _leave(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def _reader_has_left() -> None:
    """Whoever read our output has seen enough; keep the interpreter from complaining when it flushes the rest."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    sys.exit(ExitCode.INCOMPLETE)


def _fail(message: str, code: ExitCode) -> None:
    click.echo(f"vyre-dist: {message}", err=True)
    sys.exit(code)

"""The command `vyre-dist`: its subcommands, and how errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from vyre_dist import __version__
from vyre_dist.cli.exit_codes import ExitCode
from vyre_dist.errors import VyreError

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
    try:
        code = cli.main(args=args, prog_name="vyre-dist", standalone_mode=False)
    except click.exceptions.Abort:
        _fail("interrupted", ExitCode.INTERRUPTED)
    except click.UsageError as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except VyreError as error:
        _fail(str(error), ExitCode.USAGE)
    except BrokenPipeError:
        # whoever read our output has seen enough; keep the interpreter from complaining when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.INCOMPLETE)
    sys.exit(code if isinstance(code, int) else ExitCode.CLEAN)


def _fail(message: str, code: ExitCode) -> None:
    click.echo(f"vyre-dist: {message}", err=True)
    sys.exit(code)

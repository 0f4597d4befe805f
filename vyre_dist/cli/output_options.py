"""The options of all commands that write findings: scan's and merge's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vyre_dist.sinks.destination import DEFAULT_FORMAT, STDOUT, Destination
from vyre_dist.sinks.formats import FORMAT_OF_ENDING, FORMATS

# click's older versions, which are allowed, know no type arguments here
if TYPE_CHECKING:
    _DestinationType = click.ParamType[Destination]
else:
    _DestinationType = click.ParamType


class _FormatAndFile(_DestinationType):
    """FORMAT or FORMAT=FILE."""

    name = "format[=file]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Destination:
        if isinstance(value, Destination):
            return value
        form, _, file = str(value).partition("=")
        if form not in FORMATS:
            self.fail(
                f"unknown format {form!r}: use one of {', '.join(FORMATS)}, or FORMAT=FILE",
                param,
                ctx,
            )
        return Destination(form, file or STDOUT)


class RedactCommand(click.Command):
    """A command whose --redact never takes the path behind it for its percentage."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        args = ["--redact=100" if arg == "--redact" else arg for arg in args[:end]] + args[end:]
        return super().parse_args(ctx, args)


FORMAT = click.option(
    "--format",
    "-f",
    "formats",
    multiple=True,
    type=_FormatAndFile(),
    help=f"Write findings as {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, to standard output or to "
    f"FILE with FORMAT=FILE. May be given several times. Default: {DEFAULT_FORMAT}.",
)

OUTPUT = click.option(
    "--output",
    "-o",
    "output_files",
    multiple=True,
    type=click.Path(readable=False),
    help="Write findings to this file, in the --format that names none. Without such a --format "
    f"the name's ending chooses it ({', '.join(FORMAT_OF_ENDING)}); then -o may be given several "
    "times.",
)

REDACT = click.option(
    "--redact",
    type=click.IntRange(1, 100),
    metavar="[=PERCENT]",
    help="Mask secrets in every output: all of each secret, or this percentage of it.",
)

SECRET_KEY = click.option(
    "--secret-key-file",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Give each finding a secret_id that is the same wherever the same secret is found: an "
    "HMAC under the key in FILE.",
)

REPORT = click.option(
    "--report",
    type=click.Path(dir_okay=False, readable=False),
    help="Write the run's summary to this file, as JSON.",
)

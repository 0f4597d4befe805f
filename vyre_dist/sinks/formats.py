"""The output formats: each is declared here once, with all that differs between them.

To add one, write its sink in a module of its own and declare it here. --format, the endings of
--output, help texts, messages, and where problems are named follow from the declaration. A sink's
module is imported when the first output of its format is opened. The command's help needs the
names, so this module imports nothing but typing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vyre_dist.sinks.output import Output
    from vyre_dist.sinks.sink import Sink


def _human(output: Output, secret_ids: bool) -> Sink:  # noqa: ARG001 (one signature for all)
    from vyre_dist.sinks.human import HumanSink

    return HumanSink(output)


def _jsonl(output: Output, secret_ids: bool) -> Sink:  # noqa: ARG001
    from vyre_dist.sinks.jsonl import JsonLinesSink

    return JsonLinesSink(output)


def _sarif(output: Output, secret_ids: bool) -> Sink:  # noqa: ARG001
    from vyre_dist.sinks.sarif import SarifSink

    return SarifSink(output)


def _csv(output: Output, secret_ids: bool) -> Sink:
    from vyre_dist.sinks.csv_sink import CsvSink

    return CsvSink(output, secret_ids)


def _parquet(output: Output, secret_ids: bool) -> Sink:
    from vyre_dist.sinks.parquet import ParquetSink

    return ParquetSink(output, secret_ids)


def _report(output: Output, secret_ids: bool) -> Sink:  # noqa: ARG001
    from vyre_dist.sinks.report import ReportSink

    return ReportSink(output)


class OutputFormat(NamedTuple):
    """One format of the findings, or the report.

    `open_sink` makes a sink that writes to an open output; with `secret_ids` tables have that
    column. `endings`: file names that end so are written in this format unless --format says
    otherwise. `fits_endings`: endings of other formats that suit this one as well. `needs`: the
    module that it cannot do without. `binary`: it is refused for a terminal. `names_problems`: its
    end lists the inputs that were not scanned whole. `for_people`: its end is the summary that a
    person reads.
    """

    name: str
    open_sink: Callable[[Output, bool], Sink]
    endings: tuple[str, ...] = ()
    fits_endings: tuple[str, ...] = ()
    needs: str = ""
    binary: bool = False
    names_problems: bool = True
    for_people: bool = False


_FORMATS = (
    # any text may be called so: these endings promise no format
    OutputFormat("human", _human, (".txt", ".text", ".log", ".out"), for_people=True),
    # programs that read SARIF want one of .sarif.json and .json
    OutputFormat("jsonl", _jsonl, (".json", ".jsonl", ".ndjson"), (".sarif.json",)),
    OutputFormat("sarif", _sarif, (".sarif", ".sarif.json"), (".json",)),
    OutputFormat("csv", _csv, (".csv",), names_problems=False),
    OutputFormat("parquet", _parquet, (".parquet", ".pq"), needs="pyarrow.parquet", binary=True),
)

REPORT = OutputFormat("the report", _report)
"""The run's summary without findings. --report asks for it; it is no choice of --format."""

OUTPUT_FORMATS = {each.name: each for each in _FORMATS}
"""What --format offers, by name."""

FORMATS = tuple(OUTPUT_FORMATS)

FORMAT_OF_ENDING = {ending: each.name for each in _FORMATS for ending in each.endings}
"""The format that the ending of a file's name stands for."""

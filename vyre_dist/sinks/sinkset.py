"""SinkSet: the sinks of a run, opened, written, and published or dropped together."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from vyre_dist.atomic_file import incomplete_name
from vyre_dist.errors import UsageError, VyreError
from vyre_dist.finding import Finding, FindingBatch
from vyre_dist.sinks.destination import STDOUT
from vyre_dist.sinks.formats import FORMATS, OUTPUT_FORMATS, REPORT, OutputFormat
from vyre_dist.sinks.output import Output, OutputError, identity, open_output
from vyre_dist.sinks.redaction import RedactionError, redact_batch
from vyre_dist.sinks.summary import RunSummary

if TYPE_CHECKING:
    from vyre_dist.sinks.sink import Sink


class SinkFormatError(UsageError):
    """An unknown format: `found`, and `allowed`."""

    def __init__(self, found: str, allowed: Sequence[str]) -> None:
        super().__init__(f"unknown output format {found!r}; allowed are {', '.join(allowed)}")
        self.found = found
        self.allowed = tuple(allowed)


class SinkConflictError(UsageError):
    """Two outputs go to one `destination`."""

    def __init__(self, destination: str) -> None:
        where = "standard output" if destination == STDOUT else repr(destination)
        super().__init__(f"two outputs go to {where}; give each its own file")
        self.destination = destination


class SinkWriteError(VyreError):
    """Writing the output `destination` in `format` failed; `errno` is the system's."""

    def __init__(self, format_name: str, destination: str, error: OSError) -> None:
        why = "it is closed" if error.errno == errno.EBADF else error.strerror or error
        super().__init__(f"writing {format_name} to {destination!r} failed: {why}")
        self.format = format_name
        self.destination = destination
        self.errno = error.errno


@dataclass(frozen=True, slots=True)
class OpenSink:
    """One output of a run. `destination` as it was given."""

    format: str
    destination: str
    output: Output
    sink: Sink


class SinkSet:
    """The sinks of a run as one; a context manager that drops what was not closed.

    A sink that fails is dropped, and the others go on. `close` raises its SinkWriteError when they
    are done; `write` raises it if there are no others. BrokenPipeError is raised at once, as it is:
    nobody reads any more.
    """

    def __init__(self, sinks: Sequence[OpenSink], redact_percent: int | None) -> None:
        self._sinks = list(sinks)
        self._redact = redact_percent
        self._failure: Exception | None = None
        self.kept: list[tuple[str, str]] = []
        """After `close(given_up=True)`: (destination, where its file is), for files."""

    def write(self, findings: Sequence[Finding]) -> None:
        """Give the findings, redacted if asked for, to every sink."""
        if self._redact is not None and findings:
            findings = redact_batch(FindingBatch.of(findings), self._redact)
        for each in list(self._sinks):
            try:
                each.sink.write(findings)
            except BrokenPipeError:
                raise
            except OSError as error:
                self._drop(each, error)
                self._sinks.remove(each)
        if not self._sinks and self._failure is not None:
            raise self._failure

    def close(self, summary: RunSummary, *, given_up: bool = False) -> None:
        """Close every sink, even if one of them fails; then raise the first failure.

        `given_up`: the run did not come to its end. Files are put beside their destinations, which
        keep what they had.
        """
        sinks, self._sinks = self._sinks, []
        for each in sinks:
            if given_up:
                each.output.give_up()
            try:
                each.sink.close(summary)
            except BrokenPipeError as error:
                self._failure = self._failure or error
                each.sink.abort()
            except OSError as error:
                self._drop(each, error)
            else:
                if each.output.kept_at is not None:
                    self.kept.append((each.destination, each.output.kept_at))
        if self._failure is not None:
            raise self._failure

    def _drop(self, each: OpenSink, error: OSError) -> None:
        """Drop a sink that failed; its error is raised at the end."""
        each.sink.abort()
        each.output.drop_stream()
        failure = SinkWriteError(each.format, each.destination, error)
        failure.__cause__ = error
        if self._failure is None:
            self._failure = failure
        else:
            self._failure.add_note(str(failure))

    def remove_leftovers(self) -> list[str]:
        """Remove the unfinished files that killed runs have left at these destinations; returns
        their paths.
        """
        return [path for each in self._sinks for path in each.output.remove_leftovers()]

    def abort(self) -> None:
        """Drop every sink that is not closed."""
        sinks, self._sinks = self._sinks, []
        for each in sinks:
            each.sink.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()


def _open_sink(form: OutputFormat, output: Output, destination: str, secret_ids: bool) -> Sink:
    """A sink that has written its beginning. If that fails or is interrupted, drops the output."""
    sink: Sink | None = None
    try:
        if form.binary and output.is_terminal:
            raise OutputError(
                destination,
                f"{form.name} is binary and this is a terminal; name a file, or use a pipe",
            )
        _require(form, destination)
        sink = form.open_sink(output, secret_ids)
        # starting a process flushes standard output: the failure would come up there
        output.stream.flush()
    except BaseException as error:
        (sink or output).abort()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise SinkWriteError(form.name, destination, error) from error
        raise
    return sink


def _require(form: OutputFormat, destination: str) -> None:
    """Raise OutputError where the package that the format needs cannot be imported."""
    if not form.needs:
        return
    try:
        importlib.import_module(form.needs)
    except ImportError as error:
        package = form.needs.partition(".")[0]
        raise OutputError(
            destination,
            f"{form.name} needs {package} ({error}): pip install {package}, or choose another "
            "format",
        ) from error


def open_sinks(
    specs: Sequence[tuple[str, str]],
    *,
    report: str | None = None,
    redact_percent: int | None = None,
    secret_ids: bool = False,
    stdout: BinaryIO | None = None,
) -> SinkSet:
    """Open a sink for each (format, destination), and a last one for the `report`; "-" is standard
    output. `secret_ids`: tables have that column.

    Checks everything before it opens anything, and drops what was opened if a later one fails.
    Raises SinkFormatError, SinkConflictError, RedactionError or OutputError, all of them
    UsageErrors; and SinkWriteError or BrokenPipeError, like the sinks themselves.
    """
    for name, _ in specs:
        if name not in OUTPUT_FORMATS:
            raise SinkFormatError(name, FORMATS)
    wanted = [(OUTPUT_FORMATS[name], destination) for name, destination in specs]
    if report is not None:
        wanted.append((REPORT, report))
    if redact_percent is not None and not 1 <= redact_percent <= 100:
        raise RedactionError(redact_percent)
    seen: set[str] = set()
    for _, destination in wanted:
        if "\0" in destination:
            raise OutputError(destination, "a file name cannot have a NUL in it")
        real = identity(destination)
        if real in seen and real != os.devnull:
            raise SinkConflictError(destination)
        seen.add(real)
    for _, destination in wanted:
        # another output's file is put there when the scan is given up
        if identity(destination) in {incomplete_name(real) for real in seen}:
            raise SinkConflictError(destination)
    opened: list[OpenSink] = []
    with ExitStack() as undo:
        outputs: list[Output] = []
        for _, destination in wanted:
            output = open_output(destination, stdout if stdout is not None else sys.stdout.buffer)
            undo.callback(output.abort)
            outputs.append(output)
        # none writes its beginning before all are known to be writable
        for (form, destination), output in zip(wanted, outputs, strict=True):
            sink = _open_sink(form, output, destination, secret_ids)
            undo.callback(sink.abort)
            opened.append(OpenSink(form.name, destination, output, sink))
        undo.pop_all()
    return SinkSet(opened, redact_percent)

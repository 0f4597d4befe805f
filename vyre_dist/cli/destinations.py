"""Which format goes where, as --format, --output and the endings of file names say."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from vyre_dist.errors import UsageError
from vyre_dist.sinks.destination import DEFAULT_FORMAT, STDOUT, Destination
from vyre_dist.sinks.formats import FORMAT_OF_ENDING, OUTPUT_FORMATS

# digits and long words are no ending: results.2024, scan.nightly-build
_ENDING = r"\.[a-z][a-z0-9]{0,8}"


def destinations(
    formats: Sequence[Destination], output_files: Sequence[str]
) -> tuple[list[Destination], list[str]]:
    """The destination of each output, and remarks about formats and names that disagree.

    `formats`: those of --format, with "-" where one names no file. `output_files`: those of
    --output. Raises UsageError.
    """
    without_file = [each for each in formats if each.file == STDOUT]
    if not output_files:
        chosen = list(formats) or [Destination()]
        return chosen, _disagreements(chosen)
    if len(without_file) == 1 and len(output_files) == 1:
        chosen = [
            each._replace(file=output_files[0]) if each.file == STDOUT else each for each in formats
        ]
        return chosen, _disagreements(chosen)
    if without_file or (formats and not all(map(_ending_of, output_files))):
        files = "one file" if len(output_files) == 1 else f"{len(output_files)} files"
        raise UsageError(
            f"--output names {files}, and {len(without_file)} formats have none: write --format "
            "FORMAT=FILE for each"
        )
    inferred = [Destination(_format_of(file), file) for file in output_files]
    remarks = [
        f"{each.file} is written as {each.format} because its name ends in "
        f"{_ending_of(each.file)}; --format chooses another format"
        for each in inferred
        if each.format != DEFAULT_FORMAT
    ]
    return [*formats, *inferred], _disagreements(formats) + remarks


def _ending_of(file: str) -> str:
    """The ending of a file's name, in small letters; "" if it has none."""
    name = os.path.basename(file).lower()
    for ending in FORMAT_OF_ENDING:
        # .sarif.json has two parts
        if ending.count(".") > 1 and name.endswith(ending) and name != ending:
            return ending
    ending = os.path.splitext(name)[1]
    return ending if re.fullmatch(_ENDING, ending) else ""


def _format_of(file: str) -> str:
    """The format that a file's name stands for. Raises UsageError for an unknown ending."""
    ending = _ending_of(file)
    if not ending:
        return DEFAULT_FORMAT
    if ending not in FORMAT_OF_ENDING:
        raise UsageError(
            f"--output {file!r}: no format is known for {ending}; name one (--format human "
            f"--output {file}), or use one of " + ", ".join(FORMAT_OF_ENDING)
        )
    return FORMAT_OF_ENDING[ending]


def _disagreements(chosen: Sequence[Destination]) -> list[str]:
    """Remarks about files whose names promise another format than was asked for."""
    remarks = []
    for form, file in chosen:
        ending = _ending_of(file)
        promised = FORMAT_OF_ENDING.get(ending, DEFAULT_FORMAT)
        fits = ending in OUTPUT_FORMATS[form].fits_endings
        if promised not in (DEFAULT_FORMAT, form) and not fits:
            remarks.append(
                f"{file} is written as {form}, as --format says, though its name ends in {ending}"
            )
    return remarks

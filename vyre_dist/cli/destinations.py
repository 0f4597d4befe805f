"""Destinations: which format goes where, as --format and --output say, and how the names end."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from vyre_dist.errors import UsageError

STDOUT = "-"

_FORMAT_OF = {
    ".sarif": "sarif",
    ".sarif.json": "sarif",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "human",
    ".text": "human",
    ".log": "human",
    ".out": "human",
}
# programs that read SARIF want one of these two; any text may be called .txt, .log or .out
_ALSO_FITTING = {(".json", "sarif"), (".sarif.json", "jsonl")}
# digits and long words are no ending: results.2024, scan.nightly-build
_ENDING = re.compile(r"\.[a-z][a-z0-9]{0,8}")


def destinations(
    formats: Sequence[tuple[str, str]], outputs: Sequence[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """(format, file) for each output, and what is to be said about formats that were taken from a
    name's ending.

    `formats`: (format, file) of --format, "-" where it names no file. `outputs`: the files of
    --output. Raises UsageError.
    """
    free = [form for form, file in formats if file == STDOUT]
    if not outputs:
        chosen = list(formats) or [("human", STDOUT)]
        return chosen, _doubts(chosen)
    if len(free) == 1 and len(outputs) == 1:
        chosen = [(form, outputs[0] if file == STDOUT else file) for form, file in formats]
        return chosen, _doubts(chosen)
    if free or (formats and not all(map(_ending_of, outputs))):
        named = "names one file" if len(outputs) == 1 else f"names {len(outputs)} files"
        raise UsageError(
            f"--output {named}, and {len(free)} formats have none: write --format FORMAT=FILE for "
            "each"
        )
    inferred = [(_inferred(file), file) for file in outputs]
    notes = [
        f"{file} is written as {form}, as its name ends in {_ending_of(file)}; --format says "
        "otherwise"
        for form, file in inferred
        if form != "human"
    ]
    return [*formats, *inferred], _doubts(formats) + notes


def _ending_of(file: str) -> str:
    """The ending of a file's name, in small letters; "" if it has none."""
    name = os.path.basename(file).lower()
    if name.endswith(".sarif.json") and name != ".sarif.json":
        return ".sarif.json"
    ending = os.path.splitext(name)[1]
    return ending if _ENDING.fullmatch(ending) else ""


def _inferred(file: str) -> str:
    ending = _ending_of(file)
    if not ending:
        return "human"
    if ending not in _FORMAT_OF:
        raise UsageError(
            f"--output {file!r}: no format is known for {ending}; name one (--format human "
            f"--output {file}), or use one of " + ", ".join(_FORMAT_OF)
        )
    return _FORMAT_OF[ending]


def _doubts(chosen: Sequence[tuple[str, str]]) -> list[str]:
    """What is said about files whose names promise another format than was asked for."""
    notes = []
    for form, file in chosen:
        ending = _ending_of(file)
        promised = _FORMAT_OF.get(ending, "human")
        if promised not in ("human", form) and (ending, form) not in _ALSO_FITTING:
            notes.append(
                f"{file} is written as {form}, as --format says, though its name ends in {ending}"
            )
    return notes

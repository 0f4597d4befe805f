"""What every line of benchmarks/results says of its run, and where it goes."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def run_facts(commit: str | None, rules: str | None) -> dict[str, Any]:
    """`commit`: the state of the code; None: what git says. `rules`: the pack's file; None: the
    built-in one.
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit or _head(),
        "processors": len(os.sched_getaffinity(0)),
        "rules": Path(rules).name if rules else "built in",
    }


def append(name: str, record: dict[str, Any]) -> None:
    """A line to `name`, in $OUT where that is set, else in benchmarks/results."""
    with (Path(os.environ.get("OUT", HERE / "results")) / name).open("a") as file:
        file.write(json.dumps(record) + "\n")


def _head() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE
    )
    return asked.stdout.strip()

"""What makes a run the run that it is: all that its findings depend on, by name.

A resume has to agree with all of it. Values are plain JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from vyre_dist.errors import UsageError
from vyre_dist.storage import Storage

FILE = "run.json"
SCHEMA = 2

Value: TypeAlias = str | int | bool | Sequence[str] | None
RunFacts: TypeAlias = Mapping[str, Value]
"""By name: an option as it is typed, or what else it is."""


class RunDiffersError(UsageError):
    """A run can't be resumed with other rules, arguments or options: `differences` has (name, value
    of the run, value now).
    """

    def __init__(self, place: str, differences: Sequence[tuple[str, object, object]]) -> None:
        told = "; ".join(
            f"{name} was {_shown(old)} and is {_shown(new)}" for name, old, new in differences
        )
        super().__init__(
            f"the run in {place} is another one: {told}. Resume it as it was begun, or name "
            "another --run-dir"
        )
        self.differences = differences


def write_facts(storage: Storage, facts: RunFacts) -> None:
    """Put a new run's facts down."""
    body = {"schema": SCHEMA, **facts}
    text = json.dumps(body, indent=2, ensure_ascii=True) + "\n"
    storage.put(FILE, [text.encode()])


def read_facts(storage: Storage) -> RunFacts | None:
    """A run's facts; None if there is none. Raises UsageError for those of another version."""
    try:
        text = bytes(storage.read(FILE))
    except FileNotFoundError:
        return None
    try:
        facts = json.loads(text)
        schema = facts.pop("schema")
    except (ValueError, AttributeError, KeyError) as error:
        raise UsageError(f"{storage.place}/{FILE} can't be read: {error}") from error
    if schema != SCHEMA:
        raise UsageError(
            f"the run in {storage.place} has schema {schema!r:.60}, not {SCHEMA}: use the version "
            f"of vyre-dist that began it ({facts.get('version', 'unknown')!r:.60})"
        )
    return {str(name): value for name, value in facts.items()}


def check_same(place: str, old: RunFacts, new: RunFacts) -> None:
    """Raise RunDiffersError unless both are the same."""
    now = json.loads(json.dumps(new))
    differences = [
        (name, old.get(name), now.get(name))
        for name in dict.fromkeys([*old, *now])
        if old.get(name) != now.get(name)
    ]
    if differences:
        raise RunDiffersError(place, differences)


def _shown(value: object) -> str:
    return "not given" if value is None else json.dumps(value, ensure_ascii=False)

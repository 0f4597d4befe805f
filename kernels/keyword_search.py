"""KeywordSearch: whether one of a rule's keywords is in a text, in any letter case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hyperscan

from vyre_dist.kernels.hyperscan_db import check_library, new_database, search


class KeywordSearch:
    """`keywords`: of each rule, as bytes. Their letter case counts in ASCII only. Not thread-safe.

    Raises UsageError if the Hyperscan that is installed misses matches.
    """

    def __init__(self, keywords: Sequence[Sequence[bytes]]) -> None:
        check_library()
        self._keywords = keywords
        self._databases: dict[int, Any] = {}

    def found(self, rule: int, text: bytes) -> bool:
        """Whether `text` has one of the rule's keywords."""
        database = self._databases.get(rule)
        if database is None:
            database = self._databases[rule] = _database(self._keywords[rule])
        return not search(database, text, _found)


def _database(keywords: Sequence[bytes]) -> Any:
    database = new_database()
    expressions = ["".join(f"\\x{byte:02x}" for byte in word).encode() for word in keywords]
    database.compile(
        expressions=expressions,
        ids=[0] * len(expressions),
        elements=len(expressions),
        flags=hyperscan.HS_FLAG_CASELESS,
    )
    database.scratch = hyperscan.Scratch(database)
    return database


def _found(_id: int, _start: int, _end: int, _flags: int, _context: object) -> bool:
    return True

"""Planted bugs: what the checks must find, each a change of one small function of the product.

Some of them have been in it until the simulator found them ("was there").
"""

from __future__ import annotations

from simulator import audit_bugs, driver_bugs, ledger_bugs, store_bugs
from simulator.planting import MOST_SECONDS, Bug, found

_ALL = [*ledger_bugs.BUGS, *driver_bugs.BUGS, *audit_bugs.BUGS, *store_bugs.BUGS]
BUGS = [bug for bug in _ALL if not bug.rare]
RARE = [bug for bug in _ALL if bug.rare]

__all__ = ["BUGS", "MOST_SECONDS", "RARE", "Bug", "found"]

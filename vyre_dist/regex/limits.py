"""Limits that others ask for, without what they limit: a scan with a compiled pack loads no more."""

from __future__ import annotations

MOST_SEARCHED = 2048
"""Up to so many positions of a repeat google-re2 searches at full speed: its automaton has a state
for each set of counts that earlier starts may have reached.
"""

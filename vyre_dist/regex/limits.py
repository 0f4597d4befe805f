"""Limits that others ask for, without what they limit: with a compiled pack no more is loaded."""

from __future__ import annotations

MOST_SEARCHED = 2048
"""Up to so many positions of a repeat google-re2 searches at full speed: its automaton has a state
for each set of counts that earlier starts may have reached.
"""

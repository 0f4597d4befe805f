"""Minimum cuts of flow networks: the cheapest edges without which no path leads to the sink.

Capacities are floats; an edge of infinite capacity can't be cut.

Source: E. A. Dinic, "Algorithm for solution of a problem of maximum flow in networks with power
estimation" (1970).
"""

from __future__ import annotations

import math


class FlowNetwork:
    """A directed network over nodes 0..n-1, grown edge by edge. Not reusable after `min_cut`."""

    def __init__(self, nodes: int) -> None:
        self._out: list[list[int]] = [[] for _ in range(nodes)]
        self._to: list[int] = []
        self._room: list[float] = []

    def add_node(self) -> int:
        """A new node's number."""
        self._out.append([])
        return len(self._out) - 1

    def add_edge(self, source: int, target: int, capacity: float) -> int:
        """A new edge's number: even, the odd ones are the reverse edges."""
        edge = len(self._to)
        self._to += (target, source)
        self._room += (capacity, 0.0)
        self._out[source].append(edge)
        self._out[target].append(edge + 1)
        return edge

    def min_cut(self, source: int, sink: int, limit: float) -> list[int] | None:
        """The edges of a cut with the least total capacity; None where that is above `limit`.

        Of several such cuts, the one nearest to the source.
        """
        total = 0.0
        while True:
            level = self._levels(source)
            if level[sink] < 0:
                break
            start = [0] * len(self._out)
            while (pushed := self._augment(source, sink, level, start)) > 0.0:
                total += pushed
                if total > limit:
                    return None
        return [
            edge
            for edge in range(0, len(self._to), 2)
            if level[self._to[edge ^ 1]] >= 0 and level[self._to[edge]] < 0
        ]

    def _levels(self, source: int) -> list[int]:
        level = [-1] * len(self._out)
        level[source] = 0
        queue = [source]
        for node in queue:
            for edge in self._out[node]:
                target = self._to[edge]
                if self._room[edge] > 0.0 and level[target] < 0:
                    level[target] = level[node] + 1
                    queue.append(target)
        return level

    def _augment(self, source: int, sink: int, level: list[int], start: list[int]) -> float:
        """Push flow along one path of the level graph; returns how much, 0 for no path."""
        path: list[int] = []
        node = source
        while node != sink:
            edges = self._out[node]
            while start[node] < len(edges):
                edge = edges[start[node]]
                if self._room[edge] > 0.0 and level[self._to[edge]] == level[node] + 1:
                    break
                start[node] += 1
            else:
                if not path:
                    return 0.0
                node = self._to[path.pop() ^ 1]
                start[node] += 1
                continue
            path.append(edge)
            node = self._to[edge]
        pushed = min((self._room[edge] for edge in path), default=math.inf)
        for edge in path:
            # Exactly 0 on the narrowest edge: x - x leaves no rounding error behind.
            self._room[edge] -= pushed
            if pushed < math.inf:
                self._room[edge ^ 1] += pushed
        return pushed

"""Typed reading of YAML: a wrong value is an error with its position, never an exception.

YAML is read as nodes, not as values, since only nodes have a line. Only plain scalars, lists and
maps are ever built. What the keys mean is in the formats (noseyparker_yaml.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import yaml

from vyre_dist.rules.diagnostics import TOO_DEEP, Diagnostic, Diagnostics, PackError
from vyre_dist.rules.model import Origin

_NULL = "tag:yaml.org,2002:null"
_BOOL = "tag:yaml.org,2002:bool"
_NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_MERGE = "tag:yaml.org,2002:merge"

Item = tuple[str, yaml.Node, yaml.Node]
"""A key, its node and its value's."""


def compose(data: bytes, file: str) -> yaml.Node | None:
    """The document's node, None for an empty one. Raises PackError when it is no YAML."""
    try:
        return yaml.compose(data, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PackError([_yaml_error(file, error)]) from error
    except RecursionError:
        raise PackError(
            [Diagnostic(file, 0, 0, "", TOO_DEEP, "no pack needs more than a few levels")]
        ) from None


def kind(node: yaml.Node) -> str:
    """What a node is, for messages."""
    if isinstance(node, yaml.MappingNode):
        return "a map"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "empty" if node.tag == _NULL else "a scalar"


def is_empty(node: yaml.Node) -> bool:
    """Whether a key says nothing: null, an empty list, map or text, false, or zero."""
    if isinstance(node, yaml.ScalarNode):
        return node.tag == _NULL or _false(node) or not node.value or _zero(node)
    return not node.value


def keys(node: yaml.Node) -> set[str]:
    """The keys of a map as they are written, merged ones included; nothing is reported."""
    return (
        {name for name, _, _ in YamlFile("", Diagnostics()).items(node)} if _is_map(node) else set()
    )


class YamlFile:
    """One file's nodes, with the errors found in them."""

    def __init__(self, file: str, diagnostics: Diagnostics) -> None:
        self.file = file
        self.diagnostics = diagnostics
        # a map that is merged into hundreds of rules is gone through once
        self._merged: dict[int, dict[str, Item]] = {}

    def origin(self, node: yaml.Node) -> Origin:
        """Where the node starts."""
        return Origin(self.file, node.start_mark.line + 1)

    def error(self, node: yaml.Node, rule_id: str, message: str, hint: str = "") -> None:
        """Report a mistake at the node."""
        self.diagnostics.errors.append(self._at(node, rule_id, message, hint))

    def unsupported(
        self, node: yaml.Node, rule_id: str, what: str, message: str, hint: str = ""
    ) -> None:
        """Report something sound that does not exist here, `what` in a few words."""
        self.diagnostics.errors.append(self._at(node, rule_id, message, hint, what))

    def warn(self, node: yaml.Node, rule_id: str, message: str, hint: str = "") -> None:
        """Report something that is odd but does no harm."""
        self.diagnostics.warnings.append(self._at(node, rule_id, message, hint))

    def _at(
        self, node: yaml.Node, rule_id: str, message: str, hint: str, unsupported: str = ""
    ) -> Diagnostic:
        mark = node.start_mark
        return Diagnostic(
            self.file, mark.line + 1, mark.column + 1, rule_id, message, hint, unsupported
        )

    def items(self, node: yaml.Node, rule_id: str = "") -> Iterator[Item]:
        """(key, key node, value node) of a map, merged ones included; repeats are errors."""
        if not isinstance(node, yaml.MappingNode):
            self.error(node, rule_id, f"found {kind(node)}, a map was expected")
            return
        yield from self._entries(node, rule_id, ()).values()

    def _entries(
        self, node: yaml.MappingNode, rule_id: str, within: tuple[int, ...]
    ) -> dict[str, Item]:
        known = self._merged.get(id(node))
        if known is not None:
            return known
        own: dict[str, Item] = {}
        merged: dict[str, Item] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for source in self._merge_sources(key, value, rule_id, (*within, id(node))):
                    # an earlier map wins over a later one
                    merged = {**self._entries(source, rule_id, (*within, id(node))), **merged}
                continue
            if not isinstance(key, yaml.ScalarNode):
                self.error(key, rule_id, f"a key is {kind(key)}", "keys are plain words")
                continue
            name = str(key.value)
            if name in own:
                self.error(key, rule_id, f"key {name!r} is there twice", "keep one of them")
                continue
            own[name] = (name, key, value)
        # the map's own keys win over merged ones, and stand first
        entries = self._merged[id(node)] = {
            **own,
            **{k: v for k, v in merged.items() if k not in own},
        }
        return entries

    def _merge_sources(
        self, key: yaml.Node, value: yaml.Node, rule_id: str, within: tuple[int, ...]
    ) -> Iterator[yaml.MappingNode]:
        for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(source, yaml.MappingNode):
                hint = "<< takes the name of a map, or a list of such names"
                self.error(key, rule_id, f"<< merges {kind(source)}", hint)
            elif id(source) in within:
                self.error(key, rule_id, "<< merges a map into itself", "remove it")
            else:
                yield source

    def text(self, node: yaml.Node, key: str, rule_id: str) -> str:
        """A string."""
        # `id: 12` is a text here too: what was written is what is meant
        if isinstance(node, yaml.ScalarNode) and node.tag != _NULL:
            return str(node.value)
        self.error(node, rule_id, f"{key} is {kind(node)}", "it must be a string")
        return ""

    def texts(self, node: yaml.Node, key: str, rule_id: str) -> tuple[str, ...]:
        """A list of strings."""
        if not isinstance(node, yaml.SequenceNode):
            if node.tag != _NULL:  # a key with nothing after it is an empty list
                self.error(node, rule_id, f"{key} is {kind(node)}", "it must be a list of strings")
            return ()
        return tuple(self.text(item, f"{key}[{i}]", rule_id) for i, item in enumerate(node.value))

    def number(self, node: yaml.Node, key: str, rule_id: str) -> float:
        """A finite number of at least 0; 0 when there is none."""
        if isinstance(node, yaml.ScalarNode) and node.tag == _NULL:
            return 0.0
        value = _number(node)
        if value is None or not 0 <= value < math.inf:
            found = repr(node.value) if isinstance(node, yaml.ScalarNode) else kind(node)
            self.error(
                node, rule_id, f"{key} is {found}", "it must be a number that is not negative"
            )
            return 0.0
        return value


def _is_map(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode)


def _false(node: yaml.ScalarNode) -> bool:
    return node.tag == _BOOL and str(node.value).lower() in ("false", "no", "off")


def _zero(node: yaml.ScalarNode) -> bool:
    return _number(node) == 0


def _number(node: yaml.Node) -> float | None:
    if not isinstance(node, yaml.ScalarNode) or node.tag not in _NUMBERS:
        return None
    constructor = yaml.SafeLoader("")
    try:
        if node.tag == "tag:yaml.org,2002:int":
            return float(constructor.construct_yaml_int(node))
        return float(constructor.construct_yaml_float(node))
    except (ValueError, OverflowError):
        return None


def _yaml_error(file: str, error: Exception) -> Diagnostic:
    mark = getattr(error, "problem_mark", None)
    line, column = (0, 0) if mark is None else (mark.line + 1, mark.column + 1)
    return Diagnostic(file, line, column, "", f"not YAML: {getattr(error, 'error', None) or error}")

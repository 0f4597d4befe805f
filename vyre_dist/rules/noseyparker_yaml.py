"""Nosey Parker's YAML rules: `rules:` with name, id, pattern, examples.

Read as nodes, not as values, since only nodes know where they stand. Only plain scalars, lists and maps are
ever built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from vyre_dist.rules.draft import PackDraft, RuleDraft, unique
from vyre_dist.rules.model import Origin, Rule
from vyre_dist.rules.patterns import Patterns
from vyre_dist.rules.problems import TOO_DEEP, PackError, Problem, Report

_TEXTS = ("id", "name", "pattern", "description")
_LISTS = ("categories", "examples", "negative_examples", "non_examples", "references")
# what other tools write beside the rule proper; it changes no match
_IGNORED = frozenset({"references", "description", "base64", "dependencies", "confidence", "visible"})

# Two things that RE2's syntax has not: comments, `(?# … )`, which Nosey Parker takes out, and white space in
# a count, `{1, 5}`, which Rust's verbose mode takes out. Neither is one in quotes, in a bracketed class, or in a comment of
# verbose mode. A class or comment that is not closed goes on to the end: the parser refuses it, and looking for its end from
# each of many brackets would take minutes.
_KEPT = r"""
    \\Q .*? (?: \\E | \Z ) | \\.
    | \[ \^? \]?+ (?: \[: \^? \w* :\] | \\. | [^]\\] )*+ (?: \] | \\? \Z )
    | \( \? \# [^)]*+ \Z
"""
_LINE_COMMENT = r"| \# [^\n]*"
_COMMENT_OR_COUNT, _IN_VERBOSE_MODE = (
    re.compile(
        rf"(?P<kept> {kept}) | \(\?\# [^)]* \) | (?P<count> \{{\s*+ \d++ \s*+ (?:,\s*+ \d*+ \s*+)?+ \}})",
        re.DOTALL | re.VERBOSE,
    )
    for kept in (_KEPT, _KEPT + _LINE_COMMENT)
)
_VERBOSE = re.compile(r"\s*\(\?[A-Za-z]*x[A-Za-z]*(-[A-Za-z]+)?\)")


class _Yaml:
    """One file's nodes, with the problems found in them."""

    def __init__(self, file: str, report: Report) -> None:
        self.file = file
        self.report = report

    def origin(self, node: yaml.Node) -> Origin:
        return Origin(self.file, node.start_mark.line + 1)

    def problem(self, node: yaml.Node, rule_id: str, message: str, hint: str = "") -> None:
        self.report.problems.append(self._at(node, rule_id, message, hint))

    def warn(self, node: yaml.Node, rule_id: str, message: str, hint: str = "") -> None:
        self.report.warnings.append(self._at(node, rule_id, message, hint))

    def _at(self, node: yaml.Node, rule_id: str, message: str, hint: str) -> Problem:
        mark = node.start_mark
        return Problem(self.file, mark.line + 1, mark.column + 1, rule_id, message, hint)

    def items(self, node: yaml.Node, rule_id: str = "") -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """(key, key node, value node) of a map; a key that is repeated is a problem."""
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, rule_id, f"found {_kind(node)}, a map was expected")
            return
        seen: set[str] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name in seen:
                self.problem(key, rule_id, f"key {name!r} is there twice", "keep one of them")
                continue
            seen.add(name)
            yield name, key, value

    def text(self, node: yaml.Node, key: str, rule_id: str) -> str:
        # `id: 12` is a text here too: what was written is what is meant
        if isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:null":
            return str(node.value)
        self.problem(node, rule_id, f"{key} is {_kind(node)}", "it must be a string")
        return ""

    def texts(self, node: yaml.Node, key: str, rule_id: str) -> tuple[str, ...]:
        if not isinstance(node, yaml.SequenceNode):
            if node.tag != "tag:yaml.org,2002:null":  # a key with nothing after it is an empty list
                self.problem(node, rule_id, f"{key} is {_kind(node)}", "it must be a list of strings")
            return ()
        return tuple(self.text(item, f"{key}[{i}]", rule_id) for i, item in enumerate(node.value))


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a map"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "empty" if node.tag == "tag:yaml.org,2002:null" else "a scalar"


def to_re2_syntax(pattern: str) -> str:
    """The pattern without `(?# … )` and without white space in counts."""

    def rewrite(found: re.Match[str]) -> str:
        return found["kept"] or "".join((found["count"] or "").split())

    return (_IN_VERBOSE_MODE if _VERBOSE.match(pattern) else _COMMENT_OR_COUNT).sub(rewrite, pattern)


def read_pack(data: bytes, file: str, name: str, report: Report, patterns: Patterns) -> PackDraft:
    """Read one YAML file. Raises PackError when it is no YAML; everything else that is wrong goes to
    `report`.
    """
    draft = PackDraft(name, "noseyparker")
    source = _Yaml(file, report)
    try:
        root = yaml.compose(data, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PackError([_yaml_problem(file, error)]) from error
    except RecursionError:
        raise PackError([Problem(file, 0, 0, "", TOO_DEEP, "no pack needs more than a few levels")]) from None
    if root is None:
        report.problems.append(Problem(file, 0, 0, "", "the file is empty", "it must hold `rules:`"))
        return draft
    found = False
    for key, key_node, value in source.items(root):
        if key != "rules":
            source.warn(key_node, "", f"unknown key {key!r} is ignored")
        elif not isinstance(value, yaml.SequenceNode):
            source.problem(value, "", f"rules is {_kind(value)}", "it must be a list")
            found = True
        else:
            found = True
            draft.rules.extend(
                _rule(source, node, index, patterns) for index, node in enumerate(value.value, 1)
            )
    if not found and isinstance(root, yaml.MappingNode):
        source.problem(
            root, "", "there is no `rules:`", "Nosey Parker's format is a list of rules under that key"
        )
    return draft


def _rule(source: _Yaml, node: yaml.Node, index: int, patterns: Patterns) -> RuleDraft:
    fields: dict[str, yaml.Node] = {}
    keys = list(source.items(node, f"#{index}"))
    for key, _, value in keys:
        fields[key] = value
    rule_id = source.text(fields["id"], "id", f"#{index}").strip() if "id" in fields else ""
    label = rule_id or f"#{index}"
    if not rule_id:
        source.problem(node, label, "has no id", "every rule needs one, unique in the pack")
    for key, key_node, _ in keys:
        if key not in _TEXTS and key not in _LISTS and key not in _IGNORED:
            source.warn(key_node, label, f"unknown key {key!r} is ignored")
    texts = {key: source.text(fields[key], key, label) for key in ("name", "pattern") if key in fields}
    lists = {key: source.texts(fields[key], key, label) for key in _LISTS if key in fields}
    pattern = to_re2_syntax(texts.get("pattern", "")) or None
    fault = None if pattern is None else patterns.check(pattern)
    if fault is not None:
        source.problem(fields["pattern"], label, f"pattern, column {fault.offset + 1}: {fault.reason}")
    rule = Rule(
        id=label,
        regex=pattern,
        description=texts.get("name", ""),
        tags=unique(lists.get("categories", ())),
        examples=lists.get("examples", ()),
        negative_examples=lists.get("negative_examples", ()) + lists.get("non_examples", ()),
        origin=source.origin(node),
    )
    return RuleDraft(rule)


def _yaml_problem(file: str, error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line, column = (0, 0) if mark is None else (mark.line + 1, mark.column + 1)
    return Problem(file, line, column, "", f"not YAML: {getattr(error, 'problem', None) or error}")

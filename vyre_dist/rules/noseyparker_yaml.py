"""Nosey Parker's YAML rules, and those of its descendants kingfisher and titus.

A file is `rules:` with name, id, pattern and examples, and with what the descendants have added.
Typed reading of YAML is in yaml_nodes.py.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import yaml

from vyre_dist import regex as rx
from vyre_dist.rules.diagnostics import Diagnostic
from vyre_dist.rules.draft import PackDraft, RuleDraft, unique
from vyre_dist.rules.model import Rule
from vyre_dist.rules.pack_format import YAML_ENDINGS, PackFormat, PackSource
from vyre_dist.rules.patterns import UNSUPPORTED_REGEX, Patterns
from vyre_dist.rules.yaml_nodes import YamlFile, is_empty, kind

_LISTS = ("categories", "examples", "negative_examples", "non_examples", "references")
_READ = ("id", "name", "pattern", "min_entropy", *_LISTS)
# They change no finding: texts about a rule, and questions to services about a finding.
# depends_on_rule names where kingfisher's validation takes further values from.
_HARMLESS = frozenset(
    {
        "description",
        "title",
        "author",
        "authors",
        "severity",
        "category",
        "tags",
        "metadata",
        "url",
        "license",
        "version",
        "references",
        "dependencies",
        "validation",
        "validator",
        "validations",
        "prevalidated",
        "depends_on_rule",
        "revocation",
        "tls_mode",
        "access_map",
        "base_score",
        "authoritative",
        "vectorscan_compatible",
    }
)
# as YAML 1.1 has it, and in quotes
_NO = ("false", "no", "off", "n", "0")
_REFUSED = {
    "pattern_requirements": "without what it asks of a secret's characters the rule would report "
    "too much",
    "path": "the tools that have it do not agree on what it is compared with",
    "base64": "nothing is decoded",
    "noisy": "titus uses such rules only when asked",
    "betterleaks_filter": "filter expressions are not evaluated",
    "betterleaks_secret_group": "write betterleaks' own TOML",
}

# Two things that RE2's syntax has not: comments, `(?# … )`, which Nosey Parker takes out, and white
# space in a count, `{1, 5}`, which Rust's verbose mode takes out. Neither is one in quotes, in a
# bracketed class, or in a comment of verbose mode. A class or comment that is not closed goes on to
# the end: the parser refuses it, and looking for its end from each of many brackets would take
# minutes.
_KEPT = r"""
    \\Q .*? (?: \\E | \Z ) | \\.
    | \[ \^? \]?+ (?: \[: \^? \w* :\] | \\. | [^]\\] )*+ (?: \] | \\? \Z )
    | \( \? \# [^)]*+ \Z
"""
_LINE_COMMENT = r"| \# [^\n]*"
_COMMENT_OR_COUNT, _IN_VERBOSE_MODE = (
    re.compile(
        rf"(?P<kept> {kept}) | \(\?\# [^)]* \) | (?P<count> "
        rf"\{{\s*+ \d++ \s*+ (?:,\s*+ \d*+ \s*+)?+ \}})",
        re.DOTALL | re.VERBOSE,
    )
    for kept in (_KEPT, _KEPT + _LINE_COMMENT)
)
_VERBOSE = re.compile(r"\s*\(\?[A-Za-z]*x[A-Za-z]*(-[A-Za-z]+)?\)")


def to_re2_syntax(pattern: str) -> str:
    """The pattern without `(?# … )` and without white space in counts."""

    def rewrite(found: re.Match[str]) -> str:
        return found["kept"] or "".join((found["count"] or "").split())

    return (_IN_VERBOSE_MODE if _VERBOSE.match(pattern) else _COMMENT_OR_COUNT).sub(
        rewrite, pattern
    )


def _recognises(source: PackSource) -> bool:
    return source.foreign is None


def _read(source: PackSource) -> PackDraft:
    diagnostics = source.diagnostics
    draft = PackDraft(source.name, NOSEYPARKER.name)
    file = YamlFile(source.file, diagnostics)
    root = source.yaml
    if root is None:
        diagnostics.errors.append(
            Diagnostic(source.file, 0, 0, "", "the file is empty", "it must hold `rules:`")
        )
        return draft
    found = False
    for key, key_node, value in file.items(root):
        if key != "rules":
            # such as a map that rules merge; the tools read nothing else either
            if not _is_anchor_holder(key, value):
                file.warn(key_node, "", f"unknown key {key!r} is ignored")
        elif not isinstance(value, yaml.SequenceNode):
            file.error(value, "", f"rules is {kind(value)}", "it must be a list")
            found = True
        else:
            found = True
            draft.rules.extend(
                _rule(file, node, index, source.patterns)
                for index, node in enumerate(value.value, 1)
            )
    if not found and isinstance(root, yaml.MappingNode):
        told = len(diagnostics.errors)
        hint = "Nosey Parker's format is a list of rules under that key"
        file.unsupported(root, "", "a file without `rules:`", "there is no `rules:`", hint)
        draft.unsupported = diagnostics.take_unsupported(told)
    return draft


NOSEYPARKER = PackFormat("noseyparker", "Nosey Parker", YAML_ENDINGS, _recognises, _read)


def _is_anchor_holder(key: str, value: yaml.Node) -> bool:
    return key.startswith(("x-", ".")) and not isinstance(value, yaml.ScalarNode)


def _rule(file: YamlFile, node: yaml.Node, index: int, patterns: Patterns) -> RuleDraft:
    told = len(file.diagnostics.errors)
    items = list(file.items(node, f"#{index}"))
    fields = {key: value for key, _, value in items}
    rule_id = file.text(fields["id"], "id", f"#{index}").strip() if "id" in fields else ""
    label = rule_id or f"#{index}"
    if not rule_id:
        file.error(node, label, "has no id", "every rule needs one, unique in the pack")
    texts = {
        key: file.text(fields[key], key, label) for key in ("name", "pattern") if key in fields
    }
    lists = {key: file.texts(fields[key], key, label) for key in _LISTS if key in fields}
    for key, key_node, value in items:
        _tell_if_unsupported(file, label, key, key_node, value)
    pattern = to_re2_syntax(texts.get("pattern", "")) or None
    fault = None if pattern is None else patterns.check(pattern)
    if fault is not None:
        message = f"pattern, column {fault.offset + 1}: {fault.reason}"
        if fault.unsupported:
            file.unsupported(fields["pattern"], label, UNSUPPORTED_REGEX, message)
        else:
            file.error(fields["pattern"], label, message)
    entropy, group = 0.0, 0
    if "min_entropy" in fields:
        entropy = file.number(fields["min_entropy"], "min_entropy", label)
    regex = None if pattern is None or not entropy else patterns.parsed(pattern)
    if regex is not None:
        judged = judged_group(regex)
        if isinstance(judged, str):
            what = "min_entropy of a text that is chosen otherwise here"
            file.unsupported(
                fields["min_entropy"], label, what, f"min_entropy is not supported: {judged}"
            )
        else:
            group = judged
    rule = Rule(
        id=label,
        regex=pattern,
        description=texts.get("name", ""),
        secret_group=group,
        entropy=entropy or None,
        tags=unique(lists.get("categories", ())),
        examples=lists.get("examples", ()),
        negative_examples=lists.get("negative_examples", ()) + lists.get("non_examples", ()),
        origin=file.origin(node),
    )
    return RuleDraft(rule, unsupported=file.diagnostics.take_unsupported(told))


def _tell_if_unsupported(
    file: YamlFile, rule_id: str, key: str, key_node: yaml.Node, value: yaml.Node
) -> None:
    """Whether the key is one that changes what is found, in a way that does not exist here."""
    if key in _READ or key in _HARMLESS:
        return
    if key == "visible":
        if isinstance(value, yaml.ScalarNode) and str(value.value).lower() in _NO:
            hint = (
                "kingfisher looks for the rule and does not report it; remove the rule, or the key "
                "to have it reported"
            )
            file.unsupported(
                key_node, rule_id, "visible: false", "visible: false is not supported", hint
            )
    elif key == "confidence":
        level = str(value.value) if isinstance(value, yaml.ScalarNode) else kind(value)
        if level.lower() not in ("medium", "high") and not is_empty(value):
            hint = (
                "kingfisher loads such rules only when asked; remove the rule, or the key to have "
                "it used"
            )
            what = f"confidence: {level.lower()}"
            file.unsupported(key_node, rule_id, what, f"{what} is not supported", hint)
    elif is_empty(value):
        pass
    elif key in _REFUSED:
        file.unsupported(
            key_node, rule_id, f"the key {key}", f"{key} is not supported", _REFUSED[key]
        )
    else:
        close = difflib.get_close_matches(key, (*_READ, *_REFUSED, *_HARMLESS), n=1)
        hint = (
            f"did you mean {close[0]!r}?"
            if close
            else "it may change what is found; remove it if it does not"
        )
        file.unsupported(key_node, rule_id, f"the unknown key {key}", f"unknown key {key!r}", hint)


def judged_group(regex: rx.Regex) -> int | str:
    """The group whose text kingfisher and titus measure (0: the match), or why it is not ours.

    That is the group called TOKEN, else the first with a name, else group 1; the match where there
    is none, or where it took no part: so it has to take part in every match.
    """
    if not regex.groups:
        ends = rx.first_bytes(regex.root) | rx.last_bytes(regex.root)
        # the secret of a rule without groups has no line breaks at its ends
        return "the match may begin or end with a line break" if ends >> 10 & 1 else 0
    names = regex.group_names
    token = [index for name, index in names.items() if name.upper() == "TOKEN"]
    group = token[0] if token else min(names.values(), default=1)
    if group not in _taking_part(regex.root):
        return f"group {group} takes no part in some matches, of which the whole match is measured"
    return group


def _taking_part(root: rx.Node) -> frozenset[int]:
    """The groups that take part in every match."""

    def combine(node: rx.Node, parts: Sequence[frozenset[int]]) -> frozenset[int]:
        if isinstance(node, rx.Alternate):
            return frozenset.intersection(*parts)
        if isinstance(node, rx.Repeat) and node.min == 0:
            return frozenset()
        own = {node.index} if isinstance(node, rx.Capture) else set()
        return frozenset(own).union(*parts)

    return rx.fold(root, combine)

"""From a TOML document to a PackDraft, for both dialects: gitleaks' own and our superset.

What differs between them is in a Dialect (gitleaks_toml.py, native_toml.py). Merging is in
merging.py, the checks on a whole pack in finish.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vyre_dist.rules.draft import Extend, PackDraft, RuleDraft, WrittenAllowlist, unique
from vyre_dist.rules.model import Allowlist, RegexTarget, Rule
from vyre_dist.rules.pack_format import PackSource
from vyre_dist.rules.toml_spots import TomlSpots
from vyre_dist.rules.toml_table import Table, TomlFile

_TARGETS: Mapping[str, RegexTarget] = {
    "": "secret",
    "secret": "secret",
    "match": "match",
    "line": "line",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is special to one TOML dialect.

    `extended`: our additions are read. `strict`: an unknown key is a mistake; else it is one that
    does not exist here. `refused`: keys of tables ("pack", "rule", "allowlist", "extend") that
    change findings in ways we do not have, with the reason; `harmless`: keys that change none.
    """

    format: str
    extended: bool
    strict: bool
    refused: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    harmless: Mapping[str, frozenset[str]] = field(default_factory=dict)


def read_toml_pack(source: PackSource, dialect: Dialect) -> PackDraft:
    """The draft of a whole document.

    What is wrong goes to `source.diagnostics`; what could be read comes back all the same.
    """
    document, diagnostics = source.toml, source.diagnostics
    file = TomlFile(
        source.file,
        TomlSpots(document.text),
        diagnostics,
        source.patterns,
        snake_case=dialect.extended,
    )
    table = Table(file, document.values, ())
    draft = PackDraft(source.name, dialect.format)
    told = len(diagnostics.errors)
    table.text("title")
    table.text("description")
    table.text("minVersion")
    if dialect.extended:
        draft.name = table.text("name") or source.name
        if table.integer("schema") not in (None, 1):
            table.error(
                "schema is not one that this version reads",
                key="schema",
                hint="it reads schema = 1",
            )
    for index, rule_table in enumerate(table.tables("rules"), 1):
        draft.rules.append(_rule(rule_table, index, dialect))
    for allowlist_table in _allowlist_tables(table):
        allowlist = _allowlist(allowlist_table, dialect, is_global=True)
        if allowlist is not None:
            draft.allowlists.append(WrittenAllowlist(allowlist, allowlist_table.origin))
    for extend_table in table.tables("extend"):
        draft.extend = _extend(extend_table, dialect)
    _leftovers(table, "pack", dialect)
    draft.unsupported = diagnostics.take_unsupported(told)
    return draft


def _rule(table: Table, index: int, dialect: Dialect) -> RuleDraft:
    told = len(table.source.diagnostics.errors)
    rule_id = table.text("id").strip()
    table.rule_id = rule_id or f"#{index}"
    if not rule_id and len(table.source.diagnostics.errors) == told:
        table.error("has no id", hint="every rule needs one, unique in the pack")
    flags = ""
    extra: dict[str, tuple[str, ...]] = {}
    enabled, max_match_bytes = True, None
    if dialect.extended:
        flags = "x" * table.flag("verbose") + "i" * table.flag("case_insensitive")
        extra = {key: table.texts(key, empty_ok=True) for key in ("examples", "negative_examples")}
        enabled = table.flag("enabled", default=True)
        max_match_bytes = table.integer("max_match_bytes", least=1)
    secret_group = table.integer("secret_group" if dialect.extended else "secretGroup")
    if not dialect.extended and secret_group is None:
        secret_group = table.integer("valueGroup")  # betterleaks 2
    allowlists = [_allowlist(t, dialect, is_global=False) for t in _allowlist_tables(table)]
    rule = Rule(
        id=table.rule_id,
        regex=table.pattern("regex", flags),
        description=table.text("description"),
        path=table.pattern("path"),
        secret_group=secret_group or 0,
        # gitleaks: an entropy of 0 is no filter
        entropy=table.number("entropy") or None,
        keywords=unique(ascii_lower(word) for word in table.texts("keywords")),
        tags=unique(table.texts("tags")),
        allowlists=tuple(a for a in allowlists if a is not None),
        max_match_bytes=max_match_bytes,
        origin=table.origin,
        **extra,
    )
    silent = False
    if not dialect.extended:
        silent = table.flag("skipReport")
    _leftovers(table, "rule", dialect)
    return RuleDraft(rule, enabled, silent, table.source.diagnostics.take_unsupported(told))


def _allowlist_tables(table: Table) -> list[Table]:
    old, new = table.tables("allowlist"), table.tables("allowlists")
    if old and new:
        table.error(
            "[allowlist] and [[allowlists]] are both there",
            key="allowlist",
            hint="move all to [[allowlists]]",
        )
    return old + new


def _allowlist(table: Table, dialect: Dialect, *, is_global: bool) -> Allowlist | None:
    condition = table.text("condition")
    target = table.text("regex_target" if dialect.extended else "regexTarget")
    targets = (
        table.texts("target_rules" if dialect.extended else "targetRules") if is_global else ()
    )
    both = condition.upper() in ("AND", "&&")
    if not both and condition.upper() not in ("", "OR", "||"):
        table.error(
            f"condition is {condition!r}",
            key="condition",
            hint='it must be "OR" (the default) or "AND"',
        )
    if target not in _TARGETS:
        names = ", ".join(f'"{name}"' for name in _TARGETS if name)
        table.error(
            f"regex target is {target!r}", key="regexTarget", hint=f"it must be one of {names}"
        )
    allowlist = Allowlist(
        description=table.text("description"),
        condition="AND" if both else "OR",
        commits=unique(commit.strip().lower() for commit in table.texts("commits")),
        paths=table.patterns("paths"),
        regexes=table.patterns("regexes"),
        regex_target=_TARGETS.get(target, "secret"),
        stopwords=unique(ascii_lower(word) for word in table.texts("stopwords")),
        target_rules=targets,
    )
    _leftovers(table, "allowlist", dialect)
    if not any(table.has(key) for key in ("commits", "paths", "regexes", "stopwords")):
        table.error(
            "the allowlist has no checks", hint="give it commits, paths, regexes or stopwords"
        )
        return None
    if not (allowlist.commits or allowlist.paths or allowlist.regexes or allowlist.stopwords):
        table.error(
            "the allowlist's checks are all empty",
            hint="give it commits, paths, regexes or stopwords",
        )
        return None
    return allowlist


def _extend(table: Table, dialect: Dialect) -> Extend:
    extend = Extend(
        use_default=table.flag("use_default" if dialect.extended else "useDefault"),
        path=table.text("path"),
        disabled_rules=table.texts("disabled_rules" if dialect.extended else "disabledRules"),
        origin=table.origin,
    )
    if table.has("url") and table.text("url"):
        table.error(
            "extending from a url is not supported",
            key="url",
            hint="download the file and name it with path",
        )
    if extend.use_default and extend.path:
        table.error(
            "useDefault and path are both set", key="path", hint="a pack extends one other pack"
        )
    _leftovers(table, "extend", dialect)
    return extend


def _leftovers(table: Table, where: str, dialect: Dialect) -> None:
    for key, reason in dialect.refused.get(where, {}).items():
        if table.is_set(key):
            table.unsupported(f"the key {key}", f"{key} is not supported", key=key, hint=reason)
    for key in dialect.harmless.get(where, ()):
        table.has(key)
    for key, hint in table.unknown_keys():
        if dialect.strict:
            table.error(f"unknown key {key!r}", key=key, hint=hint)
        else:
            hint = hint or "it may change what is found; remove it if it does not"
            table.unsupported(f"the unknown key {key}", f"unknown key {key!r}", key=key, hint=hint)


def ascii_lower(text: str) -> str:
    """Lower case for A to Z only: keywords and stop words are compared byte by byte."""
    return text.encode().lower().decode()

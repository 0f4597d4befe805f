"""Files that look like rule packs and are something else: which tool's, and why their rules mean
nothing here.

Told by their keys alone, since what is under a key such as `pattern` looks alike in all of them.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

_NO_KEYS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Foreign:
    """`name`: what kind of file it is, for messages. `hint`: why it is of no use, or what to do."""

    name: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Sign:
    """A document is `kind` if one of its rules has one of `rule`, or if it has one of `beside` at
    its top.

    `instead`: the same as `rule`, where no rule has a pattern. `top` and `all_top`: one of these,
    or all of those, where there are no rules.
    """

    kind: Foreign
    top: frozenset[str] = _NO_KEYS
    all_top: frozenset[str] = _NO_KEYS
    beside: frozenset[str] = _NO_KEYS
    rule: frozenset[str] = _NO_KEYS
    instead: frozenset[str] = _NO_KEYS

    def fits(self, top: Set[str], rules: Set[str]) -> bool:
        if (
            self.rule & rules
            or self.beside & top
            or (self.instead & rules and "pattern" not in rules)
        ):
            return True
        if "rules" in top:
            return False
        return bool(self.top & top) or (bool(self.all_top) and self.all_top <= top)


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REWRITE = "its rules cannot be read; write them as vyre-dist's or gitleaks' TOML"
_NO_RULES = "it holds no rules"

_YAML = (
    _Sign(
        Foreign("a semgrep pack", "its patterns are code to look for, not regexes"),
        rule=_keys(
            "patterns pattern-either pattern-regex pattern-not pattern-inside pattern-sources "
            "pattern-sinks "
            "languages match taint r2c-internal-project-depends-on"
        ),
    ),
    _Sign(
        Foreign(
            "a Nosey Parker rule set", "it chooses among rules; here all rules of a pack are used"
        ),
        top=_keys("rulesets"),
    ),
    _Sign(
        Foreign("a trivy secret configuration", _REWRITE),
        beside=_keys(
            "enable-builtin-rules disable-rules disable-allow-rules allow-rules exclude-block"
        ),
        rule=_keys("secret-group-name allow-rules exclude-block"),
    ),
    _Sign(
        Foreign("a pack in another tool's format", _REWRITE),
        instead=_keys("regex regexes regexp condition"),
    ),
    _Sign(Foreign("a trufflehog configuration", _REWRITE), top=_keys("detectors sources")),
    _Sign(
        Foreign("a detect-secrets baseline", _NO_RULES),
        top=_keys("plugins_used filters_used generated_at"),
    ),
    _Sign(
        Foreign("a Sigma rule", "it is about log events, not files"),
        all_top=_keys("logsource detection"),
    ),
    _Sign(Foreign("a nuclei template", "it is about hosts, not files"), all_top=_keys("id info")),
    _Sign(
        Foreign("a Bearer rule", "its patterns are code to look for, not regexes"),
        all_top=_keys("patterns languages"),
    ),
    _Sign(
        Foreign("a list of patterns in another tool's format", _REWRITE),
        top=_keys("patterns signatures regexes"),
    ),
    _Sign(
        Foreign("an ast-grep rule", "its patterns are code to look for, not regexes"),
        all_top=_keys("rule language"),
    ),
    _Sign(
        Foreign("a Talisman configuration", _NO_RULES), top=_keys("fileignoreconfig scopeconfig")
    ),
    _Sign(
        Foreign("a ggshield configuration", _NO_RULES),
        top=_keys("paths-ignore matches-ignore paths_ignore"),
    ),
    _Sign(Foreign("a pre-commit configuration", _NO_RULES), top=_keys("repos")),
    _Sign(Foreign("a CI workflow", _NO_RULES), all_top=_keys("jobs on")),
)
_TOML = (
    _Sign(Foreign("a Python project's file", _NO_RULES), top=_keys("project tool build-system")),
    _Sign(Foreign("a Rust project's file", _NO_RULES), top=_keys("package dependencies workspace")),
)

_BY_ENDING = {
    ".yar": "YARA's rules are conditions over strings; rewrite those that are single regexes as "
    "TOML",
    ".yara": "YARA's rules are conditions over strings; rewrite those that are single regexes as "
    "TOML",
    ".baseline": "it is detect-secrets' and holds no rules",
    ".json": "detect-secrets' baselines, trufflehog's old lists and others' are JSON; write the "
    "rules as TOML",
}


def foreign_yaml(top: Set[str], rules: Set[str]) -> Foreign | None:
    """What a YAML file is instead of a pack, by the keys of its top level and those of its rules;
    None for a pack.
    """
    return next((sign.kind for sign in _YAML if sign.fits(top, rules)), None)


def foreign_toml(top: Set[str]) -> Foreign | None:
    """The same of a TOML file without rules."""
    return next((sign.kind for sign in _TOML if sign.fits(top, _NO_KEYS)), None)


def hint_for_ending(suffix: str) -> str:
    """What is known of files that end so, else what packs end in."""
    return _BY_ENDING.get(
        suffix, "gitleaks and vyre packs end in .toml, Nosey Parker's in .yml or .yaml"
    )

"""Packs between reading and use: drafts as a file wrote them, how one extends another, and the
checks on the whole.

A draft may be incomplete (an overriding rule often has no regex of its own); PackData comes out of
`finish` only when everything fits together. Reading files is not done here.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vyre_dist import regex as rx
from vyre_dist.rules.diagnostics import Diagnostic, Diagnostics
from vyre_dist.rules.left_out import LeftOut, by_reason, lines
from vyre_dist.rules.model import Allowlist, Origin, PackData, Rule
from vyre_dist.rules.patterns import Patterns

_ID_TAKEN = "its id is taken again further on"


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """A rule as written. `enabled` False takes the rule out, also one that it overrides; `silent`:
    gitleaks' skipReport. `unsupported`: what of it does not exist here, which counts only if it
    is used.
    """

    rule: Rule
    enabled: bool = True
    silent: bool = False
    unsupported: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacedAllowlist:
    """A global allowlist and where it was written."""

    allowlist: Allowlist
    origin: Origin


@dataclass(frozen=True, slots=True)
class Extend:
    """What a file builds upon (our built-in pack or the file `path`), and what of it it leaves
    out.
    """

    use_default: bool = False
    path: str = ""
    disabled_rules: tuple[str, ...] = ()
    origin: Origin = field(default_factory=Origin)


@dataclass(slots=True)
class PackDraft:
    """One file's content. `format`: gitleaks, vyre, noseyparker or patterns. `disabled`: rules of
    its bases, left out.

    `unsupported`: what does not exist here and concerns all of the file's rules. `ruleless`: the
    same of files, of several that were joined, that have none.
    """

    name: str
    format: str
    rules: list[RuleDraft] = field(default_factory=list)
    allowlists: list[PlacedAllowlist] = field(default_factory=list)
    extend: Extend | None = None
    disabled: tuple[str, ...] = ()
    unsupported: tuple[Diagnostic, ...] = ()
    ruleless: tuple[Diagnostic, ...] = ()


def overlay(own: PackDraft, base: PackDraft, extend: Extend, diagnostics: Diagnostics) -> PackDraft:
    """`own` on top of `base`, as gitleaks extends: a rule with a base rule's id is merged into it,
    value by value.

    Texts and numbers that the own rule has win; tags, keywords, allowlists and examples are
    appended to the base's. Order: the base's rules, then the new ones (gitleaks sorts by id
    instead, which no finding depends on).
    """
    base_ids = [draft.rule.id for draft in base.rules]
    for rule_id in extend.disabled_rules:
        if rule_id not in base_ids:
            diagnostics.warnings.append(
                _diagnostic(
                    extend.origin,
                    "",
                    f"disabled rule {rule_id!r} is not in {base.name!r}",
                    _close(rule_id, base_ids),
                )
            )
    disabled = set(extend.disabled_rules)
    # the merge goes by id: of two rules with one id it would lose one without a word
    merged = {
        draft.rule.id: draft
        for draft in one_of_each(base.rules, diagnostics)
        if draft.rule.id not in disabled
    }
    for draft in one_of_each(own.rules, diagnostics):
        under = merged.get(draft.rule.id)
        merged[draft.rule.id] = draft if under is None else _merge_rule(draft, under, diagnostics)
    return PackDraft(
        own.name,
        own.format,
        list(merged.values()),
        [*base.allowlists, *own.allowlists],
        disabled=(*base.disabled, *extend.disabled_rules),
        unsupported=(*base.unsupported, *own.unsupported),
        ruleless=(*base.ruleless, *own.ruleless),
    )


def one_of_each(drafts: Sequence[RuleDraft], diagnostics: Diagnostics) -> list[RuleDraft]:
    """The rules without those whose id another has: that is a error, or the later is kept where
    `diagnostics` skips such.
    """
    kept: dict[str, RuleDraft] = {}
    for draft in drafts:
        rule = draft.rule
        taken = kept.get(rule.id)
        if taken is None:
            kept[rule.id] = draft
        elif diagnostics.skip_unsupported:
            origin = taken.rule.origin
            diagnostics.left_out.append(LeftOut(rule.id, _ID_TAKEN, origin.file, origin.line))
            del kept[rule.id]  # so that the later one keeps its own place
            kept[rule.id] = draft
        else:
            diagnostics.errors.append(_id_taken(rule, taken.rule))
    return list(kept.values())


def _merge_rule(own: RuleDraft, base: RuleDraft, diagnostics: Diagnostics) -> RuleDraft:
    if own.silent:
        diagnostics.warnings.append(
            _diagnostic(
                own.rule.origin,
                own.rule.id,
                "skipReport is ignored on a rule that overrides another",
                "use disabledRules",
            )
        )
    a, b = own.rule, base.rule
    rule = replace(
        b,
        regex=b.regex if a.regex is None else a.regex,
        description=a.description or b.description,
        path=b.path if a.path is None else a.path,
        secret_group=a.secret_group or b.secret_group,
        entropy=b.entropy if a.entropy is None else a.entropy,
        keywords=unique(b.keywords + a.keywords),
        tags=unique(b.tags + a.tags),
        allowlists=b.allowlists + a.allowlists,
        examples=b.examples + a.examples,
        negative_examples=b.negative_examples + a.negative_examples,
        max_match_bytes=b.max_match_bytes if a.max_match_bytes is None else a.max_match_bytes,
        origin=a.origin,
    )
    return RuleDraft(rule, own.enabled, base.silent, base.unsupported + own.unsupported)


def join(name: str, drafts: Sequence[PackDraft], diagnostics: Diagnostics) -> PackDraft:
    """Several files side by side. A file's global allowlists stay its own: they are narrowed to
    that file's rules, and where it has none they are left out, with a warning.
    """
    if len(drafts) == 1:
        return drafts[0]
    formats = {draft.format for draft in drafts}
    joined = PackDraft(name, formats.pop() if len(formats) == 1 else "mixed")
    for draft in drafts:
        joined.rules.extend(_marked(draft))
        joined.ruleless += draft.ruleless + (() if draft.rules else draft.unsupported)
        joined.disabled += draft.disabled
        ids = tuple(d.rule.id for d in draft.rules)
        for placed in draft.allowlists:
            targets = placed.allowlist.target_rules or ids
            if not targets:  # these would stand for all rules, those of the other files
                diagnostics.warnings.append(
                    _diagnostic(
                        placed.origin,
                        "",
                        "the allowlist is ignored: it covers its own file's rules, and there are "
                        "none",
                        "name the rules in targetRules, or the pack in [extend]",
                    )
                )
                continue
            joined.allowlists.append(
                replace(placed, allowlist=replace(placed.allowlist, target_rules=targets))
            )
    return joined


def _marked(draft: PackDraft) -> list[RuleDraft]:
    """The rules of a file, each with what concerns all of them."""
    if not draft.unsupported:
        return draft.rules
    return [replace(rule, unsupported=draft.unsupported + rule.unsupported) for rule in draft.rules]


def finish(draft: PackDraft, diagnostics: Diagnostics, patterns: Patterns) -> PackData:
    """Check the whole and make it PackData. Patterns at fault have been reported already.

    Raises PackError with all of `diagnostics.errors`, those found here included. What is
    unsupported is one of them, or is left out and listed in `diagnostics.left_out`.
    """
    left_out = set(draft.disabled)
    used = []
    for item in _marked(draft):
        if item.enabled and not item.silent:
            used.append(item)
            continue
        left_out.add(item.rule.id)
        if item.enabled:
            message = "skipReport: the rule reports nothing on its own and is left out"
            diagnostics.warnings.append(_diagnostic(item.rule.origin, item.rule.id, message))
    rules: dict[str, Rule] = {}
    for item in one_of_each(used, diagnostics):
        rule = item.rule
        found = [*item.unsupported, *_rule_errors(rule, patterns)]
        if diagnostics.skip_unsupported and any(error.unsupported for error in found):
            _leave_out(
                rule.id, [error for error in found if error.unsupported], rule.origin, diagnostics
            )
            left_out.add(rule.id)
            continue
        rules[rule.id] = rule
        diagnostics.errors.extend(found)
        diagnostics.warnings.extend(_costs(rule, patterns))
    for error in draft.ruleless + (() if draft.rules else draft.unsupported):
        if diagnostics.skip_unsupported:
            _leave_out("", [error], Origin(error.file, error.line), diagnostics)
        else:
            diagnostics.errors.append(error)
    # what concerns a whole file was found with each of its rules
    diagnostics.errors[:] = dict.fromkeys(diagnostics.errors)
    _check_targets(draft, rules, left_out, diagnostics)
    if not rules and not diagnostics.errors:
        message = "the pack has no rules, a scan would find nothing"
        if diagnostics.left_out:
            told = "; ".join(lines(by_reason(diagnostics.left_out)))
            message = f"the pack has no rules but such as are not supported: {told}"
        diagnostics.errors.append(_diagnostic(Origin(draft.name), "", message))
    diagnostics.raise_if_any()
    allowlists = tuple(
        replace(a, target_rules=tuple(t for t in a.target_rules if t in rules))
        for a in (placed.allowlist for placed in draft.allowlists)
        # one whose targets are all switched off must not become a global one
        if not a.target_rules or any(t in rules for t in a.target_rules)
    )
    return PackData(draft.name, tuple(rules.values()), allowlists)


def _costs(rule: Rule, patterns: Patterns) -> list[Diagnostic]:
    """What makes the rule dear to scan for, beyond what any rule costs."""
    regex = None if rule.regex is None else patterns.parsed(rule.regex)
    if regex is None or not rx.counts_apart(regex.root):
        return []
    most = rx.MOST_SEARCHED
    message = (
        f"a repeat of more than {most} positions is counted step by step where it begins: a scan "
        f"may be slow"
    )
    return [
        _diagnostic(
            rule.origin,
            rule.id,
            message,
            f"a count of at most {most} or none is searched at full speed",
        )
    ]


def _leave_out(
    rule_id: str, errors: Sequence[Diagnostic], origin: Origin, diagnostics: Diagnostics
) -> None:
    reason = " and ".join(unique(error.unsupported for error in errors))
    diagnostics.left_out.append(LeftOut(rule_id, reason, origin.file, origin.line))


def _check_targets(
    draft: PackDraft, rules: Mapping[str, Rule], left_out: Collection[str], diagnostics: Diagnostics
) -> None:
    known = [*rules, *left_out]
    for placed in draft.allowlists:
        for target in placed.allowlist.target_rules:
            if target not in rules and target not in left_out:
                message = f"allowlist targets rule {target!r}, which is not in the pack"
                diagnostics.errors.append(
                    _diagnostic(placed.origin, "", message, _close(target, known))
                )


def _rule_errors(rule: Rule, patterns: Patterns) -> Iterable[Diagnostic]:
    if rule.regex is None and rule.path is None:
        hint = "if it is meant to change a rule of another pack, name that pack in [extend]"
        yield _diagnostic(
            rule.origin, rule.id, "has neither regex nor path, so it could never match", hint
        )
    if rule.regex is None and rule.path is not None and rule.keywords:
        # Refused, as other filters that do not exist here: without them the rule reports every file
        # in a fitting place.
        message = "has keywords and no regex: a rule with a path only does not look into files"
        hint = "write the keywords as its regex, such as '(?i)word', or remove them"
        yield replace(
            _diagnostic(rule.origin, rule.id, message, hint),
            unsupported="keywords of a rule with a path only",
        )
    regex = None if rule.regex is None else patterns.parsed(rule.regex)
    groups = 0 if regex is None else regex.groups
    if rule.secret_group > groups and (regex is not None or rule.regex is None):
        message = (
            f"secret group {rule.secret_group} asked for, the regex has {groups} "
            f"group{'s' * (groups != 1)}"
        )
        yield _diagnostic(rule.origin, rule.id, message, f"use 0 to {groups}")


def unique(items: Iterable[str]) -> tuple[str, ...]:
    """The items without repeats, in order."""
    return tuple(dict.fromkeys(items))


def _id_taken(rule: Rule, first: Rule) -> Diagnostic:
    where = f"{first.origin.file}:{first.origin.line}"
    message = f"id is already taken by the rule at {where}"
    return replace(
        _diagnostic(rule.origin, rule.id, message, "ids are unique"), unsupported=_ID_TAKEN
    )


def _diagnostic(origin: Origin, rule_id: str, message: str, hint: str = "") -> Diagnostic:
    return Diagnostic(origin.file, origin.line, 0, rule_id, message, hint)


def _close(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""

"""Merging of drafts: one pack on top of another, and several side by side.

What a pack must be when all is merged is checked in finish.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from vyre_dist.rules.diagnostics import Diagnostic, Diagnostics
from vyre_dist.rules.draft import Extend, PackDraft, RuleDraft, diagnostic_at, did_you_mean, unique
from vyre_dist.rules.left_out import LeftOut
from vyre_dist.rules.model import Rule

_ID_TAKEN = "its id is taken again further on"

_WITHOUT_REPEATS = frozenset({"keywords", "tags"})


def overlay(own: PackDraft, base: PackDraft, extend: Extend, diagnostics: Diagnostics) -> PackDraft:
    """`own` on top of `base`, as gitleaks extends: rules of one id are merged, value by value.

    Order: the base's rules, then the new ones. gitleaks sorts by id instead; no finding depends on
    it.
    """
    base_ids = [draft.rule.id for draft in base.rules]
    for rule_id in extend.disabled_rules:
        if rule_id not in base_ids:
            diagnostics.warnings.append(
                diagnostic_at(
                    extend.origin,
                    "",
                    f"disabled rule {rule_id!r} is not in {base.name!r}",
                    did_you_mean(rule_id, base_ids),
                )
            )
    disabled = set(extend.disabled_rules)
    # the merge goes by id: of two rules with one id it would lose one without a word
    merged = {
        draft.rule.id: draft
        for draft in one_per_id(base.rules, diagnostics)
        if draft.rule.id not in disabled
    }
    for draft in one_per_id(own.rules, diagnostics):
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


def one_per_id(drafts: Sequence[RuleDraft], diagnostics: Diagnostics) -> list[RuleDraft]:
    """The rules, one for each id.

    An id that is taken twice is an error; with `skip_unsupported` the later rule is kept.
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
            del kept[rule.id]  # so that the later one keeps its own position
            kept[rule.id] = draft
        else:
            diagnostics.errors.append(_id_taken(rule, taken.rule))
    return list(kept.values())


def _merge_rule(own: RuleDraft, base: RuleDraft, diagnostics: Diagnostics) -> RuleDraft:
    if own.silent:
        diagnostics.warnings.append(
            diagnostic_at(
                own.rule.origin,
                own.rule.id,
                "skipReport is ignored on a rule that overrides another",
                "use disabledRules",
            )
        )
    rule = merge_rules(own.rule, base.rule)
    return RuleDraft(rule, own.enabled, base.silent, base.unsupported + own.unsupported)


def merge_rules(own: Rule, base: Rule) -> Rule:
    """`base` with the values that `own` has: texts, numbers and flags win, lists are appended.

    Every field of Rule is merged so: a new one needs nothing here.
    """
    values: dict[str, Any] = {}
    for field in fields(Rule):
        mine, its = getattr(own, field.name), getattr(base, field.name)
        if isinstance(its, tuple):
            values[field.name] = its + mine
            if field.name in _WITHOUT_REPEATS:
                values[field.name] = unique(its + mine)
        else:
            values[field.name] = its if mine in (None, "", 0) else mine
    return replace(base, **values)


def join(name: str, drafts: Sequence[PackDraft], diagnostics: Diagnostics) -> PackDraft:
    """Several files side by side.

    A file's global allowlists cover that file's rules only. Where it has none they are left out,
    with a warning.
    """
    if len(drafts) == 1:
        return drafts[0]
    formats = {draft.format for draft in drafts}
    joined = PackDraft(name, formats.pop() if len(formats) == 1 else "mixed")
    for draft in drafts:
        joined.rules.extend(with_file_wide(draft))
        joined.ruleless += draft.ruleless + (() if draft.rules else draft.unsupported)
        joined.disabled += draft.disabled
        ids = tuple(d.rule.id for d in draft.rules)
        for written in draft.allowlists:
            targets = written.allowlist.target_rules or ids
            if not targets:  # these would stand for all rules, those of the other files
                diagnostics.warnings.append(
                    diagnostic_at(
                        written.origin,
                        "",
                        "the allowlist is ignored: it covers its own file's rules, and there are "
                        "none",
                        "name the rules in targetRules, or the pack in [extend]",
                    )
                )
                continue
            joined.allowlists.append(
                replace(written, allowlist=replace(written.allowlist, target_rules=targets))
            )
    return joined


def with_file_wide(draft: PackDraft) -> list[RuleDraft]:
    """The rules of a file, each with what is unsupported in all of the file."""
    if not draft.unsupported:
        return draft.rules
    return [replace(rule, unsupported=draft.unsupported + rule.unsupported) for rule in draft.rules]


def _id_taken(rule: Rule, first: Rule) -> Diagnostic:
    where = f"{first.origin.file}:{first.origin.line}"
    message = f"id is already taken by the rule at {where}"
    return replace(
        diagnostic_at(rule.origin, rule.id, message, "ids are unique"), unsupported=_ID_TAKEN
    )

"""Rules of a file become rules of a tenant: all that can, at once, or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

from backend.core.database import Tx
from backend.managers.alerting._rule_files import ReadRule
from backend.managers.alerting._rules import Rule, RuleDraft, Rules
from backend.managers.alerting._seeing import PrometheusCondition

Outcome = Literal["created", "changed", "unchanged", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRule:
    """What became of a rule of a file, or would.

    Attributes:
        group: The name of its group.
        name: As the rule is called; of a refused one as the file has it.
        rule_id: Which rule it is; None: it is none, or would yet be made.
        reason: Why it was refused.
        notes: What of it is not kept, or not as it was.
    """

    group: str
    name: str
    outcome: Outcome
    rule_id: str | None = None
    reason: str = ""
    notes: Sequence[str] = ()


async def import_rules(
    tx: Tx, rules: Rules, read: Sequence[ReadRule], *, dry_run: bool
) -> Sequence[ImportedRule]:
    """Make rules of a file's, and change those that were made of it before, by their names.

    Whether a rule is looked at, and what becomes of its alerts while nothing is measured, a file
    does not say: both stay as somebody has set them.

    Args:
        tx: The tenant's.
        rules: Its rules.
        read: Of the file.
        dry_run: Change nothing: what is given is what would be.

    Raises:
        TooManyRulesError: There would be more than ten thousand.
        RuleExistsError: Somebody makes one of the same name right now.
    """
    known = await rules.named(tx, {one.draft.name for one in read if one.draft is not None})
    new = [one for one in read if one.draft is not None and one.draft.name not in known]
    await rules.refuse_too_many(tx, len(new))
    return [await _import(tx, rules, one, known, dry_run=dry_run) for one in read]


async def _import(
    tx: Tx, rules: Rules, read: ReadRule, known: Mapping[str, Rule], *, dry_run: bool
) -> ImportedRule:
    draft = read.draft
    if draft is None:
        return ImportedRule(
            group=read.group, name=read.name, outcome="refused", reason=read.refused
        )
    told = ImportedRule(group=read.group, name=draft.name, outcome="created", notes=read.notes)
    rule = known.get(draft.name)
    if rule is None:
        made = None if dry_run else await rules.create(tx, draft)
        return replace(told, rule_id=made.id if made else None)
    if not isinstance(rule.condition, PrometheusCondition):
        return replace(
            told,
            outcome="refused",
            rule_id=rule.id,
            reason="A rule of this name asks for something else than PromQL",
            notes=(),
        )
    draft = replace(draft, enabled=rule.enabled, no_data=rule.no_data)
    if draft == _draft_of(rule):
        return replace(told, outcome="unchanged", rule_id=rule.id)
    if not dry_run:
        await rules.replace(tx, rule.id, draft, expected_version=rule.version)
    return replace(told, outcome="changed", rule_id=rule.id)


def _draft_of(rule: Rule) -> RuleDraft:
    return RuleDraft(**{one.name: getattr(rule, one.name) for one in fields(RuleDraft)})

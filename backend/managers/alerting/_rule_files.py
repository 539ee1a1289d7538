"""Rule files of Prometheus, read as rules of ours.

A file is read whole: each rule becomes a draft or is refused, by itself and with the reason, and
says in notes what of it we have no word for. YAML is read as texts alone, without the tags, merges
and references that let a short file be a long one: a rule file holds nothing but texts.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import yaml

from backend.core.errors import AppError
from backend.managers.alerting._foreign import RUNBOOK, SEVERITIES, summary_of
from backend.managers.alerting._matching import MAX_VALUE, is_label
from backend.managers.alerting._rules import RuleDraft
from backend.managers.alerting._seeing import PrometheusCondition
from backend.managers.alerting.errors import RuleFileInvalidError
from backend.managers.monitoring import refuse_query

MAX_BYTES: Final = 512 * 1024
MAX_RULES: Final = 500
"""Of a file."""
_LEVELS: Final = 20
_MAX_QUERY: Final = 4000
_MAX_NAME: Final = 100
_MAX_LABELS: Final = 20
_MAX_SUMMARY: Final = 2000
_LONGEST_DAYS: Final = 7
_EVERY: Final = 60
_LEAST_EVERY, _MOST_EVERY = 10, 3600
_MAX_SAID: Final = 200
_NOTHING: Final = (None, "", "~", "null")
_LOADER: Final[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_DAY: Final = 86_400
_UNITS: Final = {"y": 365 * _DAY, "w": 7 * _DAY, "d": _DAY, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_DURATION: Final = re.compile(
    r"(?:\d+y)?(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m(?!s))?(?:\d+s)?(?:\d+ms)?", re.ASCII
)
_PART: Final = re.compile(r"(\d+)(ms|[ywdhms])", re.ASCII)
_PRINTED: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]*")
_TEMPLATE: Final = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_LABEL: Final = re.compile(r"(?:\$labels|\.Labels)\.([a-zA-Z_][a-zA-Z0-9_]*)", re.ASCII)
_VALUE: Final = re.compile(r"\$value|\.Value")
_FORMATTED: Final = re.compile(
    r'(?:printf\s+"[^"]*"\s+)?(?:\$value|\.Value)(?:\s*\|\s*(?:printf\s+"[^"]*"|\w+))*'
)
_RULE_FIELDS: Final = frozenset(
    {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
)
_GROUP_FIELDS: Final = frozenset({"name", "interval", "rules"})
_TEXTS: Final = frozenset({"summary", "message", "title", "description"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRule:
    """A rule of a file.

    Attributes:
        group: The name of its group.
        name: As the file has it.
        draft: What becomes of it; None: nothing.
        refused: Why nothing does.
        notes: What of it is not kept, or not as it was.
    """

    group: str
    name: str
    draft: RuleDraft | None = None
    refused: str = ""
    notes: Sequence[str] = field(default=())


class _RefusalError(ValueError):
    """Why a rule cannot be one of ours."""


def read_rule_file(content: bytes) -> Sequence[ReadRule]:
    """The rules of a file, YAML or JSON, in its order.

    Raises:
        RuleFileInvalidError: It is no rule file.
    """
    read: list[ReadRule] = []
    names: set[str] = set()
    for group, rule in _rules_of(_loaded(content)):
        one = _read(group, rule)
        if one.draft is not None:
            one = _named(one, one.draft, names)
        read.append(one)
    return read


def _loaded(content: bytes) -> Any:
    if len(content) > MAX_BYTES:
        raise RuleFileInvalidError(f"It has at most {MAX_BYTES // 1024} KiB")
    try:
        text = content.decode()
        # Before anything is made of it, for what is made is made level by level.
        _refuse_endless(yaml.parse(text, Loader=_LOADER))
        return yaml.load(text, Loader=_LOADER)  # noqa: S506 - makes texts alone
    except UnicodeDecodeError:
        raise RuleFileInvalidError("It is not UTF-8") from None
    except yaml.YAMLError as exc:
        said = " ".join(str(exc).split())
        raise RuleFileInvalidError(f"It is no YAML: {said[:_MAX_SAID]}") from None


def _refuse_endless(events: Iterator[Any]) -> None:
    """Refuse what is larger than it looks: parts that are there twice, and levels without end."""
    level = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise RuleFileInvalidError("It refers to parts of itself (*): write them out")
        level += isinstance(event, yaml.CollectionStartEvent)
        level -= isinstance(event, yaml.CollectionEndEvent)
        if level > _LEVELS:
            raise RuleFileInvalidError("It is nested too deep")


def _rules_of(loaded: Any) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    groups = loaded.get("groups") if isinstance(loaded, dict) else None
    if not isinstance(groups, list):
        raise RuleFileInvalidError("It has no list of groups")
    count = 0
    for number, group in enumerate(groups):
        rules = group.get("rules") if isinstance(group, dict) else None
        if not isinstance(rules, list):
            raise RuleFileInvalidError(f"Group {number + 1} has no list of rules")
        count += len(rules)
        if count > MAX_RULES:
            raise RuleFileInvalidError(f"It has at most {MAX_RULES} rules")
        for rule in rules:
            if not isinstance(rule, dict):
                raise RuleFileInvalidError(f"A rule of group {number + 1} is none")
            yield group, rule


def _read(group: Mapping[str, Any], rule: Mapping[str, Any]) -> ReadRule:
    called = str(group.get("name", ""))[:_MAX_SAID]
    name = str(rule.get("alert") or rule.get("record") or "")[:_MAX_SAID]
    notes: list[str] = []
    try:
        draft = _draft(group, rule, notes)
    except _RefusalError as exc:
        return ReadRule(group=called, name=name, refused=str(exc))
    return ReadRule(group=called, name=name, draft=draft, notes=notes)


def _draft(group: Mapping[str, Any], rule: Mapping[str, Any], notes: list[str]) -> RuleDraft:
    if "record" in rule:
        raise _RefusalError("A recording rule: series are recorded by your Prometheus")
    name = _text(rule, "alert")
    if not name.strip() or len(name) > _MAX_NAME or _PRINTED.fullmatch(name) is None:
        raise _RefusalError(f"Its name is a line of at most {_MAX_NAME} characters")
    labels = _texts(rule, "labels")
    severity = labels.pop("severity", "")
    annotations = _texts(rule, "annotations")
    summary = summary_of(
        {one: _filled(annotations[one], notes) for one in sorted(_TEXTS & annotations.keys())}
    )
    draft = RuleDraft(
        name=name,
        condition=PrometheusCondition(_query(rule)),
        severity=_severity(severity, notes),
        hold_seconds=_seconds(rule, "for", 0, notes),
        clear_seconds=_seconds(rule, "keep_firing_for", 0, notes),
        every_seconds=_every(group, notes),
        labels=_labels(labels),
        summary=summary[:_MAX_SUMMARY] or "{text}",
        runbook_url=_runbook(annotations, notes),
    )
    unkept = sorted(
        {
            *(group.keys() - _GROUP_FIELDS),
            *(rule.keys() - _RULE_FIELDS),
            *(annotations.keys() - _TEXTS - {"runbook_url"}),
        }
    )
    if unkept:
        notes.append(f"Not kept: {', '.join(unkept)[:_MAX_SAID]}")
    return draft


def _named(one: ReadRule, draft: RuleDraft, names: set[str]) -> ReadRule:
    """A rule under a name that no other one of the file has: there, it may have several."""
    name, number = draft.name, 1
    while name in names:
        number += 1
        name = f"{draft.name[: _MAX_NAME - 6]} ({number})"
    names.add(name)
    if name == draft.name:
        return one
    note = f"It is called {name}, and so are its alerts: the file has another of its name"
    return replace(one, draft=replace(draft, name=name), notes=(*one.notes, note))


def _query(rule: Mapping[str, Any]) -> str:
    query = _text(rule, "expr").strip()
    if len(query) > _MAX_QUERY:
        raise _RefusalError(f"expr has at most {_MAX_QUERY} characters")
    try:
        refuse_query(query)
    except AppError as exc:
        raise _RefusalError(f"expr: {exc.detail or exc.title}"[:_MAX_SAID]) from None
    return query


def _severity(told: str, notes: list[str]) -> Any:
    found = SEVERITIES.get(told.lower(), "info")
    if found != told:
        notes.append(f"Severity {told or 'none'} is {found}")
    return found


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    if len(labels) > _MAX_LABELS:
        raise _RefusalError(f"It has at most {_MAX_LABELS} labels")
    for name, value in labels.items():
        if not is_label(name) or len(value) > MAX_VALUE:
            raise _RefusalError(f"The label {name[:_MAX_SAID]} is none, or too long")
        if "{{" in value:
            raise _RefusalError(f"The label {name} is a template: it has to be one text")
    return dict(labels)


def _runbook(annotations: Mapping[str, str], notes: list[str]) -> str:
    told = annotations.get("runbook_url", "")
    if told and ("{{" in told or RUNBOOK.fullmatch(told) is None):
        notes.append("Not kept: runbook_url, which is a template or no address")
        return ""
    return told


def _filled(said: str, notes: list[str]) -> str:
    """A text with our places in place of templates; what is none of ours stays as it is."""

    def place(template: re.Match[str]) -> str:
        inner = template[1]
        if label := _LABEL.fullmatch(inner):
            return f"{{{label[1]}}}"
        if _FORMATTED.fullmatch(inner):
            if not _VALUE.fullmatch(inner):
                notes.append(f"Told as a plain number: {inner[:_MAX_SAID]}")
            return "{value}"
        notes.append(f"Not filled in: {template[0][:_MAX_SAID]}")
        return template[0]

    return _TEMPLATE.sub(place, said)


def _every(group: Mapping[str, Any], notes: list[str]) -> int:
    told = _seconds(group, "interval", _EVERY, notes)
    every = min(max(told, _LEAST_EVERY), _MOST_EVERY)
    if every != told:
        notes.append(f"Looked at each {every} s, where its group says {told}")
    return every


def _seconds(said: Mapping[str, Any], name: str, default: int, notes: list[str]) -> int:
    if name not in said:
        return default
    told = _text(said, name).strip()
    if told != "0" and (not told or _DURATION.fullmatch(told) is None):
        raise _RefusalError(f"{name} is no duration such as 5m")
    exact = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(told))
    if exact > _LONGEST_DAYS * _DAY:
        raise _RefusalError(f"{name} is at most {_LONGEST_DAYS} days")
    whole = math.ceil(exact)
    if whole != exact:
        notes.append(f"{name} is {whole} s, for {told}")
    return whole


def _text(said: Mapping[str, Any], name: str) -> str:
    found = said.get(name)
    if not isinstance(found, str):
        raise _RefusalError(f"It has no {name}" if found is None else f"{name} is no text")
    if "\x00" in found:
        raise _RefusalError(f"{name} holds the character U+0000")
    return found


def _texts(said: Mapping[str, Any], name: str) -> dict[str, str]:
    found = said.get(name)
    if found in _NOTHING:
        return {}
    if not isinstance(found, dict):
        raise _RefusalError(f"{name} are none")
    return {str(key): _text(found, key) for key in found}

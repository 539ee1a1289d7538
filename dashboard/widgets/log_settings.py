"""How long log lines are kept and what is taken out: seen by readers, changed by who may."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Final, TypeVar

import streamlit as st

from dashboard import state, theme
from dashboard.client import models
from dashboard.widgets import confirm, markup, problems

_Row = TypeVar("_Row")

_DRAFT: Final = "log-settings-draft"
_LONGEST_DAYS: Final = 3650
# What a kind looks like in a line, and what is kept of it.
KINDS: Final[dict[str, tuple[str, str, str]]] = {
    "credential": (
        "Credentials",
        "What follows password, token, API key and the like, and every field of such a name.",
        "password=hunter2 → password=[credential]",
    ),
    "bearer_token": (
        "Bearer and Basic",
        "What follows Bearer or Basic, of eight characters or more.",
        "Bearer 3q2-7wBk0a → Bearer [bearer_token]",
    ),
    "jwt": ("JSON Web Tokens", "Three parts with dots between them.", "eyJhbGciOi… → [jwt]"),
    "private_key": (
        "Private keys",
        "A PEM block, whole or cut off.",
        "BEGIN … PRIVATE KEY … → [private_key]",
    ),
    "email_address": ("E-mail addresses", "", "ada@example.test → [email_address]"),
    "ip_address": ("IP addresses", "Of version 4.", "192.0.2.7 → [ip_address]"),
    "card_number": (
        "Card numbers",
        "14 to 16 digits in groups, that begin with 3 to 6. Other long numbers may look so.",
        "4111 1111 1111 1111 → [card_number]",
    ),
}


@dataclass(slots=True)
class _Draft:
    """What is being changed: where it began, and the numbers of its rows, which name their widgets.

    A row that is new to the form has no model yet.
    """

    etag: str
    begun: models.LogSettingsOut
    rules: dict[int, models.KeepRuleOut | None] = field(default_factory=dict)
    patterns: dict[int, models.PatternOut | None] = field(default_factory=dict)


_numbers = count(1)


def draw() -> None:
    """Draw the settings in a card: as facts, or as a form for who may change them."""
    session = state.current()
    with st.container(key="card-log-settings"), problems.guard():
        markup.section("Settings of logs")
        if session.can("log_settings:write"):
            _form(_draft())
        else:
            _facts(session.api.get_log_settings().value)


def _facts(said: models.LogSettingsOut) -> None:
    markup.facts(
        [
            ("Kept", _days(said.keep_days)),
            *((_about(rule), _days(rule.days)) for rule in said.retention),
            ("Taken out", ", ".join(_called(kind) for kind in said.hidden) or "nothing"),
            ("And by expression", ", ".join(one.name for one in said.patterns) or markup.NONE),
        ]
    )


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days:,} days"


def _about(rule: models.KeepRuleOut) -> str:
    levels = ", ".join(rule.levels) or "all levels"
    return f"Kept of {rule.source}: {levels}" if rule.source else f"Kept of {levels}"


def _called(kind: str) -> str:
    return KINDS.get(kind, (kind, "", ""))[0]


def _draft() -> _Draft:
    """Return what is being changed, beginning with what holds."""
    found = st.session_state.get(_DRAFT)
    if isinstance(found, _Draft):
        return found
    tagged = state.current().api.get_log_settings()
    made = _Draft(
        tagged.etag,
        tagged.value,
        {next(_numbers): rule for rule in tagged.value.retention},
        {next(_numbers): one for one in tagged.value.patterns},
    )
    st.session_state[_DRAFT] = made
    return made


def _forget() -> None:
    st.session_state.pop(_DRAFT, None)


def _form(draft: _Draft) -> None:
    begun = draft.begun
    if begun.updated_at:
        who = state.current().names.of(begun.updated_by or "")
        markup.note(f"Said by {who}, {markup.moment(begun.updated_at)}.")
    said = models.LogSettingsPut(
        keep_days=_keep(draft),
        retention=_rules(draft),
        hidden=_hidden(draft),
        patterns=_patterns(draft),
    )
    if _same(said, begun):
        return
    shorter = said.keep_days != begun.keep_days or said.retention != _models(begun)
    with st.container(horizontal=True):
        saves = confirm.ask(
            "log-settings-save", "Save", will=_will(shorter=shorter), yes="Save it", danger=shorter
        )
        st.button("Discard changes", key="log-settings-discard", on_click=_forget)
    if saves:
        with problems.guard():
            state.current().api.put_log_settings(said, if_match=draft.etag)
            _forget()
            confirm.say_after_rerun("The settings of logs are changed, and that is on record.")
            st.rerun()


def _will(*, shorter: bool) -> str:
    taken = (
        "What is taken out is taken out of lines that come from now on; kept ones stay as they are."
    )
    if not shorter:
        return taken
    return f"Lines that are older than what is said now go for good, within minutes. {taken}"


def _models(begun: models.LogSettingsOut) -> list[models.KeepRuleModel]:
    return [
        models.KeepRuleModel(days=rule.days, levels=rule.levels, source=rule.source)
        for rule in begun.retention
    ]


def _same(said: models.LogSettingsPut, begun: models.LogSettingsOut) -> bool:
    patterns = [
        models.PatternModel(name=one.name, expression=one.expression) for one in begun.patterns
    ]
    before = (begun.keep_days, _models(begun), set(begun.hidden), patterns)
    return (said.keep_days, said.retention, set(said.hidden or ()), said.patterns) == before


def _keep(draft: _Draft) -> int:
    return int(
        st.number_input(
            "Days that lines are kept",
            1,
            _LONGEST_DAYS,
            draft.begun.keep_days,
            key=f"log-settings-keep-{draft.etag}",
            help="By their own time. Rules below say otherwise for some lines.",
            width=220,
        )
    )


def _rules(draft: _Draft) -> list[models.KeepRuleModel]:
    """Draw a row for each rule; return what they say."""
    markup.label("Rules for some lines; the first that is about a line decides")
    found: list[models.KeepRuleModel] = []
    for number, rule in list(draft.rules.items()):
        key = f"log-settings-rule-{number}"
        with st.container(horizontal=True, vertical_alignment="bottom", key=f"row-{key}"):
            days = st.number_input(
                "Days", 1, _LONGEST_DAYS, rule.days if rule else 7, key=f"{key}-days", width=130
            )
            levels = st.multiselect(
                "Levels",
                theme.LOG_LEVELS,
                rule.levels if rule else ["trace", "debug"],
                key=f"{key}-levels",
                placeholder="All levels",
                width=300,
            )
            source = st.text_input(
                "Source",
                (rule.source or "") if rule else "",
                key=f"{key}-source",
                placeholder="All sources",
                max_chars=200,
                width=200,
            ).strip()
            _remove(draft.rules, number, key, "Remove the rule")
        found.append(
            models.KeepRuleModel(days=int(days), levels=list(levels), source=source or None)
        )
    _add(draft.rules, "rule", "Add a rule")
    return found


def _hidden(draft: _Draft) -> list[str]:
    """Draw each kind with what it takes out; return those that are chosen."""
    markup.label("Taken out of lines before they are kept")
    chosen = [
        kind
        for kind, (name, what, example) in KINDS.items()
        if st.checkbox(
            f"{name}: {what} `{example}`" if what else f"{name}: `{example}`",
            kind in draft.begun.hidden,
            key=f"log-settings-hides-{kind}-{draft.etag}",
        )
    ]
    # What a newer platform takes out stays as it is.
    return [*chosen, *(kind for kind in draft.begun.hidden if kind not in KINDS)]


def _patterns(draft: _Draft) -> list[models.PatternModel]:
    """Draw a row for each expression; return what they say."""
    markup.label("Expressions of one's own; what one finds reads [name]")
    found: list[models.PatternModel] = []
    for number, one in list(draft.patterns.items()):
        key = f"log-settings-pattern-{number}"
        with st.container(horizontal=True, vertical_alignment="bottom", key=f"row-{key}"):
            name = st.text_input(
                "Name",
                one.name if one else "",
                key=f"{key}-name",
                placeholder="customer_number",
                max_chars=40,
                width=200,
            ).strip()
            expression = st.text_input(
                "Expression",
                one.expression if one else "",
                key=f"{key}-expression",
                placeholder=r"\bC-[0-9]{6}\b",
                max_chars=500,
                width=380,
                help="Of RE2, which has neither back references nor look-around.",
            )
            _remove(draft.patterns, number, key, "Remove the expression")
        if name or expression:
            found.append(models.PatternModel(name=name, expression=expression))
    _add(draft.patterns, "pattern", "Add an expression")
    return found


def _remove(rows: dict[int, _Row | None], number: int, key: str, what: str) -> None:
    def remove() -> None:
        del rows[number]

    st.button(what, key=f"{key}-remove", icon=":material/delete:", on_click=remove)


def _add(rows: dict[int, _Row | None], noun: str, what: str) -> None:
    def add() -> None:
        rows[next(_numbers)] = None

    st.button(what, key=f"log-settings-{noun}-add", icon=":material/add:", on_click=add)

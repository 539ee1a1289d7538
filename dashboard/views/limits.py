"""Limits: how much this tenant and its callers may ask, and how much of it is used just now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import EXPORT_LIMIT, Api, models
from dashboard.pages import Act, Column, Form, Input, ListPage
from dashboard.widgets import confirm, markup, problems, table

REFRESH_SECONDS: Final = 5
_SHOWN: Final = 20
_NEARLY: Final = 0.8
_EVERY: Final = {1: "a second", 60: "a minute", 3600: "an hour", 86_400: "a day"}
_CLASS: Final = "class:"
_DAY: Final = 86_400
_LEVELS: Final = {
    "tenant": "Requests",
    "tenant_bytes": "Bytes",
    "tenant_concurrency": "Requests at the same time",
    "client": "Requests",
    "client_bytes": "Bytes",
    "other": "Requests to all other routes",
}
_OF_TENANT: Final = ("tenant", "tenant_bytes", "tenant_concurrency")
_OF_CALLER: Final = ("client", "client_bytes")


def allowed(rate: models.RateOut | None, unit: str = "") -> str:
    """Return a rate in words: ``1000, then 50 a minute``."""
    if rate is None:
        return markup.NONE
    many: Callable[[int], str] = markup.size if unit == "bytes" else str
    every = _EVERY.get(rate.seconds, f"every {rate.seconds} s")
    return f"{many(rate.burst)}, then {many(rate.refill)} {every}"


def whom(limit: models.LimitOut) -> str:
    """Return whom a limit is for, in words."""
    if limit.kind == "route_class":
        found = f"Requests to {limit.name}"
    elif limit.name:
        found = state.current().names.of(f"{limit.kind}:{limit.name}")
    else:
        found = {"tenant": "The tenant", "caller": "Every caller"}.get(limit.kind, limit.kind)
    return f"{found} at {limit.route_class}" if limit.route_class else found


def _level(name: str) -> str:
    """Return what a level counts, in words."""
    if name.endswith("_bytes"):
        return _LEVELS.get(name, f"Bytes to {name.removesuffix('_bytes')}")
    return _LEVELS.get(name, f"Requests to {name}")


def usage() -> None:
    """Draw what is used, redrawn by itself."""
    markup.section("In use")
    _live()
    markup.section("Set at run time")


@st.fragment(run_every=REFRESH_SECONDS)
def _live() -> None:
    with problems.guard():
        draw_usage("limits-usage", state.current().api.get_limit_usage())


def draw_usage(key: str, found: models.LimitUsageOut) -> None:
    """Draw what holds and what is used of it: the tenant's, then the busiest callers'."""
    of_tenant = [one for one in found.levels if not one.subject]
    of_callers = sorted((one for one in found.levels if one.subject), key=_share, reverse=True)[
        :_SHOWN
    ]
    names = state.current().names
    nearly = [one for one in (*of_tenant, *of_callers) if _share(one) >= _NEARLY]
    if nearly:
        first = max(nearly, key=_share)
        of = names.of(first.subject) if first.subject else "the tenant"
        reached = first.remaining <= 0
        markup.status(
            "red" if reached else "amber",
            "Reached" if reached else "Nearly reached",
            f"{_level(first.level)} of {of}: {_share(first):.0%} of the limit is used.",
        )
    table.draw(
        key,
        "Limits and their use",
        [
            table.Column("level", "Limit", "strong"),
            table.Column("who", "Of"),
            table.Column("used", "Used", "number"),
            table.Column("share", "Share", "number"),
            table.Column("most", "Allowed"),
            table.Column("whole", "All free in", "number"),
        ],
        [_row(one, names.of) for one in (*of_tenant, *of_callers)],
    )
    counted = "all processes together" if found.shared else "the process that answered"
    markup.note(f"Counted by {counted}; callers are those that it has seen.")


def _share(one: models.LimitUseOut) -> float:
    return one.used / one.burst if one.burst else 0.0


def _row(one: models.LimitUseOut, name_of: Callable[[str], str]) -> dict[str, str]:
    counts_bytes = one.unit == "content-bytes"
    many: Callable[[int], str] = markup.size if counts_bytes else str
    most = f"{many(one.burst)} at once"
    # Without a caller's name a level of callers tells what each of them has.
    of_all = "the tenant" if one.level in _OF_TENANT else "each caller"
    if one.refill is not None and one.seconds is not None:
        rate = models.RateOut(burst=one.burst, refill=one.refill, seconds=one.seconds)
        most = allowed(rate, "bytes" if counts_bytes else "")
    return {
        "level": _level(one.level),
        "who": name_of(one.subject) if one.subject else of_all,
        "used": many(one.used),
        "share": f"{_share(one):.0%}",
        "most": most,
        "whole": _span(one.reset_seconds) if one.reset_seconds else markup.NONE,
    }


def _span(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def callers(session: state.Session) -> list[tuple[str, str]]:
    """Return who can call in this tenant, by subject and name; as far as one may know them."""
    api = session.api
    found: list[tuple[str, str]] = []
    for noun, permission, fetch in (
        ("user", "member:read", api.list_members),
        ("client", "client:read", api.list_clients),
        ("api_key", "api_key:read", api.list_api_keys),
    ):
        if session.can(permission):
            key = "client_id" if noun == "client" else "id"
            subjects = [
                (f"{noun}:{getattr(one, key)}", one.name) for one in fetch(limit=EXPORT_LIMIT).items
            ]
            found += [
                (subject, f"{name} ({session.names.whose(subject)})") for subject, name in subjects
            ]
    return found


def _whom(session: state.Session) -> list[tuple[str, str]]:
    """Return who can be limited: callers by name, and the classes of routes that are in use."""
    apart = {*_OF_TENANT, *_OF_CALLER}
    classes = {
        one.level
        for one in session.api.get_limit_usage().levels
        if one.level not in apart and not one.level.endswith("_bytes")
    }
    return [
        ("", "Every caller"),
        *callers(session),
        *((f"{_CLASS}{name}", _level(name)) for name in sorted(classes)),
    ]


def _create(api: Api, body: models.LimitCreate) -> models.LimitOut:
    return api.create_limit(body)


def of_a_day(most: int | None) -> models.RateModel | None:
    """Return the second rate that allows so many a day; none without a number."""
    return models.RateModel(burst=most, refill=most, seconds=_DAY) if most else None


def body_of(
    *,
    who: str | None,
    route_class: str | None,
    burst: int,
    refill: int,
    seconds: int,
    a_day: int | None,
) -> models.LimitCreate:
    """Make a request of the form's fields: a caller, a class of routes, or every caller."""
    kind, name = "caller", ""
    if who and who.startswith(_CLASS):
        kind, name = "route_class", who.removeprefix(_CLASS)
    elif who:
        kind, _, name = who.partition(":")
    made: dict[str, Any] = {"kind": kind, "name": name, "route_class": route_class or ""}
    if a_day:
        made["sustained"] = of_a_day(a_day)
    rate = models.RateModel(burst=burst, refill=refill, seconds=seconds)
    return models.LimitCreate(**made, requests=rate)


def _change(limit: models.LimitOut) -> None:
    """Draw the form that changes an opened limit of the tenant's own."""
    if limit.owner == "tenant":
        draw_change("limits", limit, "limit:write", {}, _put)


def _put(limit: models.LimitOut, given: dict[str, Any]) -> None:
    body = models.LimitPut(**given)
    state.current().api.change_limit(limit.id, body, if_match=f'"{limit.version}"')


def draw_change(
    key: str,
    limit: models.LimitOut,
    permission: str,
    more: Mapping[str, str],
    put: Callable[[models.LimitOut, dict[str, Any]], None],
) -> None:
    """Draw the form that changes an opened limit, for whoever may.

    Args:
        key: The page's.
        limit: As it was opened.
        permission: What it takes.
        more: Further numbers of it by label; 0 says nothing of them.
        put: Sends what it allows from now on.
    """
    if not state.current().can(permission):
        return
    longer = limit.sustained or models.RateOut(burst=0, refill=0, seconds=_DAY)
    day = f"At most {_EVERY.get(longer.seconds, f'in {longer.seconds} s')}, 0 for no such limit"
    with st.form(f"{key}-change-{limit.id}", border=False):
        fields = {
            name: st.number_input(label, least, 10**12, value, key=f"{key}-{name}-{limit.id}")
            for name, label, least, value in (
                *(
                    (name, label, 1, getattr(limit.requests, name, None))
                    for name, label in (
                        ("burst", "Requests at once"),
                        ("refill", "More requests"),
                        ("seconds", "Every so many seconds"),
                    )
                ),
                ("sustained", day, 0, longer.burst),
                *((name, label, 0, getattr(limit, name) or 0) for name, label in more.items()),
            )
        }
        sent = st.form_submit_button("Change limit", type="primary")
    if not sent:
        return
    rate = {name: int(fields[name] or 0) for name in ("burst", "refill", "seconds")}
    most = int(fields["sustained"] or 0)
    given: dict[str, Any] = {
        "requests": models.RateModel(**rate) if all(rate.values()) else None,
        "bytes": None if limit.bytes is None else _model(limit.bytes),
        "sustained": None,
        **{name: int(fields[name] or 0) or None for name in more},
    }
    if most:
        refill = longer.refill if most == longer.burst else most
        given["sustained"] = models.RateModel(burst=most, refill=refill, seconds=longer.seconds)
    with problems.guard():
        put(limit, given)
        confirm.say_after_rerun(f"The limit of {whom(limit)} is changed.")
        st.rerun()


def _model(rate: models.RateOut) -> models.RateModel:
    return models.RateModel(burst=rate.burst, refill=rate.refill, seconds=rate.seconds)


PAGE: Final = ListPage(
    key="limits",
    of=models.LimitOut,
    title="Limits",
    lead="What this tenant and its callers may ask, and what is used of it.",
    noun="limit",
    nothing="What the platform's settings say holds. Set one to narrow a caller.",
    fetch=Api.list_limits,
    write="limit:write",
    name=whom,
    notice=usage,
    columns=(
        Column("name", "Of", "strong", value=whom),
        Column("requests", "Requests", value=lambda one: allowed(one.requests)),
        Column("sustained", "Over longer", value=lambda one: allowed(one.sustained)),
        Column("bytes", "Bytes", value=lambda one: allowed(one.bytes, "bytes")),
        Column("concurrency", "At the same time"),
        Column("owner", "Set by", "badge"),
        Column("updated_at", "Since", "time"),
    ),
    facts=(Column("cost", "One counts for"), Column("updated_by", "Set by", "who")),
    export=("id", "owner", "kind", "name", "route_class", "updated_at"),
    form=Form(
        inputs=(
            Input(
                "who", "Whom it limits", "choice", required=False, options=_whom,
                example="Choose, or write class:emails",
                help="Somebody, a program, every caller, or a class of routes for each caller.",
            ),
            Input(
                "route_class", "Their use of class (optional)", example="emails", required=False,
                help="For one caller: what they may of this class of routes alone.",
            ),
            Input("burst", "Requests at once", "number", usual="100"),
            Input("refill", "More requests", "number", usual="100"),
            Input("seconds", "Every so many seconds", "number", usual="60"),
            Input(
                "a_day", "At most a day (optional)", "number", required=False,
                help="A second rate, over a longer time; both hold.",
            ),
        ),
        body=body_of,
        call=_create,
        missing="A limit needs its numbers.",
        said="The limit of {0} is set.",
        verb="Set",
    ),
    acts=(
        Act(
            key="remove", label="Remove", icon=":material/delete:",
            call=Api.delete_limit, yes="Remove this limit", said="The limit of {0} is removed.",
            will="What the platform allows holds for {0} again, at once and on every process. A "
            "limit that the platform set stays: only the platform removes it.",
        ),
    ),
    below=_change,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)

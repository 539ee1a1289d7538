"""On call: whose turn it is, who comes next, and who stands in."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Final

import streamlit as st

from dashboard import client, pages, state
from dashboard.client import Api, models
from dashboard.pages import Column, Form, Input, ListPage
from dashboard.views.silences import window
from dashboard.widgets import calendar, confirm, markup, problems, table

_WRITE: Final = "on_call:write"
_ANNOUNCED: Final = (("", "Nobody is told"), ("yes", "Who begins and who ends is told by mail"))
_SHOWN: Final = timedelta(days=28)
_UNITS: Final = (("hours", "hours"), ("days", "days"), ("weeks", "weeks"))
_TONES: Final[tuple[calendar.Tone, ...]] = ("blue", "violet", "green", "amber")
_SHIFTS: Final = (
    table.Column("person", "Who", "strong"),
    table.Column("begins", "From", "time"),
    table.Column("ends", "To", "time"),
)
_OVERRIDES: Final = (
    table.Column("person", "Who", "strong"),
    table.Column("begins", "From", "time"),
    table.Column("ends", "To", "time"),
    table.Column("reason", "Why"),
)


def now() -> None:
    """Draw who is on call in each schedule at this moment."""
    with problems.guard():
        found = state.current().api.get_on_call()
        rows = [
            {
                "name": one.name,
                "person": _who(one.person),
                "until": markup.when(one.until),
                "next": _who(one.next_person),
            }
            for one in found.items
        ]
        if rows:
            markup.section("Now")
            columns = (
                table.Column("name", "Schedule", "strong"),
                table.Column("person", "On call"),
                table.Column("until", "Until", "time"),
                table.Column("next", "Then"),
            )
            table.draw("on-call-now", "Who is on call now", columns, rows)
            markup.section("Schedules")


def detail(schedule_id: str) -> None:
    """Draw one schedule: whose turns come, by which layers, and who stands in."""
    session = state.current()
    st.button("All schedules", key="on-call-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        kept = session.api.get_on_call_schedule(schedule_id)
        found = kept.value
        begin = markup.now()
        shifts = session.api.list_on_call_shifts(schedule_id, from_=begin, until=begin + _SHOWN)
        person = shifts.items[0].person if shifts.items else None
        markup.object_heading(
            found.name, "active" if person else "waiting", f"{_who(person)} is on call now."
        )
        markup.note(
            "Who begins and who ends is told by mail."
            if found.announce_handover
            else "Nobody is told of hand-overs."
        )
        if session.can(_WRITE):
            _announce(session, kept)
        with st.container(key="card-shifts"):
            if st.toggle("Calendar", key="on-call-calendar"):
                calendar.draw("on-call-turns", "Whose turns come", partial(_turns, schedule_id))
            markup.section("The next four weeks")
            rows = [_shift(one) for one in shifts.items]
            table.draw("on-call-shifts", "Whose turns come", _SHIFTS, rows)
        for number, layer in enumerate(found.layers, 1):
            with st.container(key=f"card-layer-{number}"):
                markup.section(f"Layer {number}")
                markup.facts(_layer(session, layer))
        with st.container(key="card-overrides"):
            markup.section("Who stands in")
            _overrides(session, schedule_id)
        if session.can(_WRITE) and confirm.ask(
            "on-call-delete",
            "Delete",
            will=f"Nobody is on call by {found.name} any more. This cannot be undone.",
            yes="Delete this schedule",
            icon=":material/delete:",
            danger=True,
        ):
            session.api.delete_on_call_schedule(schedule_id)
            confirm.say_after_rerun(f"{found.name} is deleted.")
            _back()
            st.rerun()


def _announce(session: state.Session, kept: client.Tagged[models.OnCallScheduleOut]) -> None:
    found, tells = kept.value, not kept.value.announce_handover
    label = "Tell of hand-overs" if tells else "Tell nobody of hand-overs"
    if not st.button(label, key="on-call-announce", icon=":material/swap_horiz:"):
        return
    layers = [
        models.OnCallLayerModel(
            people=one.people,
            start=one.start,
            zone=one.zone,
            every=one.every,
            unit=one.unit,
            windows=one.windows,
        )
        for one in found.layers
    ]
    session.api.put_on_call_schedule(
        found.id,
        models.OnCallSchedulePut(name=found.name, layers=layers, announce_handover=tells),
        if_match=kept.etag,
    )
    confirm.say_after_rerun(
        f"Who begins and who ends by {found.name} is told by mail."
        if tells
        else f"Nobody is told of hand-overs of {found.name}."
    )
    st.rerun()


def _turns(schedule_id: str, begin: datetime, end: datetime) -> list[calendar.Entry]:
    found = state.current().api.list_on_call_shifts(schedule_id, from_=begin, until=end).items
    people = sorted({one.person for one in found if one.person is not None})
    tones = {person: _TONES[number % len(_TONES)] for number, person in enumerate(people)}
    return [
        calendar.Entry(
            one.begins_at,
            one.ends_at,
            _who(one.person),
            tones[one.person] if one.person is not None else "gray",
        )
        for one in found
    ]


def _who(person: str | None) -> str:
    if person is None:
        return "nobody"
    return state.current().names.of(person) if person.startswith("user:") else person


def _shift(one: models.OnCallShiftOut) -> dict[str, str]:
    return {
        "person": _who(one.person),
        "begins": markup.when(one.begins_at),
        "ends": markup.when(one.ends_at),
    }


def _layer(_: state.Session, one: models.OnCallLayerOut) -> list[tuple[str, str]]:
    unit = one.unit.removesuffix("s") if one.every == 1 else one.unit
    return [
        ("In turn", ", ".join(map(_who, one.people)) or markup.NONE),
        ("Hands over every", unit if one.every == 1 else f"{one.every} {unit}"),
        ("Since", f"{one.start.replace('T', ' ')} ({one.zone})"),
        ("When of the week", "; ".join(map(window, one.windows)) or "always"),
    ]


def _overrides(session: state.Session, schedule_id: str) -> None:
    found = session.api.list_on_call_overrides(schedule_id, limit=client.PAGE_LIMIT).items
    if found:
        rows = [
            {
                "person": _who(one.person),
                "begins": markup.when(one.begins_at),
                "ends": markup.when(one.ends_at),
                "reason": one.reason or markup.NONE,
            }
            for one in found
        ]
        table.draw("on-call-overrides", "Who stands in", _OVERRIDES, rows)
    else:
        markup.note("Nobody stands in for anybody.")
    if not session.can(_WRITE):
        return
    with st.form("on-call-override", border=False):
        person = st.text_input("Who stands in", placeholder="eve@example.com")
        hours = st.number_input("From now on, for hours", 1, 24 * 365, 8)
        reason = st.text_input("Why", placeholder="A dentist")
        sent = st.form_submit_button("Stand in")
    if sent and person.strip():
        begin = markup.now()
        session.api.create_on_call_override(
            schedule_id,
            models.OnCallOverrideCreate(
                person=person.strip(),
                begins_at=begin,
                ends_at=begin + timedelta(hours=int(hours)),
                reason=reason.strip(),
            ),
        )
        confirm.say_after_rerun(f"{person.strip()} stands in.")
        st.rerun()


def body(
    *, name: str | None, people: list[str] | None, start: str | None, zone: str | None,
    every: int | None, unit: str | None, announce: str | None = None,
) -> models.OnCallSchedulePut:  # fmt: skip
    """Return the request of a schedule with one layer; more are made by the API."""
    layer = models.OnCallLayerModel(
        people=people or [],
        start=(start or "").replace(" ", "T"),
        zone=zone or "",
        every=every or 1,
        unit=unit or "weeks",
    )
    return models.OnCallSchedulePut(
        name=name or "", layers=[layer], announce_handover=announce == "yes"
    )


def _back() -> None:
    st.query_params.from_dict(state.address())


PAGE: Final = ListPage(
    key="on-call",
    of=models.OnCallScheduleOut,
    title="On call",
    lead="Whose turn it is to be told, who comes next, and who stands in.",
    noun="schedule",
    nothing="Say who takes turns.",
    fetch=Api.list_on_call_schedules,
    write=_WRITE,
    columns=(
        Column("name", "Schedule", "strong"),
        Column(
            "layers", "People",
            value=lambda one: ", ".join(
                dict.fromkeys(_who(who) for layer in one.layers for who in layer.people)
            ),
        ),
        Column("updated_at", "Changed", "time"),
        Column("updated_by", "By", "who"),
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="Database"),
            Input("people", "People, in turn", "words", example="ada@example.com bob@example.com"),
            Input("start", "The first turn begins", example="2026-01-05 09:00"),
            Input("zone", "By the clocks of", example="Europe/Paris"),
            Input("every", "Hands over every", "number", usual="1"),
            Input("unit", "Unit", "choice", usual="weeks", options=lambda _: _UNITS),
            Input(
                "announce", "Hand-overs", "choice", required=False, options=lambda _: _ANNOUNCED,
                help="A mail each, with what fires then, whenever somebody else is on call.",
            ),
        ),
        body=body,
        call=Api.create_on_call_schedule,
        missing="It needs a name, people, a beginning and a zone.",
        said="{0} has somebody on call.",
    ),
    notice=now,
    detail=detail,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)

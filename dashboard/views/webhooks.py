"""Webhooks: programs that are told of events, how far each is, and what was tried."""

from __future__ import annotations

import json
from datetime import datetime, time
from typing import Final

import msgspec
import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Act, Change, Column, Form, Input, ListPage
from dashboard.widgets import confirm, markup, paging, problems, table

_WRITE: Final = "webhook:write"
_SHOWN: Final = 50
_KINDS_HELP: Final = "Event kinds with spaces between, as the documentation of events lists them"
_TRIES: Final = (
    table.Column("at", "When", "time"),
    table.Column("outcome", "What came of it", "badge"),
    table.Column("status", "Answer"),
    table.Column("kind", "Event", "code"),
    table.Column("seq", "Number", "number"),
    table.Column("attempt", "Try", "number"),
    table.Column("took", "Took", "number"),
)


def standing(one: models.WebhookOut) -> str:
    """Return how a webhook stands, in a word."""
    if one.stopped_why:
        return "given up"
    if not one.enabled:
        return "disabled"
    return "failing" if one.failing_since else "delivering"


def draft(
    *, name: str | None, url: str | None, kinds: list[str] | None, subject: str | None
) -> models.WebhookPost:
    """Return the request for a new one."""
    return models.WebhookPost(
        name=name or "", url=url or "", kinds=kinds or [], subject=subject or ""
    )


def _changed(
    *, name: str | None, kinds: list[str] | None, subject: str | None
) -> models.WebhookPut:
    return models.WebhookPut(name=name or "", kinds=kinds or [], subject=subject or "")


def _put(api: Api, webhook_id: str, body: models.WebhookPut) -> None:
    now = api.get_webhook(webhook_id)
    api.put_webhook(
        webhook_id, msgspec.structs.replace(body, enabled=now.value.enabled), if_match=now.etag
    )


def _switch(api: Api, webhook_id: str, *, on: bool) -> None:
    now = api.get_webhook(webhook_id)
    one = now.value
    body = models.WebhookPut(name=one.name, kinds=one.kinds, subject=one.subject, enabled=on)
    api.put_webhook(webhook_id, body, if_match=now.etag)


def below(one: models.WebhookOut) -> None:
    """Draw what can be asked of an opened webhook, and what was tried."""
    session = state.current()
    if one.stopped_why:
        markup.status(
            "red", "Stopped", f"{one.stopped_why}. Start it, and it goes on where it was."
        )
    elif one.failing_since:
        since, again = markup.moment(one.failing_since), markup.moment(one.next_try_at)
        markup.status("amber", "Failing", f"Since {since}. The next try is {again}.")
    if one.last_error:
        with st.container(gap="xxsmall"):
            markup.label("The last error")
            st.code(one.last_error, language=None, wrap_lines=True)
    if session.can(_WRITE):
        _ask(session, one)
    _tries(session, one)


def _ask(session: state.Session, one: models.WebhookOut) -> None:
    """Draw the test, another address, and the way back."""
    if st.button("Send a test", key="webhooks-test", icon=":material/send:"):
        with problems.guard(), st.spinner("Waiting for its answer"):
            found = session.api.test_webhook(one.id)
            if found.error is None:
                confirm.say(f"{one.name} took it: {found.status}, {found.milliseconds} ms.")
            else:
                st.warning(f"{one.name} did not take it. {found.error}")
    with st.expander("Lead it elsewhere", icon=":material/alt_route:"):
        with st.form("webhooks-address", border=False, clear_on_submit=True):
            url = st.text_input("Address", placeholder="https://hooks.example.com/events")
            sent = st.form_submit_button("Save the address")
        if sent and url:
            with problems.guard():
                body = models.WebhookPut(
                    name=one.name,
                    url=url.strip(),
                    kinds=one.kinds,
                    subject=one.subject,
                    enabled=one.enabled,
                )
                session.api.put_webhook(one.id, body, if_match=f'"{one.version}"')
                confirm.say_after_rerun(f"{one.name} leads elsewhere.")
                st.rerun()
    with st.expander("Tell it again", icon=":material/replay:"):
        markup.note(
            f"It is past event {one.seq:,}. What it knows comes again with the same webhook-id."
        )
        with st.form("webhooks-replay", border=False):
            after = st.number_input(
                "All events after number", min_value=0, value=max(0, one.seq - 1), step=1
            )
            day = st.date_input("Or all since the day", value=None)
            sent = st.form_submit_button("Tell it again")
        if sent:
            with problems.guard():
                told_from = (
                    models.WebhookReplay(since=datetime.combine(day, time(), markup.zone()))
                    if day is not None
                    else models.WebhookReplay(after_seq=int(after))
                )
                told = session.api.replay_webhook(one.id, told_from)
                confirm.say_after_rerun(
                    f"{one.name} is told again of all after event {told.seq:,}."
                )
                st.rerun()


def _tries(session: state.Session, one: models.WebhookOut) -> None:
    markup.section("Deliveries")
    failed = st.checkbox("Only what was not taken", key="webhooks-failed")
    here = paging.place("webhooks-tries", one.id, str(failed))
    found = session.api.list_webhook_deliveries(
        one.id, failed=failed, cursor=here.cursor, limit=_SHOWN
    )
    if not found.items:
        markup.note("Nothing was tried in the last seven days.")
        return
    rows = [
        {
            "id": each.id,
            "at": markup.when(each.at),
            "outcome": each.outcome,
            "status": str(each.status or markup.NONE),
            "kind": each.kind or markup.NONE,
            "seq": f"{each.seq:,}" if each.seq else markup.NONE,
            "attempt": str(each.attempt),
            "took": f"{each.milliseconds:,} ms",
        }
        for each in found.items
    ]
    opened = table.draw("webhooks-tries-table", "What was tried", _TRIES, rows, opens=True)
    paging.buttons("webhooks-tries", here, found.next_cursor, len(found.items))
    if opened:
        st.session_state["webhooks-try"] = opened
    chosen = st.session_state.get("webhooks-try")
    if chosen in {each.id for each in found.items}:
        _try(session.api.get_webhook_delivery(one.id, chosen))


def _try(one: models.WebhookDeliveryDetailOut) -> None:
    with st.container(key="card-webhook-try"):
        markup.section(f"Event {one.seq:,}, try {one.attempt}" if one.seq else "A test")
        markup.facts(
            [
                ("Event", one.event_id),
                ("About", one.subject or markup.NONE),
                ("Answer", str(one.status or "none")),
                ("Why it was not taken", one.error or markup.NONE),
            ]
        )
        if one.body is None and one.seq:
            markup.note("The event is no longer kept.")
        elif one.body is not None:
            markup.label("What was sent")
            st.code(json.dumps(one.body, indent=2, ensure_ascii=False), language="json")


PAGE: Final = ListPage(
    key="webhooks",
    of=models.WebhookOut,
    title="Webhooks",
    lead="Programs that are told of events, each in its own order and time.",
    noun="webhook",
    nothing="Say which program is told of what.",
    fetch=Api.list_webhooks,
    write=_WRITE,
    columns=(
        Column("name", "Webhook", "strong"),
        Column("enabled", "State", "badge", value=standing),
        Column("host", "Leads to"),
        Column("behind", "Events behind it", "number"),
        Column("delivered_at", "Last taken", "time", none="nothing yet"),
        Column("failing_since", "Failing since", "time"),
    ),
    facts=(
        Column("kinds", "Told of", value=lambda one: ", ".join(one.kinds)),
        Column("subject", "About", none="anything"),
        Column("seq", "Is past event", value=lambda one: f"{one.seq:,}"),
        Column("failures", "Failed in a row", value=lambda one: f"{one.failures:,}"),
        Column("key_version", "Signed with secret", value=lambda one: str(one.key_version)),
        Column("created_by", "Created by", "who"),
        Column("created_at", "Created", "time"),
        Column("updated_by", "Changed by", "who"),
        Column("updated_at", "Changed", "time"),
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="Orders"),
            Input("url", "Address", example="https://hooks.example.com/events"),
            Input(
                "kinds", "Told of", "words", example="alert.fired alert.resolved", help=_KINDS_HELP
            ),
            Input("subject", "About what begins so", required=False, example="alert:"),
        ),
        body=draft,
        call=Api.create_webhook,
        missing="It needs a name, an address and what it is told of.",
        said="{0} is told of what comes from now on.",
        shows=(("The secret of its signatures", "secret"),),
    ),
    shown=(
        "The secret of {0}",
        "What it is sent is signed with it, as Standard Webhooks say. It is shown this once.",
    ),
    change=Change(
        inputs=(
            Input("name", "Name"),
            Input("kinds", "Told of", "words", help=_KINDS_HELP),
            Input("subject", "About what begins so", required=False, example="alert:"),
        ),
        body=_changed,
        call=_put,
        missing="It needs a name and what it is told of.",
        said="{0} is changed. It goes on where it was.",
    ),
    acts=(
        Act(
            key="start", label="Start", icon=":material/play_arrow:",
            call=lambda api, webhook_id: _switch(api, webhook_id, on=True),
            yes="Start it",
            said="{0} goes on where it was.",
            will="{0} is told of all that came meanwhile, as long as it is kept.",
            ends=False,
            offered=lambda one: not one.enabled,
        ),
        Act(
            key="stop", label="Stop", icon=":material/pause:",
            call=lambda api, webhook_id: _switch(api, webhook_id, on=False),
            yes="Stop it",
            said="{0} is told of nothing. Its place is kept.",
            will="{0} is told of nothing until somebody starts it. Events wait for ten days.",
            ends=False,
            offered=lambda one: one.enabled,
        ),
        Act(
            key="rotate", label="Rotate the secret", icon=":material/sync_lock:",
            call=lambda api, webhook_id: api.rotate_webhook(webhook_id),
            yes="Rotate it",
            will="{0} is signed with another secret, shown once. For a day the one before signs "
            "as well.",
            shows=(("The secret of its signatures", "secret"),),
            ends=False,
        ),
        Act(
            key="delete", label="Delete", icon=":material/delete:",
            call=Api.delete_webhook, yes="Delete this webhook",
            said="{0} is deleted.",
            will="{0} is told nothing more, and its place is forgotten. This cannot be undone.",
        ),
    ),
    below=below,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)

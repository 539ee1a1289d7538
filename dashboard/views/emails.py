"""E-mails: what was sent, to whom, and what became of it."""

from __future__ import annotations

from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import client, pages, state, theme
from dashboard.client import Api, models
from dashboard.pages import Choice, Column, ListPage, Words
from dashboard.widgets import findings, mail, markup, problems, table, traced, workers

_READ: Final = "emails-read"
_RECIPIENTS: Final = (
    table.Column("address", "Address", "strong"),
    table.Column("kind", "As"),
    table.Column("state", "State", "badge"),
    table.Column("code", "Code", "number"),
    table.Column("response", "Answer of the mail server"),
)


def _everyone(email: models.EmailOut) -> str:
    everyone = [*email.to, *email.cc, *email.bcc]
    first = everyone[0] if everyone else markup.NONE
    return first if len(everyone) <= 1 else f"{first} and {len(everyone) - 1} more"


def detail(email_id: str) -> None:
    """Draw one message: where it stands, and, when asked for, what it says."""
    session = state.current()
    st.button("All e-mails", key="emails-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        email = session.api.get_email(email_id)
        markup.object_heading(
            email.subject or "(no subject)",
            email.state,
            f"From {email.from_} to {', '.join(email.to) or markup.NONE}",
        )
        left, right = st.columns([2, 1])
        with left:
            _recipients(email)
            _content(session, email)
        with right:
            with st.container(key="card-timeline"):
                markup.section("Timeline")
                markup.timeline((entry.at, entry.event, _remark(entry)) for entry in email.timeline)
            with st.container(key="card-facts"):
                markup.section("Details")
                markup.facts(_facts(email))
                if email.job_id:
                    findings.way(f"/jobs?id={email.job_id}", "Open its job")
                    traced.way("emails-trace", job_id=email.job_id, since=email.created_at)


def _back() -> None:
    st.query_params.from_dict(state.address())


def _facts(email: models.EmailDetail) -> list[tuple[str, str]]:
    return [
        ("Created", markup.when(email.created_at)),
        ("Accepted", markup.when(email.accepted_at)),
        ("Created by", state.current().names.of(email.created_by)),
        ("Business key", email.business_key or markup.NONE),
        ("Relay", email.relay or "as the e-mail settings say"),
        ("Attempts", str(email.attempts)),
        ("Size", markup.size(email.size_bytes)),
        ("Message-ID", email.message_id),
        ("Id", email.id),
    ]


def _remark(entry: models.EventOut) -> str:
    attempt = f"Attempt {entry.attempt}" if entry.attempt else ""
    return ": ".join(part for part in (attempt, entry.detail or "") if part)


def _recipients(email: models.EmailDetail) -> None:
    markup.section("Recipients")
    table.draw(
        "recipients",
        "Recipients",
        _RECIPIENTS,
        [
            {
                "address": recipient.address,
                "kind": recipient.kind,
                "state": recipient.state,
                "code": str(recipient.response_code or markup.NONE),
                "response": recipient.response or markup.NONE,
            }
            for recipient in email.recipients
        ],
    )


def _content(session: state.Session, email: models.EmailDetail) -> None:
    markup.section("Content")
    if not session.can("email:read_content"):
        markup.empty("Not shown", "Your role sees that a message was sent, not what it says.")
        return
    read_id, content, copies = st.session_state.get(_READ, ("", None, None))
    if read_id != email.id:
        _forget_content()
        with st.container(key="card-content"):
            markup.note(
                "What the message says is shown when you ask for it; the audit trail then records "
                "that you read it."
            )
            if st.button("Show content", key="emails-content", icon=":material/visibility:"):
                with problems.guard():
                    # Kept, so that the page is drawn again without reading, and recording, again.
                    content = session.api.read_content(email.id)
                    st.session_state[_READ] = email.id, content, _read_sink(session, email.id)
                    st.rerun()
        return
    st.button(
        "Hide content",
        key="emails-content-hide",
        icon=":material/visibility_off:",
        on_click=_forget_content,
    )
    with problems.guard():
        with st.container(key="card-content"):
            _body("content", "The message", content.html, content.text)
            if content.attachments:
                table.draw(
                    "attachments",
                    "Attachments",
                    (
                        table.Column("filename", "Attachment", "strong"),
                        table.Column("content_type", "Type", "code"),
                        table.Column("size", "Size", "number"),
                    ),
                    [
                        {
                            "filename": attachment.filename,
                            "content_type": attachment.content_type,
                            "size": markup.size(attachment.size_bytes),
                        }
                        for attachment in content.attachments
                    ],
                )
            if content.headers:
                with st.expander("Headers"):
                    _headers(list(content.headers.items()))
        _sink(copies)


def _forget_content() -> None:
    st.session_state.pop(_READ, None)


def _body(key: str, name: str, html: str | None, text: str | None) -> None:
    """Draw a message's text, and its HTML in a frame that may do nothing."""
    as_html: DeltaGenerator
    as_text: DeltaGenerator
    if html and text:
        as_html, as_text = st.tabs(["As sent (HTML)", "Plain text"])
    else:
        as_html = as_text = st.container()
    if html:
        with as_html:
            mail.draw(f"{key}-html", f"{name} as HTML", html)
            markup.note("Scripts do not run here and remote images are not loaded.")
    if text:
        with as_text:
            st.code(text, language=None, wrap_lines=True)
    if not html and not text:
        markup.note("The message has no text.")


def _headers(headers: list[tuple[str, str]]) -> None:
    st.code(
        "\n".join(f"{name}: {value}" for name, value in headers), language=None, wrap_lines=True
    )


def _read_sink(
    session: state.Session, email_id: str
) -> list[client.SinkCopy] | client.ApiProblem | None:
    """Return what the sink has of the message, or why that is not known; None: there is no sink."""
    try:
        return client.read_sink_copies(session.api.connection, email_id)
    except client.ApiProblem as problem:
        return None if problem.status == 404 else problem


def _sink(copies: list[client.SinkCopy] | client.ApiProblem | None) -> None:
    if copies is None:
        return
    markup.section("In the mail sink")
    if isinstance(copies, client.ApiProblem):
        problems.show(copies)
        return
    if not copies:
        markup.empty("Nothing received", "The sink has no copy of this message yet.")
        return
    markup.note("What the sink received over SMTP, in place of a mail server.")
    for number, copy in enumerate(copies, start=1):
        label = f"Copy {number}"
        if copy.received_at:
            label += f", received {markup.moment(copy.received_at)}"
        with st.expander(label, expanded=number == 1):
            markup.facts(
                [
                    ("Envelope from", copy.envelope_from or "<>"),
                    ("Envelope to", ", ".join(copy.envelope_to)),
                    ("Size", markup.size(copy.size_bytes)),
                ]
            )
            _body(f"sink-{number}", f"Copy {number}", copy.html, copy.text)
            if copy.headers:
                _headers(copy.headers)


PAGE: Final = ListPage(
    key="emails",
    of=models.EmailOut,
    title="E-mails",
    lead="Every message of this tenant, newest first.",
    noun="e-mail",
    nothing="The first one a workflow sends appears here.",
    fetch=Api.list_emails,
    columns=(
        Column("subject", "Subject", "strong", none="(no subject)"),
        Column("state", "State", "badge"),
        Column("to", "To", value=_everyone),
        Column("business_key", "Business key", "code"),
        Column("attempts", "Attempts", "number"),
        Column("created_at", "Created", "time"),
    ),
    export=(
        "id", "message_id", "state", "subject", "from", "to", "cc", "bcc", "business_key",
        "attempts", "size_bytes", "created_at", "updated_at", "accepted_at", "created_by", "job_id",
    ),
    filters=(
        Choice("state", "State", theme.EMAIL_STATES),
        Words("recipient", "Recipient", "Address, or ada*", width=320, addresses=True),
        Words("business_key", "Business key", "invoice-2026-0042"),
    ),
    notice=workers.warn,
    detail=detail,
)  # fmt: skip

if __name__ == "__main__":
    if "id" not in st.query_params:
        _forget_content()
    pages.draw(PAGE)

"""E-mail settings: how the tenant's mail server takes its mail now, and how long mail is kept."""

from __future__ import annotations

from html import escape
from typing import Any, Final, NamedTuple

import streamlit as st
from msgspec import structs

from dashboard import state
from dashboard.client import Tagged, models
from dashboard.widgets import confirm, markup, problems, table, workers

REFRESH_SECONDS: Final = 10
_WRITE: Final = "email_settings:write"
_SEEN: Final = "email-settings-seen"
_SAVE: Final = "email-settings-save"
_PENDING: Final = "email-settings-pending"
_SUPPRESSED: Final = {True: "are suppressed", False: "are not suppressed"}
_TLS: Final = {"none": "none", "starttls": "STARTTLS", "implicit": "TLS from the start"}
_LIMITS: Final = (
    ("connections", "Sessions of one worker at once"),
    ("rate_per_second", "Messages a second"),
    ("messages_per_session", "Messages a session"),
    ("recipients_per_transaction", "Recipients a transaction"),
)
_USE: Final = (
    table.Column("what", "Limit", "strong"),
    table.Column("now", "Now", "number"),
    table.Column("usual", "Usually", "number"),
)


class _Change(NamedTuple):
    """Settings that are to be saved in place of a version, and what that deletes."""

    body: models.EmailSettingsPut
    version: str
    loss: str


def page() -> None:
    """Draw the page."""
    markup.page_heading(
        "E-mail settings", "How mail of this tenant goes out, who it is from, how long it is kept."
    )
    workers.warn()
    relay()
    change()


@st.fragment(run_every=REFRESH_SECONDS)
def relay() -> None:
    """Draw what is known of the mail server; Streamlit runs this alone, again and again."""
    with problems.guard():
        session = state.current()
        settings = session.api.get_settings().value
        markup.status(*verdict(settings.relay))
        if settings.relay.pauses:
            with st.container(key="card-pauses"):
                _pauses(session, settings.relay)
        with st.container(key="card-relay"):
            markup.section("Mail server")
            markup.facts(_facts(settings))
        markup.section("How it is used now")
        _use(settings.relay)


def verdict(relay: models.RelayOut) -> tuple[str, str, str]:
    """Return how the mail server takes mail, as a tone, a word and a sentence."""
    name = relay.name
    everybody = next((one for one in relay.pauses if one.sender is None), None)
    if everybody is not None:
        since, until = markup.when(everybody.since), markup.when(everybody.until)
        tries = f"no message tries before {until} UTC."
        if everybody.kind == "refused":
            said = f"{name} refuses us since {since} UTC. Mail waits and nothing bounces; {tries}"
            return "red", "Refused", f"{said} Only a person can mend the reason."
        said = f"{name} is not reached since {since} UTC. Mail waits; {tries}"
        return "red", "Not reached", said
    if relay.pauses:
        senders = ", ".join(one.sender or "" for one in relay.pauses)
        return "amber", "Paused in part", f"{name} takes no mail from {senders}; it waits."
    if relay.state == "slowed":
        said = f"{name} asked for less, and mail goes out within the limits below."
        return "amber", "Slowed", said
    if relay.accepted_at is None:
        return "gray", "Not used yet", f"{name} has taken no mail of this tenant yet."
    return "green", "Well", f"{name} takes the mail, and nothing it said limits us."


def _facts(settings: models.EmailSettingsOut) -> list[tuple[str, str]]:
    smtp, relay = settings.smtp, settings.relay
    facts = [("Server", relay.name)]
    if smtp is None:
        facts.append(("Whose", "The platform's, for all tenants without one of their own"))
    else:
        facts += [
            ("Whose", "This tenant's own"),
            ("User name", smtp.username or markup.NONE),
            ("Encryption", _TLS.get(smtp.tls, smtp.tls)),
        ]
        if smtp.ca_certificate:
            facts.append(("Certificate authority", "a private one"))
        facts.append(("Greeted as", smtp.ehlo_name or "the platform's name"))
    if relay.provider:
        facts.append(("Provider", relay.provider))
    if settings.retry:
        span = _span(settings.retry.give_up_after_seconds)
        facts.append(("A deferred message is tried for", span))
    # The platform keeps it to the minute; seconds would say more than is known.
    at = relay.accepted_at
    last = f"about {markup.when(at)[:-3]}" if at else markup.NONE
    facts.append(("Last took a message of this tenant (UTC)", last))
    return facts


def _span(seconds: float) -> str:
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = f"{seconds / size:.3g}"
            return f"{count} {name}{'' if count == '1' else 's'}"
    return f"{seconds:.3g} seconds"


def _pauses(session: state.Session, relay: models.RelayOut) -> None:
    for one in relay.pauses:
        whose = f"Mail from {one.sender}" if one.sender else "All mail of this tenant"
        markup.section(f"{whose} waits")
        markup.facts(
            [
                ("Why", "It refuses us" if one.kind == "refused" else "It is not reached"),
                ("Since (UTC)", markup.when(one.since)),
                ("No try before (UTC)", markup.when(one.until)),
            ]
        )
        said = " ".join(str(part) for part in (one.code, one.reason) if part)
        with st.container(gap="xxsmall"):
            markup.label("What it said" if one.kind == "refused" else "What happened")
            st.code(said, language=None, wrap_lines=True)
    if not session.can(_WRITE):
        return
    markup.note(
        "Trying now ends the pauses for every worker. The 500 oldest deferred messages are tried "
        "within some seconds; if the server refuses again, they wait again."
    )
    if st.button("Try now", key="relay-resume", type="primary", icon=":material/play_arrow:"):
        session.api.resume_relay()
        confirm.say_after_rerun("The pauses are over. Waiting mail is tried within some seconds.")
        st.rerun(scope="app")


def _use(relay: models.RelayOut) -> None:
    rows = [
        {
            "what": label,
            "now": _limit(getattr(relay.limits, name)),
            "usual": _limit(getattr(relay.usual, name)),
        }
        for name, label in _LIMITS
    ]
    table.draw("relay-use", "How the mail server is used now", _USE, rows)
    if relay.limits != relay.usual:
        markup.note(
            "It asked for less than usual. While mail goes out, each minute without a refusal "
            "raises the limits again."
        )


def _limit(value: float | None) -> str:
    return "no limit" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


# --- what can be changed --------------------------------------------------------------------


def change() -> None:
    """Draw who mail is from and how long it is kept: a form, for who may change it."""
    session = state.current()
    with problems.guard():
        if not session.can(_WRITE):
            with st.container(key="card-settings"):
                markup.section("Sender and retention")
                markup.facts(_kept_facts(session.api.get_settings().value))
            return
        pending = st.session_state.get(_PENDING)
        if pending:
            _ask(session, _Change(*pending))
        else:
            _form(session)


def _kept_facts(settings: models.EmailSettingsOut) -> list[tuple[str, str]]:
    return [
        ("From", settings.from_address),
        ("Name", settings.from_name or markup.NONE),
        ("Other senders", ", ".join(settings.senders) or markup.NONE),
        ("Content is kept for", _days(settings.kept.content_days)),
        ("Messages are kept for", _days(settings.kept.days)),
        ("Addresses that do not exist", _SUPPRESSED[settings.suppress_hard_bounces]),
    ]


def _form(session: state.Session) -> None:
    # A form that was sent is the one that the person saw, and so is its version: what somebody
    # else saved meanwhile is refused by the platform, and not overwritten.
    seen = st.session_state.get(_SEEN)
    if not (isinstance(seen, Tagged) and st.session_state.get(_SAVE)):
        seen = st.session_state[_SEEN] = session.api.get_settings()
    settings: models.EmailSettingsOut = seen.value
    with st.container(key="card-settings"), st.form("email-settings", border=False):
        markup.section("Sender and retention")
        given = _fields(settings, seen.etag)
        if settings.relay.pauses:
            markup.note("Saving tries the mail server again, with what waits for it.")
        sent = st.form_submit_button("Save", key=_SAVE, type="primary")
    if not sent:
        return
    change = _Change(_body(settings, given), seen.etag, _loss(settings, given))
    if change.loss:
        # A plain tuple: this file's own types are others on the next run.
        st.session_state[_PENDING] = tuple(change)
        st.rerun()
    _save(session, change)


def _fields(settings: models.EmailSettingsOut, version: str) -> dict[str, Any]:
    def key(name: str) -> str:  # another version is another form, with its own values
        return f"email-settings-{name}-{version}"

    kept = settings.kept

    def days(name: str, label: str, now: int | None, usual: int, hint: str) -> int | None:
        # Not by ``value``: only a field that began empty can be emptied again.
        st.session_state.setdefault(key(name), now)
        return st.number_input(
            label,
            min_value=1,
            max_value=kept.most_days,
            value=None,
            step=1,
            key=key(name),
            placeholder=f"{usual}, as usual on this platform",
            help=f"{hint} Empty: {_days(usual)}, as usual on this platform.",
        )

    given: dict[str, Any] = {
        "from_address": st.text_input(
            "From address", settings.from_address, key=key("from-address")
        ).strip(),
        "from_name": st.text_input("From name", settings.from_name, key=key("from-name")).strip(),
        "senders": st.text_area(
            "Other senders",
            "\n".join(settings.senders),
            key=key("senders"),
            help="Addresses that a message may be from instead, one a line; an @ and a domain "
            "stands for all of its addresses.",
            placeholder="sales@acme.example\n@shop.acme.example",
        ).split(),
    }
    given["keep_content_days"] = days(
        "keep-content-days",
        "Days to keep what messages say",
        settings.keep_content_days,
        kept.usual_content_days,
        "Bodies, headers and attachments of settled messages, from when they were made. Without "
        "them a message is still listed, but cannot be read or sent again.",
    )
    given["keep_days"] = days(
        "keep-days",
        "Days to keep messages",
        settings.keep_days,
        kept.usual_days,
        "Subjects, recipients, states and business keys of settled messages, from when they were "
        "made. Content is kept for no longer.",
    )
    markup.note(
        f"Now content is kept for {_days(kept.content_days)} and messages for {_days(kept.days)}."
    )
    given["suppress_hard_bounces"] = st.checkbox(
        "Suppress an address when its mail server says that it does not exist",
        settings.suppress_hard_bounces,
        key=key("suppress-hard-bounces"),
    )
    return given


def _body(settings: models.EmailSettingsOut, given: dict[str, Any]) -> models.EmailSettingsPut:
    """Return the settings with what was given; the mail server keeps its password."""
    smtp, retry = settings.smtp, settings.retry
    return models.EmailSettingsPut(
        **given,
        smtp=None if smtp is None else models.SmtpIn(**structs.asdict(smtp)),
        retry=None if retry is None else models.RetryIn(**structs.asdict(retry)),
    )


def _loss(settings: models.EmailSettingsOut, given: dict[str, Any]) -> str:
    """Return what a shorter time deletes; empty where nothing is kept for less than before."""
    kept = settings.kept
    days = given["keep_days"] or kept.usual_days
    content_days = min(given["keep_content_days"] or kept.usual_content_days, days)
    shorter = [
        f"{what} older than {_days(now)}"
        for what, now, before in (
            ("content", content_days, kept.content_days),
            ("messages", days, kept.days),
        )
        if now < before
    ]
    if not shorter:
        return ""
    return (
        f"Settled mail is deleted within minutes, for good: {' and '.join(shorter)}. "
        "What is still on its way stays, and so does the audit trail."
    )


def _ask(session: state.Session, change: _Change) -> None:
    def drop() -> None:
        st.session_state.pop(_PENDING, None)

    with st.container(key="card-settings-question"):
        st.html(f'<p class="es-question" role="alert">{escape(change.loss)}</p>')
        with st.container(horizontal=True):
            yes = st.button("Save and delete", key="email-settings-yes", type="primary")
            st.button("Keep as it is", key="email-settings-no", on_click=drop)
    if yes:
        drop()
        _save(session, change)


def _save(session: state.Session, change: _Change) -> None:
    saved = session.api.put_settings(change.body, if_match=change.version).value
    kept = saved.kept
    said = f"Content is kept for {_days(kept.content_days)}, messages for {_days(kept.days)}."
    confirm.say_after_rerun(f"Saved. {said} {saved.warning or ''}".strip())
    st.rerun()


def _days(count: int) -> str:
    return f"{count:,} day{'' if count == 1 else 's'}"


if __name__ == "__main__":
    page()

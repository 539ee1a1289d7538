"""E-mail settings: how the tenant's mail goes out, by which server, and how long it is kept.

All that can be set is one body and is saved at once: no field is in a form of its own, so that a
server can be tried before it is saved, with what stands in the fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from html import escape
from typing import Any, Final

import streamlit as st
from msgspec import UNSET, structs

from dashboard import state
from dashboard.client import ApiProblem, Tagged, models
from dashboard.widgets import confirm, dialogue, markup, problems, table, workers

REFRESH_SECONDS: Final = 10
_WRITE: Final = "email_settings:write"
_SEEN: Final = "email-settings-seen"
_TURN: Final = "email-settings-turn"
_ASKED: Final = "email-settings-asked"
_REFUSED: Final = "email-settings-refused"
_TESTED: Final = "email-settings-tested"
_SUPPRESSED: Final = {True: "are suppressed", False: "are not suppressed"}
_TLS: Final = {
    "starttls": "STARTTLS",
    "implicit": "TLS from the start",
    "none": "none",
}
_LOGINS: Final = {"password": "Password", "xoauth2": "Access token (XOAUTH2)"}
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
_NO_SERVER: Final = models.SmtpOut(
    host="",
    port=587,
    username=None,
    tls="starttls",
    ehlo_name=None,
    ca_certificate=None,
    login="password",
    connections=None,
    rate_per_second=None,
    messages_per_session=None,
    recipients_per_transaction=None,
)
_OURS, _OWN = "The platform's", "This tenant's own"
_USUAL = "As the platform does"
_HOUR: Final = 3600.0
_NAMED: Final = (
    table.Column("name", "Relay", "strong"),
    table.Column("state", "State", "badge"),
    table.Column("server", "Server"),
    table.Column("from", "From"),
    table.Column("last", "Last took a message", "time"),
)
_MOST_RELAYS: Final = 200


def page() -> None:
    """Draw the page."""
    markup.page_heading(
        "E-mail settings", "How mail of this tenant goes out, who it is from, how long it is kept."
    )
    workers.warn()
    verdict_now()
    with problems.guard():
        session = state.current()
        if session.can(_WRITE):
            Editor(session).draw()
        else:
            settings = session.api.get_settings().value
            with st.container(key="card-settings"):
                markup.section("Sender and retention")
                markup.facts(_kept_facts(settings))
    relay()


# --- how things stand -----------------------------------------------------------------------


@st.fragment(run_every=REFRESH_SECONDS)
def verdict_now() -> None:
    """Draw how the mail server takes mail; Streamlit runs this alone, again and again."""
    with problems.guard():
        session = state.current()
        found = session.api.get_settings().value.relay
        markup.status(*verdict(found))
        if found.pauses:
            with st.container(key="card-pauses"):
                _pauses(session, found)


@st.fragment(run_every=REFRESH_SECONDS)
def relay() -> None:
    """Draw what is known of the mail server; Streamlit runs this alone, again and again."""
    with problems.guard():
        session = state.current()
        settings = session.api.get_settings().value
        with st.container(key="card-relay"):
            markup.section("The mail server as it is now")
            markup.facts(_facts(settings))
            _use(settings.relay)
        if session.can("email_relay:read"):
            _named(session)


def verdict(relay: models.RelayOut) -> tuple[str, str, str]:
    """Return how the mail server takes mail, as a tone, a word and a sentence."""
    name = relay.name
    everybody = next((one for one in relay.pauses if one.sender is None), None)
    if everybody is not None:
        since, until = markup.moment(everybody.since), markup.moment(everybody.until)
        tries = f"no message tries before {until}."
        if everybody.kind == "refused":
            said = f"{name} refuses us since {since}. Mail waits and nothing bounces; {tries}"
            return "red", "Refused", f"{said} Only a person can mend the reason."
        said = f"{name} is not reached since {since}. Mail waits; {tries}"
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
    facts.append(("Last took a message of this tenant", _minute(relay.accepted_at)))
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
                ("Since", markup.when(one.since)),
                ("No try before", markup.when(one.until)),
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


def _named(session: state.Session) -> None:
    found = session.api.list_relays(limit=_MOST_RELAYS).items
    if not found:
        return
    markup.section("Relays that messages may name")
    rows = [
        {
            "name": one.name,
            "state": one.relay.state,
            "server": f"{one.smtp.host}:{one.smtp.port}",
            "from": one.from_address or "as all others",
            "last": _minute(one.relay.accepted_at),
        }
        for one in found
    ]
    table.draw("relays", "Relays that messages may name", _NAMED, rows)
    paused = [(one.name, pause) for one in found for pause in one.relay.pauses]
    for name, pause in paused:
        whose = f"mail from {pause.sender}" if pause.sender else "mail"
        said = " ".join(str(part) for part in (pause.code, pause.reason) if part)
        until = markup.moment(pause.until)
        markup.note(f"{name}: {whose} waits, and none tries before {until}. {said}")
    if paused and session.can("email_relay:write"):
        _try_named(session, dict.fromkeys(name for name, _ in paused))


def _try_named(session: state.Session, names: Iterable[str]) -> None:
    for name in names:
        if st.button(f"Try {name} now", key=f"relay-resume-{name}", icon=":material/play_arrow:"):
            session.api.resume_named_relay(name)
            confirm.say_after_rerun(f"{name} is tried within some seconds.")
            st.rerun(scope="app")


def _minute(at: datetime | None) -> str:
    # The platform keeps it to the minute; seconds would say more than is known.
    return f"about {markup.when(at)[:-3]}" if at else markup.NONE


def _limit(value: float | None) -> str:
    return "no limit" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _kept_facts(settings: models.EmailSettingsOut) -> list[tuple[str, str]]:
    return [
        ("From", settings.from_address),
        ("Name", settings.from_name or markup.NONE),
        ("Other senders", ", ".join(settings.senders) or markup.NONE),
        ("Content is kept for", _days(settings.kept.content_days)),
        ("Messages are kept for", _days(settings.kept.days)),
        ("Addresses that do not exist", _SUPPRESSED[settings.suppress_hard_bounces]),
    ]


# --- what can be changed --------------------------------------------------------------------


class Editor:
    """All that can be set, as somebody is changing it.

    The fields stay as they are until they are saved or dropped, whatever is refused meanwhile. What
    they began with is remembered with its version: what somebody else saved since is not
    overwritten unless one says so.
    """

    def __init__(self, session: state.Session) -> None:
        """Look what is saved now, and what these fields began with."""
        self._session = session
        self._fresh = session.api.get_settings()
        seen = st.session_state.get(_SEEN)
        self._seen = seen if isinstance(seen, Tagged) else self._fresh
        st.session_state[_SEEN] = self._seen
        self._turn = int(st.session_state.get(_TURN, 0))
        refused = st.session_state.get(_REFUSED)
        self._refused = refused if isinstance(refused, ApiProblem) else None

    @property
    def _settings(self) -> models.EmailSettingsOut:
        value: models.EmailSettingsOut = self._seen.value
        return value

    def draw(self) -> None:
        """Draw the sections, the test and what becomes of changes."""
        with st.container(key="card-sender"):
            given = self._sender()
        with st.container(key="card-server"):
            given["smtp"] = self._server()
        with st.container(key="card-retries"):
            given["retry"] = self._retries()
        with st.container(key="card-retention"):
            given |= self._retention()
        body = models.EmailSettingsPut(**given)
        changed = body != _body(self._settings)
        if not changed and (self._fresh.etag != self._seen.etag or self._refused):
            # Nothing of one's own would be lost.
            self._begin_with(self._fresh)
            st.rerun()
        with st.container(key="card-test"):
            self._test(body if changed else None)
        with st.container(key="savebar-email-settings"):
            self._end(body, changed=changed)

    # --- fields

    def _key(self, name: str) -> str:
        return f"email-settings-{name}-{self._turn}"

    def _wrong(self, *place: str) -> None:
        """Draw what was wrong with the field above, if it was."""
        start = "/".join(("", "body", *place))
        for one in self._refused.errors if self._refused else ():
            if one.pointer == start or one.pointer.startswith(f"{start}/"):
                line = one.pointer[len(start) + 1 :]
                said = f"Line {int(line) + 1}: {one.detail}" if line.isdigit() else one.detail
                markup.field_error(said)

    def _text(self, place: tuple[str, ...], label: str, now: str | None, **more: Any) -> str:
        key = self._key("-".join(place).replace("_", "-"))
        given = str(st.text_input(label, now or "", key=key, **more) or "")
        self._wrong(*place)
        return given if more.get("type") == "password" else given.strip()

    def _number(self, place: tuple[str, ...], label: str, now: float | None, **more: Any) -> Any:
        key = self._key("-".join(place).replace("_", "-"))
        # Not by ``value``: only a field that began empty can be emptied again.
        st.session_state.setdefault(key, now)
        given = st.number_input(label, value=None, key=key, **more)
        self._wrong(*place)
        return given

    def _sender(self) -> dict[str, Any]:
        settings = self._settings
        markup.section("Sender")
        left, right = st.columns(2)
        with left:
            address = self._text(("from_address",), "From address", settings.from_address)
        with right:
            name = self._text(("from_name",), "From name", settings.from_name)
        senders = st.text_area(
            "Other senders",
            "\n".join(settings.senders),
            key=self._key("senders"),
            help="Addresses that a message may be from instead, one a line; an @ and a domain "
            "stands for all of its addresses.",
            placeholder="sales@acme.example\n@shop.acme.example",
        ).split()
        self._wrong("senders")
        return {"from_address": address, "from_name": name, "senders": senders}

    def _server(self) -> models.SmtpIn | None:
        smtp = self._settings.smtp
        markup.section("Mail server")
        whose = st.segmented_control(
            "Whose server takes the mail",
            (_OURS, _OWN),
            default=_OWN if smtp else _OURS,
            required=True,
            key=self._key("whose-server"),
        )
        self._wrong("smtp")
        if whose != _OWN:
            return None
        now = smtp or _NO_SERVER
        where, port, tls = st.columns((3, 1, 2))
        with where:
            host = self._text(("smtp", "host"), "Host", now.host, placeholder="mail.acme.example")
        with port:
            number = self._number(
                ("smtp", "port"), "Port", now.port, min_value=1, max_value=65_535, step=1
            )
        with tls:
            encryption = st.selectbox(
                "Encryption",
                list(_TLS),
                index=list(_TLS).index(now.tls),
                format_func=_TLS.__getitem__,
                key=self._key("smtp-tls"),
            )
        who, secret = st.columns(2)
        with who:
            username = self._text(
                ("smtp", "username"), "User name (optional)", now.username, autocomplete="off"
            )
        with secret:
            password = self._text(
                ("smtp", "password"),
                "Password",
                "",
                type="password",
                autocomplete="new-password",
                placeholder="stays as it is" if smtp and smtp.username else None,
                help="It is kept sealed and never shown. Left empty, the stored one stays, as long "
                "as host and port stay the same.",
            )
        with st.expander("More about this server"):
            more = self._more(now)
        return models.SmtpIn(
            host=host,
            port=number or _NO_SERVER.port,
            username=username or None,
            tls=encryption,
            # What is not sent stays as it is.
            password=password or UNSET,
            **more,
        )

    def _more(self, now: models.SmtpOut) -> dict[str, Any]:
        left, right = st.columns(2)
        with left:
            ehlo_name = self._text(
                ("smtp", "ehlo_name"),
                "Greeted as (EHLO)",
                now.ehlo_name,
                placeholder="the platform's name",
            )
        with right:
            login = st.selectbox(
                "Log-in",
                list(_LOGINS),
                index=list(_LOGINS).index(now.login),
                format_func=_LOGINS.__getitem__,
                key=self._key("smtp-login"),
            )
        ca_certificate = st.text_area(
            "Certificate of a private authority (PEM)",
            now.ca_certificate or "",
            key=self._key("smtp-ca-certificate"),
            placeholder="-----BEGIN CERTIFICATE-----",
        ).strip()
        self._wrong("smtp", "ca_certificate")
        given: dict[str, Any] = {
            "ehlo_name": ehlo_name or None,
            "login": login,
            "ca_certificate": f"{ca_certificate}\n" if ca_certificate else None,
        }
        if ca_certificate == (now.ca_certificate or "").strip():
            given["ca_certificate"] = now.ca_certificate
        markup.note("Limits: empty ones are learned from the server's answers.")
        columns = st.columns(2)
        for number, (name, label) in enumerate(_LIMITS):
            rate = name == "rate_per_second"
            with columns[number % 2]:
                given[name] = self._number(
                    ("smtp", name),
                    label,
                    getattr(now, name),
                    min_value=0.001 if rate else 1,
                    step=1.0 if rate else 1,
                    placeholder="learned",
                )
        return given

    def _retries(self) -> models.RetryIn | None:
        retry = self._settings.retry
        markup.section("Deferred mail")
        whose = st.segmented_control(
            "When it is tried again",
            (_USUAL, _OWN),
            default=_OWN if retry else _USUAL,
            required=True,
            key=self._key("whose-retries"),
        )
        if whose != _OWN:
            return None
        now = retry or models.RetryOut(
            waits_seconds=[60.0, 300.0, 900.0, 3600.0],
            give_up_after_seconds=5 * 24 * _HOUR,
            delay_notice_after_seconds=4 * _HOUR,
        )
        waits = self._text(
            ("retry", "waits_seconds"),
            "Seconds from one try to the next",
            ", ".join(f"{wait:g}" for wait in now.waits_seconds),
            help="The last one repeats.",
        )
        left, right = st.columns(2)
        with left:
            give_up = self._number(
                ("retry", "give_up_after_seconds"),
                "Hours until it bounces",
                now.give_up_after_seconds / _HOUR,
                step=1.0,
                min_value=0.1,
            )
        with right:
            notice = self._number(
                ("retry", "delay_notice_after_seconds"),
                "Hours until it is told of",
                now.delay_notice_after_seconds / _HOUR,
                step=1.0,
                min_value=0.1,
            )
        return models.RetryIn(
            waits_seconds=_numbers(waits),
            give_up_after_seconds=_seconds(give_up, now.give_up_after_seconds),
            delay_notice_after_seconds=_seconds(notice, now.delay_notice_after_seconds),
        )

    def _retention(self) -> dict[str, Any]:
        settings = self._settings
        kept = settings.kept

        def days(name: str, label: str, now: int | None, usual: int, hint: str) -> int | None:
            given: int | None = self._number(
                (name,),
                label,
                now,
                min_value=1,
                max_value=kept.most_days,
                step=1,
                placeholder=f"{usual}, as usual on this platform",
                help=f"{hint} Empty: {_days(usual)}, as usual on this platform.",
            )
            return given

        markup.section("Retention")
        given: dict[str, Any] = {}
        left, right = st.columns(2)
        with left:
            given["keep_content_days"] = days(
                "keep_content_days",
                "Days to keep what messages say",
                settings.keep_content_days,
                kept.usual_content_days,
                "Bodies, headers and attachments of settled messages, from when they were made. "
                "Without them a message is still listed, but cannot be read or sent again.",
            )
        with right:
            given["keep_days"] = days(
                "keep_days",
                "Days to keep messages",
                settings.keep_days,
                kept.usual_days,
                "Subjects, recipients, states and business keys of settled messages, from when "
                "they were made. Content is kept for no longer.",
            )
        markup.note(
            f"Now content is kept for {_days(kept.content_days)} and messages for "
            f"{_days(kept.days)}."
        )
        given["suppress_hard_bounces"] = st.checkbox(
            "Suppress an address when its mail server says that it does not exist",
            settings.suppress_hard_bounces,
            key=self._key("suppress-hard-bounces"),
        )
        return given

    # --- what becomes of them

    def _begin_with(self, settings: Tagged[models.EmailSettingsOut]) -> None:
        st.session_state[_SEEN] = settings
        st.session_state[_TURN] = self._turn + 1
        for key in (_REFUSED, _ASKED):
            st.session_state.pop(key, None)

    def _test(self, body: models.EmailSettingsPut | None) -> None:
        """Draw the test message; ``body`` are the settings to try if they are not those saved."""
        markup.section("Test message")
        markup.note(
            "Handed to the mail server now, with what stands in the fields above. You see every "
            "word of it."
            if body
            else "Handed to the mail server now, and you see every word of it."
        )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            to = st.text_input(
                "To", str(st.user.get("email") or ""), key="email-settings-test-to", width=340
            ).strip()
            # Never disabled: the click that ends the typing of the address would be lost.
            sent = st.button(
                "Send a test" if body is None else "Test without saving",
                key="email-settings-test",
                icon=":material/outgoing_mail:",
            )
        if sent and not to:
            markup.field_error("To whom? An address of your own is best.")
        elif sent:
            st.session_state.pop(_TESTED, None)
            with problems.guard(), st.spinner("Talking to the mail server: a minute at most …"):
                asked = models.EmailTestCreate(to=to, settings=body)
                st.session_state[_TESTED] = self._session.api.test_settings(asked)
        found = st.session_state.get(_TESTED)
        if isinstance(found, models.EmailTestOut):
            dialogue.draw(found)

    def _end(self, body: models.EmailSettingsPut, *, changed: bool) -> None:
        """Draw what can be done with the changes; says what stands in the way."""
        loss = _loss(self._settings, body)
        if self._refused is not None:
            problems.show(self._refused)
        elif changed and self._fresh.etag != self._seen.etag:
            markup.note("Somebody else has saved these settings since you opened them.")
        if changed and self._fresh.etag != self._seen.etag:
            self._settle_with_others()
        if changed and loss and st.session_state.get(_ASKED):
            self._ask(body, loss)
            return
        with st.container(horizontal=True, vertical_alignment="center"):
            save = st.button("Save", key="email-settings-save", type="primary")
            st.button(
                "Discard changes",
                key="email-settings-drop",
                on_click=self._begin_with,
                args=(self._fresh,),
                disabled=not changed,
            )
            if changed:
                paused = self._settings.relay.pauses
                markup.note(
                    "Unsaved changes."
                    + (" Saving tries the mail server again, with what waits." if paused else "")
                )
        if save and not changed:
            confirm.say("There is nothing to save: all is as it was.")
        elif save and loss:
            st.session_state[_ASKED] = True
            st.rerun()
        elif save:
            self._save(body)

    def _settle_with_others(self) -> None:
        def keep_mine() -> None:
            st.session_state[_SEEN] = self._fresh
            st.session_state.pop(_REFUSED, None)

        with st.container(horizontal=True):
            st.button(
                "Take what they saved",
                key="email-settings-theirs",
                on_click=self._begin_with,
                args=(self._fresh,),
            )
            st.button("Keep what I wrote", key="email-settings-mine", on_click=keep_mine)

    def _ask(self, body: models.EmailSettingsPut, loss: str) -> None:
        def drop() -> None:
            st.session_state.pop(_ASKED, None)

        st.html(f'<p class="es-question" role="alert">{escape(loss)}</p>')
        with st.container(horizontal=True):
            yes = st.button("Save and delete", key="email-settings-yes", type="primary")
            st.button("Do not save yet", key="email-settings-no", on_click=drop)
        if yes:
            drop()
            self._save(body)

    def _save(self, body: models.EmailSettingsPut) -> None:
        try:
            saved = self._session.api.put_settings(body, if_match=self._seen.etag)
        except ApiProblem as problem:
            # Drawn by the next run, where each field stands.
            st.session_state[_REFUSED] = problem
            st.rerun()
        self._begin_with(saved)
        kept = saved.value.kept
        said = f"Content is kept for {_days(kept.content_days)}, messages for {_days(kept.days)}."
        confirm.say_after_rerun(f"Saved. {said} {saved.value.warning or ''}".strip())
        st.rerun()


def _body(settings: models.EmailSettingsOut) -> models.EmailSettingsPut:
    """Return what would be saved if nothing was changed; the mail server keeps its password."""
    smtp, retry = settings.smtp, settings.retry
    return models.EmailSettingsPut(
        from_address=settings.from_address,
        from_name=settings.from_name,
        senders=list(settings.senders),
        smtp=None if smtp is None else models.SmtpIn(**structs.asdict(smtp)),
        retry=None if retry is None else models.RetryIn(**structs.asdict(retry)),
        keep_content_days=settings.keep_content_days,
        keep_days=settings.keep_days,
        suppress_hard_bounces=settings.suppress_hard_bounces,
    )


def _seconds(hours: float | None, now: float) -> float:
    """Return so many hours in seconds: exactly those of now, if nobody changed them."""
    return now if hours == now / _HOUR else (hours or 0) * _HOUR


def _numbers(text: str) -> list[float]:
    """Return the numbers in a text; what is none makes the list empty, which the API refuses."""
    words = re.split(r"[,;\s]+", text.strip())
    return [float(word) for word in words] if all(map(_is_number, words)) else []


def _is_number(word: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", word) is not None


def _loss(settings: models.EmailSettingsOut, body: models.EmailSettingsPut) -> str:
    """Return what a shorter time deletes; empty where nothing is kept for less than before."""
    kept = settings.kept
    days = body.keep_days or kept.usual_days
    content_days = min(body.keep_content_days or kept.usual_content_days, days)
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


def _days(count: int) -> str:
    return f"{count:,} day{'' if count == 1 else 's'}"


if __name__ == "__main__":
    page()

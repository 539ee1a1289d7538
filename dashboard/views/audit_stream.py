"""Audit stream: where the trail is pushed to, how far it has come, and what keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, ApiProblem, models
from dashboard.widgets import confirm, markup, problems, trails, workers
from dashboard.widgets.audit_files import FORMATS

REFRESH_SECONDS: Final = 3.0
_NOT_FOUND: Final = "audit.stream_not_found"
_FAILING: Final = 3
_KINDS: Final = {"webhook": "Webhook (https)", "syslog": "Syslog over TLS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """Whose trail is pushed, and what of the API says where to.

    Attributes:
        name: Of the trail, to be chosen by.
        key: Unique on the page.
        whose: The trail, in a sentence.
        read: Who may see where it goes.
        write: Who may say so.
    """

    name: str
    key: str
    whose: str
    read: str
    write: str
    get: Callable[[Api], models.StreamOut]
    put: Callable[[Api, models.StreamPut], models.StreamSavedOut]
    delete: Callable[[Api], None]

    @property
    def editing(self) -> str:
        """What says that its fields are on show."""
        return f"{self.key}-editing"


_TENANT: Final = _Stream(
    name=trails.TENANT,
    key="audit-stream",
    whose="This tenant's trail",
    read="audit_stream:read",
    write="audit_stream:write",
    get=Api.get_audit_stream,
    put=Api.put_audit_stream,
    delete=Api.delete_audit_stream,
)
_PLATFORM: Final = _Stream(
    name=trails.PLATFORM,
    key="platform-audit-stream",
    whose="The platform's own trail",
    read="platform_audit_stream:read",
    write="platform_audit_stream:write",
    get=Api.get_platform_audit_stream,
    put=Api.put_platform_audit_stream,
    delete=Api.delete_platform_audit_stream,
)


def page() -> None:
    """Draw the page: the tenant's stream, or for those who may the platform's."""
    session = state.current()
    readable = {each.name: each for each in (_TENANT, _PLATFORM) if session.can(each.read)}
    with markup.heading_row():
        markup.page_heading(
            "Audit stream",
            "Brings every record of a trail to a receiver of its own, at least once and in order.",
        )
    workers.warn()
    of = readable[trails.choose(list(readable))]
    pages.draw_shown(of.key)
    now(of)
    with problems.guard():
        if session.can(of.write):
            stream = _find(session, of)
            if stream is None:
                _form(session, of, None)
            else:
                _acts(session, of, stream)
                if st.session_state.get(of.editing):
                    _form(session, of, stream)


def _find(session: state.Session, of: _Stream) -> models.StreamOut | None:
    try:
        return of.get(session.api)
    except ApiProblem as problem:
        if problem.code != _NOT_FOUND:
            raise
        return None


@st.fragment(run_every=REFRESH_SECONDS)
def now(of: _Stream) -> None:
    """Draw how the stream stands; Streamlit runs this alone, again and again."""
    with problems.guard():
        session = state.current()
        stream = _find(session, of)
        markup.status(*verdict(stream, of.whose))
        if stream is not None:
            with st.container(key=f"card-{of.key}"):
                markup.section("As it is now")
                markup.facts(_facts(session, stream))
                if stream.last_error:
                    with st.container(gap="xxsmall"):
                        markup.label("The last error")
                        st.code(stream.last_error, language=None, wrap_lines=True)


def verdict(stream: models.StreamOut | None, whose: str) -> tuple[str, str, str]:
    """Return how the stream stands, as a tone, a word and a sentence."""
    if stream is None:
        return "gray", "Not set up", f"{whose} is pushed nowhere."
    behind = f"{stream.behind:,} {'record waits' if stream.behind == 1 else 'records wait'}"
    if stream.paused:
        return "gray", "Paused", f"It stands after record {stream.seq:,}; {behind}."
    if stream.failures:
        tone = "red" if stream.failures >= _FAILING else "amber"
        times = "once" if stream.failures == 1 else f"{stream.failures:,} times in a row"
        tries = f"the next try is {markup.moment(stream.next_try_at)}"
        return tone, "Failing", f"The receiver did not take it, {times}; {behind}, {tries}."
    if stream.delivered_at is None:
        return "gray", "Nothing taken yet", f"The receiver has taken no record so far; {behind}."
    if stream.behind:
        return "amber", "Behind", f"{behind} for the receiver."
    return "green", "Up to date", f"The receiver has taken all up to record {stream.seq:,}."


def _facts(session: state.Session, stream: models.StreamOut) -> list[tuple[str, str]]:
    facts = [
        ("Receiver", _KINDS.get(stream.kind, stream.kind)),
        ("Address", stream.target),
        ("Format", FORMATS.get(stream.format, stream.format)),
        ("Stands after record", f"{stream.seq:,}"),
        ("Behind", f"{stream.behind:,}"),
        ("Last taken", markup.when(stream.delivered_at)),
    ]
    if stream.failures:
        facts.append(("Failed in a row", f"{stream.failures:,}"))
    if stream.next_try_at is not None and stream.failures:
        facts.append(("Next try", markup.when(stream.next_try_at)))
    if stream.ca_certificate:
        facts.append(("Certificate authority", "a private one"))
    facts += [
        ("Changed", markup.when(stream.updated_at)),
        ("Changed by", session.names.of(stream.updated_by)),
    ]
    return facts


def _acts(session: state.Session, of: _Stream, stream: models.StreamOut) -> None:
    with st.container(horizontal=True):
        if stream.paused:
            if st.button(
                "Go on", key=f"{of.key}-resume", type="primary", icon=":material/play_arrow:"
            ):
                _put(session, of, stream, paused=False)
                confirm.say_after_rerun(f"The stream goes on after record {stream.seq:,}.")
                st.rerun()
        elif st.button("Pause", key=f"{of.key}-pause", icon=":material/pause:"):
            _put(session, of, stream, paused=True)
            confirm.say_after_rerun("The stream stands still. Its place is kept.")
            st.rerun()
        if not st.session_state.get(of.editing) and st.button(
            "Change", key=f"{of.key}-change", icon=":material/edit:"
        ):
            st.session_state[of.editing] = True
            st.rerun()
        if confirm.ask(
            f"{of.key}-delete",
            "Delete",
            icon=":material/delete:",
            will="Nothing is pushed any more, and where it stood is forgotten: another one begins "
            "with the next record, or with the first. The receiver keeps what it has; a webhook "
            "set up again has another secret.",
            yes="Delete the stream",
            danger=True,
        ):
            of.delete(session.api)
            st.session_state[of.editing] = False
            confirm.say_after_rerun("The trail is pushed nowhere any more.")
            st.rerun()


def _put(session: state.Session, of: _Stream, stream: models.StreamOut, *, paused: bool) -> None:
    of.put(
        session.api,
        models.StreamPut(
            kind=stream.kind,
            target=stream.target,
            format=stream.format,
            ca_certificate=stream.ca_certificate,
            paused=paused,
        ),
    )


def _form(session: state.Session, of: _Stream, stream: models.StreamOut | None) -> None:
    """Draw the receiver's fields, beginning with what is.

    Not in a form of Streamlit's: which fields there are follows from the kind.
    """
    with st.container(key=f"card-{of.key}-form"):
        markup.section("Change the stream" if stream else "Set up a stream")
        kind = _kind(of, stream)
        target = st.text_input(
            "Address",
            value=stream.target if stream and stream.kind == kind else "",
            key=f"{of.key}-target-{kind}",
            placeholder="https://siem.example.com/audit"
            if kind == "webhook"
            else "siem.example.com:6514",
            help="Takes a POST of up to 200 records, signed as Standard Webhooks says."
            if kind == "webhook"
            else "Host and port of a receiver that speaks TLS (RFC 5425); 6514 is the usual port.",
        ).strip()
        formats = list(FORMATS)
        chosen = st.selectbox(
            "Format",
            formats,
            index=formats.index(stream.format) if stream and stream.format in formats else 0,
            format_func=lambda name: FORMATS[name],
            key=f"{of.key}-format",
        )
        authority = None
        if kind == "syslog":
            now_there = stream.ca_certificate if stream and stream.kind == kind else None
            authority = st.text_area(
                "Certificate authority of the receiver, if it is a private one",
                value=now_there or "",
                key=f"{of.key}-authority",
                placeholder="-----BEGIN CERTIFICATE-----",
            ).strip()
        first = stream is None and st.checkbox(
            "Begin with the first record of the trail",
            key=f"{of.key}-first",
            help="Else it begins with the next one that is written.",
        )
        with st.container(horizontal=True):
            sent = st.button(
                "Save changes" if stream else "Set up",
                key=f"{of.key}-save",
                type="primary",
            )
            dropped = stream is not None and st.button("Leave as it is", key=f"{of.key}-drop")
        if dropped:
            st.session_state[of.editing] = False
            st.rerun()
        if sent and not target:
            st.warning("It needs an address.")
        elif sent:
            with problems.guard():
                saved = of.put(
                    session.api,
                    models.StreamPut(
                        kind=kind,
                        target=target,
                        format=str(chosen),
                        ca_certificate=authority or None,
                        paused=stream.paused if stream else False,
                        from_beginning=bool(first),
                    ),
                )
                _saved(of, saved, is_new=stream is None)


def _kind(of: _Stream, stream: models.StreamOut | None) -> str:
    widget = f"{of.key}-kind"
    st.session_state.setdefault(widget, stream.kind if stream else "webhook")
    return str(
        st.segmented_control(
            "Receiver",
            list(_KINDS),
            format_func=lambda name: _KINDS[name],
            required=True,
            key=widget,
        )
    )


def _saved(of: _Stream, saved: models.StreamSavedOut, *, is_new: bool) -> None:
    if saved.kind == "webhook":
        pages.show_once(
            of.key,
            (
                "The secret of this stream",
                "Shown this once. The receiver checks with it that what comes is ours.",
            ),
            saved,
            (("Signing secret", "secret"),),
        )
    st.session_state[of.editing] = False
    confirm.say_after_rerun(
        f"The trail is pushed to {saved.target}."
        if is_new
        else "Saved. The stream goes on from where it was."
    )
    st.rerun()


if __name__ == "__main__":
    page()

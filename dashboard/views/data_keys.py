"""Data keys: what seals this tenant's data, sealing it anew, and the keys that are gone."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import streamlit as st

from dashboard import state
from dashboard.client import models
from dashboard.widgets import confirm, markup, problems, table

_WRITE: Final = "data_key:write"
REFRESH_SECONDS: Final = 2.0
_LATEST: Final = 50
_GOES_ON: Final = frozenset({"running", "paused"})


def page() -> None:
    """Draw the page."""
    markup.page_heading(
        "Data keys", "What seals the mail, templates and passwords that this tenant keeps."
    )
    session = state.current()
    _rotate(session)
    now()
    _retirements(session)


def _rotate(session: state.Session) -> None:
    """Draw the way to a new version, for who may make one."""
    if not session.can(_WRITE):
        return
    with problems.guard():
        if not confirm.ask(
            "data-keys-rotate",
            "Rotate now",
            icon=":material/autorenew:",
            will="A new version seals from about a minute on, when every process knows it. All "
            "that is kept is sealed anew with it, and the versions until now are destroyed once "
            "nothing is left under them. Nothing stops meanwhile.",
            yes="Seal with a new key",
        ):
            return
        made = session.api.rotate_data_key()
        confirm.say_after_rerun(
            f"Version {made.version} seals from {markup.moment(made.seals_from)} on."
        )
        st.rerun()


@st.fragment(run_every=REFRESH_SECONDS)
def now() -> None:
    """Draw the versions and the walk; Streamlit runs this alone, again and again."""
    with problems.guard():
        session = state.current()
        keys = session.api.list_data_keys().items
        walks = session.api.list_rewraps().items
        walk = walks[0] if walks else None
        markup.status(*verdict(keys, walk))
        if keys:
            _versions(keys)
        with st.container(key="card-rewrap"):
            markup.section("Rewrap")
            if walk is None:
                markup.note("Nothing was sealed anew with a newer version so far.")
            else:
                _progress(session, walk)
            if session.can(_WRITE):
                _acts(session, walk)


def verdict(
    keys: list[models.DataKeyVersionOut], walk: models.RewrapJobOut | None
) -> tuple[str, str, str]:
    """Return how things stand, as a tone, a word and a sentence."""
    if not keys:
        return "gray", "Nothing sealed", "The first key is made with the first thing that is kept."
    if walk is not None and walk.state == "blocked":
        return "red", "Blocked", f"{walk.broken:,} values do not open, so an old key has to stay."
    if walk is not None and walk.state == "paused":
        return "amber", "Paused", "Sealing anew waits for somebody to let it go on."
    if walk is not None and walk.state == "running":
        goes_on = f" It goes on at {markup.moment(walk.waits_until)}." if walk.waits_until else ""
        return "amber", "Rewrapping", f"Everything comes under version {walk.version}.{goes_on}"
    old = [one for one in keys if one.state == "old"]
    if old:
        kept = ", ".join(str(one.version) for one in old)
        return "amber", "Old keys", f"Kept beside the current one: version {kept}."
    return "green", "One key", f"Version {keys[-1].version} seals all that was counted."


def _versions(keys: list[models.DataKeyVersionOut]) -> None:
    table.draw(
        "data-keys",
        "Versions",
        (
            table.Column("version", "Version", "strong"),
            table.Column("state", "State", "badge"),
            table.Column("created_at", "Made", "time"),
            table.Column("seals_from", "Seals from", "time"),
            table.Column("due_at", "Replaced at", "time"),
            table.Column("left", "Left under it", "number"),
        ),
        [
            {
                "version": str(one.version),
                "state": one.state,
                "created_at": markup.when(one.created_at),
                "seals_from": markup.when(one.seals_from),
                "due_at": markup.when(one.due_at),
                "left": markup.NONE if one.left is None else f"{one.left:,}",
            }
            for one in keys
        ],
    )


def _progress(session: state.Session, walk: models.RewrapJobOut) -> None:
    if walk.state in _GOES_ON and walk.total is not None:
        share = walk.seen / walk.total if walk.total else 1.0
        words = f"{walk.seen:,} of {walk.total:,} rows"
        st.progress(min(share, 1.0), text=f"Round {walk.round}: {words}")
    markup.facts(_facts(session, walk))


def _facts(session: state.Session, walk: models.RewrapJobOut) -> list[tuple[str, str]]:
    left = "not counted yet" if walk.left is None else f"{sum(walk.left.values()):,}"
    facts = [
        ("State", walk.state),
        ("To version", str(walk.version)),
        ("Sealed anew", f"{walk.written:,} values"),
        ("Left under old versions", left),
    ]
    if walk.column is not None:
        facts.append(("Now at", walk.column))
    if walk.waits_until is not None:
        facts.append(("Waits until", markup.moment(walk.waits_until)))
    if walk.seconds_left is not None and walk.state == "running":
        facts.append(("Estimate", f"{walk.seconds_left:,.0f} s left of this round"))
    if walk.broken:
        facts.append(("Do not open", f"{walk.broken:,}"))
    facts += [
        ("Begun", markup.moment(walk.started_at)),
        ("Begun by", session.names.of(walk.started_by)),
    ]
    if walk.finished_at is not None:
        facts.append(("Ended", markup.moment(walk.finished_at)))
    return facts


def _acts(session: state.Session, walk: models.RewrapJobOut | None) -> None:
    with st.container(horizontal=True):
        if walk is None or walk.state not in _GOES_ON:
            if st.button("Rewrap now", key="rewrap-start", icon=":material/play_arrow:"):
                session.api.start_rewrap()
                st.rerun()
            return
        if walk.state == "running" and st.button(
            "Pause", key="rewrap-pause", icon=":material/pause:"
        ):
            session.api.pause_rewrap(walk.id)
            st.rerun()
        if walk.state == "paused" and st.button(
            "Go on", key="rewrap-resume", icon=":material/play_arrow:"
        ):
            session.api.resume_rewrap(walk.id)
            st.rerun()
        if confirm.ask(
            "rewrap-cancel",
            "Cancel",
            icon=":material/close:",
            will="What is sealed anew stays so. The versions until now stay as well, for the rest, "
            "until somebody starts again or the next rotation does.",
            yes="End it here",
            danger=True,
        ):
            session.api.cancel_rewrap(walk.id)
            st.rerun()


def counted(statement: str) -> str:
    """Return how many rows a record's statement says were looked at."""
    rows = msgspec.json.decode(statement, type=dict[str, Any]).get("rows_looked_at")
    return markup.NONE if rows is None else f"{rows:,}"


def _retirements(session: state.Session) -> None:
    with problems.guard():
        records = session.api.list_data_key_retirements(limit=_LATEST).items
        if not records:
            return
        key = session.api.get_retirement_key()
        with st.container(key="card-retirements"):
            markup.section("Retired versions")
            markup.note(
                "Each was destroyed when a whole count had found nothing under it, and its record "
                "says what was counted."
            )
            table.draw(
                "data-key-retirements",
                "Retired versions",
                (
                    table.Column("version", "Version", "strong"),
                    table.Column("counted", "Rows counted", "number"),
                    table.Column("retired_at", "Destroyed", "time"),
                    table.Column("key_id", "Signed by", "code"),
                ),
                [
                    {
                        "version": str(one.version),
                        "counted": counted(one.statement),
                        "retired_at": markup.when(one.retired_at),
                        "key_id": one.key_id,
                    }
                    for one in records
                ],
            )
            markup.label("Public key of the records (Ed25519, base64)")
            st.code(key.public_key, language=None, wrap_lines=True)
            st.download_button(
                "Download the records",
                msgspec.json.format(msgspec.json.encode([key, *records])),
                file_name="data-key-retirements.json",
                mime="application/json",
                icon=":material/download:",
                key="data-keys-retirements",
                on_click="ignore",
            )
            markup.note("The file holds each statement as it was signed, and its signature.")


if __name__ == "__main__":
    page()

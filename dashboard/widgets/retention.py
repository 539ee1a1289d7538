"""How long an audit trail is kept: seen by who may read it, changed by who may."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import state
from dashboard.client import Api, models
from dashboard.widgets import confirm, markup, problems


def draw(
    key: str,
    show: Callable[[Api], models.AuditRetentionOut],
    save: Callable[[Api, models.AuditRetentionPut], object],
    permission: str,
) -> None:
    """Draw it, closed until somebody asks.

    Args:
        key: Of the trail; unique on the page.
        show: Asks the API for it.
        save: Tells the API.
        permission: Who may change it.
    """
    session = state.current()
    card = st.expander("How long it is kept", icon=":material/auto_delete:", key=f"{key}-retention")
    with card, problems.guard():
        kept = show(session.api)
        markup.facts(
            (
                ("Kept", "for ever" if kept.keep_days is None else f"{kept.keep_days} days"),
                ("Gone up to record", str(kept.removed_seq or markup.NONE)),
                ("Went last", markup.when(kept.removed_at)),
            )
        )
        if session.can(permission):
            _change(key, kept, save)


def _change(
    key: str,
    kept: models.AuditRetentionOut,
    save: Callable[[Api, models.AuditRetentionPut], object],
) -> None:
    days = st.number_input(
        "Days (0: for ever)",
        min_value=0,
        max_value=36_500,
        value=kept.keep_days or 0,
        step=1,
        key=f"{key}-retention-days",
        help=f"At least {kept.least_days}.",
    )
    wanted = int(days) or None
    if wanted != kept.keep_days and confirm.ask(
        f"{key}-retention-save",
        "Save",
        will=_will(wanted),
        yes="Keep it so",
        danger=wanted is not None,
    ):
        save(state.current().api, models.AuditRetentionPut(keep_days=wanted))
        confirm.say_after_rerun("How long the trail is kept is changed, and on record.")
        st.rerun()


def _will(days: int | None) -> str:
    if days is None:
        return "Nothing more goes. What is gone stays gone."
    return (
        f"Records older than {days} days go for good, ten minutes from now at the earliest. What "
        "is kept stays proved, and the trail says what went."
    )

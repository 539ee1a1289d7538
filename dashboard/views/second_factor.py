"""Second factor: one's own, from the picture to the recovery codes, and what the tenant asks."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import state
from dashboard.client import models
from dashboard.widgets import confirm, markup, problems

_MADE: Final = "second-factor-made"
_CODES: Final = "second-factor-codes"
_WRITE: Final = "login_policy:write"
_READ: Final = "login_policy:read"
_SHORTEST: Final = 6


def page() -> None:
    """Draw the page."""
    markup.page_heading(
        "Second factor", "Beside your password: a code of an app on your phone when you log in."
    )
    with problems.guard():
        _own()
    if state.current().can(_READ):
        with problems.guard():
            _policy()


def _own() -> None:
    """Draw what the person has, or the way to it."""
    codes = st.session_state.get(_CODES)
    if isinstance(codes, models.RecoveryCodesOut):
        _show_codes(codes)
        return
    found = state.current().api.get_totp()
    if found.enrolled:
        _enrolled(found)
        return
    made = st.session_state.get(_MADE)
    if isinstance(made, models.TotpEnrolmentOut):
        _enrol(made)
        return
    sentence = "Whoever learns your password can log in as you."
    if found.required:
        sentence = "It is required of you: your next log-in leads through setting it up."
    markup.status("amber", "Not set up", sentence)
    if st.button("Set up", key="second-factor-begin", type="primary", icon=":material/qr_code_2:"):
        st.session_state[_MADE] = state.current().api.begin_totp()
        st.rerun()


def _enrol(made: models.TotpEnrolmentOut) -> None:
    """Draw the secret as a picture and as text, and ask for its first code."""
    with st.container(key="card-second-factor"):
        markup.section("Scan this with an authenticator app")
        if isinstance(made.secret_withheld, str):
            st.warning(made.secret_withheld)
        else:
            markup.drawing(str(made.qr_svg), "QR code of the secret below")
            markup.note("Or type this secret into the app:")
            st.code(str(made.secret), language=None)
        with st.form("second-factor-confirm", border=False):
            code = st.text_input(
                "Code that the app shows",
                key="second-factor-code",
                placeholder="492039",
                autocomplete="one-time-code",
                max_chars=16,
            )
            sent = st.form_submit_button("Confirm", key="second-factor-sent", type="primary")
    if st.button("Not now", key="second-factor-stop"):
        del st.session_state[_MADE]
        st.rerun()
    if sent:
        typed = code.strip()
        if len(typed) < _SHORTEST:
            st.warning("The code has six digits.")
            return
        st.session_state[_CODES] = state.current().api.confirm_totp(models.TotpCode(code=typed))
        del st.session_state[_MADE]
        st.rerun()


def _show_codes(shown: models.RecoveryCodesOut) -> None:
    """Draw the recovery codes until they were kept."""
    with st.container(key="card-second-factor"):
        markup.section("Recovery codes")
        if isinstance(shown.secret_withheld, str):
            st.warning(shown.secret_withheld)
        else:
            markup.note(
                "Each lets you in once without your phone. Keep them where you would find them: "
                "they are not shown again."
            )
            codes = shown.recovery_codes if isinstance(shown.recovery_codes, list) else []
            st.code("\n".join(codes), language=None)
        if st.button("I have kept them", key="second-factor-kept", type="primary"):
            del st.session_state[_CODES]
            st.rerun()


def _enrolled(found: models.SecondFactorOut) -> None:
    """Draw what there is, and what can be done with it."""
    markup.status("green", "Set up", "A log-in asks for your password and a code.")
    with st.container(key="card-second-factor"):
        markup.facts(
            [
                ("Since", markup.when(found.enrolled_at)),
                ("Recovery codes left", str(found.recovery_codes_left)),
            ]
        )
    api = state.current().api
    if confirm.ask(
        "second-factor-renew",
        "New recovery codes",
        will="You get ten new recovery codes. The old ones stop working.",
        yes="Replace the codes",
        icon=":material/autorenew:",
    ):
        st.session_state[_CODES] = api.renew_recovery_codes()
        st.rerun()
    if confirm.ask(
        "second-factor-remove",
        "Remove",
        will=(
            "Your log-ins ask for a password alone, and your recovery codes stop working."
            if not found.required
            else "It is required of you: your next log-in leads through setting up another one."
        ),
        yes="Remove the second factor",
        icon=":material/delete:",
        danger=True,
    ):
        api.remove_totp()
        confirm.say_after_rerun("Your second factor is removed.")
        st.rerun()


def _policy() -> None:
    """Draw what the tenant asks of everybody, and the switch for who may set it."""
    session = state.current()
    required = session.api.get_login_policy().require_second_factor
    markup.section(f"Everybody in {session.me.tenant.name}")
    said = "needs a second factor" if required else "may log in with a password alone"
    markup.note(f"Who belongs to this tenant {said}.")
    if not session.can(_WRITE):
        return
    wanted = not required
    if confirm.ask(
        "login-policy",
        "Require it" if wanted else "Require it no longer",
        will=(
            "Who has no second factor sets one up at the next log-in; until then they get nothing "
            "of this tenant."
            if wanted
            else "A password will be enough again. Who has a second factor keeps it."
        ),
        yes="Require a second factor" if wanted else "Let a password do",
    ):
        session.api.put_login_policy(models.LoginPolicyPut(require_second_factor=wanted))
        confirm.say_after_rerun("The tenant's policy is changed.")
        st.rerun()


if __name__ == "__main__":
    page()

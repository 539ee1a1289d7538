"""Identity providers: the tenant's own sign-in, whose mail domain it speaks for, who may enter."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from dashboard import state
from dashboard.client import models
from dashboard.widgets import confirm, markup, problems

_WRITE: Final = "identity_provider:write"
_PLATFORM: Final = "platform:write"
_OPEN: Final = "identity-providers-open"
_NEW: Final = "new"
_NOBODY: Final = "nobody else may enter"
_STATES: Final = {
    "none": "none",
    "claimed": "not proven yet",
    "proven": "proven by DNS",
    "confirmed": "confirmed by the platform",
}


def page() -> None:
    """Draw the page."""
    session = state.current()
    writes = session.can(_WRITE)
    with markup.heading_row():
        markup.page_heading(
            "Identity providers", "People of this tenant sign in with its own OpenID provider."
        )
        if writes:
            st.button(
                "New provider",
                key="identity-providers-new",
                icon=":material/add:",
                on_click=_open,
                args=(_NEW,),
            )
    with problems.guard():
        if writes and st.session_state.get(_OPEN) == _NEW:
            _form(None)
        found = session.api.list_identity_providers(limit=200).items
        if not found:
            markup.empty("No provider yet", "People log in with an e-mail address and a password.")
        for provider in found:
            _provider(provider, writes=writes)


def _open(which: str) -> None:
    st.session_state[_OPEN] = which


def _provider(provider: models.IdentityProviderOut, *, writes: bool) -> None:
    """Draw one provider, and what can be done with it."""
    with st.container(key=f"card-provider-{provider.id}"):
        markup.section(provider.name)
        if provider.disabled:
            markup.status("gray", "Disabled", "Nobody signs in with it.")
        elif provider.domain_state == "claimed":
            markup.status(
                "amber",
                "Domain not proven",
                f"Put a TXT record at {provider.proof_name} that says {provider.proof_value}",
            )
        elif provider.domain_state == "none":
            markup.status("amber", "No domain", "Nobody is led to it without a mail domain.")
        else:
            must = "sign in with it" if provider.enforced else "may sign in with it"
            markup.status("green", "In use", f"Addresses of {provider.domain} {must}.")
        markup.facts(_facts(provider))
        if not writes:
            return
        if st.session_state.get(_OPEN) == provider.id:
            _form(provider)
            return
        _acts(provider)


def _facts(provider: models.IdentityProviderOut) -> list[tuple[str, str]]:
    roles = [f"{group}: {role}" for group, role in provider.roles_by_group.items()]
    roles.append(f"others: {provider.default_role}" if provider.default_role else _NOBODY)
    return [
        ("Issuer", provider.issuer),
        ("Client ID", provider.client_id),
        ("Redirect URI, to be registered there", provider.redirect_uri),
        ("Mail domain", f"{provider.domain or '–'} ({_STATES[provider.domain_state]})"),
        (f"Roles by {provider.groups_claim}", ", ".join(roles)),
        ("Second factor", "asked for there" if provider.second_factor else "asked for here"),
    ]


def _acts(provider: models.IdentityProviderOut) -> None:
    session, key = state.current(), f"provider-{provider.id}"
    with st.container(horizontal=True):
        st.button("Change", key=f"{key}-change", on_click=_open, args=(provider.id,))
        check = st.button("Check", key=f"{key}-check")
        prove = provider.domain_state == "claimed" and st.button(
            "Look for the TXT record", key=f"{key}-prove"
        )
    with problems.guard():
        if check:
            problem = session.api.check_identity_provider(provider.id).problem
            markup.verdict(
                good=problem is None,
                title="It can be used" if problem is None else "It cannot be used",
                text=problem or "It answers, and can what is needed of it.",
            )
        if prove:
            found = session.api.prove_domain(provider.id)
            if found.problem is None:
                confirm.say_after_rerun(f"{found.domain} is proven.")
                st.rerun()
            markup.verdict(good=False, title="Not proven", text=found.problem)
    if (
        provider.domain_state == "claimed"
        and session.can(_PLATFORM)
        and confirm.ask(
            f"{key}-confirm",
            "Confirm the domain",
            will=f"For the platform you say that {provider.domain} is this tenant's. All its "
            "addresses are led to this provider.",
            yes="Confirm the domain",
        )
    ):
        with problems.guard():
            session.api.confirm_domain(provider.id)
            confirm.say_after_rerun(f"{provider.domain} is confirmed.")
            st.rerun()
    if confirm.ask(
        f"{key}-delete",
        "Delete",
        will="Log-ins through it end, and nobody signs in with it any more. Who came by it stays "
        "a member.",
        yes="Delete the provider",
        danger=True,
        icon=":material/delete:",
    ):
        with problems.guard():
            session.api.delete_identity_provider(provider.id)
            confirm.say_after_rerun(f"{provider.name} is deleted.")
            st.rerun()


def _form(now: models.IdentityProviderOut | None) -> None:
    """Draw the fields of a provider, new or as it is."""
    session = state.current()
    roles = [role.name for role in session.api.list_roles().items if role.name != "owner"]
    key = f"provider-form-{now.id if now else _NEW}"
    with st.form(key, border=False):
        name = st.text_input("Name", now.name if now else "", placeholder="Acme single sign-on")
        issuer = st.text_input(
            "Issuer", now.issuer if now else "", placeholder="https://login.acme.example"
        )
        client_id = st.text_input("Client ID", now.client_id if now else "")
        secret = st.text_input(
            "Client secret",
            type="password",
            help="Leave it empty to keep the one that is there." if now else None,
        )
        domain = st.text_input(
            "Mail domain", (now.domain or "") if now else "", placeholder="acme.example"
        )
        claim = st.text_input("Claim with the groups", now.groups_claim if now else "groups")
        pairs = now.roles_by_group.items() if now else ()
        mapping = st.text_area(
            "Roles by group",
            "\n".join(f"{group} = {role}" for group, role in pairs),
            placeholder="mail-admins = admin",
            help="A line each. Of several groups that somebody is in, the first here counts.",
        )
        others = [_NOBODY, *roles]
        kept = now.default_role if now and now.default_role in roles else _NOBODY
        default = st.selectbox("Everybody else", others, index=others.index(kept))
        asks = st.checkbox(
            "It asks for a second factor itself", now is not None and now.second_factor
        )
        enforced = st.checkbox(
            "Nobody of the domain logs in with a password",
            now is not None and now.enforced,
            help="Log-ins that passwords opened there end at once, your own as well.",
        )
        disabled = st.checkbox("Disabled", now is not None and now.disabled)
        with st.container(horizontal=True):
            sent = st.form_submit_button("Save provider", type="primary")
            st.form_submit_button("Close", on_click=_open, args=("",))
    if not sent:
        return
    wrong = [line for line in mapping.splitlines() if line.strip() and "=" not in line]
    if wrong or not (name.strip() and issuer.strip() and client_id.strip() and (secret or now)):
        st.warning("It needs a name, an issuer, a client with its secret, and lines like a = b.")
        return
    lines = (line.rpartition("=") for line in mapping.splitlines() if line.strip())
    given: dict[str, Any] = {
        "name": name.strip(),
        "issuer": issuer.strip(),
        "client_id": client_id.strip(),
        "groups_claim": claim.strip() or "groups",
        "roles_by_group": {group.strip(): role.strip() for group, _, role in lines},
        "default_role": None if default == _NOBODY else default,
        "domain": domain.strip() or None,
        "second_factor": asks,
        "enforced": enforced,
        "disabled": disabled,
    }
    with problems.guard():
        if now is None:
            session.api.create_identity_provider(
                models.IdentityProviderCreate(client_secret=secret, **given)
            )
        else:
            session.api.put_identity_provider(
                now.id, models.IdentityProviderPut(client_secret=secret or None, **given)
            )
        confirm.say_after_rerun(f"{given['name']} is saved.")
        _open("")
        st.rerun()


if __name__ == "__main__":
    page()

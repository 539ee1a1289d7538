"""Tenants: the platform's own list, and one page for each: state, plan, quotas, usage, acts."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Column, Form, Input, ListPage
from dashboard.views import invitations
from dashboard.widgets import confirm, markup, problems, usage

_WRITE: Final = "platform:write"
_OWNER: Final = "tenants-owner"
_AS_PLANNED: Final = "as the plan says"


def _create(api: Api, body: models.TenantCreate) -> models.TenantCreatedOut:
    made = api.create_tenant(body)
    state.current().look_again()  # it may be one more that this person can choose
    return made


# --- one tenant -----------------------------------------------------------------------------


def detail(tenant_id: str) -> None:
    """Draw one tenant: how it stands, what it may and did, and what can be done with it."""
    session = state.current()
    st.button("All tenants", key="tenants-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        tenant = session.api.get_tenant(tenant_id)
        markup.object_heading(tenant.name, tenant.state, f"{tenant.slug}, plan {tenant.plan}")
        _notice(tenant)
        pages.draw_shown(_OWNER)
        found = session.api.get_tenant_usage(tenant_id)
        left, right = st.columns([2, 1])
        with left:
            _quotas(session.api.get_tenant_quotas(tenant_id))
            usage.days(found)
        with right:
            with st.container(key="card-tenant"):
                markup.section("Now")
                markup.facts(usage.counts(found))
                markup.facts([("Created", markup.when(tenant.created_at)), ("Id", tenant.id)])
                _links(session, tenant)
            if session.can(_WRITE):
                with st.container(key="card-tenant-acts"):
                    markup.section("Change")
                    _acts(session, tenant)


def _back() -> None:
    st.query_params.from_dict(state.address())


def _notice(tenant: models.TenantOut) -> None:
    if tenant.state == "suspended":
        since = markup.moment(tenant.state_since)
        markup.status("amber", "Suspended", f"Since {since}: {tenant.reason}")
    if tenant.state == "deleting":
        at = markup.moment(tenant.purge_at)
        markup.status("red", "Deleting", f"All its data goes at {at}, unless it is restored.")


def _links(session: state.Session, tenant: models.TenantOut) -> None:
    """Lead to its people and programs, for whoever may act there."""
    if tenant.state != "active" or tenant.id not in {one.id for one in session.me.tenants}:
        markup.note("Its members and API clients are shown to those who belong to it.")
        return
    address = {state.TENANT: tenant.slug}
    with st.container(horizontal=True):
        for file, label in (("members", "Its members"), ("clients", "Its API clients")):
            st.page_link(f"views/{file}.py", label=label, query_params=address)


def _quotas(quotas: models.QuotasOut) -> None:
    with st.container(key="card-quotas"):
        markup.section("Quotas")
        limited = usage.limited(quotas.items)
        if not limited:
            markup.note(f"The plan {quotas.plan} sets no limit, and nothing is overridden.")
            return
        usage.meters(limited)
        overridden = [label for name, label in usage.QUOTAS.items() if name in quotas.overrides]
        if overridden:
            markup.note(f"Not as the plan {quotas.plan} says: {', '.join(overridden)}.")


# --- what can be done with it ---------------------------------------------------------------


def _acts(session: state.Session, tenant: models.TenantOut) -> None:
    if tenant.state == "active":
        _suspend(session, tenant)
    if tenant.state == "suspended" and confirm.ask(
        "tenants-resume",
        "Resume",
        will=f"Everybody of {tenant.name} may sign in and act again, and the jobs and mail that "
        "waited go on at once.",
        yes="Resume this tenant",
        icon=":material/play_arrow:",
    ):
        session.api.resume_tenant(tenant.id)
        _done(session, f"{tenant.name} is active again.")
    if tenant.state == "deleting":
        if confirm.ask(
            "tenants-restore",
            "Restore",
            will=f"{tenant.name} is again what it was before it was deleted. Nothing is lost yet.",
            yes="Restore this tenant",
            icon=":material/restore:",
        ):
            session.api.restore_tenant(tenant.id)
            _done(session, f"{tenant.name} is restored.")
        return
    _rename(session, tenant)
    _change_quotas(session, tenant)
    _invite_owner(session, tenant)
    _delete(session, tenant)


def _done(session: state.Session, said: str) -> None:
    session.look_again()
    confirm.say_after_rerun(said)
    st.rerun()


def _suspend(session: state.Session, tenant: models.TenantOut) -> None:
    with st.expander("Suspend", icon=":material/pause:"), problems.guard():
        reason = st.text_input(
            "Reason",
            key="tenants-reason",
            placeholder="The invoice of October is unpaid",
            help="Told to everybody of the tenant who is refused.",
        ).strip()
        if not reason:
            markup.note("A tenant is suspended for a reason that its people can read.")
        elif confirm.ask(
            "tenants-suspend",
            "Suspend",
            will=f"Nobody of {tenant.name} can sign in, and its tokens, API clients and keys are "
            f"refused with this reason. Running jobs end; others wait. Nothing is lost.",
            yes="Suspend this tenant",
            danger=True,
            icon=":material/pause:",
        ):
            session.api.suspend_tenant(tenant.id, models.TenantSuspend(reason=reason))
            _done(session, f"{tenant.name} is suspended.")


def _rename(session: state.Session, tenant: models.TenantOut) -> None:
    with st.expander("Rename", icon=":material/edit:"), problems.guard():
        with st.form("tenants-rename", border=False):
            name = st.text_input("Name", tenant.name, key=f"tenants-name-{tenant.id}").strip()
            slug = st.text_input(
                "Slug",
                tenant.slug,
                key=f"tenants-slug-{tenant.id}",
                help="Addresses of the console with the old slug lead nowhere afterwards.",
            ).strip()
            sent = st.form_submit_button("Save name", key="tenants-rename-save")
        if sent and (name, slug) != (tenant.name, tenant.slug):
            session.api.rename_tenant(tenant.id, models.TenantPatch(name=name, slug=slug))
            _done(session, f"It is called {name} now.")


def _change_quotas(session: state.Session, tenant: models.TenantOut) -> None:
    with st.expander("Plan and quotas", icon=":material/speed:"), problems.guard():
        quotas = session.api.get_tenant_quotas(tenant.id)
        plans = [one.name for one in session.api.list_plans(limit=200).items]
        with st.form("tenants-quotas", border=False):
            plan = st.selectbox("Plan", plans, index=plans.index(quotas.plan), key="tenants-plan")
            given = {
                name: st.text_input(
                    label,
                    _written(quotas, name),
                    key=f"tenants-quota-{name}-{tenant.id}",
                    placeholder=_AS_PLANNED,
                    help="A number, 'none' for no limit, or empty: as the plan says.",
                ).strip()
                for name, label in usage.QUOTAS.items()
            }
            sent = st.form_submit_button("Save plan and quotas", key="tenants-quotas-save")
        if not sent:
            return
        wrong = [
            name
            for name, text in given.items()
            if text not in {"", "none"} and not usage.is_number(text)
        ]
        if wrong:
            st.warning(f"{usage.QUOTAS[wrong[0]]}: give a number, 'none', or nothing.")
            return
        overrides = {
            name: None if text == "none" else int(text) for name, text in given.items() if text
        }
        session.api.set_tenant_quotas(
            tenant.id, models.QuotasPut(plan=str(plan), overrides=overrides)
        )
        _done(session, f"{tenant.name} has the plan {plan}, effective at once.")


def _invite_owner(session: state.Session, tenant: models.TenantOut) -> None:
    with st.expander("Invite an owner", icon=":material/person_add:"), problems.guard():
        with st.form("tenants-owner", border=False, clear_on_submit=False):
            email = st.text_input(
                "E-mail",
                key=f"tenants-owner-{tenant.id}",
                placeholder="ada@example.test",
                help="Owns the tenant once they accept. An invitation that waits is void then.",
            ).strip()
            sent = st.form_submit_button("Send invitation", key="tenants-owner-send")
        if not sent:
            return
        if not email:
            markup.field_error("An invitation needs an e-mail address.")
            return
        made = session.api.invite_owner(tenant.id, models.OwnerInvite(email=email))
        said = f"The owner of {tenant.name} is invited", invitations.SHOWN[1]
        pages.show_once(_OWNER, said, made, (("Link for the owner", "link"),))
        _done(session, f"{email} is invited to own {tenant.name}.")


def _written(quotas: models.QuotasOut, name: str) -> str:
    if name not in quotas.overrides:
        return ""
    limit = quotas.overrides[name]
    return "none" if limit is None else str(limit)


def _delete(session: state.Session, tenant: models.TenantOut) -> None:
    with st.expander("Delete", icon=":material/delete:"), problems.guard():
        slug = st.text_input(
            f"Type {tenant.slug} to confirm", key=f"tenants-confirm-{tenant.id}"
        ).strip()
        if confirm.ask(
            "tenants-delete",
            "Delete",
            will=f"Everybody of {tenant.name} is refused from now on. Until the grace period ends "
            "it can be restored; then all of its data, files and keys go for good. Its audit trail "
            "and a certificate of what went stay.",
            yes="Delete this tenant",
            danger=True,
            icon=":material/delete:",
        ):
            session.api.delete_tenant(tenant.id, slug=slug)
            _done(session, f"{tenant.name} is being deleted.")


PAGE: Final = ListPage(
    key="tenants",
    of=models.TenantOut,
    title="Tenants",
    lead="Every tenant of this platform.",
    noun="tenant",
    nothing="Create the first one above.",
    fetch=Api.list_tenants,
    write=_WRITE,
    columns=(
        Column("name", "Name", "strong"),
        Column("slug", "Slug", "code"),
        Column("state", "State", "badge"),
        Column("plan", "Plan"),
        Column("created_at", "Created", "time"),
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="Acme Industries"),
            Input(
                "slug", "Slug", example="acme",
                help="Short and lasting: it appears in addresses.",
            ),
            Input(
                "owner_email", "Owner's e-mail (optional)", required=False,
                help="Is invited to own the tenant. Without one it is yours.",
            ),
        ),
        body=models.TenantCreate,
        call=_create,
        missing="A tenant needs a name and a slug.",
        said="Tenant {0} is created.",
        shows=(("Link for the owner", "owner_invitation_link"),),
    ),
    shown=(
        "The owner of {0} is invited",
        invitations.SHOWN[1],
    ),
    detail=detail,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)

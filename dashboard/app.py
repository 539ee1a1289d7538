"""The console's router: who is here, which pages they have, and the frame around those pages.

Run by ``dashboard.launch``. Streamlit executes this file from the top on every interaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import streamlit as st

from dashboard import client, state, theme
from dashboard.widgets import confirm, drawer, markup, problems, way_back

if TYPE_CHECKING:
    from streamlit.navigation.page import Page

_VIEWS: Final = Path(__file__).parent / "views"


class Entry(NamedTuple):
    """A page, the group it stands in, and the permissions of which one is enough.

    Without any of them the page is absent. One that names none is everybody's own.
    """

    group: str
    file: str
    title: str
    icon: str
    permissions: frozenset[str]


def _entry(group: str, file: str, title: str, icon: str, *permissions: str) -> Entry:
    return Entry(group, f"{file}.py", title, f":material/{icon}:", frozenset(permissions))


BELL_SECONDS: Final = 30.0
_WORST_FIRST: Final = ("critical", "warning", "info")
_ALERTS: Final = "Alerting"
_MAIL: Final = "Mail"
_WORK: Final = "Work"
_TRAIL: Final = "Audit trail"
_PEOPLE: Final = "People and access"
_PLATFORM: Final = "Platform"
ENTRIES: Final = (
    _entry("", "overview", "Overview", "monitoring", "overview:read"),
    _entry("", "dashboards", "Dashboards", "dashboard", "dashboard:read"),
    _entry("", "status", "Status", "vital_signs", "status:read", "platform:read"),
    _entry("", "slos", "Objectives", "flag", "slo:read", "platform:read"),
    _entry(_ALERTS, "alerts", "Alerts", "notifications", "alert:read"),
    _entry(_ALERTS, "incidents", "Incidents", "emergency", "incident:read"),
    _entry(_ALERTS, "alert_rules", "Alert rules", "rule", "alert_rule:read"),
    _entry(_ALERTS, "alert_routing", "Routing", "alt_route", "alert_routing:read"),
    _entry(_ALERTS, "alert_channels", "Channels", "send_to_mobile", "alert_channel:read"),
    _entry(_ALERTS, "alert_history", "History", "history", "alert:read"),
    _entry(_ALERTS, "silences", "Silences", "notifications_off", "silence:read"),
    _entry(_ALERTS, "on_call", "On call", "support_agent", "on_call:read"),
    _entry(_MAIL, "emails", "E-mails", "mail", "email:read"),
    _entry(_MAIL, "email_templates", "Templates", "draft", "email_template:read"),
    _entry(_MAIL, "suppressions", "Suppressions", "block", "suppression:read"),
    _entry(_MAIL, "email_settings", "E-mail settings", "outgoing_mail", "email_settings:read"),
    _entry(_WORK, "jobs", "Jobs", "work_history", "job:read"),
    _entry(_WORK, "dead_letters", "Dead letters", "report", "job:read"),
    _entry(_WORK, "job_graphs", "Job graphs", "schema", "job:read"),
    _entry(_WORK, "job_schedules", "Schedules", "calendar_clock", "job:read"),
    _entry(_WORK, "webhooks", "Webhooks", "webhook", "webhook:read"),
    _entry(_WORK, "logs", "Logs", "receipt_long", "log:read"),
    _entry(_WORK, "metrics", "Metrics", "show_chart", "metric:read"),
    _entry(_WORK, "prometheus", "Prometheus", "query_stats", "prometheus:read", "platform:read"),
    _entry(_WORK, "traces", "Traces", "account_tree", "trace:read"),
    _entry(_WORK, "usage", "Usage", "bar_chart", "usage:read"),
    _entry(_TRAIL, "audit", "Audit", "fact_check", "audit:read", "platform_audit:read"),
    _entry(_TRAIL, "audit_checkpoints", "Checkpoints", "approval", "audit:read"),
    _entry(_TRAIL, "audit_verifications", "Verifications", "verified_user", "audit:read"),
    _entry(
        _TRAIL,
        "audit_stream",
        "Audit stream",
        "stream",
        "audit_stream:read",
        "platform_audit_stream:read",
    ),
    _entry(_PEOPLE, "members", "Members", "group", "member:read"),
    _entry(_PEOPLE, "invitations", "Invitations", "person_add", "member:read"),
    _entry(_PEOPLE, "roles", "Roles", "shield_person", "role:read"),
    _entry(_PEOPLE, "clients", "API clients", "api", "client:read"),
    _entry(_PEOPLE, "api_keys", "API keys", "key", "api_key:read"),
    _entry(_PEOPLE, "keys", "Keys", "encrypted", "key:read"),
    _entry(_PEOPLE, "secrets", "Secrets", "lock", "secret:list"),
    _entry(_PEOPLE, "secret_grants", "Secret folders", "folder_managed", "secret_grant:read"),
    _entry(_PEOPLE, "access_reviews", "Access reviews", "checklist", "access_review:read"),
    _entry(_PEOPLE, "limits", "Limits", "speed", "limit:read"),
    _entry(_PEOPLE, "identity_providers", "Identity providers", "badge", "identity_provider:read"),
    _entry(_PEOPLE, "data_keys", "Data keys", "lock", "data_key:read"),
    _entry(_PEOPLE, "erasures", "Erased people", "person_off", "subject:read"),
    _entry(_PEOPLE, "profile", "Profile", "account_circle"),
    _entry(_PEOPLE, "second_factor", "Second factor", "phonelink_lock"),
    _entry(_PLATFORM, "workers", "Workers", "precision_manufacturing", "platform:read"),
    _entry(_PLATFORM, "tenants", "Tenants", "domain", "platform:read"),
    _entry(_PLATFORM, "plans", "Plans", "sell", "platform:read"),
    _entry(_PLATFORM, "tenant_certificates", "Deleted tenants", "history", "platform:read"),
    _entry(_PLATFORM, "platform_limits", "Platform limits", "speed", "platform:read"),
    _entry(_PLATFORM, "users", "Users", "groups", "platform:read"),
    _entry(_PLATFORM, "platform_clients", "Platform clients", "api", "platform_client:read"),
    _entry(_PLATFORM, "platform_api_keys", "Platform keys", "key", "platform_api_key:read"),
    _entry(_PLATFORM, "signing_keys", "Signing keys", "encrypted", "platform:read"),
)
"""The pages in the order of the sidebar: a line each. Those of a group stand together."""


def allowed(me: client.models.MeOut) -> list[Entry]:
    """Return the pages that this person's permissions open.

    A hidden page would still open by its address; an absent one does not exist.
    """
    return [
        entry
        for entry in ENTRIES
        if not entry.permissions or entry.permissions.intersection(me.permissions)
    ]


def main() -> None:
    """Draw one run of the console."""
    st.set_page_config(page_title=theme.PRODUCT, page_icon=theme.MARK, layout="wide")
    theme.apply()
    if st.session_state.get("leaving"):
        leaving()
        return
    if not st.user.get("is_logged_in"):
        state.forget()
        signed_out("Log in to see your tenants, their e-mails, jobs and audit trail.")
        return
    ended = st.session_state.pop("signed_out", None)
    try:
        if isinstance(ended, state.SignedOut):
            raise ended
        session = state.open_session()
        wanted = st.query_params.get(state.TENANT)
        if wanted and session.enter(wanted):
            state.forget_pages()
        me = session.me
    except state.NoMembership as outcome:
        no_membership(outcome)
        return
    except state.SignedOut as outcome:
        state.forget()
        if outcome.renewable:
            st.login()
        signed_out("Your login has ended. Log in again to go on.")
        return
    except client.ApiProblem as problem:
        unavailable(problem)
        return
    entries = allowed(me)
    pages = [_page(entry) for entry in entries]
    st.logo(theme.MARK, size="large")
    # Drawn by the sidebar itself: Streamlit's own links lead to addresses without a tenant.
    first = [] if any(entry.permissions for entry in entries) else [_no_pages()]
    chosen = st.navigation([*first, *pages], position="hidden")
    # Said on each run, though it stands there mostly: the link of the page on show changes what
    # this run was asked for and leaves the browser's address as it was.
    st.query_params[state.TENANT] = me.tenant.slug
    sidebar(session, me, list(zip(entries, pages, strict=True)), chosen)
    confirm.say_pending()
    with problems.guard():
        chosen.run()


def without_navigation() -> None:
    """Take the sidebar's pages away, and keep their addresses: none of them is run.

    Without this a page that was open when the login ended would keep its navigation on show.
    """
    st.navigation([_page(entry) for entry in ENTRIES], position="hidden")


def signed_out(text: str) -> None:
    """Draw the page of somebody who is not logged in: a name, a sentence, a button."""
    without_navigation()
    with st.container(key="card-login"):
        st.html(
            f'<div class="es-login"><img src="{theme.mark()}" alt=""><h1>{theme.PRODUCT}</h1>'
            f"<p>{escape(text)}</p></div>"
        )
        # A callback, because it runs before this file does: by the time the button is drawn again
        # the session behind it, and with it the click, may have been forgotten.
        st.button("Log in", type="primary", key="log-in", on_click=st.login, width="stretch")


def leaving() -> None:
    """Draw what stands until the browser has ended the login and comes back.

    Streamlit counts the login as ended at once, while the cookie goes only with the redirect: who
    were told so and closed or reloaded the page at that moment would still be logged in.
    """
    without_navigation()
    with st.container(key="card-login"):
        st.html(
            f'<div class="es-login"><img src="{theme.mark()}" alt=""><h1>{theme.PRODUCT}</h1>'
            "<p>Logging out …</p></div>"
        )


def unavailable(problem: client.ApiProblem) -> None:
    """Draw the page of somebody whose login is good while the platform is not."""
    without_navigation()
    with st.container(key="card-login"):
        st.html(
            f'<div class="es-login"><img src="{theme.mark()}" alt=""><h1>{theme.PRODUCT}</h1></div>'
        )
        problems.show(problem)
        if problem.code == state.SUSPENDED:
            others = state.current().elsewhere(st.query_params.get(state.TENANT, ""))
            _choose({tenant.slug: tenant.name for tenant in others})
        with st.container(horizontal=True):
            st.button("Try again", type="primary", key="try-again")
            st.button("Log out", key="log-out", on_click=leave)


def no_membership(outcome: state.NoMembership) -> None:
    """Draw the page of an address whose tenant is not the person's: said, and not replaced."""
    without_navigation()
    names = {tenant.slug: tenant.name for tenant in outcome.tenants}
    with st.container(key="card-login"):
        st.html(
            f'<div class="es-login"><img src="{theme.mark()}" alt=""><h1>Not your tenant</h1>'
            f"<p>You are not a member of <b>{escape(outcome.slug)}</b>, which this address names, "
            "or there is no such tenant. An owner or an admin of it can add you. Nothing was "
            "opened in its place.</p></div>"
        )
        _choose(names)
        st.button("Log out", key="log-out", on_click=leave, width="stretch")


def _choose(names: dict[str, str]) -> None:
    """Draw the way to another tenant, by slugs and names; nothing where there is none."""
    if not names:
        return
    slug = st.selectbox(
        "Your tenants", list(names), format_func=names.__getitem__, key="other-tenant"
    )
    st.button(
        f"Open {names[slug]}",
        type="primary",
        key="open-other-tenant",
        on_click=st.query_params.from_dict,
        args=({state.TENANT: slug},),
        width="stretch",
    )


def sidebar(
    session: state.Session,
    me: client.models.MeOut,
    pages: Sequence[tuple[Entry, Page]],
    chosen: Page,
) -> None:
    """Draw for which tenant one acts, the pages there, who one is, and the way out."""
    with st.sidebar:
        with st.container(key="side-tenant", gap="xxsmall"):
            _tenant(session, me)
        if session.can("alert:read"):
            _bell(session)
        with st.container(key="side-pages", gap=None):
            for group, of_group in groupby(pages, key=lambda one: one[0].group):
                if group:
                    st.html(f'<p class="es-group">{escape(group)}</p>')
                for _, page in of_group:
                    st.page_link(page, query_params=state.address())
        role = me.role + (f", platform {me.platform_role}" if me.platform_role else "")
        with st.container(key="side-who"):
            st.html(
                f'<div class="es-who"><p class="es-name">{escape(me.name)}</p>'
                f'<p class="es-role">{escape(role)}</p>'
                f'<p class="es-role">Times in {escape(markup.zone_name())}</p></div>'
            )
            st.button(
                "Log out", key="log-out", icon=":material/logout:", on_click=leave, width="stretch"
            )
        drawer.close_after(f"{chosen.url_path}?{me.tenant.slug}")
        way_back.keep()


@st.fragment(run_every=BELL_SECONDS)
def _bell(session: state.Session) -> None:
    """Draw what fires now; that it is not known is said, and is not that nothing does."""
    try:
        found = session.api.get_alerts_firing()
    except (client.ApiProblem, state.SignedOut):
        # The page says why; this is drawn again in a while.
        worst, label, icon = "unknown", "Alerts: not known", "notifications_paused"
    else:
        firing = found.critical + found.warning + found.info
        worst = next((one for one in _WORST_FIRST if getattr(found, one)), "none")
        seen = f"{found.unseen} not seen to" if found.unseen else "all seen to"
        label = f"{firing} firing, {seen}" if firing else "Nothing fires"
        icon = "notifications_active" if firing else "notifications"
    with st.container(key=f"side-bell-{worst}"):
        st.page_link(
            _VIEWS / "alerts.py",
            label=label,
            icon=f":material/{icon}:",
            help=f"The worst of it is {worst}" if worst in _WORST_FIRST else None,
            query_params=state.address(),
        )


def _tenant(session: state.Session, me: client.models.MeOut) -> None:
    """Draw the tenant's name; who has several chooses."""
    names = {tenant.id: tenant.name for tenant in me.tenants}
    names.setdefault(me.tenant.id, me.tenant.name)
    if len(names) == 1:
        markup.label("Tenant")
        st.html(f'<p class="es-tenant">{escape(me.tenant.name)}</p>')
        return

    def switch() -> None:
        try:
            session.switch_tenant(str(st.session_state["tenant"]))
        except client.ApiProblem as problem:
            st.session_state["switch_problem"] = problem
            return
        except state.SignedOut as outcome:
            st.session_state["signed_out"] = outcome
            return
        state.forget_pages()
        # What else stands in the address is the other tenant's.
        st.query_params.from_dict(state.address())

    # The session says which it is, also when the choice was refused or the address was changed.
    st.session_state["tenant"] = me.tenant.id
    st.selectbox(
        "Tenant", list(names), format_func=names.__getitem__, key="tenant", on_change=switch
    )
    refused = st.session_state.pop("switch_problem", None)
    if isinstance(refused, client.ApiProblem):
        told = f": {refused.detail}" if refused.code == state.SUSPENDED else ""
        markup.note(f"Not switched: {refused.title}{told}")


def leave() -> None:
    """Forget the tokens here, then end the login at the provider."""
    state.forget()
    st.session_state["leaving"] = True
    st.logout()


def _page(entry: Entry) -> Page:
    return st.Page(_VIEWS / entry.file, title=entry.title, icon=entry.icon)


def _no_pages() -> Page:
    def nothing() -> None:
        st.html(
            '<div class="es-heading"><h1>Nothing to see yet</h1><p>Your role in this tenant opens '
            "no page of the console. An owner or an admin of the tenant can change that.</p></div>"
        )

    return st.Page(nothing, title="Welcome")


if __name__ == "__main__":
    main()

"""Roles: what each permits, a tenant's own to be edited, and who may do something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import streamlit as st

from dashboard import state
from dashboard.client import models
from dashboard.views.limits import callers
from dashboard.widgets import confirm, markup, problems, table

_WRITE: Final = "role:write"
_ASK: Final = "access:read"
_CHOSEN: Final = "roles-chosen"
_PENDING: Final = "roles-pending"
_NEW: Final = "A new role"
_HELD: Final = "yes"


class _Change(NamedTuple):
    """A role that is to be saved in place of a version; an empty one is not there yet."""

    name: str
    description: str
    permissions: tuple[str, ...]
    version: str


def page() -> None:
    """Draw the page."""
    markup.page_heading("Roles", "What each role permits, and who may do what.")
    session = state.current()
    with problems.guard():
        roles = session.api.list_roles().items
        # What is done comes before what is looked up: the grid is as long as there are permissions.
        if session.can(_ASK):
            _who_can(session, roles)
            _what_can(session)
        if session.can(_WRITE):
            _editor(session, roles)
        markup.section("Permissions by role")
        _grid(roles)


def _grantable(roles: Iterable[models.RoleOut]) -> list[str]:
    """Return every permission that some role has: no other can be given."""
    return sorted({name for role in roles for name in role.permissions})


def _noun(permission: str) -> str:
    """Return what a permission is about, in words."""
    return permission.partition(":")[0].replace("_", " ")


def _grid(roles: Sequence[models.RoleOut]) -> None:
    columns = [
        table.Column("permission", "Permission", "strong"),
        *(table.Column(f"role-{role.name}", role.name) for role in roles),
    ]
    held = {role.name: set(role.permissions) for role in roles}
    rows = [
        {
            "permission": permission,
            "noun": _noun(permission),
            **{
                f"role-{name}": _HELD if permission in permissions else markup.NONE
                for name, permissions in held.items()
            },
        }
        for permission in _grantable(roles)
    ]
    table.draw("roles-grid", "Permissions by role", columns, rows, group="noun")


# --- the editor -----------------------------------------------------------------------------


def _editor(session: state.Session, roles: Sequence[models.RoleOut]) -> None:
    pending = st.session_state.get(_PENDING)
    if pending:
        _ask(session, roles, _Change(*pending))
        return
    own = {role.name: role for role in roles if not role.built_in}
    with st.container(key="card-roles-editor"):
        markup.section("Roles of this tenant")
        markup.note(
            "A role of your own permits what you hold yourself, at most. Members, API clients and "
            "API keys can hold it."
        )
        chosen = st.selectbox("Role", [_NEW, *own], key=_CHOSEN, width=320)
        role = own.get(str(chosen))
        _form(session, roles, role)
        if role is not None and confirm.ask(
            f"roles-delete-{role.name}",
            "Delete role",
            icon=":material/delete:",
            will=f"{role.name} is deleted for good. It must be held by nobody.",
            yes="Delete this role",
            danger=True,
        ):
            session.api.delete_role(role.name)
            st.session_state.pop(_CHOSEN, None)
            confirm.say_after_rerun(f"{role.name} is deleted.")
            st.rerun()


def _form(
    session: state.Session, roles: Sequence[models.RoleOut], role: models.RoleOut | None
) -> None:
    # Another version is another form, with its own values.
    key = f"roles-{role.name}-{role.version}" if role is not None else "roles-new"
    now = set(role.permissions) if role is not None else set[str]()
    with st.form(key, border=False):
        name = (
            role.name
            if role is not None
            else st.text_input(
                "Name",
                key=f"{key}-name",
                placeholder="billing",
                help="Small letters, digits, - and _",
                width=320,
            ).strip()
        )
        description = st.text_input(
            "Description (optional)",
            role.description if role is not None else "",
            key=f"{key}-description",
        ).strip()
        chosen: list[str] = []
        by_noun: dict[str, list[str]] = {}
        for permission in _grantable(roles):
            by_noun.setdefault(_noun(permission), []).append(permission)
        for noun, permissions in by_noun.items():
            with st.container(gap="xxsmall"):
                markup.label(noun)
                with st.container(horizontal=True):
                    chosen += [
                        permission
                        for permission in permissions
                        if st.checkbox(
                            permission,
                            permission in now,
                            key=f"{key}-{permission}",
                            # What one does not hold oneself cannot be given.
                            disabled=permission not in session.me.permissions,
                        )
                    ]
        sent = st.form_submit_button("Show the difference", key=f"{key}-send", type="primary")
    if not sent:
        return
    if not name:
        st.warning("A role needs a name.")
        return
    version = f'"{role.version}"' if role is not None else ""
    # A plain tuple: this file's own types are others on the next run.
    st.session_state[_PENDING] = (name, description, tuple(chosen), version)
    st.rerun()


def _ask(session: state.Session, roles: Sequence[models.RoleOut], change: _Change) -> None:
    def drop() -> None:
        st.session_state.pop(_PENDING, None)

    before = next((role for role in roles if role.name == change.name), None)
    held = set(before.permissions) if before is not None else set[str]()
    with st.container(key="card-roles-difference"):
        markup.section(f"{change.name}: what changes")
        if before is None:
            markup.note("This role is not there yet, so nobody holds it.")
        markup.facts(
            [
                ("Added", _words(set(change.permissions) - held)),
                ("Taken away", _words(held - set(change.permissions))),
            ]
        )
        with problems.guard():
            if before is not None and session.can(_ASK):
                _touched(session, change)
        with st.container(horizontal=True):
            yes = st.button("Save role", key="roles-yes", type="primary")
            st.button("Keep as it is", key="roles-no", on_click=drop)
    if yes:
        body = models.RolePut(description=change.description, permissions=list(change.permissions))
        try:
            session.api.put_role(change.name, body, if_match=change.version or None)
        finally:
            drop()
        # Not drawn in this run, so it may be set: what was saved is what is shown.
        st.session_state[_CHOSEN] = change.name
        confirm.say_after_rerun(f"{change.name} is saved, and in force.")
        st.rerun()


def _touched(session: state.Session, change: _Change) -> None:
    found = session.api.preview_access(
        models.AccessPreview(role=change.name, permissions=list(change.permissions))
    )
    if not found.touched:
        markup.note("Nobody gains or loses anything by it now.")
        return
    markup.label("Who is touched")
    table.draw(
        "roles-touched",
        "Who gains and loses what",
        (
            table.Column("name", "Name", "strong"),
            table.Column("who", "Who", title="subject"),
            table.Column("gains", "Gains"),
            table.Column("loses", "Loses"),
        ),
        [
            {
                "name": one.name,
                "who": state.current().names.whose(one.subject),
                "subject": one.subject,
                "gains": _words(one.gains),
                "loses": _words(one.loses),
            }
            for one in found.touched
        ],
    )


def _words(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or markup.NONE


# --- who can --------------------------------------------------------------------------------


def _who_can(session: state.Session, roles: Sequence[models.RoleOut]) -> None:
    with st.container(key="card-roles-who"):
        markup.section("Who can")
        permission = st.selectbox(
            "Permission",
            _grantable(roles),
            index=None,
            key="roles-who-can",
            placeholder="Choose a permission",
            width=320,
        )
        if permission is None:
            return
        with problems.guard():
            holders = session.api.list_who_can(permission=permission).holders
            if not holders:
                markup.empty("Nobody can", f"No member, client or key holds {permission} now.")
                return
            table.draw(
                "roles-holders",
                f"Who can {permission}",
                (
                    table.Column("name", "Name", "strong"),
                    table.Column("who", "Who", title="subject"),
                    table.Column("role", "Role"),
                    table.Column("last_used_at", "Last used", "time"),
                ),
                [_holder(one) for one in holders],
            )


def _what_can(session: state.Session) -> None:
    with st.container(key="card-roles-what"):
        markup.section("What can")
        whom = dict(callers(session))
        if not whom:
            return
        subject = st.selectbox(
            "Member, client or key",
            list(whom),
            index=None,
            format_func=whom.__getitem__,
            key="roles-what-can",
            placeholder="Choose somebody",
            width=320,
        )
        if subject is None:
            return
        with problems.guard():
            found = session.api.get_what_can(subject=subject)
            if not found.permissions:
                why = "" if found.active else " It is disabled, or its time is over."
                markup.empty("Nothing", f"{found.name} may do nothing now.{why}")
                return
            markup.facts(
                [
                    ("Role", found.role),
                    ("May now", _words(found.permissions)),
                    ("Last used", markup.when(found.last_used_at)),
                ]
            )


def _holder(one: models.HolderOut) -> Mapping[str, str]:
    return {
        "name": one.name,
        "who": state.current().names.whose(one.subject),
        "subject": one.subject,
        "role": one.role,
        "last_used_at": markup.when(one.last_used_at),
    }


if __name__ == "__main__":
    page()

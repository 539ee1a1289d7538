"""Secrets: a tree of folders, each secret with its versions; a value is shown on request alone."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final

import streamlit as st

from dashboard import client, pages, state
from dashboard.client import Api, models
from dashboard.pages import Choice, Column, Form, Input, ListPage, Words
from dashboard.widgets import confirm, markup, problems, table

_WRITE: Final = "secret:write"
_READ: Final = "secret:read"
_DESTROY: Final = "secret:destroy"
_SHOWN: Final = "secret-value"
_TEXT: Final = "value"
_MASK: Final = "••••••••"
_DAY: Final = 86_400


def folder_of(path: str) -> str:
    """Return the folder that a path lies in; of one in none, a slash."""
    return path.rpartition("/")[0] or "/"


def _environments(session: state.Session) -> list[str]:
    return session.api.list_secret_environments().items


def standing(one: Any) -> str:
    """Return the state of a secret or version, and whether its end is near, in a word or two."""
    if one.state != "live" or one.expires_at is None:
        return str(one.state)
    near = one.expires_at - markup.now() < timedelta(seconds=one.remind_seconds)
    return "ends soon" if near else "live"


def _new(path: str, value: str, environment: str | None = None, key: str | None = None) -> Any:
    return models.SecretWrite(
        path=path, environment=environment or "default", value={key: value} if key else value
    )


def detail(secret_id: str) -> None:
    """Draw one secret: how it is kept, its versions, and what can be done with them."""
    session = state.current()
    st.button("All secrets", key="secret-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        found = session.api.get_secret(secret_id)
        secret = found.value
        markup.object_heading(
            secret.path,
            standing(secret),
            secret.description or "Nobody has said what it is for.",
        )
        labels = ", ".join(f"{key}={text}" for key, text in sorted(secret.labels.items()))
        markup.facts(
            [
                ("Environment", secret.environment),
                ("Newest version", str(secret.newest_version)),
                ("Ends", markup.moment(secret.expires_at) if secret.expires_at else "never"),
                ("Versions kept", f"{secret.max_versions} at most"),
                ("Check-and-set", "asked of every write" if secret.cas_required else "not asked"),
                ("Labels", labels or markup.NONE),
                ("Created", markup.moment(secret.created_at)),
                ("Created by", session.names.of(secret.created_by)),
                ("Id", secret.id),
            ]
        )
        pages.draw_shown(_SHOWN)
        versions = session.api.list_secret_versions(secret_id, limit=client.EXPORT_LIMIT).items
        _versions(session, versions)
        if versions and session.can(_READ):
            with st.container(key="card-secret-read"):
                _read(session, versions)
        if session.can(_WRITE):
            with st.container(key="card-secret-write"):
                _write(session, secret)
            _keep(session, found)
        _acts(session, secret, versions)


def _back() -> None:
    st.session_state.pop(f"{_SHOWN}-secret", None)
    st.query_params.from_dict(state.address())


def _versions(session: state.Session, versions: list[models.SecretVersionOut]) -> None:
    markup.section("Versions")
    table.draw(
        "secret-versions",
        "Versions of the secret, newest first",
        (
            table.Column("version", "Version", "strong"),
            table.Column("state", "State", "badge"),
            table.Column("created_at", "Written", "time"),
            table.Column("created_by", "Written by"),
            table.Column("expires_at", "Ends", "time"),
            table.Column("size", "Size", "number"),
        ),
        [
            {
                "version": str(one.version),
                "state": one.state,
                "created_at": markup.when(one.created_at),
                "created_by": session.names.of(one.created_by),
                "expires_at": markup.when(one.expires_at) if one.expires_at else "never",
                "size": markup.size(one.size_bytes),
            }
            for one in versions
        ],
    )


def _choose(
    label: str, key: str, versions: list[models.SecretVersionOut], at: int = 0
) -> models.SecretVersionOut:
    return st.selectbox(
        label,
        versions,
        index=min(at, len(versions) - 1),
        key=key,
        width=300,
        format_func=lambda one: f"{one.version} ({one.state}), {markup.when(one.created_at)}",
    )


def _read(session: state.Session, versions: list[models.SecretVersionOut]) -> None:
    """Draw the ways to a value, of the versions that can be read; a refusal leaves the rest."""
    live = [one for one in versions if one.state == "live"]
    if not live:
        markup.section("Value")
        markup.note("No version can be read: all are deleted, destroyed or past their end.")
        return
    with problems.guard():
        _reveal(session, live)
    with problems.guard():
        _compare(session, live)


def _reveal(session: state.Session, versions: list[models.SecretVersionOut]) -> None:
    """Show a value after one question; the platform asks for a recent log-in of its own."""
    markup.section("Value")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        one = _choose("Version to show", "secret-reveal-version", versions)
        if not confirm.ask(
            "secret-reveal",
            "Show the value",
            icon=":material/visibility:",
            will=f"The value of version {one.version} is shown on this page until you put it away. "
            "The audit trail keeps that you read it.",
            yes="Show it",
        ):
            return
    answer = session.api.read_secret(
        path=one.path, environment=one.environment, version=one.version
    )
    value = answer.value if isinstance(answer.value, dict) else {_TEXT: answer.value}
    pages.show_once(
        _SHOWN,
        (
            f"Version {answer.version} of {answer.path}",
            "Copy what you need, then put it away: it stands here until you do.",
        ),
        SimpleNamespace(**value),
        [(key, key) for key in sorted(value)],
    )
    st.rerun()


def _compare(session: state.Session, versions: list[models.SecretVersionOut]) -> None:
    """Draw which keys differ between two versions; their values stay masked."""
    if len(versions) == 1:
        return
    markup.section("Difference")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        old = _choose("From version", "secret-from", versions, 1)
        new = _choose("To version", "secret-to", versions)
        place = f"secret-difference-{old.id}-{new.id}"
        if st.button("Compare", key="secret-compare", icon=":material/difference:"):
            st.session_state[place] = session.api.compare_secret_versions(
                new.secret_id, from_version=old.version, to_version=new.version
            )
    found = st.session_state.get(place)
    if not isinstance(found, models.SecretDifferenceOut):
        return
    marked = (
        ("added", found.added),
        ("removed", found.removed),
        ("changed", found.changed),
        ("same", found.same),
    )
    rows = [
        {
            "key": key or "(the text)",
            "what": what,
            "old": "" if what == "added" else _MASK,
            "new": "" if what == "removed" else _MASK,
        }
        for what, keys in marked
        for key in keys
    ]
    table.draw(
        "secret-difference",
        f"Keys of the versions {found.from_version} and {found.to_version}",
        (
            table.Column("key", "Key", "strong"),
            table.Column("what", "Difference", "badge"),
            table.Column("old", f"Version {found.from_version}", "code"),
            table.Column("new", f"Version {found.to_version}", "code"),
        ),
        sorted(rows, key=lambda row: row["key"]),
    )


def _write(session: state.Session, secret: models.SecretOut) -> None:
    """Write the next version: one key of it, or, without a key, one text in place of it all."""
    markup.section("New version")
    with st.form("secret-write", border=False, clear_on_submit=True):
        key = st.text_input("Key", key="secret-write-key", placeholder="password")
        value = st.text_input(
            "New value", key="secret-write-value", type="password", autocomplete="new-password"
        )
        markup.note(
            "The other keys stay. Without a key the whole secret is replaced by this one text."
        )
        sent = st.form_submit_button("Write version", type="primary")
    if not sent:
        return
    if not value:
        st.warning("It needs a value.")
        return
    cas = secret.newest_version
    if key.strip():
        body = models.SecretPatch(value={key.strip(): value}, cas=cas)
        made = session.api.patch_secret(secret.id, body)
    else:
        made = session.api.write_secret(
            models.SecretWrite(
                path=secret.path, environment=secret.environment, value=value, cas=cas
            )
        )
    confirm.say_after_rerun(f"{made.path} has version {made.version}.")
    st.rerun()


def _keep(session: state.Session, found: client.Tagged[models.SecretOut]) -> None:
    """Change how the secret is kept, unless somebody else has since it was drawn."""
    secret = found.value
    with st.expander("How it is kept", icon=":material/edit:"):
        with st.form(f"secret-keep-{found.etag}", border=False):
            description = st.text_input(
                "What it is for", secret.description, key="secret-keep-description"
            )
            max_versions = st.number_input(
                "Versions kept", 1, 100, secret.max_versions, key="secret-keep-versions"
            )
            days = st.number_input(
                "Days a new version lives (0: for ever)",
                0,
                3650,
                (secret.ttl_seconds or 0) // _DAY,
                key="secret-keep-days",
            )
            remind = st.number_input(
                "Days before its end to tell of it",
                0,
                3650,
                secret.remind_seconds // _DAY,
                key="secret-keep-remind",
            )
            cas_required = st.checkbox(
                "Refuse a write that does not say which version it replaces",
                secret.cas_required,
                key="secret-keep-cas",
            )
            sent = st.form_submit_button("Save", key="secret-keep-save", type="primary")
        if not sent:
            return
        # What was set to the second elsewhere stays so unless its days were changed here.
        same_life = days == (secret.ttl_seconds or 0) // _DAY
        same_lead = remind == secret.remind_seconds // _DAY
        session.api.change_secret(
            secret.id,
            models.SecretPut(
                description=description.strip(),
                labels=secret.labels,
                max_versions=max_versions,
                cas_required=cas_required,
                ttl_seconds=secret.ttl_seconds if same_life else days * _DAY or None,
                remind_seconds=secret.remind_seconds if same_lead else remind * _DAY,
            ),
            if_match=found.etag,
        )
        confirm.say_after_rerun(f"{secret.path} is kept so from now on.")
        st.rerun()


def _acts(
    session: state.Session, secret: models.SecretOut, versions: list[models.SecretVersionOut]
) -> None:
    if versions and session.can(_WRITE):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            _version_acts(session, _choose("Version to act on", "secret-act-version", versions))
    if session.can(_DESTROY) and confirm.ask(
        "secret-delete",
        "Delete the secret",
        icon=":material/delete_forever:",
        will=f"{secret.path} is destroyed with all its versions and tokens. This cannot be undone.",
        yes="Delete this secret",
        danger=True,
    ):
        session.api.delete_secret(secret.id)
        confirm.say_after_rerun(f"{secret.path} is gone.")
        _back()
        st.rerun()


def _version_acts(session: state.Session, one: models.SecretVersionOut) -> None:
    number = str(one.version)
    if one.state == "live" and confirm.ask(
        "secret-version-delete",
        "Delete the version",
        icon=":material/delete:",
        will=f"Version {number} is not read any more, by anybody, until it is undeleted.",
        yes="Delete this version",
        danger=True,
    ):
        session.api.delete_secret_version(one.secret_id, number)
        confirm.say_after_rerun(f"Version {number} is deleted.")
        st.rerun()
    if one.state == "deleted" and st.button("Undelete the version", key="secret-version-undelete"):
        session.api.undelete_secret_version(one.secret_id, number)
        confirm.say_after_rerun(f"Version {number} can be read again.")
        st.rerun()
    destroys = session.can(_DESTROY) and one.destroyed_at is None
    if destroys and confirm.ask(
        "secret-version-destroy",
        "Destroy the version",
        icon=":material/delete_forever:",
        will=f"The value of version {number} is destroyed. This cannot be undone.",
        yes="Destroy this version",
        danger=True,
    ):
        session.api.destroy_secret_version(one.secret_id, number)
        confirm.say_after_rerun(f"Version {number} is destroyed.")
        st.rerun()


PAGE: Final = ListPage(
    key="secrets",
    of=models.SecretOut,
    title="Secrets",
    lead="What workflows need and nobody should see lying about.",
    noun="secret",
    nothing="Write the first one, and let workflows read it by its path.",
    fetch=Api.list_secrets,
    write=_WRITE,
    name=lambda one: str(one.path),
    group=lambda one: folder_of(one.path),
    columns=(
        Column("path", "Secret", "strong", value=lambda one: one.path.rpartition("/")[2]),
        Column("state", "State", "badge", value=standing),
        Column("newest_version", "Version", "number"),
        Column("description", "For"),
        Column("expires_at", "Ends", "time", none="never"),
        Column("updated_at", "Written", "time"),
    ),
    export=(
        "id", "environment", "path", "description", "newest_version", "state", "expires_at",
        "max_versions", "created_by", "created_at", "updated_at",
    ),
    filters=(
        Choice("environment", "Environment", _environments, usual="default"),
        Words("folder", "Folder", "billing", width=200),
        Words("path", "Path", "billing/smtp, or billing/s*", width=260),
    ),
    form=Form(
        inputs=(
            Input("path", "Path", example="billing/smtp"),
            Input("environment", "Environment", example="default", required=False),
            Input("key", "Key (optional)", example="password", required=False,
                  help="Without one the secret is one text; more keys are added afterwards."),
            Input("value", "Value", "password"),
        ),
        body=_new,
        call=Api.write_secret,
        missing="It needs a path and a value.",
        said="{0} is kept.",
        verb="Write",
    ),
    detail=detail,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)

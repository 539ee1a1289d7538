"""Dashboards: the figures that people put together, of a tenant, of the platform, or their own.

The address is the page: the dashboard, the time and the variables stand in it, so that a link shows
somebody else the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import msgspec
import streamlit as st

from dashboard import client, state
from dashboard.client import models, shapes
from dashboard.widgets import board_form, confirm, markup, panels, problems, table

_KINDS: Final = ("dashboard", "platform", "template")
# What names the one on show in the address.
_EDIT: Final = "edit"
_RANGE: Final = "range"
_FROM, _TO = "from", "to"
_VALUE: Final = "var-"
_SEES: Final = {"person": "Only you", "tenant": "The tenant", "platform": "The platform"}
_COLUMNS: Final = (
    table.Column("name", "Name", "strong"),
    table.Column("about", "About"),
    table.Column("sees", "Seen by"),
    table.Column("panels", "Panels", "number"),
    table.Column("saved", "Saved", "time"),
    table.Column("by", "By"),
)
_SHIPPED: Final = (
    table.Column("name", "Name", "strong"),
    table.Column("about", "About"),
    table.Column("panels", "Panels", "number"),
)
_DOCUMENT: Final = {"format": "email-sender.dashboard", "schema_version": 1}
_CONTENT: Final = ("name", "description", "variables", "panels", "range_minutes")


class Board(NamedTuple):
    """A dashboard on show: what is on it, and where it is kept."""

    content: Mapping[str, Any]
    id: str = ""
    version: int = 0
    visibility: str = ""

    @property
    def platform(self) -> bool:
        """Whether it is the platform's, and asks about all of it."""
        return self.visibility == "platform"

    @property
    def may_change(self) -> bool:
        """Whether to offer a change; the API decides."""
        needed = "platform:write" if self.platform else "dashboard:write"
        return bool(self.id) and state.current().can(needed)


def page() -> None:
    """Draw the list, the dashboard that the address names, or its form."""
    _take_zoom()
    said = st.query_params
    if said.get(_EDIT) and board_form.DRAFT in st.session_state:
        _edit()
    elif "template" in said:
        with problems.guard():
            shipped = state.current().api.get_dashboard_template(said["template"])
            _show(Board(_content(shipped)))
    elif "dashboard" in said or "platform" in said:
        with problems.guard():
            _show(_load())
    else:
        _list()


def _take_zoom() -> None:
    """Have the address say the stretch of time that was drawn over."""
    zoomed = st.session_state.pop(panels.ZOOM, None)
    if zoomed is None:
        return
    first, last = zoomed
    st.query_params.pop(_RANGE, None)
    st.query_params[_FROM] = first.isoformat()
    st.query_params[_TO] = max(last, first + timedelta(seconds=10)).isoformat()


def _content(found: Any) -> dict[str, Any]:
    written: dict[str, Any] = msgspec.to_builtins(found)
    return {name: written[name] for name in _CONTENT}


def _load() -> Board:
    api, said = state.current().api, st.query_params
    found = (
        api.get_platform_dashboard(said["platform"]).value
        if "platform" in said
        else api.get_dashboard(said["dashboard"]).value
    )
    return Board(_content(found), found.id, found.version, found.visibility)


def _go(**where: str) -> None:
    st.query_params.from_dict(state.address(**where))


# --- the list -------------------------------------------------------------------------------


def _list() -> None:
    session = state.current()
    with markup.heading_row():
        markup.page_heading("Dashboards", "Figures that people put together, and some that ship.")
        if session.can("dashboard:write"):
            with st.container(horizontal=True, width="content"):
                st.button(
                    "New dashboard",
                    key="dashboards-new",
                    icon=":material/add:",
                    type="primary",
                    on_click=_begin_new,
                )
                _import()
    with problems.guard():
        found = list(session.api.list_dashboards(limit=client.EXPORT_LIMIT).items)
        if session.can("platform:read"):
            found += session.api.list_platform_dashboards(limit=client.EXPORT_LIMIT).items
        _kept(found)
    with problems.guard():
        _shipped(session.api.list_dashboard_templates().items)


def _kept(found: Sequence[models.DashboardOut]) -> None:
    if not found:
        markup.empty("No dashboard yet", "Make one, or open one that ships and copy it.")
        return
    named = state.current().names.of
    opened = table.draw(
        "dashboards",
        "Dashboards",
        _COLUMNS,
        [
            {
                "id": f"{'platform' if one.visibility == 'platform' else 'dashboard'}:{one.id}",
                "name": one.name,
                "about": one.description or markup.NONE,
                "sees": _SEES.get(one.visibility, one.visibility),
                "panels": f"{one.panel_count}",
                "saved": markup.when(one.updated_at),
                "by": named(one.updated_by),
            }
            for one in found
        ],
        opens=True,
    )
    if opened:
        kind, _, which = opened.partition(":")
        _go(**{kind: which})
        st.rerun()


def _shipped(found: Sequence[models.DashboardTemplateOut]) -> None:
    markup.section("That ship")
    opened = table.draw(
        "dashboards-shipped",
        "Dashboards that ship",
        _SHIPPED,
        [
            {
                "id": one.key,
                "name": one.name,
                "about": one.description,
                "panels": f"{len(one.panels)}",
            }
            for one in found
        ],
        opens=True,
    )
    if opened:
        _go(template=opened)
        st.rerun()


def _begin_new() -> None:
    empty = {"name": "", "description": "", "variables": [], "panels": [], "range_minutes": 60}
    board_form.begin(empty)
    _go(edit="1")


def _import() -> None:
    with st.popover("Import", icon=":material/upload:", key="dashboards-import"):
        markup.note("A file that an export has made. Its questions are asked as whoever looks.")
        turn = int(st.session_state.get("dashboards-import-turn", 0))
        given = st.file_uploader("JSON file", type="json", key=f"dashboards-file-{turn}")
        sees = _sees("dashboards-import-sees")
        if not st.button(
            "Import file",
            key="dashboards-import-send",
            type="primary",
            disabled=given is None,
            width="stretch",
        ):
            return
        with problems.guard():
            if given is None:
                return
            try:
                document = shapes.decode(given.getvalue(), models.DashboardDocument)
            except msgspec.MsgspecError as exc:
                markup.field_error(f"This is no dashboard: {exc}")
                return
            made = _make(sees, document=document)
            st.session_state["dashboards-import-turn"] = turn + 1
            confirm.say_after_rerun("The dashboard is imported.")
            _go(**made)
            st.rerun()


def _sees(key: str) -> str:
    choices = ["tenant", "person"]
    if state.current().can("platform:write"):
        choices.append("platform")
    return str(st.selectbox("Seen by", choices, format_func=_SEES.__getitem__, key=key))


def _make(sees: str, *, document: models.DashboardDocument) -> dict[str, str]:
    """Keep another dashboard; return how the address names it."""
    api = state.current().api
    if sees == "platform":
        made = api.import_platform_dashboard(models.PlatformDashboardImport(document=document))
        return {"platform": made.id}
    body = models.DashboardImport(document=document, visibility=sees)
    return {"dashboard": api.import_dashboard(body).id}


# --- one of them ----------------------------------------------------------------------------


def _show(board: Board) -> None:
    content = board.content
    with markup.heading_row():
        markup.page_heading(content["name"], content["description"] or "Seen by: "
                            + _SEES.get(board.visibility, "everybody"))  # fmt: skip
        with st.container(horizontal=True, width="content"):
            st.button("All", key="dashboards-back", icon=":material/arrow_back:", on_click=_go)
            if board.may_change:
                st.button(
                    "Edit",
                    key="dashboards-edit",
                    icon=":material/edit:",
                    on_click=_begin_edit,
                    args=(board,),
                )
            _more(board)
    look = _controls(board)
    key = f"panel-{board.id or st.query_params.get('template', '')}"
    _grid(key, content["panels"], look)


def _grid(key: str, given: Sequence[Mapping[str, Any]], look: panels.Look) -> None:
    """Draw the panels: those of a row side by side, with what is left free between them."""
    ordered = sorted(enumerate(given), key=lambda one: (one[1]["row"], one[1]["column"]))
    if not ordered:
        markup.empty("Nothing on it yet", "Edit it to add a panel.")
    for _, row in groupby(ordered, key=lambda one: int(one[1]["row"])):
        spaces: list[tuple[int, tuple[int, Mapping[str, Any]] | None]] = []
        at = 0
        for one in row:
            column, width = int(one[1]["column"]), int(one[1]["width"])
            if column > at:
                spaces.append((column - at, None))
            spaces.append((width, one))
            at = column + width
        if at < 12:
            spaces.append((12 - at, None))
        for place, (_, drawn) in zip(
            st.columns([width for width, _ in spaces]), spaces, strict=True
        ):
            if drawn is not None:
                with place:
                    panels.draw(f"{key}-{drawn[0]}", drawn[1], look)


def _controls(board: Board) -> panels.Look:
    """Draw what can be chosen, as the address has it, and say in the address what was chosen."""
    said, content = st.query_params, board.content
    since, until = _moment(said.get(_FROM)), _moment(said.get(_TO))
    closer = since is not None and until is not None and since < until
    usual = int(content["range_minutes"])
    given = said.get(_RANGE, "")
    minutes = int(given) if given.isdigit() and 5 <= int(given) <= 129_600 else usual
    ranges = sorted({*board_form.RANGES, usual, minutes})
    values: dict[str, str] = {}
    with st.container(horizontal=True, key="filters-dashboard", vertical_alignment="bottom"):
        # Under a key of what the address says: a link, or the way back, sets the widgets too.
        chosen = st.selectbox(
            "Time",
            ranges,
            index=ranges.index(minutes),
            format_func=lambda one: f"Last {board_form.RANGES.get(one, f'{one} minutes')}",
            key=f"dashboard-range-{minutes}",
            disabled=closer,
            width=180,
        )
        for one in content["variables"]:
            values[one["name"]] = _variable(one, said.get(f"{_VALUE}{one['name']}"))
        if closer:
            st.button("Back from a closer look", key="dashboards-wider",
                      icon=":material/zoom_out:", on_click=_widen)  # fmt: skip
    if closer and since and until:
        markup.note(f"From {markup.moment(since)} to {markup.moment(until)}.")
    _say(board, int(chosen), values, closer=closer)
    look_since, look_until = (since, until) if closer else (None, None)
    return panels.Look(int(chosen), look_since, look_until, values, board.platform)


def _variable(one: Mapping[str, Any], said: str | None) -> str:
    name, values = str(one["name"]), list(one.get("values") or ())
    now = said if said is not None else str(one.get("default") or "")
    key = f"dashboard-var-{name}-{now}"
    if values:
        now = now if now in values else values[0]
        return str(
            st.selectbox(name.capitalize(), values, index=values.index(now), key=key, width=180)
        )
    return st.text_input(name.capitalize(), now, key=key, max_chars=200, width=200).strip()


def _moment(text: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=markup.zone())


def _widen() -> None:
    for name in (_FROM, _TO):
        st.query_params.pop(name, None)


def _say(board: Board, minutes: int, values: Mapping[str, str], *, closer: bool) -> None:
    said = st.query_params
    where = {name: said[name] for name in _KINDS if name in said}
    if closer:
        where |= {_FROM: said[_FROM], _TO: said[_TO]}
    elif minutes != int(board.content["range_minutes"]) or _RANGE in said:
        where[_RANGE] = str(minutes)
    defaults = {one["name"]: one.get("default") or "" for one in board.content["variables"]}
    for name, value in values.items():
        if value != defaults[name] or f"{_VALUE}{name}" in said:
            where[f"{_VALUE}{name}"] = value
    wanted = state.address(**where)
    if dict(said.to_dict()) != wanted:
        said.from_dict(wanted)
        # Widgets are named by what the address says, which is another now.
        st.rerun()


def _more(board: Board) -> None:
    """Draw what else can be done with it: a link, a file, a copy, what it was, and its end."""
    session = state.current()
    with st.popover("More", icon=":material/more_horiz:", key="dashboards-more"):
        markup.note("A link to what is on show: its time and variables stand in the address.")
        st.code(_link(), language=None, wrap_lines=True)
        document = {**_DOCUMENT, **board.content}
        document["panels"] = [
            {name: value for name, value in one.items() if value is not None}
            for one in board.content["panels"]
        ]
        st.download_button(
            "Export JSON",
            msgspec.json.format(msgspec.json.encode(document)),
            file_name="dashboard.json",
            mime="application/json",
            key="dashboards-export",
            icon=":material/download:",
            on_click="ignore",
            width="stretch",
        )
        if session.can("dashboard:write"):
            st.button(
                "Copy",
                key="dashboards-copy",
                icon=":material/content_copy:",
                on_click=_begin_copy,
                args=(board,),
                width="stretch",
            )
        if board.id:
            with problems.guard():
                _versions(board)
        if board.may_change and confirm.ask(
            "dashboards-delete",
            "Delete",
            will="The dashboard goes for good, with what it was before.",
            yes="Delete it",
            icon=":material/delete:",
            danger=True,
        ):
            with problems.guard():
                api, tag = session.api, f'"{board.version}"'
                if board.platform:
                    api.delete_platform_dashboard(board.id, if_match=tag)
                else:
                    api.delete_dashboard(board.id, if_match=tag)
                confirm.say_after_rerun("The dashboard is deleted.")
                _go()
                st.rerun()


def _link() -> str:
    """Return the address of what is on show, as the browser has it."""
    root = str(st.context.url or "").partition("?")[0]
    return f"{root}?{urlencode(st.query_params.to_dict())}"


def _versions(board: Board) -> None:
    api = state.current().api
    ask: Callable[[str], models.DashboardVersionsOut] = (
        api.list_platform_dashboard_versions if board.platform else api.list_dashboard_versions
    )
    found = ask(board.id).items
    named = state.current().names.of
    words = {
        one.version: f"{one.version}: {one.name}, {markup.when(one.saved_at)}, "
        f"{named(one.saved_by)}"
        for one in found
    }
    version = st.selectbox(
        "Versions", list(words), format_func=words.__getitem__, key="dashboards-version"
    )
    if not board.may_change or version == board.version:
        return
    if st.button("Bring it back", key="dashboards-restore", icon=":material/history:"):
        tag = f'"{board.version}"'
        restore = (
            api.restore_platform_dashboard_version
            if board.platform
            else api.restore_dashboard_version
        )
        restore(board.id, str(version), if_match=tag)
        confirm.say_after_rerun(f"It is again what it was at version {version}.")
        st.rerun()


# --- the form -------------------------------------------------------------------------------


def _begin_edit(board: Board) -> None:
    board_form.begin(board.content, of=board.id, version=board.version)
    kind = "platform" if board.platform else "dashboard"
    _go(**{kind: board.id, _EDIT: "1"})


def _begin_copy(board: Board) -> None:
    name = str(board.content["name"])[:92]
    board_form.begin({**board.content, "name": f"{name}, copy"})
    _go(edit="1")


def _edit() -> None:
    draft = st.session_state[board_form.DRAFT]
    markup.page_heading(
        "Edit a dashboard" if draft["of"] else "New dashboard",
        "Panels stand in rows of twelve columns. Nothing is kept until it is saved.",
    )
    sees = "" if draft["of"] else _sees("dashboards-sees")
    content = board_form.form()
    with st.container(horizontal=True):
        save = st.button("Save", key="dashboards-save", type="primary", disabled=content is None)
        st.button("Leave without saving", key="dashboards-leave", on_click=_leave)
    if not save or content is None:
        return
    with problems.guard():
        where = _save(draft, content, sees)
        _leave()
        _go(**where)
        confirm.say_after_rerun("The dashboard is saved.")
        st.rerun()


def _save(draft: Mapping[str, Any], content: Mapping[str, Any], sees: str) -> dict[str, str]:
    if not draft["of"]:
        return _make(sees, document=_as(models.DashboardDocument, {**_DOCUMENT, **content}))
    api, body = state.current().api, _as(models.DashboardPut, content)
    tag = f'"{draft["version"]}"'
    if "platform" in st.query_params:
        api.put_platform_dashboard(draft["of"], body, if_match=tag)
        return {"platform": draft["of"]}
    api.put_dashboard(draft["of"], body, if_match=tag)
    return {"dashboard": draft["of"]}


def _leave() -> None:
    draft = st.session_state.pop(board_form.DRAFT)
    kind = "platform" if "platform" in st.query_params else "dashboard"
    _go(**({kind: draft["of"]} if draft["of"] else {}))


def _as(kind: type[Any], content: Mapping[str, Any]) -> Any:
    return shapes.convert(content, kind)


if __name__ == "__main__":
    page()

"""A list page is a declaration: columns, facts, filters, edits, acts, a form, an export.

``ListPage`` says what the list is of; ``draw`` makes the page of it. So a filter, an empty list, an
opened row, a question before an act and a file mean the same on each page, and a page's own module
holds nothing but what is its own. What a filter was set to outlives the visit to another page:
Streamlit forgets a widget that one run did not draw, and who comes back from a row wants the list
they left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard import client, state
from dashboard.widgets import confirm, export, markup, paging, problems, table

_T = TypeVar("_T", bound=msgspec.Struct)
_END_OF_DAY: Final = time(23, 59, 59)
_EDITED: Final = 320
_DAY: Final = 86_400
_GROUP: Final = "~group"
_TIMES: Final = "\u2002\u00d7\u2009"
_CHOSEN: Final = "Choose days"


# --- what a page says -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A field of the things on the page: how it is called and how it looks.

    Attributes:
        name: The field; the row's key.
        label: What stands above it.
        kind: As the table has them, or ``who`` for somebody or something that has a name.
        value: Writes it, from the whole thing; without one the field is written by its type.
        none: What stands for a missing value.
    """

    name: str
    label: str
    kind: table.Kind | Literal["who"] = "text"
    value: Callable[[Any], str] | None = None
    none: str = markup.NONE

    def written(self, item: object) -> str:
        """Return the field of ``item`` as text."""
        if self.value:
            return self.value(item)
        found = getattr(item, self.name)
        if found is None or found == "":
            return self.none
        if isinstance(found, datetime):
            return markup.when(found)
        if self.kind == "who":
            return state.current().names.of(str(found))
        return str(found)

    def told(self, item: object) -> str:
        """Return the field of ``item`` as a fact: beside a name stands what it is the name of."""
        text = self.written(item)
        if self.kind != "who" or self.value:
            return text
        reference = str(getattr(item, self.name) or text)
        return text if text == reference else f"{text} ({reference})"


@dataclass(frozen=True, slots=True)
class Choice:
    """A filter of the API with few values; ``name`` is its query parameter.

    Attributes:
        name: The query parameter.
        label: What stands above it.
        values: What can be chosen; a function where the API has to be asked.
        usual: What the API takes when it is told nothing, where that is not "any".
    """

    name: str
    label: str
    values: Sequence[str] | Callable[[state.Session], Sequence[str]]
    usual: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A filter of the API that is typed; ``name`` is its query parameter.

    Of ``addresses`` the API takes one in full, or how they begin with a ``*`` behind it. What has
    no ``@`` is none in full, and is asked for as a beginning.
    """

    name: str
    label: str
    example: str
    width: int = 240
    addresses: bool = False


@dataclass(frozen=True, slots=True)
class Days:
    """A filter by time, in whole days of whoever looks; two query parameters of the API.

    Whole days, so that one look and the next ask for the same: pages are of one list.

    Attributes:
        label: What stands above it.
        after: The parameter for the first moment that counts.
        before: The one for the first that does not any more.
    """

    label: str
    after: str = "created_after"
    before: str = "created_before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What can be done with an opened thing, after one question.

    Attributes:
        key: Names the act on its page.
        label: What the button says.
        icon: The button's icon.
        call: Does it, by the thing's id.
        will: One or two sentences on what it does and what it leaves alone; ``{0}`` is its name.
        yes: What the confirming button says: the act itself, not "OK".
        said: What is said afterwards; ``{0}`` is the thing's name.
        shows: Parts of the answer that are shown this once, as ``Form`` has them.
        ends: Whether the thing is gone afterwards.
        danger: Whether something is lost or somebody kept out by it; by default what ``ends``.
        offered: Whether it can be done with this thing.
    """

    key: str
    label: str
    icon: str
    call: Callable[[client.Api, str], Any]
    will: str
    yes: str
    said: str = ""
    shows: Sequence[tuple[str, str]] = ()
    ends: bool = True
    danger: bool | None = None
    offered: Callable[[Any], bool] = lambda _: True


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What can be done with the whole list that the filters leave, after one question.

    Attributes:
        key: Names the act on its page.
        label: What the button says.
        icon: The button's icon.
        offered: Whether the list, as it is filtered, is one to act on; what the button is drawn by.
        call: Does it to a part of the list; takes the filters' names and ``cursor``. The answer
            has the ``next_cursor`` of the part after it.
        will: Says what it does, by the filters.
        yes: What the confirming button says.
        sums: Numbers in the answers.
        said: What is said afterwards, of their sums.
    """

    key: str
    label: str
    icon: str
    offered: Callable[[Mapping[str, str | None]], bool]
    call: Callable[..., Any]
    will: Callable[[Mapping[str, str | None]], str]
    yes: str
    sums: Sequence[str]
    said: Callable[..., str]


@dataclass(frozen=True, slots=True)
class Input:
    """A field of a form; ``name`` is that of the request's body.

    Attributes:
        name: The body's field.
        label: What stands above it.
        kind: ``role`` offers the tenant's roles; ``last_day`` a day, until whose end it holds;
            ``day`` a day, at first today; ``moment`` a time of whoever looks, at first the next
            hour; ``number`` is a whole one, from 1, or 0 for nothing; ``days`` are asked for what
            the API has in seconds; ``words`` stand between spaces; ``choice`` is one of
            ``options``, or, with an ``example``, what is typed instead.
        example: Shown in the empty field.
        help: Said on request.
        usual: The role chosen at first, as the mightiest is no default; the choice; or the number,
            which else is 1, or nothing where the form may be sent without it.
        required: Whether the form may be sent without it.
        options: What can be chosen: each value and what it is called. An empty value is None.
        of: What a choice that decides over the form is for it to be asked for; nothing: any.
    """

    name: str
    label: str
    kind: Literal[
        "text", "password", "role", "last_day", "day", "moment", "number", "days", "words", "choice"
    ] = "text"
    example: str = ""
    help: str | None = None
    usual: str = ""
    required: bool = True
    options: Callable[[state.Session], Sequence[tuple[str, str]]] = lambda _: ()
    of: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A field of an opened thing that can be changed.

    Attributes:
        field: A text, a role or a choice; ``name`` is that of the thing and of the request's body.
        body: The request; the field is all it has.
        call: Changes the thing, by its id.
        said: What is said afterwards; ``{0}`` is the thing's name and ``{1}`` the new value.
    """

    field: Input
    body: Callable[..., msgspec.Struct]
    call: Callable[[client.Api, str, Any], Any]
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What can be changed of an opened thing all at once, in a form that begins with what is.

    Attributes:
        inputs: The fields; each is one of the thing, too.
        body: The request; the inputs are its fields.
        call: Changes the thing, by its id.
        missing: Said when a required field is empty.
        said: What is said afterwards; ``{0}`` is the thing's name as it was.
    """

    inputs: Sequence[Input]
    body: Callable[..., msgspec.Struct]
    call: Callable[[client.Api, str, Any], Any]
    missing: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The way to a new thing: a button in the page's heading, and the card that it opens.

    Attributes:
        inputs: The fields, top to bottom.
        body: The request; the inputs are its fields.
        call: Makes the thing.
        missing: Said when a required field is empty.
        said: What is said afterwards; ``{0}`` is the new thing's name.
        shows: Parts of the answer that are shown this once: what each is called where it is
            pasted, and its field.
        verb: What the form's button does, as in "Create client".
        button: What the heading's button says, when not "New" and the noun.
        icon: That button's icon.
        by: The choices that decide which others are asked for; they stand above them.
        tries: Draws, on request, what would come of what the form says; it makes nothing.
    """

    inputs: Sequence[Input]
    body: Callable[..., msgspec.Struct]
    call: Callable[[client.Api, Any], Any]
    missing: str = "It needs a name and a role."
    said: str = ""
    shows: Sequence[tuple[str, str]] = ()
    verb: str = "Create"
    button: str = ""
    icon: str = ":material/add:"
    by: Sequence[str] = ()
    tries: Callable[[state.Session, Mapping[str, Any]], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The way to many new things at once: a file.

    Attributes:
        note: Says what the file must look like.
        call: Takes the file whole.
        said: What is said afterwards, from the answer.
        kinds: How the file's name may end.
        look: Asks what would become of the file, and changes nothing; without it nobody is shown.
        shows: Draws what ``look`` found; whether there is anything to import.
    """

    note: str
    call: Callable[[client.Api, bytes], Any]
    said: Callable[[Any], str]
    kinds: Sequence[str] = ("csv",)
    look: Callable[[client.Api, bytes], Any] | None = None
    shows: Callable[[Any], bool] = lambda _: True


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage(Generic[_T]):
    """What a list page is of, and everything on it.

    Attributes:
        key: Names the list in the session, and its exported file.
        of: The type of its things.
        title: The page's heading.
        lead: Says what the page is for.
        noun: One of its things, as in "No e-mail yet".
        nothing: Says what would fill the list while it is empty.
        fetch: Asks the API for a page; takes the filters' names, ``cursor`` and ``limit``.
        write: The permission without which there is neither form nor edit nor act.
        columns: Left to right; the first is the row's heading.
        facts: What the opened row tells beyond its columns. Its id is told too.
        export: The fields that the file has, by their names on the wire; by default the id, the
            columns and the facts.
        filters: What the API can filter by. Without any the page on show is searched, and is as
            long as the API allows: these lists are short, and one page is mostly all.
        between: Draws what stands between the filters and the list, by what they are set to.
        group: Names what neighbours in the list have in common: a heading above them, which folds.
        alike: Says what makes neighbours alike, which are then shown as one row: the newest, with
            their number behind its heading. A switch beside the filters shows each.
        id: The field by which one thing is found again, in the address too.
        name: Names one thing; by default its ``name``.
        notice: Draws what must be known before the list, if anything.
        form: The way to a new one.
        upload: The way to many of them.
        edits: What can be changed of one, field by field.
        change: What can be changed of one, all at once.
        acts: What can be done with one.
        bulks: What can be done with all that the filters leave.
        below: Draws the rest of an opened row.
        detail: Draws one thing by its id in a view of its own, instead of a card above the list.
        shown: The heading above what is shown once, ``{0}`` being the thing's name, and what is
            said of it.
    """

    key: str
    of: type[_T]
    title: str
    lead: str
    noun: str
    nothing: str
    fetch: Callable[..., client.Page[_T]]
    columns: Sequence[Column]
    facts: Sequence[Column] = ()
    export: Sequence[str] = ()
    write: str = ""
    filters: Sequence[Choice | Words | Days] = ()
    between: Callable[[Mapping[str, Any]], None] | None = None
    group: Callable[[_T], str] | None = None
    alike: Callable[[_T], object] | None = None
    id: str = "id"
    name: Callable[[Any], str] = lambda item: str(item.name)
    notice: Callable[[], None] | None = None
    form: Form | None = None
    upload: Upload | None = None
    edits: Sequence[Edit] = ()
    change: Change | None = None
    acts: Sequence[Act] = ()
    bulks: Sequence[Bulk] = ()
    below: Callable[[_T], None] | None = None
    detail: Callable[[str], None] | None = None
    shown: tuple[str, str] = (
        "Credentials of {0}",
        "Shown this once. Copy what you need now, to where it will be used.",
    )

    def __post_init__(self) -> None:
        """Refuse a field that the API does not have, before anybody looks at the page.

        Raises:
            ValueError: A column, an edit or the export names one.
        """
        known = {one.name: one.encode_name for one in msgspec.structs.fields(self.of)}
        told = [*self.columns, *self.facts]
        unknown = {one.name for one in told if one.value is None} - known.keys()
        unknown |= {one.field.name for one in self.edits} - known.keys()
        unknown |= {one.name for one in (self.change.inputs if self.change else ())} - known.keys()
        unknown |= set(self.export) - set(known.values())
        unknown |= {self.id} - known.keys()
        if unknown:
            raise ValueError(f"{self.of.__name__} has no {', '.join(sorted(unknown))}")
        if not self.export:
            names = [known[one.name] for one in told if one.name in known]
            object.__setattr__(self, "export", tuple(dict.fromkeys((known[self.id], *names))))


@dataclass(frozen=True, slots=True)
class _Secret:
    """What is shown once, and its parts, each with the name it has where it is pasted.

    ``withheld`` says why one is missing: the answer that showed it was lost on its way to us.
    """

    heading: str
    note: str
    parts: tuple[tuple[str, str], ...] = field(repr=False)
    withheld: str = ""


@dataclass(frozen=True, slots=True)
class _Found(Generic[_T]):
    """What a search left of a page."""

    items: Sequence[_T]
    next_cursor: str | None


# --- the page -------------------------------------------------------------------------------


def draw(page: ListPage[_T]) -> None:
    """Draw the page: one thing when it has a view of its own and the address names it."""
    wanted = st.query_params.get("id")
    if page.detail and wanted:
        page.detail(wanted)
        return
    _take_address(page)
    heading(page)
    # Below the button that opens it, and above whatever else is on the page, however long that is.
    draw_new(page)
    if page.notice:
        page.notice()
    draw_list(page)


def heading(page: ListPage[_T], tools: Callable[[], None] | None = None) -> None:
    """Draw the heading with the way to a new thing and with the page's own ``tools``."""
    with markup.heading_row():
        markup.page_heading(page.title, page.lead)
        if tools:
            tools()
        if page.form and state.current().can(page.write):
            st.button(
                page.form.button or f"New {page.noun}",
                key=f"{page.key}-new",
                type="primary",
                icon=page.form.icon,
                on_click=_set,
                args=(f"{page.key}-making", True),
            )


def draw_new(page: ListPage[_T]) -> None:
    """Draw the open form and what was just made and is shown once."""
    session = state.current()
    if page.form and session.can(page.write):
        _form(session, page, page.form)
    draw_shown(page.key)


def draw_list(page: ListPage[_T]) -> None:
    """Draw the list with its open row."""
    session = state.current()

    def fetch(**query: Any) -> client.Page[_T]:
        return page.fetch(session.api, **query)

    wanted, words, merged = _draw_filters(session, page, fetch)
    for bulk in page.bulks if session.can(page.write) else ():
        if bulk.offered(wanted):
            draw_bulk(session, page.key, bulk, wanted)
    if page.between:
        page.between(wanted)
    here = paging.place(f"{page.key}-place", *_told(wanted))
    limit = client.PAGE_LIMIT if page.filters else client.EXPORT_LIMIT
    with problems.guard():
        found = fetch(**wanted, cursor=here.cursor, limit=limit)
        shown = _searched(page, found, words).items
        if shown:
            above = st.container()
            opened = table.draw(
                page.key,
                page.title,
                [table.Column(one.name, one.label, _look(one)) for one in page.columns],
                _rows(page, shown, merged=merged),
                opens=True,
                group=_GROUP if page.group else "",
            )
            if not page.detail:
                _keep_open(session, page, shown, opened, above)
            elif opened:
                st.query_params["id"] = opened
                st.rerun()
        else:
            _say_nothing(page, filtered=any(wanted.values()), searched=bool(found.items))
        if shown or here.cursor or found.next_cursor:
            paging.buttons(page.key, here, found.next_cursor, len(shown))


def _draw_filters(
    session: state.Session, page: ListPage[_T], fetch: Callable[..., client.Page[_T]]
) -> tuple[dict[str, Any], str, bool]:
    """Return what the filters say, the words of a search, and whether the alike are merged."""
    wanted: dict[str, Any] = {}
    words = ""
    merged = False
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"filters-{page.key}"):
        for one in page.filters:
            if isinstance(one, Days):
                wanted |= _days(page.key, one)
            else:
                wanted[one.name] = _filter(page.key, one)
        if not page.filters:
            words = _search(page.key)
        if page.alike:
            merged = _merges(page.key)
        # Together at the row's end: what takes the list away, and what brings one.
        with st.container(horizontal=True, width="content"):
            export.button(
                page.key,
                lambda cursor: _searched(
                    page, fetch(**wanted, cursor=cursor, limit=client.EXPORT_LIMIT), words
                ),
                page.export,
                filters=(*_told(wanted), words),
            )
            if page.upload and session.can(page.write):
                _upload(session, page.key, page.upload)
    return wanted, words, merged


def remember(widget: str) -> None:
    """Give a widget that is drawn again what it was set to before another page was drawn."""
    kept = f"{widget}-kept"
    if widget in st.session_state:
        st.session_state[kept] = st.session_state[widget]
    elif kept in st.session_state:
        st.session_state[widget] = st.session_state[kept]


def preset(page: ListPage[Any], **wanted: str) -> None:
    """Have these filters of a page be set so, and all others to nothing, when it is opened."""
    for one in page.filters:
        widget = f"{page.key}-{'days' if isinstance(one, Days) else one.name}"
        for key in (widget, f"{widget}-kept"):
            st.session_state.pop(key, None)
        if not isinstance(one, Days) and one.name in wanted:
            st.session_state[f"{widget}-kept"] = wanted[one.name]


def _take_address(page: ListPage[Any]) -> None:
    """Have the filters be what a link says of them, once: from then on they are the person's."""
    names = {one.name for one in page.filters if not isinstance(one, Days)}
    said = {name: st.query_params[name] for name in names if name in st.query_params}
    if said:
        preset(page, **said)
        for name in said:
            del st.query_params[name]


def _set(key: str, value: object) -> None:
    st.session_state[key] = value


# --- rows and the open one ------------------------------------------------------------------


def _look(column: Column) -> table.Kind:
    return "text" if column.kind == "who" else column.kind


def _row(page: ListPage[_T], item: _T) -> dict[str, str]:
    row = {column.name: column.written(item) for column in page.columns}
    return {**row, "id": _id(page, item)}


def _rows(page: ListPage[_T], items: Sequence[_T], *, merged: bool) -> list[dict[str, str]]:
    """Return the rows; of neighbours that are alike the first, and how many they are."""
    rows: list[dict[str, str]] = []
    before: object = None
    many = 1
    for item in items:
        heading = page.group(item) if page.group else ""
        now = (heading, page.alike(item)) if merged and page.alike else None
        if now is not None and now == before:
            many += 1
            first = page.columns[0].name
            rows[-1][first] = f"{rows[-1][first].partition(_TIMES)[0]}{_TIMES}{many}"
            continue
        before, many = now, 1
        rows.append({**_row(page, item), **({_GROUP: heading} if page.group else {})})
    return rows


def _merges(key: str) -> bool:
    widget = f"{key}-alike"
    remember(widget)
    st.session_state.setdefault(widget, True)
    return st.toggle("Group alike", key=widget, help="Neighbours that are alike stand in one row.")


def _id(page: ListPage[_T], item: _T) -> str:
    return str(getattr(item, page.id))


def _keep_open(
    session: state.Session,
    page: ListPage[_T],
    shown: Sequence[_T],
    opened: str | None,
    above: DeltaGenerator,
) -> None:
    if opened:
        st.session_state[f"{page.key}-open"] = opened
    chosen = st.session_state.get(f"{page.key}-open")
    for item in shown:
        if _id(page, item) == chosen:
            with above, st.container(key=f"card-{page.key}-open"):
                _card(session, page, item)


def _card(session: state.Session, page: ListPage[_T], item: _T) -> None:
    title = page.name(item)
    with markup.heading_row():
        markup.section(title)
        st.button(
            "Close",
            key=f"{page.key}-close",
            icon=":material/close:",
            on_click=_set,
            args=(f"{page.key}-open", None),
        )
    told = [one for one in page.columns if one.written(item) != title]
    markup.facts(
        [
            *((one.label, one.told(item)) for one in (*told, *page.facts)),
            *([("Id", _id(page, item))] if _id(page, item) != title else []),
        ]
    )
    with problems.guard():
        if page.below:
            page.below(item)
        if session.can(page.write):
            for edit in page.edits:
                _edit(session, page, edit, item)
            if page.change:
                _change(session, page, page.change, item)
        if page.acts and session.can(page.write):
            with st.container(horizontal=True):
                for act in page.acts:
                    if act.offered(item):
                        _act(session, page, act, item)


def _edit(session: state.Session, page: ListPage[_T], edit: Edit, item: _T) -> None:
    one = edit.field
    now = getattr(item, one.name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = f"{page.key}-{one.name.replace('_', '-')}"
        given = draw_input(session, f"{key}-{_id(page, item)}", one, now, narrow=True)
        same = given == now or (given is None and one.required)
        if st.button(f"Save {one.label.lower()}", key=f"{key}-save", disabled=same):
            edit.call(session.api, _id(page, item), edit.body(**{one.name: given}))
            confirm.say_after_rerun(edit.said.format(page.name(item), given))
            st.rerun()


def _change(session: state.Session, page: ListPage[_T], change: Change, item: _T) -> None:
    key = f"{page.key}-change-{_id(page, item)}"
    with st.expander("Change", icon=":material/edit:"):
        with st.form(key, border=False):
            given = {
                one.name: draw_input(
                    session, f"{key}-{one.name.replace('_', '-')}", one, getattr(item, one.name)
                )
                for one in change.inputs
            }
            sent = st.form_submit_button("Save changes", key=f"{key}-save", type="primary")
        if not sent:
            return
        with problems.guard():
            if not all(given[one.name] for one in change.inputs if one.required):
                st.warning(change.missing)
                return
            change.call(session.api, _id(page, item), change.body(**given))
            confirm.say_after_rerun(change.said.format(page.name(item)))
            st.rerun()


def _act(session: state.Session, page: ListPage[_T], act: Act, item: _T) -> None:
    if not confirm.ask(
        f"{page.key}-{act.key}",
        act.label,
        will=act.will.format(page.name(item)),
        yes=act.yes,
        icon=act.icon,
        danger=act.ends if act.danger is None else act.danger,
    ):
        return
    answer = act.call(session.api, _id(page, item))
    if act.shows:
        _show(page, answer, act.shows)
    if act.ends:
        _set(f"{page.key}-open", None)
    if act.said:
        confirm.say_after_rerun(act.said.format(page.name(item)))
    st.rerun()


def draw_bulk(
    session: state.Session, key: str, bulk: Bulk, wanted: Mapping[str, str | None]
) -> None:
    """Draw what can be done with a whole list, and do it part by part once that was asked for."""
    if not confirm.ask(
        f"{key}-{bulk.key}",
        bulk.label,
        will=lambda: bulk.will(wanted),
        yes=bulk.yes,
        icon=bulk.icon,
    ):
        return
    total = dict.fromkeys(bulk.sums, 0)
    with problems.guard(), st.status(f"{bulk.label} …") as progress:
        cursor: str | None = None
        while True:
            part = bulk.call(session.api, **wanted, cursor=cursor)
            total = {name: count + getattr(part, name) for name, count in total.items()}
            progress.update(label=bulk.said(**total))
            cursor = part.next_cursor
            if cursor is None:
                break
        confirm.say_after_rerun(bulk.said(**total))
        st.rerun()


# --- a new one ------------------------------------------------------------------------------


def _form(session: state.Session, page: ListPage[_T], form: Form) -> None:
    opened = f"{page.key}-making"
    if not st.session_state.get(opened):
        return
    with problems.guard():
        card = st.container(key=f"card-{page.key}-new")
        with card:
            markup.section(f"New {page.noun}")

            def ask(asked: Sequence[Input]) -> dict[str, Any]:
                return {
                    one.name: draw_input(
                        session, f"{page.key}-new-{one.name.replace('_', '-')}", one
                    )
                    for one in asked
                }

            # What stands in a form is not heard of before it is sent.
            given: dict[str, Any] = {}
            if form.by:
                with st.container(key=f"decides-{page.key}"):
                    given = ask([one for one in form.inputs if one.name in form.by])
            chosen = frozenset(given.values())
            asked = [
                one
                for one in form.inputs
                if one.name not in given and (not one.of or chosen.intersection(one.of))
            ]
            with st.form(f"{page.key}-form", border=False):
                given |= ask(asked)
                with st.container(horizontal=True):
                    sent = st.form_submit_button(f"{form.verb} {page.noun}", type="primary")
                    tried = form.tries and st.form_submit_button("Preview")
                    st.form_submit_button("Close", on_click=_set, args=(opened, False))
        with card, problems.guard():
            if form.tries and tried:
                form.tries(session, given)
        if not sent:
            return
        with card, problems.guard():
            if not all(given[one.name] for one in asked if one.required):
                st.warning(form.missing)
                return
            made = form.call(session.api, form.body(**given))
            if form.shows:
                _show(page, made, form.shows)
            if form.said:
                confirm.say_after_rerun(form.said.format(page.name(made)))
            _set(opened, False)
            st.rerun()


def _upload(session: state.Session, key: str, upload: Upload) -> None:
    with st.popover("Import", icon=":material/upload:", key=f"{key}-import-popover"):
        markup.note(upload.note)
        # A new widget after each file: the old one would offer to take it again.
        turn = int(st.session_state.get(f"{key}-import-turn", 0))
        given = st.file_uploader(
            f"{upload.kinds[0].upper()} file",
            type=list(upload.kinds),
            key=f"{key}-import-file-{turn}",
        )
        ready = given is not None
        if given is not None and upload.look is not None:
            with problems.guard():
                ready = False
                ready = upload.shows(_looked(session, key, upload.look, given))
        if not st.button(
            "Import file",
            key=f"{key}-import-send",
            type="primary",
            disabled=not ready,
            width="stretch",
        ):
            return
        with problems.guard():
            if given is not None:
                confirm.say_after_rerun(upload.said(upload.call(session.api, given.getvalue())))
                _set(f"{key}-import-turn", turn + 1)
                st.rerun()


def _looked(
    session: state.Session,
    key: str,
    look: Callable[[client.Api, bytes], Any],
    given: UploadedFile,
) -> Any:
    """Return what would become of a file; asked once, however often its page is drawn."""
    kept = f"{key}-import-looked"
    known = st.session_state.get(kept)
    if not known or known[0] != given.file_id:
        known = (given.file_id, look(session.api, given.getvalue()))
        _set(kept, known)
    return known[1]


def draw_input(
    session: state.Session, key: str, one: Input, now: Any = "", *, narrow: bool = False
) -> Any:
    """Draw a field of a form and return what it says, None where it says nothing.

    Args:
        session: Whose.
        key: Unique on the page.
        one: The field.
        now: What it begins with; of nothing what is usual.
        narrow: Beside a button and not across the form.
    """
    width: int | Literal["stretch"] = _EDITED if narrow else "stretch"
    if one.kind == "choice":
        begin = f"{now:g}" if isinstance(now, int | float) else now
        return _choice(session, key, one, begin or one.usual, width)
    if one.kind == "role":
        names = [role.name for role in session.api.list_roles().items]
        if now and now not in names:
            names.insert(0, now)
        usual = now or one.usual
        first = names.index(usual) if usual in names else 0
        return st.selectbox(one.label, names, index=first, key=key, help=one.help, width=width)
    if one.kind in {"last_day", "day", "moment"}:
        return _time(key, one, now or None)
    if one.kind == "number":
        begin = int(now or one.usual or one.required) or None
        # Once there is a number, Streamlit takes no empty field any more: nought is nothing then.
        least = 1 if one.required else 0
        given = st.number_input(one.label, least, None, begin, key=key, help=one.help, width=width)
        return given or None
    if one.kind == "days":
        lasts = now / _DAY if now else None
        days = st.number_input(
            one.label, 0.0, None, lasts, 1.0, "%g", key=key, help=one.help, width=width
        )
        # To the second where nothing was changed: it may have been set elsewhere.
        return now or None if days == lasts else round((days or 0) * _DAY) or None
    hidden = one.kind == "password"
    if one.kind == "words":
        now = " ".join(now or ())
    text = st.text_input(
        one.label,
        now or "",
        key=key,
        width=width,
        placeholder=one.example or None,
        help=one.help,
        type="password" if hidden else "default",
        autocomplete="new-password" if hidden else None,
    )
    if one.kind == "words":
        return text.replace(",", " ").split() or None
    return (text if hidden else text.strip()) or None


def _time(key: str, one: Input, now: date | None) -> date | None:
    zone = markup.zone()
    held = now.astimezone(zone) if isinstance(now, datetime) else None
    if one.kind == "moment":
        hour = markup.now().astimezone(zone).replace(minute=0) + timedelta(hours=1)
        begin = (held or hour).replace(second=0, microsecond=0, tzinfo=None)
        at: datetime | None = st.datetime_input(
            one.label, begin, key=key, format="YYYY-MM-DD", help=one.help, step=60
        )
        # To the second where nothing was changed: it may have been set elsewhere.
        return now if held and at == begin else at and at.replace(tzinfo=zone)
    before = held.date() if held else now
    usual = "today" if one.kind == "day" else None
    day: date | None = st.date_input(
        one.label, value=before or usual, key=key, format="YYYY-MM-DD", help=one.help
    )
    if one.kind == "day" or day is None:
        return day
    if day == before:
        return held  # to the second: it may not end with its day
    return datetime.combine(day, _END_OF_DAY, zone)


def _choice(
    session: state.Session, key: str, one: Input, now: str | None, width: int | Literal["stretch"]
) -> str | None:
    called = dict(one.options(session))
    called.setdefault(now or "", now or "")
    chosen = st.selectbox(
        one.label,
        list(called),
        index=list(called).index(now or ""),
        key=key,
        width=width,
        format_func=lambda value: called.get(value, value),
        help=one.help,
        accept_new_options=bool(one.example),
        placeholder=one.example or "Choose one",
    )
    return str(chosen or "").strip() or None


def _show(page: ListPage[_T], answer: Any, parts: Sequence[tuple[str, str]]) -> None:
    heading, note = page.shown
    show_once(page.key, (heading.format(page.name(answer)), note), answer, parts)


def show_once(
    key: str, said: tuple[str, str], answer: Any, parts: Sequence[tuple[str, str]]
) -> None:
    """Have :func:`draw_shown` show these parts of an answer, from the next run on.

    Args:
        key: Where; as ``draw_shown`` has it.
        said: A heading, and what is said of the parts.
        answer: What the platform answered.
        parts: What each part is called where it is pasted, and its field.
    """
    found = [(label, getattr(answer, name)) for label, name in parts]
    told = tuple((label, value) for label, value in found if value)
    withheld = getattr(answer, "secret_withheld", None) or ""
    if told or withheld:
        _set(f"{key}-secret", _Secret(*said, told, withheld))


def draw_shown(key: str) -> None:
    """Draw the secret that was just made, until the person says they have it."""
    secret = st.session_state.get(f"{key}-secret")
    if not isinstance(secret, _Secret):
        return
    with st.container(key=f"card-{key}-secret"):
        markup.section(secret.heading)
        if secret.withheld:
            st.warning(secret.withheld)
        else:
            markup.note(secret.note)
        for label, value in secret.parts:
            with st.container(gap="xxsmall"):
                markup.label(label)
                st.code(value, language=None, wrap_lines=True)
        st.button(
            "I have read it" if secret.withheld else "I have copied it",
            key=f"{key}-copied",
            type="primary",
            on_click=_set,
            args=(f"{key}-secret", None),
        )


# --- filters --------------------------------------------------------------------------------


def _filter(key: str, one: Choice | Words) -> str | None:
    widget = f"{key}-{one.name}"
    remember(widget)
    if isinstance(one, Choice):
        every = one.usual or f"Any {one.label.lower()}"
        values = one.values(state.current()) if callable(one.values) else one.values
        offered = [every, *(value for value in values if value != every)]
        if st.session_state.get(widget, every) not in offered:
            del st.session_state[widget]  # of another tenant, or gone meanwhile
        chosen = st.selectbox(one.label, offered, key=widget, width=200)
        value = "" if chosen == every else str(chosen)
    else:
        value = st.text_input(
            one.label,
            key=widget,
            placeholder=one.example,
            icon=":material/search:",
            width=one.width,
        ).strip()
        if one.addresses and value and "@" not in value and not value.endswith("*"):
            value += "*"
    return value or None


def _told(wanted: Mapping[str, Any]) -> list[str | None]:
    """Return what filters are set to as texts, by which a place in a list is known again."""
    return [None if value is None else str(value) for value in wanted.values()]


def _days(key: str, one: Days) -> dict[str, datetime | None]:
    """Draw the choice of days; return the first moment that counts and the first that does not."""
    widget, chosen = f"{key}-days", f"{key}-days-chosen"
    remember(widget)
    spans = {"Any time": None, "Today": 0, "Last 7 days": 6, "Last 30 days": 29, _CHOSEN: None}
    name = str(st.selectbox(one.label, list(spans), key=widget, width=170))
    zone = markup.zone()
    today = markup.now().date()
    back = spans[name]
    first: date | None = None if back is None else today - timedelta(days=back)
    last: date | None = None
    if name == _CHOSEN:
        remember(chosen)
        st.session_state.setdefault(chosen, (today - timedelta(days=6), today))
        given: Any = st.date_input(
            "From and to", key=chosen, format="YYYY-MM-DD", max_value=today, width=240
        )
        # While the second day is being chosen there is one alone.
        days = list(given) if isinstance(given, tuple | list) else [given]
        first, last = (days[0], days[-1]) if days else (None, None)
    return {
        one.after: datetime.combine(first, time(), zone) if first else None,
        one.before: datetime.combine(last + timedelta(days=1), time(), zone) if last else None,
    }


def _search(key: str) -> str:
    widget = f"{key}-words"
    remember(widget)
    return st.text_input(
        "Search this page",
        key=widget,
        placeholder="Any word in a row",
        icon=":material/search:",
        width=320,
    ).strip()


def _searched(page: ListPage[_T], found: client.Page[_T], words: str) -> client.Page[_T]:
    """Return the part with the things alone whose row holds every one of the words."""
    wanted = words.casefold().split()
    if not wanted:
        return found
    items = []
    for item in found.items:
        text = "\n".join(_row(page, item).values()).casefold()
        if all(word in text for word in wanted):
            items.append(item)
    return _Found(items, found.next_cursor)


def _say_nothing(page: ListPage[_T], *, filtered: bool, searched: bool) -> None:
    if searched:
        markup.empty(
            f"No {page.noun} on this page matches", "The search looks at the rows of this page."
        )
    elif filtered:
        markup.empty(f"No {page.noun} matches", "Take a filter away to see more.")
    else:
        markup.empty(f"No {page.noun} yet", page.nothing)

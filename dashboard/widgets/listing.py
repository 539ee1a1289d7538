"""A list on a page: filtered, paged, exported, and one row of it opened.

One piece for every list of the console, so that a filter, an empty list and an exported file mean
the same on each page. What a filter was set to outlives the visit to another page: Streamlit
forgets a widget that one run did not draw, and who comes back from a row wants the list they left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import client
from dashboard.widgets import export, markup, paging, problems, table

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A filter of the API with few values; ``name`` is its query parameter."""

    name: str
    label: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A filter of the API that is typed in full; ``name`` is its query parameter."""

    name: str
    label: str
    example: str
    width: int = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[_T]):
    """What a list is of, and how its things are written.

    Attributes:
        key: Names the list in the session, and its exported file.
        title: Names the table to a screen reader.
        noun: One of its things, as in "No e-mail yet".
        nothing: Says what would fill the list while it is empty.
        columns: As the table takes them.
        row: Writes one thing into the columns; its ``id`` names the row.
        export: The fields that the file has, by their names on the wire.
        filters: What the API can filter by. Without any the page on show is searched, and is
            as long as the API allows: these lists are short, and one page is mostly all.
    """

    key: str
    title: str
    noun: str
    nothing: str
    columns: Sequence[table.Column]
    row: Callable[[_T], dict[str, str]]
    export: Sequence[str]
    filters: Sequence[Choice | Text] = ()


@dataclass(frozen=True, slots=True)
class _Found(Generic[_T]):
    """What a search left of a page."""

    items: Sequence[_T]
    next_cursor: str | None


def draw(
    what: Listing[_T],
    fetch: Callable[..., client.Page[_T]],
    *,
    opens: bool = False,
    card: Callable[[_T], None] | None = None,
) -> None:
    """Draw the list.

    Args:
        what: The list.
        fetch: Asks the API for a page; takes the filters' names, ``cursor`` and ``limit``.
        opens: Whether a row opens a view of its own: its id goes into the page's address.
        card: Draws the open row's card, above the table and for as long as the row is open; with
            it rows can be opened.
    """
    wanted: dict[str, str | None] = {}
    words = ""
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"filters-{what.key}"):
        for one in what.filters:
            wanted[one.name] = _filter(what.key, one)
        if not what.filters:
            words = _search(what.key)
        export.button(
            what.key,
            lambda cursor: _searched(
                what, fetch(**wanted, cursor=cursor, limit=client.EXPORT_LIMIT), words
            ),
            what.export,
            filters=(*wanted.values(), words),
        )
    here = paging.place(f"{what.key}-place", *wanted.values())
    limit = client.PAGE_LIMIT if what.filters else client.EXPORT_LIMIT
    with problems.guard():
        found = fetch(**wanted, cursor=here.cursor, limit=limit)
        shown = _searched(what, found, words).items
        if shown:
            above = st.container()
            opened = table.draw(
                what.key,
                what.title,
                what.columns,
                [what.row(item) for item in shown],
                opens=opens or card is not None,
            )
            if card:
                _keep_open(what, shown, opened, above, card)
            elif opened:
                st.query_params["id"] = opened
                st.rerun()
        else:
            _say_nothing(what, filtered=any(wanted.values()), searched=bool(found.items))
        if shown or here.cursor or found.next_cursor:
            paging.buttons(what.key, here, found.next_cursor, len(shown))


def open_card(key: str, title: str) -> DeltaGenerator:
    """Return the card of the open row, its title and the way to close it drawn."""
    made = st.container(key=f"card-{key}-open")
    with made, markup.heading_row():
        markup.section(title)
        st.button("Close", key=f"{key}-close", icon=":material/close:", on_click=close, args=(key,))
    return made


def close(key: str) -> None:
    """Close the list's open row."""
    st.session_state.pop(f"{key}-open", None)


def _keep_open(
    what: Listing[_T],
    shown: Sequence[_T],
    opened: str | None,
    above: DeltaGenerator,
    card: Callable[[_T], None],
) -> None:
    if opened:
        st.session_state[f"{what.key}-open"] = opened
    chosen = st.session_state.get(f"{what.key}-open")
    for item in shown:
        if what.row(item)["id"] == chosen:
            with above:
                card(item)


def _filter(key: str, one: Choice | Text) -> str | None:
    widget = f"{key}-{one.name}"
    remember(widget)
    if isinstance(one, Choice):
        every = f"Any {one.label.lower()}"
        chosen = st.selectbox(one.label, [every, *one.values], key=widget, width=200)
        value = "" if chosen == every else str(chosen)
    else:
        value = st.text_input(
            one.label,
            key=widget,
            placeholder=one.example,
            icon=":material/search:",
            width=one.width,
        ).strip()
    return value or None


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


def remember(widget: str) -> None:
    """Give a widget that is drawn again what it was set to before another page was drawn."""
    kept = f"{widget}-kept"
    if widget in st.session_state:
        st.session_state[kept] = st.session_state[widget]
    elif kept in st.session_state:
        st.session_state[widget] = st.session_state[kept]


def _searched(what: Listing[_T], page: client.Page[_T], words: str) -> client.Page[_T]:
    """Return the page with the things alone whose row holds every one of the words."""
    wanted = words.casefold().split()
    if not wanted:
        return page
    items = []
    for item in page.items:
        text = "\n".join(what.row(item).values()).casefold()
        if all(word in text for word in wanted):
            items.append(item)
    return _Found(items, page.next_cursor)


def _say_nothing(what: Listing[_T], *, filtered: bool, searched: bool) -> None:
    if searched:
        markup.empty(
            f"No {what.noun} on this page matches", "The search looks at the rows of this page."
        )
    elif filtered:
        markup.empty(f"No {what.noun} matches", "Take a filter away to see more.")
    else:
        markup.empty(f"No {what.noun} yet", what.nothing)

"""Templates: what workflows send by name, written here and seen as it will arrive."""

from __future__ import annotations

import json
from html import escape
from typing import Any, Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, ApiProblem, Tagged, models
from dashboard.pages import Column, ListPage
from dashboard.widgets import confirm, mail, markup, problems

_WRITE: Final = "email_template:write"
_SEND: Final = "email:send"
_SEEN: Final = "template-seen"
_TURN: Final = "template-turn"
_REFUSED: Final = "template-refused"
_NEW: Final = "new"
_VALUES: Final = "template-values"
_SAMPLE_TEXT: Final = "Dear {{ name }},\n\nthank you for your order.\n"


def _parts(template: models.TemplateOut) -> str:
    return " and ".join(
        word
        for word, body in (("text", template.text), ("HTML", template.html))
        if body is not None
    )


def detail(name: str) -> None:
    """Draw one template: its parts, and beside them what becomes of it."""
    session = state.current()
    st.button("All templates", key="templates-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        fresh = session.api.get_template(name)
        seen = st.session_state.get(_SEEN)
        if not (isinstance(seen, Tagged) and seen.value.name == name):
            _begin_with(fresh)
        editor = Editor(session, st.session_state[_SEEN])
        editor.draw()
        if not editor.changed and fresh.etag != st.session_state[_SEEN].etag:
            # Nothing of one's own would be lost.
            _begin_with(fresh)
            st.rerun()


def _create() -> None:
    """Draw a template that is not saved yet."""
    st.button("All templates", key="templates-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        Editor(state.current(), None).draw()


def _back() -> None:
    _forget()
    st.query_params.from_dict(state.address())


def _open(name: str) -> None:
    st.query_params.from_dict(state.address(id=name))


def _forget() -> None:
    for key in (_SEEN, _REFUSED):
        st.session_state.pop(key, None)


def _begin_with(saved: Tagged[models.TemplateOut]) -> None:
    """Let the fields begin with this: others than those that are drawn now."""
    st.session_state[_SEEN] = saved
    st.session_state[_TURN] = int(st.session_state.get(_TURN, 0)) + 1
    st.session_state.pop(_REFUSED, None)


class Editor:
    """One template as somebody writes it; the fields stay as they are until they are saved."""

    def __init__(self, session: state.Session, saved: Tagged[models.TemplateOut] | None) -> None:
        """Begin with what is saved, or with nothing."""
        self._session = session
        self._saved = saved
        self._turn = int(st.session_state.get(_TURN, 0))
        refused = st.session_state.get(_REFUSED)
        self._refused = refused if isinstance(refused, ApiProblem) else None
        self.changed = False

    def draw(self) -> None:
        """Draw the fields and what becomes of them."""
        now = self._saved.value if self._saved else None
        markup.page_heading(
            now.name if now else "New template",
            f"Saved {markup.moment(now.updated_at)}." if now else "What workflows send by name.",
        )
        if not self._session.can(_WRITE):
            with st.container(key="card-template-source"):
                self._fields(now, disabled=True)
            return
        left, right = st.columns(2, gap="medium")
        with left, st.container(key="card-template-source"):
            name = now.name if now else self._name()
            body = self._fields(now)
        with right, st.container(key="card-template-preview"):
            made = self._preview(body)
        self.changed = now is None or body != models.TemplatePut(
            subject=now.subject, text=now.text, html=now.html
        )
        with st.container(key="savebar-template"):
            self._end(name, body, made)

    def _key(self, name: str) -> str:
        return f"template-{name}-{self._turn}"

    def _wrong(self, place: str) -> None:
        for one in self._refused.errors if self._refused else ():
            if one.pointer.rpartition("/")[2] == place:
                markup.field_error(one.detail)

    def _name(self) -> str:
        given = st.text_input(
            "Name",
            key=self._key("name"),
            placeholder="welcome",
            help="Workflows send by it. Letters, digits, dots, dashes and underscores.",
        ).strip()
        self._wrong("name")
        return given

    def _fields(
        self, now: models.TemplateOut | None, *, disabled: bool = False
    ) -> models.TemplatePut:
        subject = st.text_input(
            "Subject",
            now.subject if now else "",
            key=self._key("subject"),
            placeholder="Hello {{ name }}",
            disabled=disabled,
        )
        self._wrong("subject")
        text_tab, html_tab = st.tabs(["Text", "HTML"])
        with text_tab:
            text = st.text_area(
                "Text",
                (now.text or "") if now else _SAMPLE_TEXT,
                key=self._key("text"),
                height=320,
                disabled=disabled,
                label_visibility="collapsed",
            )
            self._wrong("text")
        with html_tab:
            html = st.text_area(
                "HTML",
                (now.html or "") if now else "",
                key=self._key("html"),
                height=320,
                placeholder="<p>Dear {{ name }}, …</p>",
                disabled=disabled,
                label_visibility="collapsed",
            )
            self._wrong("html")
        markup.note("{{ name }} inserts a variable; {% if … %} and {% for … %} work as in Jinja.")
        # A part that was empty when it was saved stays so; one that is emptied is no part any more.
        return models.TemplatePut(
            subject=subject,
            text=text if text or (now and now.text == "") else None,
            html=html if html or (now and now.html == "") else None,
        )

    # --- what becomes of it

    def _preview(self, body: models.TemplatePut) -> models.TemplatePreviewOut | None:
        """Draw the template filled in; returns it if it can be."""
        markup.section("Preview")
        if not body.subject.strip() or (body.text is None and body.html is None):
            markup.empty("Nothing to show yet", "A template has a subject, and a text or HTML.")
            return None
        values = self._values()
        if values is None:
            return None
        try:
            made = self._session.api.preview_template(
                models.TemplatePreviewCreate(
                    subject=body.subject, text=body.text, html=body.html, variables=values
                )
            )
        except ApiProblem as problem:
            problems.show(problem)
            return None
        self._variables(made, values)
        if made.missing:
            return None
        st.html(_subject(made.subject or ""))
        parts = [
            name for name, part in (("HTML", made.html), ("Text", made.text)) if part is not None
        ]
        for tab, part in zip(st.tabs(parts), parts, strict=True):
            with tab:
                if part == "HTML":
                    mail.draw("template-html", "The message as HTML", made.html or "", height=360)
                else:
                    st.code(made.text or "", language=None, wrap_lines=True)
        return made

    def _values(self) -> dict[str, Any] | None:
        given = st.text_area(
            "Test data (JSON)",
            key=_VALUES,
            height=120,
            placeholder='{"name": "Ada"}',
            help="What is filled in here, and in the test message. It is not saved.",
        )
        try:
            values = json.loads(given or "{}")
        except ValueError as error:
            markup.field_error(f"This is no JSON: {error}")
            return None
        if not isinstance(values, dict):
            markup.field_error("This must be an object: { … }")
            return None
        return values

    def _variables(self, made: models.TemplatePreviewOut, values: dict[str, Any]) -> None:
        if not made.variables:
            markup.note("It uses no variables.")
            return
        chips = [
            (
                one.name,
                "red" if one.name in made.missing else "green" if one.name in values else "gray",
                "missing" if one.name in made.missing else "" if one.required else "optional",
            )
            for one in made.variables
        ]
        markup.chips("Variables", chips)
        if not made.missing:
            return

        def fill() -> None:
            sample = {one.name: one.name for one in made.variables if one.name in made.missing}
            filled = {**values, **sample}
            st.session_state[_VALUES] = json.dumps(filled, indent=2, ensure_ascii=False)

        markup.note("The preview needs values for all that are missing.")
        st.button("Fill in their names", key="template-fill", on_click=fill)

    def _end(
        self, name: str, body: models.TemplatePut, made: models.TemplatePreviewOut | None
    ) -> None:
        if self._refused is not None:
            problems.show(self._refused)
            if self._refused.code == "email.template_changed":
                st.button("Take what is saved now", key="template-theirs", on_click=_forget)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            save = st.button("Save", key="template-save", type="primary")
            if self._saved is not None:
                st.button(
                    "Discard changes",
                    key="template-drop",
                    on_click=_begin_with,
                    args=(self._saved,),
                    disabled=not self.changed,
                )
            if self._session.can(_SEND):
                self._send(made)
            if self._saved is not None:
                self._delete(name)
        if save and not name:
            markup.field_error("A template needs a name: workflows send by it.")
        elif save and not self.changed:
            confirm.say("There is nothing to save: all is as it was.")
        elif save:
            self._save(name, body)

    def _send(self, made: models.TemplatePreviewOut | None) -> None:
        with st.popover("Send as a test", icon=":material/outgoing_mail:", key="template-send"):
            to = st.text_input(
                "To", str(st.user.get("email") or ""), key="template-send-to"
            ).strip()
            markup.note("The preview goes out as a message, with the test data, and is listed.")
            now = st.button(
                "Send",
                key="template-send-now",
                type="primary",
                disabled=made is None,
                width="stretch",
            )
            if not now or made is None:
                return
            with problems.guard():
                sent = self._session.api.send_email(
                    models.EmailCreate(
                        to=[to], subject=made.subject, text=made.text, html=made.html
                    )
                )
                confirm.say_after_rerun(f"On its way to {to}: {sent.subject}")
                st.rerun()

    def _delete(self, name: str) -> None:
        if confirm.ask(
            "template-delete",
            "Delete",
            icon=":material/delete:",
            will=f"{name} is gone for good, and workflows that send by it are refused. Messages "
            "that were made of it stay as they are.",
            yes="Delete this template",
            danger=True,
        ):
            self._session.api.delete_template(name)
            confirm.say_after_rerun(f"{name} is deleted.")
            _back()
            st.rerun()

    def _save(self, name: str, body: models.TemplatePut) -> None:
        # A new one must not replace one of the same name that somebody has: no version matches.
        version = self._saved.etag if self._saved else None
        try:
            if self._saved is None and _exists(self._session, name):
                raise ApiProblem(
                    "There is a template of this name already.",
                    detail="Choose another name, or open that one.",
                    code="console.template_exists",
                )
            made = self._session.api.put_template(name, body, if_match=version)
        except ApiProblem as problem:
            st.session_state[_REFUSED] = problem
            st.rerun()
        _begin_with(made)
        _open(name)
        confirm.say_after_rerun(f"{name} is saved.")
        st.rerun()


def _exists(session: state.Session, name: str) -> bool:
    try:
        session.api.get_template(name)
    except ApiProblem as problem:
        if problem.code == "email.template_not_found":
            return False
        raise
    return True


def _subject(text: str) -> str:
    return f'<p class="es-subject"><span>Subject</span> {escape(text)}</p>'


def _new() -> None:
    _forget()
    st.session_state[_TURN] = int(st.session_state.get(_TURN, 0)) + 1
    st.query_params.from_dict(state.address(new="1"))


def _tools() -> None:
    if state.current().can(_WRITE):
        st.button(
            "New template",
            key="templates-new",
            type="primary",
            icon=":material/add:",
            on_click=_new,
        )


PAGE: Final = ListPage(
    key="templates",
    of=models.TemplateOut,
    title="Templates",
    lead="What workflows send by name, with variables filled in.",
    noun="template",
    nothing="Write the first one, and workflows can send it by its name.",
    fetch=Api.list_templates,
    id="name",
    columns=(
        Column("name", "Name", "strong"),
        Column("subject", "Subject"),
        Column("parts", "Parts", value=_parts),
        Column("updated_at", "Saved", "time"),
    ),
    export=("name", "subject", "text", "html", "updated_at"),
    detail=detail,
)  # fmt: skip


def page() -> None:
    """Draw the list, one template, or a new one: as the address says."""
    if st.query_params.get("id"):
        detail(str(st.query_params["id"]))
    elif st.query_params.get(_NEW) and state.current().can(_WRITE):
        _create()
    else:
        pages.heading(PAGE, _tools)
        pages.draw_list(PAGE)


if __name__ == "__main__":
    page()

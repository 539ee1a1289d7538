"""What a job does: the form's fields by its kind, and the tasks that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dashboard import state
from dashboard.client import models
from dashboard.pages import Input

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_REQUEST: Final = "http.request"
_WORKFLOW: Final = "n8n.workflow"
_REPORT: Final = "report"
_EMAIL: Final = "email"
_SEND: Final = "email:send"
_KINDS: Final = (
    (_REQUEST, "Asks an address", ""),
    (_WORKFLOW, "Runs a workflow of n8n", ""),
    (_REPORT, "Counts what was done, as a report", ""),
    (_EMAIL, "Sends an e-mail", _SEND),
)
_COUNTED: Final = (("job", "Jobs", "job:read"), ("email", "E-mails", "email:read"))
_ANSWERS: Final = (
    ("response", "what its webhook answers"),
    ("callback", "what it sends to callback_url, within an hour"),
)


def _able(offered: Sequence[tuple[str, str, str]], session: state.Session) -> list[tuple[str, str]]:
    """Return those of them that whoever looks may have, without their permissions."""
    return [(value, word) for value, word, needed in offered if not needed or session.can(needed)]


KIND: Final = Input(
    "kind", "Does", "choice", usual=_REQUEST, options=lambda session: _able(_KINDS, session)
)
INPUTS: Final = (
    KIND,
    Input("method", "Method", "choice", usual="POST", of=[_REQUEST],
        options=lambda _: [(one, one) for one in _METHODS]),
    Input("url", "Address", example="https://books.example.com/import", of=[_REQUEST, _WORKFLOW],
        help="Of a workflow: that of its webhook."),
    Input("answer", "Its result is", "choice", usual="response", options=lambda _: _ANSWERS,
        of=[_WORKFLOW]),
    Input("counts", "Of", "choice", usual="job", of=[_REPORT],
        options=lambda session: _able(_COUNTED, session)),
    Input("whole_days", "Days", "number", of=[_REPORT],
        help="So many whole days before the one on which it runs, 31 at most, by the schedule's "
        "zone."),
    Input("parts", "A row for each", "words", required=False, example="day state", of=[_REPORT],
        help="Some of day, kind and state, between spaces; e-mails have no kind. Else state."),
    Input("mailed_to", "Is sent to", "words", required=False, example="ada@example.com",
        of=[_REPORT], help="Addresses between spaces; takes the permission to send mail. Nothing: "
        "it is the result of its job alone."),
    Input("to", "To", "words", example="ada@example.com", of=[_EMAIL],
        help="Addresses; several stand between spaces."),
    Input("subject", "Subject", example="Close the month", of=[_EMAIL]),
    Input("text", "Text", example="It is the last working day.", of=[_EMAIL]),
)  # fmt: skip
"""All fields; :data:`KIND` decides which of them are asked for."""
NAMES: Final = frozenset(one.name for one in INPUTS)


def made(name: str, zone: str | None, given: Mapping[str, Any]) -> list[models.TaskModel]:
    """Return the tasks that a form's fields make.

    Args:
        name: What their mail is about.
        zone: By whose clocks a report's days are; UTC unless said.
        given: What the fields of this form say.
    """
    kind = given["kind"]
    if kind == _EMAIL:
        return [_mail(given["to"], given["subject"], given["text"])]
    if kind != _REPORT:
        how = "answer" if kind == _WORKFLOW else "method"
        args = {"url": given["url"], how: given[how]}
        return [models.TaskModel(name="ask", kind=kind, args=args)]
    mailed = given.get("mailed_to")
    asked = {
        "of": given["counts"],
        "days": given["whole_days"],
        "zone": zone,
        "by": given.get("parts"),
        "csv": bool(mailed) or None,
    }
    said = {key: value for key, value in asked.items() if value}
    report = models.TaskModel(name="report", kind=_REPORT, args=said)
    if not mailed:
        return [report]
    text = {"$result": "report", "path": "csv"}
    return [report, _mail(mailed, name, text, after="report")]


def _mail(to: Sequence[str], subject: str, text: object, *, after: str = "") -> models.TaskModel:
    args = {"to": to, "subject": subject, "text": text}
    depends = [after] if after else []
    return models.TaskModel(name="mail", kind=_EMAIL, args=args, depends_on=depends)

"""What was said with a mail server, as a transcript: a verdict, the steps, who the server is."""

from __future__ import annotations

from html import escape
from typing import Final

import streamlit as st

from dashboard.client import models
from dashboard.widgets import markup

_NAMES: Final = {
    "look_up": "Name",
    "connect": "Connection",
    "greeting": "Greeting",
    "hello": "EHLO",
    "starttls": "STARTTLS",
    "login": "Log-in",
    "mail": "Sender",
    "rcpt": "Recipient",
    "data": "Data",
    "message": "Message",
    "reset": "Reset",
    "quit": "Goodbye",
}


def draw(found: models.EmailTestOut) -> None:
    """Draw the verdict in words, every step, and the certificate where there was one."""
    markup.verdict(
        good=found.result == "accepted", title=found.summary, text=found.advice, word=_word(found)
    )
    st.html(f'<ol class="es-dialogue">{"".join(_step(step) for step in found.steps)}</ol>')
    if found.certificate:
        markup.section("Certificate")
        markup.facts(_certificate(found.certificate))
    markup.note(f"From {found.sender} to {found.to}, Message-ID {found.message_id}.")


def _word(found: models.EmailTestOut) -> str:
    if found.result in {"later", "unsure"}:
        return "Not now" if found.result == "later" else "Unsure"
    return "Taken" if found.result == "accepted" else "Not taken"


def _step(step: models.DialogueStepOut) -> str:
    tone = "green" if step.ok else "red"
    sent = f'<p class="es-sent">{escape(step.sent)}</p>' if step.sent else ""
    said = " ".join(str(part) for part in (step.code, step.said) if part)
    lines = "<br>".join(escape(line) for line in said.splitlines())
    answer = f'<p class="es-said">{lines}</p>' if said else ""
    name = escape(_NAMES.get(step.name, step.name))
    word = "went well" if step.ok else "failed"
    return (
        f'<li><p class="es-step es-{tone}"><span title="{word}">{name}</span>'
        f"<small>{_time(step.took_ms)}</small></p><div>{sent}{answer}</div></li>"
    )


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _certificate(one: models.CertificateOut) -> list[tuple[str, str]]:
    return [
        ("Subject", one.subject or markup.NONE),
        ("Issued by", one.issuer or markup.NONE),
        ("For", ", ".join(one.names) or markup.NONE),
        ("Valid from", markup.when(one.not_before)),
        ("Valid until", markup.when(one.not_after)),
        ("Encryption", f"{one.protocol}, {one.cipher}"),
        ("SHA-256", one.sha256),
    ]

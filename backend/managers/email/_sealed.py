"""What the e-mail room keeps sealed, the place that each value is sealed for, and how it is read.

Here and not beside their uses: whoever seals them anew needs the same places from the rows alone.
Subjects and templates of before their sealing stand in the clear until the next such walk.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from backend.core.room import Plain, SealedColumn
from backend.kit.templating import TemplateSource
from backend.managers.email.models import (
    ContentRow,
    EmailRow,
    EmailSettingsRow,
    NamedRelayRow,
    TemplateRow,
)
from backend.managers.security import Keyring, KeyUnavailableError

CLEARED: Final[Mapping[str, Any]] = {"subject": "", "text": None, "html": None}
"""What stands in a template's columns once it is sealed."""


def content_place(email_id: str) -> str:
    """What a message says."""
    return f"email.content:{email_id}"


def subject_place(email_id: str) -> str:
    """A message's subject, as lists show it."""
    return f"email.subject:{email_id}"


def template_place(tenant_id: str, name: str) -> str:
    """A template."""
    return f"email.template:{tenant_id}:{name}"


def password_place(tenant_id: str) -> str:
    """The password of a tenant's own mail server."""
    return f"email.smtp_password:{tenant_id}"


def relay_place(tenant_id: str, name: str) -> str:
    """The password of a relay that messages may name."""
    return f"email.smtp_password:{tenant_id}:{name}"


def seal_subject(keyring: Keyring, email_id: str, subject: str) -> bytes:
    """A subject as its row keeps it."""
    return keyring.seal(subject_place(email_id), subject.encode())


def subject_of(keyring: Keyring | None, row: EmailRow) -> str:
    """A row's subject; the keyring is needed for a sealed one alone."""
    if row.sealed_subject is None:
        return row.subject
    if keyring is None:
        raise KeyUnavailableError
    return keyring.open(subject_place(row.id), row.sealed_subject).decode()


def seal_source(keyring: Keyring, tenant_id: str, name: str, source: TemplateSource) -> bytes:
    """A template as its row keeps it."""
    written = _written(source.subject, source.text, source.html)
    return keyring.seal(template_place(tenant_id, name), written)


def source_of(keyring: Keyring | None, row: TemplateRow) -> TemplateSource:
    """A row's template; the keyring is needed for a sealed one alone."""
    if row.sealed_source is None:
        return TemplateSource(row.subject, row.text, row.html)
    if keyring is None:
        raise KeyUnavailableError
    opened = keyring.open(template_place(row.tenant_id, row.name), row.sealed_source)
    return TemplateSource(*json.loads(opened))


def characters_of(subject: str, text: str | None, html: str | None) -> int:
    """How many characters a template counts as."""
    return len(subject) + len(text or "") + len(html or "")


def _written(subject: str, text: str | None, html: str | None) -> bytes:
    return json.dumps([subject, text, html], ensure_ascii=False).encode()


SEALED: Final = (
    SealedColumn(ContentRow, "sealed_content", lambda row: content_place(row["email_id"])),
    SealedColumn(
        EmailRow,
        "sealed_subject",
        lambda row: subject_place(row["id"]),
        plain=Plain(("subject",), lambda row: row["subject"].encode(), lambda _: {"subject": ""}),
    ),
    SealedColumn(
        TemplateRow,
        "sealed_source",
        lambda row: template_place(row["tenant_id"], row["name"]),
        plain=Plain(
            ("subject", "text", "html"),
            lambda row: _written(row["subject"], row["text"], row["html"]),
            lambda row: {**CLEARED, "characters": characters_of(*row.values())},
        ),
    ),
    SealedColumn(EmailSettingsRow, "sealed_password", lambda row: password_place(row["tenant_id"])),
    SealedColumn(
        NamedRelayRow,
        "sealed_password",
        lambda row: relay_place(row["tenant_id"], row["name"]),
    ),
)

"""Tables of the e-mail manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned


class EmailRow(TenantOwned, Base):
    """One message: its identity and state in the clear, its subject sealed."""

    __tablename__ = "email_messages"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    message_id: Mapped[str]
    state: Mapped[str]
    # In the clear in rows of before its sealing, and empty in all others.
    subject: Mapped[str]
    sealed_subject: Mapped[bytes | None]
    sender: Mapped[str]
    business_key: Mapped[str | None] = mapped_column()
    size_bytes: Mapped[int]
    job_id: Mapped[str] = mapped_column(Id)
    attempts: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    # When the present round of tries began: what patience counts from.
    tries_from: Mapped[datetime]
    delayed_at: Mapped[datetime | None]
    send_at: Mapped[datetime | None]
    # The name of one of the tenant's; null goes by its settings.
    relay: Mapped[str | None]

    __table_args__ = (
        # Not of those without a key: each change of one would be noted among as many equal entries.
        sa.Index(
            "uq_email_messages_tenant_id_business_key",
            *("tenant_id", business_key),
            unique=True,
            sqlite_where=business_key.is_not(None),
            postgresql_where=business_key.is_not(None),
        ),
        sa.Index(None, "tenant_id", "state", "id"),
        # With the state: counting a day's messages by it reads nothing else.
        sa.Index("ix_email_messages_created_at", "tenant_id", "created_at", "state"),
        # What is open for a relay, of the few that name one.
        sa.Index(
            "ix_email_messages_relay",
            "tenant_id",
            "relay",
            "state",
            "id",
            sqlite_where=sa.column("relay").is_not(None),
            postgresql_where=sa.column("relay").is_not(None),
        ),
    )


class ContentRow(TenantOwned, Base):
    """What one message says, sealed.

    Apart from the message, whose every change of state would else write it again, and which
    outlives it.
    """

    __tablename__ = "email_contents"
    email_id: Mapped[str] = mapped_column(Id, primary_key=True)
    sealed_content: Mapped[bytes]


class RecipientRow(TenantOwned, Base):
    """One address of one message and what the mail server said about it.

    ``address_key`` is what two spellings of the address share.
    """

    __tablename__ = "email_recipients"
    email_id: Mapped[str] = mapped_column(Id, primary_key=True)
    position: Mapped[int] = mapped_column(sa.Integer, primary_key=True)
    kind: Mapped[str]
    address: Mapped[str]
    address_key: Mapped[str]
    display_name: Mapped[str]
    state: Mapped[str]
    response_code: Mapped[int | None] = mapped_column(sa.Integer)
    response: Mapped[str | None]
    updated_at: Mapped[datetime]

    __table_args__ = (
        sa.Index(
            "ix_email_recipients_address_key",
            "tenant_id",
            "address_key",
            "email_id",
            postgresql_ops={"address_key": "text_pattern_ops"},
        ),
    )


class EventRow(TenantOwned, Base):
    """One step on a message's way; the first, ``queued``, is the message row itself."""

    __tablename__ = "email_events"
    email_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime]
    event: Mapped[str]
    attempt: Mapped[int] = mapped_column(sa.Integer)
    detail: Mapped[str]


class TemplateRow(TenantOwned, Base):
    """A named, sandboxed template; all but its name is sealed, as one.

    ``characters`` is how many it has. ``subject``, ``text`` and ``html`` hold a template of before
    its sealing, which counts by them; in others they are empty.
    """

    __tablename__ = "email_templates"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    text: Mapped[str | None]
    html: Mapped[str | None]
    sealed_source: Mapped[bytes | None]
    characters: Mapped[int] = mapped_column(default=0)
    updated_at: Mapped[datetime]


class EmailSettingsRow(TenantOwned, Base):
    """E-mail settings of one tenant: its from address, and its own mail server if it has one."""

    __tablename__ = "email_settings"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    from_address: Mapped[str]
    from_name: Mapped[str]
    smtp_host: Mapped[str | None]
    smtp_port: Mapped[int | None] = mapped_column(sa.Integer)
    smtp_username: Mapped[str | None]
    sealed_password: Mapped[bytes | None]
    smtp_tls: Mapped[str | None]
    suppress_hard_bounces: Mapped[bool] = mapped_column(sa.Boolean)
    keep_content_days: Mapped[int | None] = mapped_column(sa.Integer)
    keep_days: Mapped[int | None] = mapped_column(sa.Integer)
    # Each a structure of _values, with what the tenant has set of it.
    smtp_options: Mapped[dict[str, Any] | None]
    retry: Mapped[dict[str, Any] | None]
    senders: Mapped[list[str] | None] = mapped_column(Json)
    version: Mapped[int] = mapped_column(sa.Integer)
    updated_at: Mapped[datetime]


class NamedRelayRow(TenantOwned, Base):
    """A mail server that a tenant's messages may name; ``version`` is another with each save."""

    __tablename__ = "email_named_relays"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    from_address: Mapped[str | None]
    smtp_host: Mapped[str]
    smtp_port: Mapped[int] = mapped_column(sa.Integer)
    smtp_username: Mapped[str | None]
    sealed_password: Mapped[bytes | None]
    smtp_tls: Mapped[str]
    smtp_options: Mapped[dict[str, Any] | None]
    version: Mapped[str] = mapped_column(Id)
    updated_at: Mapped[datetime]


class RelayRow(TenantOwned, Base):
    """What one tenant's workers know of a relay: its pause, for one sender or all, and its limits.

    ``sender`` is "" for all senders; that row alone holds the limits, and when the relay last took
    a message of the tenant. A row without ``kind`` is no pause.
    """

    __tablename__ = "email_relays"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    relay: Mapped[str] = mapped_column(primary_key=True)
    sender: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str | None]
    code: Mapped[int | None] = mapped_column(sa.Integer)
    reason: Mapped[str | None]
    since: Mapped[datetime | None]
    until: Mapped[datetime | None]
    times: Mapped[int] = mapped_column(sa.Integer)
    connections: Mapped[int | None] = mapped_column(sa.Integer)
    rate_per_second: Mapped[float | None]
    messages_per_session: Mapped[int | None] = mapped_column(sa.Integer)
    recipients_per_transaction: Mapped[int | None] = mapped_column(sa.Integer)
    accepted_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]


class SuppressionRow(TenantOwned, Base):
    """An address that is not mailed; ``address_key`` is what two spellings of it share."""

    __tablename__ = "email_suppressions"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    address: Mapped[str]
    address_key: Mapped[str]
    reason: Mapped[str]
    comment: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    expires_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index(
            "ix_email_suppressions_address",
            "tenant_id",
            "address_key",
            unique=True,
            postgresql_ops={"address_key": "text_pattern_ops"},
        ),
        sa.Index("ix_email_suppressions_reason", "tenant_id", "reason", "id"),
        # The sweep's alone, which spans tenants.
        sa.Index(
            "ix_email_suppressions_expires_at",
            "expires_at",
            sqlite_where=sa.column("expires_at").is_not(None),
            postgresql_where=sa.column("expires_at").is_not(None),
        ),
    )

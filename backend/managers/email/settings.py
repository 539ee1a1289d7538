"""Limits of a message and the mail server it is handed to."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from backend.kit.mime import InvalidAddressError, Mailbox, parse_address
from backend.kit.smtp import Pacing, SmtpTimeouts


class EmailSettings(BaseModel):
    """Platform-wide; a tenant may bring its own from address and mail server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    smtp_url: SecretStr = Field(
        SecretStr("smtp://127.0.0.1:8402"),
        description="Default mail server: smtp://user:password@host:port?tls=starttls or smtps://",
    )
    from_address: str = Field(
        "no-reply@email-sender.example", description="Sender of tenants that set none."
    )
    from_name: str = Field("Email Sender", description="Display name beside it.")
    sink_directory: Path | None = Field(
        None, description="Where the local SMTP sink stores mail; unset without a sink."
    )
    max_recipients: int = Field(100, ge=1, le=1000, description="To, Cc and Bcc of one message.")
    max_batch_recipients: int = Field(
        10_000, ge=1, description="The same of all messages of one request together."
    )
    max_attachments_bytes: int = Field(
        10 * 2**20, ge=0, description="All attachments of one message together, before base64."
    )
    max_templates_characters: int = Field(
        8 * 2**20, ge=2**20, description="All templates of one tenant together."
    )
    max_batch_bytes: int = Field(
        32 * 2**20, ge=1, description="HTTP body of one request that sends mail."
    )
    tests_requests_per_second: float = Field(
        1 / 6,
        gt=0,
        le=1_000_000,
        description="`/api/v1/email-settings/test`: rate per caller; each opens a connection.",
    )
    tests_burst_requests: int = Field(
        10, ge=1, le=10_000_000, description="`/api/v1/email-settings/test`: burst per caller."
    )
    requests_per_second: float = Field(
        500, gt=0, le=1_000_000, description="`/api/v1/emails` and below: rate per caller."
    )
    burst_requests: int = Field(
        1000, ge=1, le=10_000_000, description="`/api/v1/emails` and below: burst per caller."
    )
    connections: int = Field(4, ge=1, le=64, description="SMTP connections a worker and server.")
    smtp_timeouts: SmtpTimeouts = Field(
        SmtpTimeouts(), description="Of single steps with a server, as RFC 5321 wants them."
    )
    ehlo_name: str | None = Field(
        None,
        pattern=r"^[!-~]{1,255}$",
        description="How we greet mail servers; unset: this host's full name, else its address.",
    )
    pacing: Pacing = Field(Pacing(), description="How relays are paused and their limits rise.")
    backoff_seconds: float = Field(
        5.0, gt=0, description="Wait after the first deferral; doubles with each, up to an hour."
    )
    give_up_after_seconds: float = Field(
        5 * 86_400.0, gt=0, description="A message that is still deferred then bounces."
    )
    delay_notice_after_seconds: float = Field(
        4 * 3_600.0, gt=0, description="The event `email.delayed` tells of one that waits longer."
    )
    keep_content_days: int = Field(
        90, ge=1, description="What a settled message says is kept so long, if its tenant has none."
    )
    keep_days: int = Field(
        365, ge=1, description="The message itself, with its recipients and its way."
    )
    max_keep_days: int = Field(
        3650, ge=1, le=36_500, description="No tenant keeps either for longer."
    )
    allow_private_relays: bool = Field(
        False,
        description="Let tenants name mail servers on loopback and private networks.",
    )

    @property
    def has_relay(self) -> bool:
        """Whether somebody said where mail goes; the default leads to a sink, if one runs there."""
        return "smtp_url" in self.model_fields_set or self.sink_directory is not None

    @model_validator(mode="after")
    def _content_goes_first(self) -> Self:
        if not self.keep_content_days <= self.keep_days <= self.max_keep_days:
            msg = "keep_content_days <= keep_days <= max_keep_days, please"
            raise ValueError(msg)
        return self

    @field_validator("from_address")
    @classmethod
    def _bare_address(cls, text: str) -> str:
        # Here rather than with the first message of a tenant, which would be refused as our bug.
        mailbox = _parsed(text)
        if mailbox.display_name:
            msg = "the address alone, please; from_name is for the name"
            raise ValueError(msg)
        return mailbox.address

    @field_validator("from_name")
    @classmethod
    def _fits_an_address(cls, text: str) -> str:
        return _parsed(str(Mailbox(text, "a@example.org"))).display_name


def _parsed(text: str) -> Mailbox:
    try:
        return parse_address(text)
    except InvalidAddressError as exc:
        raise ValueError(exc.detail) from exc

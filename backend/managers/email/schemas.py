"""Wire types of e-mail."""

import base64
import ssl
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from backend.http.schemas import Input, Time
from backend.kit.mime import MAX_HEADERS, CalendarMethod
from backend.kit.smtp import Login, PauseKind, Result, StepName
from backend.managers.email._suppressions import MAX_COMMENT, Reason
from backend.managers.email._values import (
    Draft,
    RelayChoice,
    RelayOptions,
    RetryPolicy,
    SettingsChange,
    draft_of,
    refuse_odd,
)

State = Literal[
    "queued", "sending", "accepted", "deferred", "bounced", "partial", "cancelled", "suppressed"
]
Addresses = Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=1000)]
Replies = Annotated[
    list[Annotated[str, Field(max_length=1000)]], Field(min_length=1, max_length=50)
]
# A multiple of four, which is what base64 is made of.
_PIECE_CHARACTERS: Final = 2**18
TemplateName = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
]
RelayName = TemplateName


def _with(*names: str, **bounds: int) -> dict[str, Any]:
    """JSON Schema of an object that has these properties, none of them null."""
    present = {"type": "array", **bounds} if bounds else {"type": "string"}
    return {"required": list(names), "properties": dict.fromkeys(names, present)}


def _few(headers: Any) -> Any:
    # Before each is looked at: a refused field costs more than a good one.
    if isinstance(headers, dict) and len(headers) > MAX_HEADERS:
        msg = f"at most {MAX_HEADERS} headers"
        raise ValueError(msg)
    return headers


def _base64(text: Any) -> bytes:
    """The bytes, decoded in pieces: one call over megabytes would keep everybody waiting."""
    if not isinstance(text, str):
        raise PydanticKnownError("string_type")
    starts = range(0, len(text), _PIECE_CHARACTERS)
    try:
        if starts and text.find("=", 0, starts[-1]) >= 0:
            raise ValueError("only its end may be padded")
        pieces = [
            base64.b64decode(text[at : at + _PIECE_CHARACTERS], validate=True) for at in starts
        ]
    except ValueError as exc:
        raise ValueError("not base64") from exc
    return b"".join(pieces)


class AttachmentIn(Input):
    """One attached file."""

    filename: str = Field(min_length=1, max_length=255, examples=["invoice.pdf"])
    content_type: str = Field(
        "application/octet-stream", max_length=255, examples=["application/pdf"]
    )
    content: Annotated[bytes, BeforeValidator(_base64), WithJsonSchema({"type": "string"})] = Field(
        description="The bytes in base64",
        examples=["SGVsbG8K"],
        json_schema_extra={
            "contentEncoding": "base64",
            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        },
    )
    content_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._@+=-]{1,200}$",
        description="Shows it within the HTML, as `cid:` and this id",
        examples=["logo"],
    )


class CalendarIn(Input):
    """An invitation that mail programs show with buttons to answer."""

    method: CalendarMethod = Field("REQUEST", description="The same as in the content")
    content: str = Field(
        max_length=500_000,
        description="iCalendar (RFC 5545)",
        examples=["BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"],
    )


class EmailCreate(Input):
    """A message to send, from the tenant's own address.

    Give `subject` with `text`, `html` or both; or `template` with `variables`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "to": ["Ada Lovelace <ada@example.test>"],
                    "subject": "Your invoice",
                    "text": "It is attached.",
                    "business_key": "invoice-2026-0001",
                }
            ],
            # The part of _one_content that a schema can say.
            "allOf": [
                {"anyOf": [_with("subject", "text"), _with("subject", "html"), _with("template")]},
                {"anyOf": [_with(kind, minItems=1) for kind in ("to", "cc", "bcc")]},
            ],
        },
    )

    to: Addresses = Field(default_factory=list, description="`a@b.c` or `Name <a@b.c>`")
    cc: Addresses = Field(default_factory=list)
    bcc: Addresses = Field(default_factory=list, description="Never appear in the message")
    subject: str | None = Field(None, max_length=998)
    text: str | None = None
    html: str | None = None
    reply_to: Annotated[str, Field(max_length=1000)] | Replies | None = Field(
        None, description="One address or several"
    )
    from_: Annotated[str, Field(max_length=1000)] | None = Field(
        None,
        alias="from",
        description="`a@b.c` or `Name <a@b.c>`: the tenant's from address, or one of its `senders`",
    )
    message_id: Annotated[str, Field(max_length=998)] | None = Field(
        None,
        description="Chosen by you; null makes one",
        examples=["<order-7@acme.example>"],
    )
    calendar: CalendarIn | None = None
    send_at: Time | None = Field(
        None, description="RFC 3339; not handed over before", examples=["2026-12-24T08:00:00Z"]
    )
    relay: RelayName | None = Field(
        None, description="Name of the relay it goes by; null: the tenant's mail server"
    )
    headers: Annotated[dict[str, str], BeforeValidator(_few)] = Field(
        default_factory=dict, description="Extra header fields, 50 at most"
    )
    attachments: list[AttachmentIn] = Field(default_factory=list, max_length=100)
    template: TemplateName | None = None
    variables: dict[str, Any] = Field(default_factory=dict)
    business_key: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="Names the act. A second message with the same key is not sent: the answer "
        "is the first message under it, with `deduplicated` true.",
    )
    on_key_conflict: Literal["refuse", "return_first"] = Field(
        "refuse",
        description="What a second message under `business_key` gets when it has other recipients "
        "or another subject than the first: a 409, or the first message all the same.",
    )

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        refuse_odd(self)
        return self

    def draft(self) -> Draft:
        """The same, as the manager takes it."""
        return draft_of(self)


class BatchCreate(Input):
    """Up to 500 messages that become durable together or not at all."""

    # The first bad message is named, not all: five hundred may hold very many errors.
    messages: list[EmailCreate] = Field(
        min_length=1,
        max_length=500,
        fail_fast=True,
        examples=[
            [
                {"to": [f"{name}@example.test"], "subject": "Your invoice", "text": "Is attached."}
                for name in ("ada", "grace")
            ]
        ],
    )


class EmailOut(BaseModel):
    """A message and how far it has come."""

    id: str
    message_id: str = Field(examples=["<0199c0de-0000-7000-8000-000000000001@acme.example>"])
    job_id: str
    state: State
    subject: str
    from_: str = Field(validation_alias="sender", serialization_alias="from")
    to: list[str]
    cc: list[str]
    bcc: list[str]
    business_key: str | None
    attempts: int
    size_bytes: int
    created_at: datetime
    updated_at: datetime
    accepted_at: datetime | None
    send_at: datetime | None
    relay: str | None = Field(description="Name of the relay; null: the tenant's mail server")
    created_by: str


class SubmittedOut(EmailOut):
    """A message as its sender sees it."""

    deduplicated: bool = Field(
        description="The business key was used before: nothing was sent now, this is the first "
        "message under it"
    )


class BatchOut(BaseModel):
    """The messages in the order they were given."""

    items: list[SubmittedOut]


class RecipientOut(BaseModel):
    """One address and what the mail server said about it."""

    address: str
    kind: Literal["to", "cc", "bcc"]
    state: State
    response_code: int | None
    response: str | None
    updated_at: datetime


class EventOut(BaseModel):
    """One step on a message's way."""

    at: datetime
    event: Literal[
        "queued",
        "sending",
        "accepted",
        "deferred",
        "delayed",
        "bounced",
        "partial",
        "cancelled",
        "suppressed",
    ]
    attempt: int
    detail: str


class EmailDetail(EmailOut):
    """A message with its recipients and its way."""

    recipients: list[RecipientOut]
    timeline: list[EventOut]


class AttachmentOut(BaseModel):
    """An attachment without its bytes."""

    filename: str
    content_type: str
    content_id: str | None
    size_bytes: int


class ContentOut(BaseModel):
    """What the author wrote."""

    text: str | None
    html: str | None
    headers: dict[str, str]
    attachments: list[AttachmentOut]


class TemplatePut(Input):
    """A template's text; Jinja2 in a sandbox without calls."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_with("text"), _with("html")]})

    subject: str = Field(min_length=1, max_length=998, examples=["Hello {{ name }}"])
    text: str | None = Field(None, examples=["Dear {{ name }}, ..."])
    html: str | None = None

    @model_validator(mode="after")
    def _some_body(self) -> Self:
        if self.text is None and self.html is None:
            msg = "give text, html or both"
            raise ValueError(msg)
        return self


class TemplatePreviewCreate(TemplatePut):
    """A template as it is written now, and what to fill in."""

    variables: dict[str, Any] = Field(default_factory=dict, examples=[{"name": "Ada"}])


class VariableOut(BaseModel):
    """A variable that a template uses."""

    name: str
    required: bool = Field(description="False where it has a `default` or is asked whether it is")


class TemplatePreviewOut(BaseModel):
    """What a template becomes; the texts are null where variables are missing, or it has none."""

    subject: str | None
    text: str | None
    html: str | None
    variables: list[VariableOut]
    missing: list[str]


class TemplateOut(BaseModel):
    """A template; the ETag names this content."""

    name: str
    subject: str
    text: str | None
    html: str | None
    updated_at: datetime


def _certificate(pem: str) -> str:
    try:
        ssl.create_default_context(cadata=pem)
    # The last is what it has for text beyond ASCII.
    except (ssl.SSLError, ValueError, TypeError) as exc:
        msg = "no certificate in PEM"
        raise ValueError(msg) from exc
    return pem


class RelayOptionsIn(Input):
    """How a mail server wants to be used; what is left out is learned from its answers."""

    ehlo_name: str | None = Field(
        None,
        max_length=255,
        pattern=r"^[A-Za-z0-9.\[\]:-]+$",
        description="How it is greeted",
        examples=["mail.acme.example"],
    )
    ca_certificate: Annotated[str, AfterValidator(_certificate)] | None = Field(
        None,
        min_length=1,
        max_length=65_536,
        description="PEM of the authority to trust, for a private one",
    )
    login: Login = Field("password", description="With xoauth2 the password is an access token")
    connections: int | None = Field(None, ge=1, le=64, description="Of one worker at once")
    rate_per_second: float | None = Field(None, ge=0.001, le=10_000, description="Messages")
    messages_per_session: int | None = Field(None, ge=1, le=100_000)
    recipients_per_transaction: int | None = Field(None, ge=1, le=1000)


class SmtpIn(RelayOptionsIn):
    """The tenant's own mail server; a password belongs to a user name."""

    model_config = ConfigDict(
        # Not "dependentRequired": it counts a user name that is null, and a password that is.
        json_schema_extra={
            "not": {
                "required": ["password"],
                "properties": {"password": {"type": "string"}, "username": {"type": "null"}},
            }
        }
    )

    host: str = Field(
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z0-9.:-]+$",
        examples=["mail.acme.example"],
    )
    port: int = Field(587, ge=1, le=65535)
    username: str | None = Field(None, max_length=320)
    password: SecretStr | None = Field(
        None,
        max_length=1000,
        description=(
            "Write-only; omitted keeps the stored one for the same host and port. "
            "Without a user name there is none"
        ),
    )
    tls: Literal["none", "starttls", "implicit"] = "starttls"

    @field_validator("password")
    @classmethod
    def _of_somebody(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        # A user name that was itself refused is missing here, and has its own error already.
        if password is not None and info.data.get("username", "") is None:
            msg = "a password needs a user name"
            raise ValueError(msg)
        return password

    def choice(self) -> RelayChoice:
        """The same, as the manager takes it."""
        return RelayChoice(
            host=self.host,
            port=self.port,
            username=self.username,
            password=self.password.get_secret_value() if self.password else None,
            tls=self.tls,
            options=RelayOptions(**self.model_dump(include=set(RelayOptionsIn.model_fields))),
        )


class SmtpOut(BaseModel):
    """The tenant's own mail server, without its password."""

    host: str
    port: int
    username: str | None
    tls: str
    ehlo_name: str | None
    ca_certificate: str | None
    login: Login
    connections: int | None
    rate_per_second: float | None
    messages_per_session: int | None
    recipients_per_transaction: int | None


class RetryIn(Input):
    """When a deferred message is tried again, and for how long."""

    waits_seconds: list[Annotated[float, Field(ge=1, le=86_400)]] = Field(
        min_length=1,
        max_length=50,
        description="From one try to the next; the last repeats",
        examples=[[60, 300, 900, 3600]],
    )
    give_up_after_seconds: float = Field(
        432_000, ge=60, le=2_592_000, description="Then it bounces; RFC 5321 asks for 4 to 5 days"
    )
    delay_notice_after_seconds: float = Field(
        14_400, ge=60, le=2_592_000, description="`email.delayed` tells of one that waits longer"
    )


class RetryOut(BaseModel):
    """When a deferred message is tried again, and for how long."""

    waits_seconds: list[float]
    give_up_after_seconds: float
    delay_notice_after_seconds: float


class RelayPauseOut(BaseModel):
    """Why nothing is handed to the mail server just now."""

    sender: str | None = Field(description="Whose mail waits; null: everybody's")
    kind: PauseKind = Field(
        description="`refused`: it will not have us, and only a person can mend that"
    )
    code: int | None
    reason: str
    since: datetime
    until: datetime = Field(description="Then one message tries")


class RelayLimitsOut(BaseModel):
    """What the mail server is asked for at most; null is no limit."""

    connections: int
    rate_per_second: float | None
    messages_per_session: int | None
    recipients_per_transaction: int | None


class RelayOut(BaseModel):
    """A mail server that mail of the tenant goes to, as its answers have shown it."""

    name: str = Field(
        description="Host and port; before them, of a named relay, its name and @",
        examples=["mail.acme.example:587"],
    )
    provider: str | None = Field(description="Whose it is, if it is a known one")
    state: Literal["ok", "slowed", "paused"]
    pauses: list[RelayPauseOut]
    limits: RelayLimitsOut = Field(description="Of now")
    usual: RelayLimitsOut = Field(
        description="What the settings, its provider and the platform allow: `limits`, without what"
        " its answers taught"
    )
    accepted_at: datetime | None = Field(
        description="When it last took a message of this tenant, to the minute"
    )


class KeptOut(BaseModel):
    """For how many days mail is kept, whoever says so."""

    content_days: int
    days: int
    usual_content_days: int = Field(description="Where the tenant says nothing")
    usual_days: int
    most_days: int = Field(description="What a tenant may ask for at most")


class EmailSettingsPut(Input):
    """How the tenant sends."""

    from_address: str = Field(
        max_length=254, examples=["billing@acme.example"], json_schema_extra={"format": "email"}
    )
    from_name: str = Field("", max_length=100)
    smtp: SmtpIn | None = Field(None, description="Null uses the platform's mail server")
    suppress_hard_bounces: bool = Field(
        False, description="Suppress an address when its mail server says that it does not exist"
    )
    keep_content_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="What settled messages say is kept so long; null: the platform's",
    )
    keep_days: int | None = Field(
        None, ge=1, le=36_500, description="The messages themselves; null: the platform's"
    )
    retry: RetryIn | None = Field(None, description="Null: as the platform does")
    senders: list[Annotated[str, Field(max_length=254)]] = Field(
        default_factory=list,
        max_length=100,
        description="Other addresses that a message may be from, or `@` and a domain",
        examples=[["sales@acme.example", "@shop.acme.example"]],
    )

    def change(self) -> SettingsChange:
        """The same, as the manager takes it."""
        smtp = self.smtp
        return SettingsChange(
            from_address=self.from_address,
            from_name=self.from_name,
            smtp=None if smtp is None else smtp.choice(),
            suppress_hard_bounces=self.suppress_hard_bounces,
            keep_content_days=self.keep_content_days,
            keep_days=self.keep_days,
            retry=None if self.retry is None else RetryPolicy(**self.retry.model_dump()),
            senders=self.senders,
        )


class EmailSettingsOut(BaseModel):
    """How the tenant sends; the ETag names this version."""

    from_address: str
    from_name: str
    smtp: SmtpOut | None
    suppress_hard_bounces: bool
    keep_content_days: int | None
    keep_days: int | None
    kept: KeptOut
    retry: RetryOut | None = Field(description="Null: as the platform does")
    senders: list[str]
    relay: RelayOut
    warning: str | None = Field(
        None, description="Of a change that was saved: what may keep mail from going out"
    )


class EmailTestCreate(Input):
    """A test message, and the settings to send it by if not those that are saved."""

    to: str = Field(
        max_length=1000, examples=["ada@example.test"], json_schema_extra={"format": "email"}
    )
    settings: EmailSettingsPut | None = Field(
        None, description="As if these were saved; null: as it is saved now"
    )


class DialogueStepOut(BaseModel):
    """One thing that was done with the mail server, and what it said to that."""

    name: StepName
    at_ms: float = Field(description="Since the beginning")
    took_ms: float
    sent: str = Field(description="The line that went out; log-ins are hidden")
    code: int | None
    said: str = Field(description="The answer's lines, or what went wrong where there was none")
    ok: bool


class CertificateOut(BaseModel):
    """Who the mail server proved to be, and how the line is encrypted."""

    subject: str
    issuer: str
    names: list[str]
    not_before: datetime
    not_after: datetime
    sha256: str = Field(description="Fingerprint, in hexadecimal digits")
    protocol: str = Field(examples=["TLSv1.3"])
    cipher: str


class EmailTestOut(BaseModel):
    """What became of a test message, step by step."""

    result: Result = Field(
        description="`accepted`: the mail server took it. `refused` and `later` are its own words; "
        "`unsure`: the message was sent and nothing was said of it"
    )
    step: StepName = Field(description="Where it was decided")
    summary: str = Field(description="The result in a sentence, for people")
    advice: str = Field(description="What can be done about it; empty when there is nothing to do")
    code: int | None
    said: str = Field(description="The words that decided")
    server: str = Field(description="Host and port", examples=["mail.acme.example:587"])
    sender: str
    to: str
    message_id: str
    took_ms: float
    steps: list[DialogueStepOut]
    certificate: CertificateOut | None = Field(description="Null: the line was not encrypted")


class EmailRelayPut(Input):
    """A mail server that messages may name."""

    smtp: SmtpIn
    from_address: str | None = Field(
        None,
        max_length=254,
        description="Who messages that name it are from, if they do not say; null: as all others",
        examples=["news@acme.example"],
    )


class EmailRelayOut(BaseModel):
    """A mail server that messages may name; the ETag names this version."""

    name: str
    from_address: str | None
    smtp: SmtpOut
    relay: RelayOut
    updated_at: datetime
    warning: str | None = Field(
        None, description="Of a change that was saved: what may keep mail from going out"
    )


class RelayTestOut(BaseModel):
    """Whether a mail server serves us now. No message was sent."""

    works: bool
    detail: str = Field(description="What it said, or why it was not reached")
    milliseconds: int | None


class SuppressionCreate(Input):
    """An address that is not to be mailed."""

    address: str = Field(max_length=320, examples=["ada@example.test"])
    comment: str = Field("", max_length=MAX_COMMENT, examples=["asked on the phone"])
    expires_at: Time | None = Field(
        None, description="RFC 3339; null: for ever", examples=["2099-12-31T23:59:59Z"]
    )


class SuppressionOut(BaseModel):
    """An address that is not mailed."""

    id: str
    address: str
    reason: Reason = Field(description="How it came onto the list")
    comment: str = Field(description="Of who added it, or the mail server's words")
    created_at: datetime
    created_by: str
    expires_at: datetime | None


class ImportedOut(BaseModel):
    """What became of an imported file."""

    added: int
    known: int = Field(description="Addresses that were on the list and stay as they are")

"""Wire types of webhooks."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from backend.http.schemas import PRINTED, Input, Name, ShownOnce, Time
from backend.managers.webhooks._endpoints import MAX_KINDS, WebhookDraft

Kind = Annotated[str, Field(max_length=100, pattern=r"^[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*$")]


class WebhookPut(Input):
    """A program that is told of events."""

    name: Name = Field(examples=["Orders"])
    url: Annotated[str, Field(max_length=2000)] | None = Field(
        None,
        json_schema_extra={"format": "uri"},
        examples=["https://hooks.example.com/events"],
        description="An https address; null in a change: as it was",
    )
    kinds: Annotated[list[Kind], Field(min_length=1, max_length=MAX_KINDS)] = Field(
        examples=[["webhook.stopped"]],
        description="Of which events; whoever asks may read them",
    )
    subject: Annotated[str, Field(max_length=200, pattern=rf"^$|{PRINTED}")] = Field(
        "", description="What they are about begins so: `alert:`; empty: anything"
    )
    enabled: bool = True

    def draft(self) -> WebhookDraft:
        """As the webhooks have it."""
        said = self.model_dump(include=set(WebhookPut.model_fields))
        return WebhookDraft(**said)


class WebhookPost(WebhookPut):
    """A program that is to be told of events."""

    url: Annotated[str, Field(max_length=2000)] = Field(
        json_schema_extra={"format": "uri"},
        examples=["https://hooks.example.com/events"],
        description="An https address",
    )
    since_seq: int | None = Field(
        None, ge=0, description="Events after this number; null: what comes from now on"
    )

    def draft(self) -> WebhookDraft:
        """As the webhooks have it."""
        return WebhookDraft(**self.model_dump())


class WebhookReplay(Input):
    """From where on it is told again."""

    after_seq: int | None = Field(
        None, ge=0, examples=[0], description="Of all events after this number"
    )
    since: Time | None = Field(
        None, description="Instead: of all events since this time, as far as they are kept"
    )


class WebhookOut(BaseModel):
    """A webhook; of its address the host alone is told."""

    id: str
    name: str
    host: str
    kinds: list[str]
    subject: str
    enabled: bool
    stopped_why: str | None = Field(description="Why it was stopped, if nobody has stopped it")
    key_version: int = Field(description="Which of its secrets signs: `Webhook-Key-Id`")
    seq: int = Field(description="The last event that it is past")
    behind: int = Field(description="Events after that, of all kinds")
    failures: int = Field(description="Tries in a row that failed")
    failing_since: datetime | None
    last_error: str | None
    next_try_at: datetime | None = Field(description="While it fails")
    delivered_at: datetime | None
    version: str = Field(description="Goes into If-Match as the ETag does")
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class WebhookMadeOut(ShownOnce, WebhookOut):
    """A webhook, and the secret of its signatures."""

    secrets = ("secret",)
    another = "Rotate its secret to get another."

    secret: str | None = Field(
        None, description="Shown this once: Standard Webhooks, HMAC-SHA256 (`whsec_...`)"
    )


class WebhookDeliveryOut(BaseModel):
    """One try to tell it of one event."""

    id: str
    seq: int
    event_id: str = Field(description="The same at each try: `webhook-id`")
    kind: str
    subject: str
    at: datetime
    outcome: Literal["delivered", "failed", "refused", "missed"] = Field(
        description="failed: it is tried again; refused: it is not; "
        "missed: events were no longer kept"
    )
    attempt: int
    status: int | None = Field(description="What was answered; null: nothing was")
    milliseconds: int
    error: str | None


class WebhookDeliveryDetailOut(WebhookDeliveryOut):
    """The same with what was sent."""

    body: dict[str, Any] | None = Field(description="null: it is not kept, or was a test")

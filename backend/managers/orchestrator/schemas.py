"""Wire types of jobs."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from backend.http.pagination import CursorText
from backend.http.schemas import Input, Time
from backend.managers.orchestrator.kinds import RetryableState, State


class JobOut(BaseModel):
    """A job: one piece of background work and what became of it."""

    id: str
    kind: str = Field(examples=["email.send"])
    state: State
    attempt: int = Field(description="Attempts started so far; a retry counts on")
    max_attempts: int = Field(
        description="Of these, how many may have failed; a retry adds all anew"
    )
    priority: int = Field(description="Higher starts earlier within the tenant")
    due_at: datetime
    created_at: datetime
    started_at: datetime | None = Field(description="Start of the latest attempt; null: none yet")
    finished_at: datetime | None
    worker: str | None
    error: str | None = Field(description="Why the latest attempt failed")
    result: Any
    subject: str | None = Field(description="What the job is about, as `<noun>:<id>`")
    cancel_requested: bool = Field(description="Asked to stop; a running attempt may not have yet")
    trace_id: str | None = Field(
        description="Trace of the request that submitted it, and of its attempts; null: of none"
    )


class JobsRetry(Input):
    """Which jobs to start again: those that a list has with the same filters, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"state": "dead", "kind": "email.send"}]}
    )

    state: RetryableState = "dead"
    kind: str | None = Field(None, max_length=100, examples=["email.send"])
    created_after: Time | None = Field(None, description="RFC 3339; made then or later")
    created_before: Time | None = Field(None, description="RFC 3339; made earlier")
    limit: int = Field(100, ge=1, le=200, description="Jobs a part")
    cursor: CursorText | None = Field(None, description="`next_cursor` of the part before")


class JobsRetriedOut(BaseModel):
    """What became of a part; `next_cursor` asks for the part after it, and is null on the last."""

    retried: int
    refused: int = Field(
        description="Left as they are: what their mail said is no longer kept, for one"
    )
    next_cursor: str | None

"""Wire types of jobs."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from backend.managers.orchestrator.kinds import State


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

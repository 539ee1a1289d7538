"""Wire types of jobs."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from backend.http.pagination import CursorText
from backend.http.schemas import IdText, Input, Time
from backend.managers.orchestrator._attempts import KEPT
from backend.managers.orchestrator._lists import (
    LOOKED_AT,
    MOST_COUNTED,
    MOST_COUNTS,
    MOST_FAILURES,
)
from backend.managers.orchestrator.kinds import (
    MAX_LINE_CHARS,
    AttemptOutcome,
    CancellableState,
    RetryableState,
    State,
)


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
    graph_id: str | None = Field(description="Of a task of a graph of jobs: which")
    task: str | None = Field(description="Its name in its graph; null: it is of none")
    trace_id: str | None = Field(
        description="Trace of the request that submitted it, and of its attempts; null: of none"
    )


class Work(Input):
    """What a job is to do and how hard it is tried, alone or as a task of a graph."""

    kind: str = Field(
        max_length=100,
        pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$",
        description="One that `GET /api/v1/job-kinds` lists",
        examples=["http.request"],
        json_schema_extra={"format": "job-kind"},
    )
    args: dict[str, Any] = Field(
        default_factory=dict, description="What its kind takes; operators see it: no secrets"
    )
    priority: int = Field(0, ge=-100, le=100, description="Higher starts earlier")
    delay_seconds: float = Field(0.0, ge=0, le=30 * 86_400, allow_inf_nan=False)
    max_attempts: int = Field(5, ge=1, le=100)
    backoff_seconds: float = Field(
        1.0,
        ge=0.1,
        le=3600,
        allow_inf_nan=False,
        description="Wait after the first failure; doubles with each",
    )
    timeout_seconds: float = Field(
        60.0, ge=1, le=3600, allow_inf_nan=False, description="What one attempt may take"
    )


class JobCreate(Work):
    """A job."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "http.request",
                    "args": {"method": "POST", "url": "https://books.example/close"},
                    "max_attempts": 3,
                }
            ]
        }
    )

    dedup_key: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="One job of its kind has it as long as that is kept",
    )


class JobRetry(Input):
    """How to start a job again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"args": {"url": "https://books.example/close"}}]}
    )

    args: dict[str, Any] | None = Field(
        None, description="What it is given from now on, all of it; null: what it was given"
    )


class JobArgsOut(BaseModel):
    """What a job is given."""

    args: dict[str, Any] = Field(examples=[{"url": "https://books.example/close"}])


class JobPayloadOut(BaseModel):
    """What a job is given, as it may be shown to whoever sees the job."""

    args: dict[str, Any] | None = Field(
        description="Without what the tenant has hidden in its log lines (`[credential]` and the "
        "like); null: they are the product's own, or told of a person who was forgotten",
        examples=[{"url": "https://books.example/close", "token": "[credential]"}],
    )


class JobAttemptOut(BaseModel):
    """One attempt at a job."""

    attempt: int = Field(description="Which, from 1; a retry counts on")
    outcome: AttemptOutcome = Field(
        description="What became of it; `crashed`: its worker died, or fell silent, while it ran"
    )
    worker: str | None = Field(
        description="Who ran it; null: it waited for an answer from elsewhere"
    )
    started_at: datetime | None
    ended_at: datetime | None = Field(description="When that was recorded; null: it goes on")
    error: str | None = Field(description="Why it did not succeed", examples=["It answered 503"])


class JobAttemptsOut(BaseModel):
    """The latest attempts at a job, the newest first."""

    items: list[JobAttemptOut] = Field(description=f"At most {KEPT} that did not succeed")


class JobKindOut(BaseModel):
    """A kind of job that may be submitted."""

    kind: str = Field(examples=["http.request"])
    args: dict[str, Any] = Field(description="JSON Schema of what it takes")
    permissions: list[str] = Field(
        description="Those that its submitter may have to hold beside `job:write`, by its `args`",
        examples=[["email:send"]],
    )


class JobKindsOut(BaseModel):
    """All of them, by their names."""

    items: list[JobKindOut]


class JobCountOut(BaseModel):
    """How many jobs of a kind are in a state."""

    kind: str = Field(examples=["email.send"])
    state: State
    count: int
    at_least: bool = Field(description=f"There are more: counting stops at {MOST_COUNTED}")


class JobFailureOut(BaseModel):
    """Dead jobs of a kind that failed alike."""

    kind: str = Field(examples=["http.request"])
    error: str = Field(
        description="The first line of why, of which jobs in many parts are found again",
        examples=["It answered 503"],
    )
    count: int
    job_id: str = Field(description="The newest of them")


class JobTotalsOut(BaseModel):
    """How many jobs there are by kind and state, and why the newest dead ones died."""

    items: list[JobCountOut] = Field(description="By kind and state; what there is none of, is not")
    complete: bool = Field(description=f"False: of more than {MOST_COUNTS} the first")
    failures: list[JobFailureOut] = Field(
        description=f"Of dead jobs, the {MOST_FAILURES} most frequent"
    )
    failures_of: int = Field(
        description=f"So many dead jobs were looked at for that, of the newest {LOOKED_AT}"
    )


class JobsPart(Input):
    """Which jobs: those that a list has with the same filters, newest first, part by part."""

    kind: str | None = Field(None, max_length=100, examples=["email.send"])
    subject: str | None = Field(
        None,
        max_length=200,
        description="What it is about",
        examples=["email:0192f7a4-3c1e-7a40-9d0e-5b7c2f4e8a11"],
    )
    graph_id: IdText | None = Field(None, description="Of this graph")
    created_after: Time | None = Field(None, description="RFC 3339; made then or later")
    created_before: Time | None = Field(None, description="RFC 3339; made earlier")
    error: str | None = Field(
        None,
        max_length=MAX_LINE_CHARS,
        description="The first line of why the latest attempt failed, as totals have it",
        examples=["It answered 503"],
    )
    limit: int = Field(100, ge=1, le=200, description="Jobs that a part looks at")
    cursor: CursorText | None = Field(None, description="`next_cursor` of the part before")


class JobsRetry(JobsPart):
    """Which jobs to start again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"state": "dead", "kind": "email.send"}]}
    )

    state: RetryableState = "dead"


class JobsCancel(JobsPart):
    """Which jobs to cancel."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"state": "ready", "kind": "http.request"}]}
    )

    state: CancellableState = "ready"


class JobsRetriedOut(BaseModel):
    """What became of a part; `next_cursor` asks for the part after it, and is null on the last."""

    retried: int
    refused: int = Field(
        description="Left as they are: what their mail said is no longer kept, for one"
    )
    next_cursor: str | None


class JobsCancelledOut(BaseModel):
    """What became of a part; `next_cursor` asks for the part after it, and is null on the last."""

    cancelled: int = Field(description="Waited, and have ended")
    asked: int = Field(description="Run, and are asked to stop")
    next_cursor: str | None

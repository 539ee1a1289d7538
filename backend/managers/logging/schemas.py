"""Wire types of logs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from backend.http.schemas import Input
from backend.managers.logging._redaction import MAX_PATTERN, MAX_PATTERNS

Level = Literal["trace", "debug", "info", "warn", "error", "fatal"]
HiddenKind = Literal[
    "credential",
    "bearer_token",
    "jwt",
    "private_key",
    "email_address",
    "ip_address",
    "card_number",
]
Source = Annotated[str, Field(max_length=200, examples=["shop"])]


class LogRecordOut(BaseModel):
    """One line; `at` is its own time, `seq` its place among the tenant's lines as they came."""

    id: str
    seq: int
    at: datetime
    received_at: datetime
    level: Level
    severity: int = Field(description="As OpenTelemetry numbers it, 1 to 24")
    source: str
    message: str
    fields: dict[str, Any]
    trace_id: str | None
    span_id: str | None
    request_id: str | None
    workflow_id: str | None
    execution_id: str | None


class LogLinesOut(BaseModel):
    """Some lines, in the order in which they happened."""

    items: list[LogRecordOut]


class LogTailOut(BaseModel):
    """What came, in the order of coming; `seq` is what to ask with the next time."""

    items: list[LogRecordOut]
    seq: int


class LogStepOut(BaseModel):
    """How many lines of each level there are in a step of time that begins at `at`."""

    at: datetime
    levels: dict[str, int]


class LogFacetOut(BaseModel):
    """How often a value occurs."""

    value: str
    count: int


class LogSummaryOut(BaseModel):
    """What lines sum up to; `complete` is false when only the newest 200 000 were counted."""

    count: int
    step_seconds: int
    steps: list[LogStepOut]
    levels: list[LogFacetOut]
    sources: list[LogFacetOut]
    complete: bool


class KeepRuleModel(Input):
    """How long lines of some levels, or of a source, are kept."""

    days: Annotated[int, Field(ge=1, examples=[7])]
    levels: list[Level] = Field([], max_length=6, examples=[["trace", "debug"]])
    source: Source | None = None


class KeepRuleOut(BaseModel):
    """How long lines of some levels, or of a source, are kept."""

    days: int
    levels: list[Level]
    source: str | None


class PatternModel(Input):
    """What is taken out of lines: an expression of RE2, and the name that stands there instead."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,39}$", examples=["customer_number"])]
    expression: Annotated[
        str, Field(min_length=1, max_length=MAX_PATTERN, examples=[r"\bC-[0-9]{6}\b"])
    ]


class PatternOut(BaseModel):
    """What is taken out of lines."""

    name: str
    expression: str


class LogSettingsPut(Input):
    """What a tenant says of its logs, all of it anew."""

    keep_days: Annotated[int, Field(ge=1, examples=[30])]
    retention: list[KeepRuleModel] = Field(
        [], max_length=50, description="The first that is about a line decides"
    )
    hidden: list[HiddenKind] = Field(
        ["credential", "bearer_token", "jwt", "private_key"],
        max_length=20,
        description="Kinds that are taken out of lines",
    )
    patterns: list[PatternModel] = Field([], max_length=MAX_PATTERNS)


class LogSettingsOut(BaseModel):
    """What a tenant says of its logs."""

    keep_days: int
    retention: list[KeepRuleOut]
    hidden: list[HiddenKind]
    patterns: list[PatternOut]
    updated_at: datetime | None
    updated_by: str | None

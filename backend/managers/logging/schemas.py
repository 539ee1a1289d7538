"""Wire types of logs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from backend.http.pagination import Page
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


class LogStoreOut(BaseModel):
    """Which store an answer comes from, and what Elasticsearch has not got, where it is configured.

    Lines that are not exported yet, and those that Elasticsearch refuses, are looked for in the
    database: they are in the answer from either.
    """

    name: Literal["database", "elasticsearch"]
    behind_records: int = Field(description="Lines that are not exported yet")
    behind_seconds: float = Field(description="How long the first of these has waited")
    given_up_records: int = Field(
        description="Dead letters that were given up: the answer of `elasticsearch` lacks them"
    )
    reason: str | None = Field(
        description="Why the database answers although Elasticsearch is configured"
    )


class LogRecordPage(Page[LogRecordOut]):
    """A part of the lines; `next_cursor` asks for the part after it, and is null on the last."""

    store: LogStoreOut


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
    """What lines sum up to; `complete` is false when only the newest 200 000 were counted.

    Elasticsearch counts all of them.
    """

    count: int
    step_seconds: int
    steps: list[LogStepOut]
    levels: list[LogFacetOut]
    sources: list[LogFacetOut]
    complete: bool
    store: LogStoreOut


class LogPatternOut(BaseModel):
    """Lines that are alike."""

    pattern: str = Field(description="What they have in common; `<n>`, `<id>` ... differ")
    count: int
    levels: list[LogFacetOut] = Field(description="The worst first")
    sources: list[LogFacetOut] = Field(description="Three at most")
    first_at: datetime = Field(description="Of those that were looked at")
    last_at: datetime
    last_id: str = Field(description="The last line")
    example: str = Field(description="How its message begins")
    is_new: bool | None = Field(
        description="Whether none before the stretch was alike; null: there is none before it"
    )


class LogTalkerOut(BaseModel):
    """A source, and how much of what was looked at it said."""

    source: str
    count: int
    size_bytes: int = Field(description="Of its messages")


class LogPatternsOut(BaseModel):
    """What log lines have in common."""

    items: list[LogPatternOut] = Field(description="Those of most lines first")
    patterns: int = Field(description="How many there are, shown or not")
    looked_at: int = Field(description="Lines that they are made of")
    complete: bool = Field(description="Whether these are all lines of the stretch")
    compared: int = Field(description="Lines before the stretch that were compared with")
    compared_since: datetime | None = Field(description="When the first of these was")
    talkers: list[LogTalkerOut] = Field(description="Those of most lines first")


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


class LogExportOut(BaseModel):
    """How far the tenant's lines have come on their way to Elasticsearch.

    Of the lines that have been passed each is `exported`, `dead` (refused, and nobody has decided),
    `forgotten` (given up) or `lost` (let go by retention before it was exported).
    """

    state: Literal["off", "current", "behind", "failing"]
    stream: str | None = Field(description="The data stream that they go to")
    seq: int = Field(description="What became of the lines up to here is known")
    behind_records: int = Field(description="Lines that came after them")
    behind_seconds: float = Field(description="How long the first of these has waited")
    exported: int
    dead: int
    forgotten: int
    lost: int
    failures: int = Field(description="Turns in a row that ended with lines left")
    last_error: str | None
    next_try_at: datetime | None
    delivered_at: datetime | None


class DeadLetterOut(BaseModel):
    """A line that Elasticsearch does not take, and why; `seq` is the line's."""

    id: str
    seq: int
    document_id: str = Field(description="The `_id` that the line would have")
    stream: str
    status: int
    kind: str
    reason: str
    at: datetime
    retrying: bool = Field(description="Whether it is about to be tried once more")


_LetterId = Annotated[
    str,
    Field(
        pattern="^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        examples=["01990b6e-2a4b-7c3d-8e5f-0123456789ab"],
    ),
]


class DeadLettersSelect(Input):
    """Which dead letters: these, or none named: the oldest thousand."""

    ids: Annotated[list[_LetterId], Field(min_length=1, max_length=200)] | None = None


class DeadLettersOut(BaseModel):
    """Of how many dead letters it was done; of none named there may be more."""

    count: int

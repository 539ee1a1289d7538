"""Wire types of dashboards: a panel's question is in the words of the API that answers it."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from backend.http.schemas import PRINTED, Input, Name

_VARIABLE: Final = r"\$\{[a-z][a-z0-9_]*\}"
_MAX_PANELS: Final = 40
_MAX_VARIABLES: Final = 10
Line = Annotated[str, Field(max_length=200, pattern=PRINTED)]
"""What may be a variable, too: ``${name}`` stands for its value."""
Lines = Annotated[list[Line], Field(max_length=16)]


class MetricPanel(Input):
    """Asks `GET /api/v1/metrics/query`."""

    name: Annotated[
        str, Field(max_length=128, pattern=rf"^([a-zA-Z_:][a-zA-Z0-9_:]*|{_VARIABLE})$")
    ] = Field(examples=["orders_total"])
    aggregate: Literal["rate", "sum", "count", "avg", "min", "max", "last", "quantile"] = Field(
        examples=["sum"]
    )
    quantile: float = Field(0.95, ge=0, le=1)
    label: Lines = Field([], description="`name=value`: only series that have it")
    by: Lines = Field([], description="A line for each set of values of these labels")
    top: int = Field(10, ge=1, le=20)
    with_week_before: bool = False


class PrometheusPanel(Input):
    """Asks `GET /api/v1/prometheus/query-range`; of the platform's dashboards, the platform's."""

    query: Annotated[str, Field(min_length=1, max_length=4000)] = Field(examples=["up"])


class LogsPanel(Input):
    """Asks `GET /api/v1/logs` for lines, or `GET /api/v1/logs/summary` for counts."""

    show: Literal["levels", "sources", "lines"] = "levels"
    level: Annotated[str, Field(max_length=40, pattern=rf"^([a-z]+|{_VARIABLE})$")] | None = None
    source: Line | None = None
    words: Annotated[str, Field(min_length=1, max_length=500, pattern=PRINTED)] | None = None


class TracesPanel(Input):
    """Asks `GET /api/v1/traces`, or `GET /api/v1/trace-operations` for rates and times.

    Operations are of the last six hours at most, and narrowed down by the service alone.
    """

    show: Literal["operations", "newest"] = "operations"
    service: Line | None = None
    operation: Line | None = None
    workflow_id: Line | None = None
    failed: bool | None = None
    min_ms: float | None = Field(None, ge=0, le=1e12)


class SloPanel(Input):
    """Asks `GET /api/v1/slos`; of the platform's dashboards, the platform's objectives."""

    name: Line | None = Field(None, description="Of one objective; unless given, all of them")


OverviewFigure = Literal["requests", "latency", "errors", "delivery", "email_states", "job_states"]


class OverviewPanel(Input):
    """Asks `GET /api/v1/overview`, which has a day at most."""

    show: OverviewFigure = "requests"


class UsagePanel(Input):
    """Asks `GET /api/v1/usage`, which counts by day."""

    show: Literal["requests", "emails_accepted", "emails_bounced", "jobs_ended"] = "requests"


class AuditPanel(Input):
    """Asks `GET /api/v1/audit/facets`; of the platform's dashboards, the platform's trail."""

    show: Literal["time", "actions", "actors"] = "time"
    action: Line | None = None
    actor: Line | None = None


class TextPanel(Input):
    """Says something, in Markdown without HTML."""

    markdown: Annotated[str, Field(min_length=1, max_length=4000)]


class DashboardPanel(Input):
    """A panel: its place in a grid of twelve columns, and exactly one question.

    Panels of one `row` stand side by side; a row is as high as its highest panel.
    """

    title: Name = Field(examples=["Orders"])
    row: int = Field(0, ge=0, le=99)
    column: int = Field(0, ge=0, le=11)
    width: int = Field(12, ge=1, le=12)
    height: int = Field(4, ge=1, le=10, description="In steps of 70 pixels")
    metric: MetricPanel | None = None
    prometheus: PrometheusPanel | None = None
    logs: LogsPanel | None = None
    traces: TracesPanel | None = None
    slo: SloPanel | None = None
    overview: OverviewPanel | None = None
    usage: UsagePanel | None = None
    audit: AuditPanel | None = None
    text: TextPanel | None = None


class DashboardVariable(Input):
    """What may be chosen while one looks; `${name}` in a question stands for it."""

    name: Annotated[str, Field(max_length=32, pattern="^[a-z][a-z0-9_]*$")]
    values: list[Line] = Field([], max_length=50, description="To choose among; none: any text")
    default: Annotated[str, Field(max_length=200)] = ""


class DashboardPut(Input):
    """All that is on a dashboard."""

    name: Name = Field(examples=["Orders by shop"])
    description: Annotated[str, Field(max_length=500)] = ""
    variables: list[DashboardVariable] = Field([], max_length=_MAX_VARIABLES)
    panels: list[DashboardPanel] = Field(
        max_length=_MAX_PANELS,
        examples=[[{"title": "Orders", "metric": {"name": "orders_total", "aggregate": "sum"}}]],
    )
    range_minutes: int = Field(
        60, ge=5, le=90 * 1440, description="Unless the page's address says otherwise"
    )


OfTenant = Literal["person", "tenant"]


class DashboardCreate(DashboardPut):
    """The same, and who sees it: `person`, who makes it, or all who may in the tenant."""

    visibility: OfTenant = Field("tenant", examples=["tenant"])


class DashboardDocument(DashboardPut):
    """A dashboard as a file: what it was in, and in which form it is told."""

    format: Literal["email-sender.dashboard"] = Field(examples=["email-sender.dashboard"])
    schema_version: Literal[1] = Field(examples=[1])


class PlatformDashboardImport(Input):
    """A file of a dashboard, and what it is to be called here."""

    name: Name | None = Field(
        None, examples=["Orders by shop"], description="Unless given, as the file says"
    )
    document: DashboardDocument


class DashboardImport(PlatformDashboardImport):
    """The same, and who sees it."""

    visibility: OfTenant = Field("tenant", examples=["tenant"])


class DashboardOut(BaseModel):
    """A dashboard without what is on it; `version` goes into If-Match as the ETag does."""

    id: str
    name: str
    description: str
    visibility: Literal["person", "tenant", "platform"]
    panel_count: int
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class _Content(BaseModel):
    variables: list[DashboardVariable]
    panels: list[DashboardPanel]
    range_minutes: int


class DashboardDetailOut(DashboardOut, _Content):
    """A dashboard with what is on it."""


class DashboardVersionOut(BaseModel):
    """What a dashboard was called at a version, and who saved it."""

    version: int
    name: str
    description: str
    panel_count: int
    saved_at: datetime
    saved_by: str


class DashboardVersionsOut(BaseModel):
    """The newest twenty, the current one first."""

    items: list[DashboardVersionOut]


class DashboardVersionDetailOut(DashboardVersionOut, _Content):
    """What was on it at a version."""


class DashboardTemplateOut(_Content):
    """A dashboard that ships: to look at, and to copy; `key` is its name for ever."""

    key: str
    name: str
    description: str


class DashboardTemplatesOut(BaseModel):
    """All of them, in the order in which they are shown."""

    items: list[DashboardTemplateOut]


def content_of(body: DashboardPut) -> dict[str, Any]:
    """What is kept of a body: questions that were not asked are no null in it."""
    kept = body.model_dump(include=set(DashboardPut.model_fields))
    kept["panels"] = [one.model_dump(exclude_none=True) for one in body.panels]
    return kept

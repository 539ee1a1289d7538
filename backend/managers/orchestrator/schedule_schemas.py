"""Wire types of schedules."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.http.schemas import Day, Input, Time
from backend.kit.cron import Repeated, Skipped
from backend.kit.recurrence import Unit
from backend.managers.orchestrator._schedules import Schedule, ScheduleDraft
from backend.managers.orchestrator._timing import MOST_SHOWN
from backend.managers.orchestrator.graph_schemas import TaskModel

ZoneName = Annotated[
    str,
    Field(
        max_length=64,
        pattern="^[A-Za-z0-9_+/-]+$",
        examples=["Europe/Paris"],
        description="Of the IANA's database",
    ),
]


ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$")]
PeriodDay = Annotated[str, Field(min_length=1, max_length=12)]
SkippedPolicy = Annotated[Skipped, Field(description="What becomes of a time that clocks skip")]
RepeatedPolicy = Annotated[
    Repeated, Field(description="Which is meant of a time that clocks show twice")
]


class CronTimingModel(Input):
    """Crontab's times by the clocks of a zone."""

    type: Literal["cron"]
    expression: str = Field(
        min_length=1,
        max_length=200,
        examples=["30 2 * * mon-fri"],
        description="Five fields as in crontab, or six with seconds before them",
    )
    zone: ZoneName = "UTC"
    skipped: SkippedPolicy = "shift"
    repeated: RepeatedPolicy = "first"


class CalendarTimingModel(Input):
    """Times of some days of each so many days, weeks, months or years."""

    type: Literal["calendar"]
    since: Day = Field(
        description="Nothing is due before it, and periods are counted from the one it is in"
    )
    times: list[ClockTime] = Field(
        min_length=1,
        max_length=24,
        examples=[["18:00"]],
        description="What clocks show, as `HH:MM` or `HH:MM:SS`",
    )
    unit: Unit = "day"
    every: int = Field(1, ge=1, le=1000, description="Of so many periods the first")
    days: list[PeriodDay] = Field(
        [],
        max_length=31,
        examples=[["-1workday"]],
        description="Of a week `mon` to `sun` or `workday`; of a month `1` to `31`, from its end "
        "`-1` to `-31`, all of a weekday, or the first or last of them as `1mon` or `-1workday`; "
        "of a year `MM-DD`. None: the day that `since` is. One that a period does not have is not "
        "due then",
    )
    zone: ZoneName = "UTC"
    skipped: SkippedPolicy = "shift"
    repeated: RepeatedPolicy = "first"


class IntervalTimingModel(Input):
    """Each so many seconds, counted from a time, whatever clocks do."""

    type: Literal["interval"]
    seconds: int = Field(ge=10, le=366 * 86_400)
    since: Time


class OnceTimingModel(Input):
    """At one time."""

    type: Literal["once"]
    at: Time


TimingModel = Annotated[
    CronTimingModel | CalendarTimingModel | IntervalTimingModel | OnceTimingModel,
    Field(
        discriminator="type",
        examples=[{"type": "cron", "expression": "30 2 * * mon-fri", "zone": "Europe/Paris"}],
    ),
]


class ScheduledGraph(Input):
    """What is submitted each time."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Nightly import",
                    "tasks": [
                        {
                            "name": "fetch",
                            "kind": "http.request",
                            "args": {"url": "https://books.example/orders"},
                        }
                    ],
                }
            ]
        }
    )

    name: str = Field(min_length=1, max_length=200)
    tasks: list[TaskModel] = Field(min_length=1, max_length=1000)


class JobSchedulePut(Input):
    """What is submitted, and when."""

    name: str = Field(min_length=1, max_length=100, examples=["Nightly import"])
    timing: TimingModel
    graph: ScheduledGraph
    overlap: Literal["allow", "skip"] = Field(
        "skip", description="Whether it is submitted while the one before still runs"
    )
    catch_up: Literal["none", "last", "all"] = Field(
        "last", description="Which times still run that passed while nobody looked"
    )
    jitter_seconds: int = Field(0, ge=0, le=3600, description="Up to so much later than due")
    enabled: bool = True

    def draft(self) -> ScheduleDraft:
        """As the orchestrator takes it."""
        return ScheduleDraft(**self.model_dump(mode="json"))


class JobSchedulePreview(Input):
    """A timing to be tried."""

    timing: TimingModel
    after: Time | None = Field(None, description="From then on; null: from now on")
    count: int = Field(10, ge=1, le=MOST_SHOWN)


class JobSchedulePreviewOut(BaseModel):
    """When it would be due, and when the zone's clocks change next."""

    times: list[datetime]
    changes: list[datetime] = Field(description="The next two within three years")


class JobScheduleOut(BaseModel):
    """A schedule, and when it is due next."""

    id: str
    name: str
    timing: dict[str, Any]
    graph: dict[str, Any]
    overlap: Literal["allow", "skip"]
    catch_up: Literal["none", "last", "all"]
    jitter_seconds: int
    enabled: bool
    due_at: datetime | None = Field(description="Null: never again, or it is switched off")
    last_graph_id: str | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str

    @classmethod
    def of(cls, one: Schedule) -> "JobScheduleOut":
        """As it goes over the wire."""
        draft = one.draft
        return cls(
            id=one.id,
            name=draft.name,
            timing=dict(draft.timing),
            graph=dict(draft.graph),
            overlap=draft.overlap,
            catch_up=draft.catch_up,
            jitter_seconds=draft.jitter_seconds,
            enabled=draft.enabled,
            due_at=one.due_at,
            last_graph_id=one.last_graph_id,
            created_at=one.created_at,
            created_by=one.created_by,
            updated_at=one.updated_at,
            updated_by=one.updated_by,
        )


class JobScheduleRunOut(BaseModel):
    """What was submitted."""

    graph_id: str


class JobScheduleBackfill(Input):
    """A stretch of which every time runs that did not."""

    since: Time = Field(examples=["2026-11-01T00:00:00Z"])
    until: Time = Field(examples=["2026-11-02T00:00:00Z"], description="Not itself; not to come")


class JobScheduleBackfillOut(BaseModel):
    """What became of its times."""

    submitted: int
    ran_before: int = Field(description="These had run, and do not again")


class JobFiringOut(BaseModel):
    """A time at which it was due, and what became of it."""

    due_at: datetime
    outcome: Literal["ran", "late", "missed", "skipped"]
    why: str | None
    graph_id: str | None
    decided_at: datetime
    times: int = Field(
        description="Of more than a thousand that were missed older ones are told together"
    )
    until: datetime | None = Field(description="The last of these; null: it stands for one time")


class JobFiringsOut(BaseModel):
    """The times of a stretch, the newest first."""

    items: list[JobFiringOut]
    complete: bool = Field(description="Whether these are all")

"""Wire types of silences."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from backend.http.schemas import Input, Time
from backend.managers.alerting._matching import read_matchers
from backend.managers.alerting._silences import SilenceDraft
from backend.managers.alerting.window_schemas import WeeklyWindowModel, Windows, windows_of

SilenceKind = Literal["silence", "maintenance"]
SilenceState = Literal["scheduled", "active", "expired"]


class SilencePut(Input):
    """What nobody is to be told of, when, and why."""

    matchers: Annotated[
        str,
        Field(min_length=1, max_length=2000, json_schema_extra={"format": "alertmanager-matchers"}),
    ] = Field(
        examples=['team="db", severity=~"warning|info"'],
        description="As Alertmanager writes them; at least one asks for a label that is there",
    )
    starts_at: Time | None = Field(
        None,
        description="null, or in the past: now; of a change: as it was",
        examples=["2099-01-02T20:00:00Z"],
    )
    ends_at: Time = Field(description="A year later at most", examples=["2099-01-02T22:00:00Z"])
    windows: Windows = Field(
        default_factory=list, description="When of the week, within that; none: always"
    )
    reason: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        examples=["The database moves"]
    )
    kind: SilenceKind = Field("silence", description="Maintenance is announced before it begins")
    announce_hours: int = Field(24, ge=0, le=168, description="How long before; of maintenance")

    def draft(self) -> SilenceDraft:
        """As the silences have it."""
        said = self.model_dump(exclude={"matchers", "windows"})
        return SilenceDraft(
            matchers=read_matchers(self.matchers), windows=windows_of(self.windows), **said
        )


class SilenceTimeOut(BaseModel):
    """A stretch in which a silence counts, as far as it was asked for."""

    silence_id: str
    kind: SilenceKind
    matchers: str
    reason: str
    begins_at: datetime
    ends_at: datetime
    recurs: bool = Field(description="It counts in windows of the week")
    announced_at: datetime | None = Field(description="When others were told that it comes")
    announces_at: datetime | None = Field(
        description="When others are to be told that it comes; null: they were, or never are"
    )


class SilenceCalendarOut(BaseModel):
    """When silences count, by their beginning."""

    items: list[SilenceTimeOut]
    complete: bool = Field(description="Whether that is all; else the first 2000, of 200 silences")


class SilenceOut(BaseModel):
    """A silence and whether it counts."""

    id: str
    kind: SilenceKind
    matchers: str
    starts_at: datetime
    ends_at: datetime
    windows: list[WeeklyWindowModel]
    reason: str
    announce_hours: int
    announced_at: datetime | None = Field(description="When others were told that it comes")
    state: SilenceState
    counts_now: bool = Field(description="It has begun, and one of its windows is open")
    version: str = Field(description="Goes into If-Match as the ETag does")
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    ended_by: str | None = Field(description="Who ended it before its time")

"""Wire types of on-call schedules."""

import re
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter

from backend.core.errors import placed
from backend.http.schemas import Email, Input, Name, Time
from backend.managers.alerting._on_call import Layer
from backend.managers.alerting._schedules import (
    FIRST_YEAR,
    LAST_YEAR,
    MAX_LAYERS,
    MAX_PEOPLE,
    OverrideDraft,
    ScheduleDraft,
)
from backend.managers.alerting.errors import TimesInvalidError
from backend.managers.alerting.window_schemas import (
    WeeklyWindowModel,
    Windows,
    Zone,
    windows_of,
    zone_of,
)

Unit = Literal["hours", "days", "weeks"]
_USER: Final = re.compile("user:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_EMAIL: Final = TypeAdapter(Email)


def _person(text: str) -> str:
    if text.startswith("user:"):
        if _USER.fullmatch(text) is None:
            raise ValueError("a user is written as user: and their id")
        return text
    return _EMAIL.validate_python(text)


def _wall(text: str) -> datetime:
    try:
        wall = datetime.fromisoformat(text)
    except ValueError:
        raise TimesInvalidError("No calendar has this day").at("start") from None
    if not FIRST_YEAR <= wall.year <= LAST_YEAR:
        years = f"It lies in the years {FIRST_YEAR} to {LAST_YEAR}"
        raise TimesInvalidError(years).at("start")
    return wall


Person = Annotated[
    str,
    Field(
        max_length=254,
        json_schema_extra={"format": "email"},
        examples=["ada@example.com"],
        description="An e-mail address, or `user:` and the id of a user",
    ),
    AfterValidator(_person),
]
Wall = Annotated[
    str,
    Field(
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}$",
        examples=["2026-01-05T09:00"],
        description="As clocks of the zone show it",
    ),
]


class OnCallLayerModel(Input):
    """People who take turns."""

    people: Annotated[list[Person], Field(max_length=MAX_PEOPLE)] = Field(
        examples=[["ada@example.com", "bob@example.com"]], description="In their order"
    )
    start: Wall = Field(description="When the first one's first turn begins, by the zone's clocks")
    zone: Zone
    every: int = Field(1, ge=1, le=1000, description="How many units a turn lasts")
    unit: Unit = "weeks"
    windows: Windows = Field(
        default_factory=list, description="When of the week anybody is there; none: always"
    )

    def layer(self) -> Layer:
        """As the schedules have it.

        Raises:
            TimesInvalidError: No clock shows that, or there is no such zone.
        """
        return Layer(
            people=self.people,
            start=_wall(self.start),
            zone=zone_of(self.zone),
            every=self.every,
            unit=self.unit,
            windows=windows_of(self.windows),
        )


class OnCallSchedulePut(Input):
    """Who is to take turns."""

    name: Name = Field(examples=["Database"])
    layers: Annotated[list[OnCallLayerModel], Field(max_length=MAX_LAYERS)] = Field(
        examples=[[{
            "people": ["ada@example.com", "bob@example.com"], "start": "2026-01-05T09:00",
            "zone": "Europe/Paris",
        }]],
        description="The last one that has somebody counts",
    )  # fmt: skip
    announce_handover: bool = Field(
        False, description="Who begins and who ends is told by mail, with what fires then"
    )

    def draft(self) -> ScheduleDraft:
        """As the schedules have it.

        Raises:
            TimesInvalidError: As for :meth:`OnCallLayerModel.layer`.
        """
        layers: list[Layer] = []
        for number, one in enumerate(self.layers):
            with placed("layers", number):
                layers.append(one.layer())
        return ScheduleDraft(
            name=self.name, layers=layers, announce_handover=self.announce_handover
        )


class OnCallLayerOut(BaseModel):
    """People who take turns."""

    people: list[str]
    start: str
    zone: str
    every: int
    unit: Unit
    windows: list[WeeklyWindowModel]


class OnCallScheduleOut(BaseModel):
    """Who takes turns."""

    id: str
    name: str
    layers: list[OnCallLayerOut]
    announce_handover: bool
    version: str = Field(description="Goes into If-Match as the ETag does")
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class OnCallOverrideCreate(Input):
    """Somebody is to stand in for whoever it would be."""

    person: Person
    begins_at: Time = Field(examples=["2099-01-02T08:00:00Z"])
    ends_at: Time = Field(examples=["2099-01-03T08:00:00Z"], description="A year later at most")
    reason: Annotated[str, Field(max_length=500)] = ""

    def draft(self) -> OverrideDraft:
        """As the schedules have it."""
        return OverrideDraft(**self.model_dump())


class OnCallOverrideOut(BaseModel):
    """Somebody stands in for whoever it would be; of two the one that was made later counts."""

    id: str
    person: str
    begins_at: datetime
    ends_at: datetime
    reason: str
    created_at: datetime
    created_by: str


class OnCallShiftOut(BaseModel):
    """Somebody's time."""

    begins_at: datetime
    ends_at: datetime
    person: str | None = Field(description="null: nobody is there")


class OnCallShiftsOut(BaseModel):
    """Whose time it is in all of a stretch, without a gap."""

    schedule_id: str
    items: list[OnCallShiftOut]


class OnCallNowOut(BaseModel):
    """Who is on call."""

    schedule_id: str
    name: str
    person: str | None = Field(description="null: nobody")
    until: datetime | None = Field(description="null: nothing changes in the next 31 days")
    next_person: str | None = Field(description="Who is then; null: nobody, or nothing changes")


class OnCallNowListOut(BaseModel):
    """Who is on call, by each schedule in the order of their names."""

    at: datetime
    items: list[OnCallNowOut]

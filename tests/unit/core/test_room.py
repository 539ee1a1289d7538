"""The sum of the rooms, and what it refuses."""

from dataclasses import replace
from typing import Any

import pytest

from backend.core.context import Errand
from backend.core.room import (
    OPERATOR,
    VIEWER,
    FleetCheck,
    FleetGauge,
    House,
    ReadyCheck,
    Room,
    RoomClashError,
    RouteClass,
    Tick,
)
from backend.managers.tenant import Roles
from backend.managers.tenant.models import TenantRow
from backend.rooms import ROOMS


class One:
    """A manager."""


class Other:
    """Another."""


async def nothing(*_: object) -> Any: ...


ERRAND = Errand("one.count", frozenset({"things"}))
FULL: Room[Any] = Room(
    name="one",
    manager=One,
    models=(TenantRow,),
    permissions={"thing:read": VIEWER},
    errands=(ERRAND,),
    route_classes=(RouteClass("things", "/api/v1/things"),),
    ticks=(Tick("one.tick", 1.0, nothing),),
    events={"thing.made": "thing:read"},
    checks=(ReadyCheck("thing_server", nothing),),
    fleet_checks=(FleetCheck("thing_makers", ERRAND, nothing),),
    gauges=(FleetGauge("things_waiting", "", ERRAND, nothing),),
)
CLAIMS = {
    "models": "the table tenants",
    "permissions": "the permission thing:read",
    "errands": "the errand one.count",
    "ticks": "the tick one.tick",
    "checks": "the check thing_server",
    "fleet_checks": "the check thing_makers",
    "gauges": "the series things_waiting",
}


class TestHouse:
    def test_sums_what_the_rooms_declare(self) -> None:
        house = House([FULL], errands=[Errand("core.sequencer", frozenset())])
        assert house.permissions["thing:read"] == VIEWER
        assert house.events == {"thing.made": "thing:read"}
        assert set(house.errands) == {"core.sequencer", "one.count"}

    def test_refuses_each_claim_of_two_rooms_in_one_line(self) -> None:
        for field, what in CLAIMS.items():
            other = Room(name="other", manager=Other, **{field: getattr(FULL, field)})
            with pytest.raises(RoomClashError) as refused:
                House([FULL, other])
            assert str(refused.value) == f"the rooms one and other both claim {what}"

    def test_refuses_two_rooms_of_one_name_or_manager(self) -> None:
        for other, what in (
            (Room(name="one", manager=Other), "one claims twice the name one"),
            (Room(name="other", manager=One), "the rooms one and other both claim the manager One"),
        ):
            with pytest.raises(RoomClashError, match=what):
                House([FULL, other])

    def test_refuses_two_classes_for_one_path_and_one_name_for_two(self) -> None:
        for one in (RouteClass("others", "/api/v1/things"), RouteClass("things", "/other")):
            with pytest.raises(RoomClashError, match="class of routes"):
                House([FULL, Room(name="other", manager=Other, route_classes=(one,))])

    def test_refuses_two_rooms_that_emit_one_event(self) -> None:
        other = Room(name="other", manager=Other, events={"thing.made": "thing:read"})
        with pytest.raises(RoomClashError, match=r"both claim the event thing\.made"):
            House([FULL, other])

    def test_refuses_an_errand_of_the_core_and_a_permission_of_the_platform(self) -> None:
        with pytest.raises(RoomClashError, match=r"core and one both claim the errand one\.count"):
            House([FULL], errands=[ERRAND])
        room = replace(FULL, permissions={"platform:read": VIEWER}, events={})
        with pytest.raises(RoomClashError, match="permission platform:read"):
            House([room])

    def test_refuses_an_event_that_nobody_could_read(self) -> None:
        with pytest.raises(RoomClashError, match="no room declares thing:see"):
            House([replace(FULL, events={"thing.made": "thing:see"})])

    def test_holds_the_rooms_of_this_release(self) -> None:
        house = House(ROOMS)
        assert len(house.rooms) == len(ROOMS)
        assert {tick.process for room in ROOMS for tick in room.ticks} <= {"api", "worker"}


class TestRoles:
    def test_a_room_cannot_give_a_permission_to_a_role_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="no built-in role is called boss"):
            Roles({"thing:read": OPERATOR | {"boss"}})

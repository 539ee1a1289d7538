"""A room made up on the spot is registered by its ROOM alone, and has all that the others have."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
import pytest_asyncio
import sqlalchemy as sa
from fastapi import APIRouter
from pydantic import BaseModel, SecretStr
from sqlalchemy.orm import Mapped, mapped_column

from backend import worker
from backend.api import create_app
from backend.app import compose, make_scheduler
from backend.core.columns import Base, Id, TenantOwned, tables_of
from backend.core.context import Errand, Scope, SystemScope
from backend.core.cursors import EventConsumer, EventDispatcher
from backend.core.database import Database, ReadTx, TenantConfinementError, Tx
from backend.core.events import Event
from backend.core.ids import uuid7
from backend.core.room import (
    OPERATOR,
    VIEWER,
    FleetGauge,
    ReadyCheck,
    Room,
    RoomClashError,
    RouteClass,
    Sweep,
    Tick,
)
from backend.http.data_route import Call, DataRoute
from backend.http.deps import Db, manager_of, requires
from backend.http.routing import RouteClashError
from backend.managers.email import EmailSettings
from backend.managers.orchestrator import Claim, JobKind, OrchestratorManager, Worker
from backend.managers.tenant import TenantManager
from backend.migrations.runner import sync_url
from backend.settings import DatabaseSettings, Settings, TelemetrySettings
from tests.support.platform import App
from tests.support.postgres import OWNER


class Apart(Base):
    """Its table is no migration's: it may not stand among those that one is compared with."""

    __abstract__ = True
    metadata = sa.MetaData()


class PebbleRow(TenantOwned, Apart):
    __tablename__ = "pebbles"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    colour: Mapped[str]
    expires_at: Mapped[datetime]


class PebbleOut(BaseModel):
    id: str
    colour: str


class PebbleThrown(msgspec.Struct, forbid_unknown_fields=True):
    colour: str


class PebbleMade(msgspec.Struct):
    id: str


ALL_PEBBLES = Errand("pebble.all", tables_of(PebbleRow))


class PebbleManager:
    def __init__(self) -> None:
        self.ticks = 0
        self.counted: list[str] = []
        self.heard: list[str] = []

    async def throw_pebble(self, tx: Tx, colour: str) -> str:
        row = PebbleRow(tenant_id=tx.tenant_id, id=uuid7(), colour=colour, expires_at=tx.now())
        tx.session.add(row)
        tx.audit("pebble.thrown", f"pebble:{row.id}", colour=colour)
        tx.emit("pebble.thrown", f"pebble:{row.id}", colour=colour)
        return row.id

    async def list_pebbles(self, tx: ReadTx) -> list[PebbleRow]:
        return list(await tx.scalars(sa.select(PebbleRow)))

    async def tick(self, database: Database) -> None:
        async with database.read(SystemScope(ALL_PEBBLES)) as tx:
            await tx.scalars(sa.select(PebbleRow))
        self.ticks += 1

    async def sweep(self, tx: Tx) -> int:
        gone = await tx.execute(
            sa.delete(PebbleRow)
            .where(PebbleRow.expires_at <= tx.now())
            .execution_options(synchronize_session=False)
        )
        return int(gone.rowcount)  # type: ignore[attr-defined]

    async def count(self, tx: ReadTx) -> Mapping[str, int]:
        return {"": len(await tx.scalars(sa.select(PebbleRow.id)))}

    async def check(self) -> str:
        return "smooth"


Pebbles = Annotated[PebbleManager, manager_of(PebbleManager)]
router = APIRouter(prefix="/api/v1", tags=["pebble"])


@router.get("/pebbles")
async def list_pebbles(
    scope: Annotated[Scope, requires("pebble:read")], pebbles: Pebbles, db: Db
) -> list[PebbleOut]:
    """List the tenant's pebbles."""
    async with db.read(scope) as tx:
        rows = await pebbles.list_pebbles(tx)
        return [PebbleOut(id=row.id, colour=row.colour) for row in rows]


async def throw_pebble(pebbles: PebbleManager, call: Call[PebbleThrown]) -> PebbleMade:
    async with call.database.transaction(call.scope) as tx:
        return PebbleMade(await pebbles.throw_pebble(tx, call.body.colour))


def count_kind(pebbles: PebbleManager, database: Database) -> JobKind:
    async def handle(claim: Claim) -> None:
        async with database.read(Scope("job", claim.tenant_id)) as tx:
            pebbles.counted += [row.colour for row in await pebbles.list_pebbles(tx)]

    return JobKind.simple("pebble.count", handle)


def hear_pebbles(pebbles: PebbleManager, _: Database) -> EventConsumer:
    async def hear(_: str, events: Sequence[Event]) -> None:
        thrown = (event for event in events if event.kind == "pebble.thrown")
        pebbles.heard += [str(event.data["colour"]) for event in thrown]

    return EventConsumer("pebble.ears", hear, start="beginning")


DATA_ROUTES = (
    DataRoute(
        method="POST",
        path="/pebbles/throw",
        permission="pebble:throw",
        handler=throw_pebble,
        summary="Throw a pebble",
        body=PebbleThrown,
        answer=PebbleMade,
        status=201,
    ),
)

taken = APIRouter()


@taken.get("/api/v1/jobs")
async def list_other_jobs(_: Annotated[Scope, requires("job:read")]) -> None: ...


ROOM = Room(
    name="pebble",
    manager=PebbleManager,
    models=(PebbleRow,),
    permissions={"pebble:read": VIEWER, "pebble:throw": OPERATOR},
    errands=(ALL_PEBBLES,),
    routers=(f"{__name__}:router",),
    data_routes=f"{__name__}:DATA_ROUTES",
    route_classes=(RouteClass("pebbles", "/pebbles", body_bytes=lambda _: 64),),
    # No coroutine function, which is all that a scheduler of coroutines awaits by itself.
    ticks=(Tick("pebble.tick", 3600.0, lambda pebbles, database: pebbles.tick(database)),),
    sweeps=(Sweep(ALL_PEBBLES, PebbleManager.sweep),),
    job_kinds=(count_kind,),
    consumers=(hear_pebbles,),
    events={"pebble.thrown": "pebble:read"},
    checks=(ReadyCheck("pebble_quarry", PebbleManager.check),),
    gauges=(FleetGauge("pebbles_lying", "Pebbles.", ALL_PEBBLES, PebbleManager.count),),
)


def settings_for(database_url: str, folder: Path) -> Settings:
    folder.mkdir(exist_ok=True)
    return Settings(
        data_dir=folder,
        database=DatabaseSettings(url=SecretStr(database_url), pool_size=5),
        telemetry=TelemetrySettings(access_log=False),
        email=EmailSettings(smtp_url=SecretStr("smtp://127.0.0.1:9")),
    )


@pytest_asyncio.fixture
async def app(database_url: str, tmp_path: Path) -> AsyncIterator[App]:
    url = sa.make_url(database_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(username=OWNER)
    owner = sa.create_engine(sync_url(url.render_as_string(hide_password=False)))
    with owner.begin() as connection:
        Apart.metadata.create_all(connection)
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("GRANT SELECT, INSERT, DELETE ON pebbles TO PUBLIC"))
    owner.dispose()
    platform = compose(
        settings_for(database_url, tmp_path / "data"), more=[(ROOM, PebbleManager())]
    )
    asgi = create_app(platform)
    made = App(platform, asgi)
    async with asgi.control_plane.router.lifespan_context(asgi.control_plane):
        yield made
        await made.aclose()


class TestTinyRoom:
    async def test_is_reachable_on_both_planes_by_who_holds_its_permissions(self, app: App) -> None:
        ada = await app.caller("operator")
        thrown = await ada.http.post("/pebbles/throw", json={"colour": "grey"})
        assert thrown.status_code == 201, thrown.text
        listed = await ada.http.get("/api/v1/pebbles")
        assert listed.json() == [{"id": thrown.json()["id"], "colour": "grey"}]
        assert [entry.action for entry in await ada.audit(app.platform, "pebble.*")] == [
            "pebble.thrown"
        ]
        watcher = await app.caller("viewer", ada.tenant)
        assert (await watcher.http.get("/api/v1/pebbles")).status_code == 200
        refused = await watcher.http.post("/pebbles/throw", json={"colour": "grey"})
        assert (refused.status_code, refused.json()["permission"]) == (403, "pebble:throw")

    async def test_is_confined_to_the_tenant(self, app: App) -> None:
        ada, eve = await app.caller("operator"), await app.caller("operator")
        await ada.http.post("/pebbles/throw", json={"colour": "grey"})
        assert (await eve.http.get("/api/v1/pebbles")).json() == []
        with pytest.raises(TenantConfinementError, match="may not touch tenants"):
            async with app.platform.database.read(SystemScope(ALL_PEBBLES)) as tx:
                await app.platform.of(TenantManager).list_tenants(tx, limit=1)

    async def test_keeps_to_its_class_of_bodies(self, app: App) -> None:
        ada = await app.caller("operator")
        answer = await ada.http.post("/pebbles/throw", json={"colour": "g" * 64})
        assert answer.status_code == 413

    @pytest.mark.slow
    async def test_is_in_the_document_and_in_the_table_of_permissions(self, app: App) -> None:
        ada = await app.caller()
        document = (await ada.http.get("/openapi.json")).json()
        assert document["paths"]["/api/v1/pebbles"]["get"]["tags"] == ["pebble"]
        assert "PebbleThrown" in document["components"]["schemas"]
        assert "post" in document["paths"]["/pebbles/throw"]
        roles = (await ada.http.get("/api/v1/roles")).json()["items"]
        holders = {role["name"] for role in roles if "pebble:throw" in role["permissions"]}
        assert holders == {"owner", "admin", "operator"}

    async def test_is_watched_and_counted(self, app: App) -> None:
        ada = await app.caller("operator")
        await ada.http.post("/pebbles/throw", json={"colour": "grey"})
        checks = {one["name"]: one for one in (await ada.http.get("/readyz")).json()["checks"]}
        assert checks["pebble_quarry"]["detail"] == "smooth"
        assert "pebbles_lying 1.0" in (await ada.http.get("/metrics")).text

    async def test_is_swept_and_ticks_in_the_worker_alone(self, app: App) -> None:
        ada = await app.caller("operator")
        await ada.http.post("/pebbles/throw", json={"colour": "grey"})
        await worker.sweep(app.platform, "worker-1")
        assert (await ada.http.get("/api/v1/pebbles")).json() == []
        api, works = make_scheduler(), make_scheduler()
        async with app.platform.serving("api", api), app.platform.serving("worker", works):
            assert api.get_job("pebble.tick") is None
            works.modify_job("pebble.tick", next_run_time=datetime.now(UTC))
            async with asyncio.timeout(60):
                while not app.platform.of(PebbleManager).ticks:
                    await asyncio.sleep(0.01)
        assert app.platform.of(PebbleManager).ticks == 1

    async def test_hears_its_own_events(self, app: App) -> None:
        ada = await app.caller("operator")
        await ada.http.post("/pebbles/throw", json={"colour": "grey"})
        await app.sequence()
        dispatcher = EventDispatcher(
            app.platform.database, app.platform.event_consumers, poll_seconds=0.05
        )
        async with dispatcher.running(), asyncio.timeout(60):
            while not app.platform.of(PebbleManager).heard:
                await asyncio.sleep(0.02)
        assert app.platform.of(PebbleManager).heard == ["grey"]

    async def test_runs_its_jobs(self, app: App) -> None:
        ada = await app.caller("operator")
        await ada.http.post("/pebbles/throw", json={"colour": "grey"})
        jobs = app.platform.of(OrchestratorManager)
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            job_id = await jobs.submit(tx, "pebble.count", args={})
        runs = Worker(app.platform.database, jobs, poll_seconds=0.05)
        running = asyncio.create_task(runs.run())
        async with asyncio.timeout(60):
            while (await ada.http.get(f"/api/v1/jobs/{job_id}")).json()["state"] != "succeeded":
                await asyncio.sleep(0.02)
        runs.stop()
        await running
        assert app.platform.of(PebbleManager).counted == ["grey"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestClash:
    def test_two_rooms_that_claim_the_same_do_not_start(
        self, database_url: str, tmp_path: Path
    ) -> None:
        class Thief:
            """Wants a permission of the e-mail room."""

        room: Room[Any] = Room(name="thief", manager=Thief, permissions={"email:send": VIEWER})
        with pytest.raises(RoomClashError) as refused:
            compose(settings_for(database_url, tmp_path / "data"), more=[(room, Thief())])
        assert str(refused.value) == (
            "the rooms email and thief both claim the permission email:send"
        )

    def test_two_routes_for_one_path_do_not_start(self, database_url: str, tmp_path: Path) -> None:
        class Squatter:
            """Wants a path of the orchestrator."""

        room: Room[Any] = Room(name="squatter", manager=Squatter, routers=(f"{__name__}:taken",))
        platform = compose(settings_for(database_url, tmp_path / "data"), more=[(room, Squatter())])
        with pytest.raises(RouteClashError, match="GET /api/v1/jobs is claimed twice"):
            create_app(platform)

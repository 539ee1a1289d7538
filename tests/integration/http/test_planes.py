"""Both planes pass the same pipeline: whatever is asked of either, the answer is of one kind."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel

from backend.core.audit import SEQUENCER, AuditRecord
from backend.core.context import SystemScope
from backend.core.database import Tx
from backend.core.errors import ConflictError
from backend.core.telemetry import RequestRecord, Telemetry
from backend.http import problem
from backend.http.data_route import Call, DataRoute, Reply
from backend.http.deps import Db, IdPath, requires
from backend.http.pipeline import Pipeline
from backend.http.reply import reply
from backend.http.routing import RouteRule
from backend.http.schemas import Input
from backend.managers.gateway import GatewayManager
from tests.support.platform import App, TenantClient

PERMISSION = "email:send"
NOTE_ID = "0199c0de-0000-7000-8000-000000000001"
LIMIT, CLASS_LIMIT = 1_000, 100


class NoteCreate(Input):
    text: str


class NoteOut(BaseModel):
    id: str
    text: str


class Note(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class Made(msgspec.Struct):
    id: str
    text: str


class Where(msgspec.Struct):
    note_id: UUID


class Notes:
    """A manager: writes what it is told into the trail."""

    def write(self, tx: Tx, note_id: str, text: str) -> None:
        if text == "full":
            raise ConflictError
        tx.audit("note.written", f"note:{note_id}", text=text)


NOTES = Notes()
router = APIRouter()


@router.post("/api/v1/control/{note_id}")
async def write_note(
    request: Request,
    note_id: IdPath,
    body: NoteCreate,
    db: Db,
    scope: Annotated[Any, requires(PERMISSION)],
) -> Response:
    async with db.transaction(scope) as tx:
        NOTES.write(tx, note_id, body.text)
        answer = NoteOut(id=note_id, text=body.text)
        return reply(request, tx, answer, status=201, headers={"Location": f"/{note_id}"})


async def write_data_note(notes: Notes, call: Call[Note]) -> Reply:
    note_id = str(call.parameters.note_id)
    async with call.database.transaction(call.scope) as tx:
        notes.write(tx, note_id, call.body.text)
        answer = Made(note_id, call.body.text)
        return call.reply(tx, answer, status=201, headers={"Location": f"/{note_id}"})


ROUTE = DataRoute(
    method="POST",
    path="/api/v1/data/{note_id}",
    permission=PERMISSION,
    handler=write_data_note,
    summary="Write a note",
    body=Note,
    parameters=Where,
    answer=Made,
    status=201,
    once=True,
)


@dataclass
class Planes:
    """An application with one route on each plane, on the platform of the test."""

    app: App
    asgi: Pipeline
    records: list[RequestRecord]
    telemetry: Telemetry

    def http(self, caller: TenantClient | None, **headers: str) -> httpx.AsyncClient:
        if caller is not None:
            headers["Authorization"] = caller.http.headers["Authorization"]
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.asgi, raise_app_exceptions=False),
            base_url="http://localhost:8400",
            headers=headers,
        )

    async def trail(self) -> list[tuple[str, str]]:
        """What was written, and by whom."""
        async with self.app.platform.database.read(SystemScope(SEQUENCER)) as tx:
            rows = await tx.scalars(sa.select(AuditRecord).order_by(AuditRecord.id))
            return [(row.data["text"], row.actor) for row in rows if row.action == "note.written"]


@pytest.fixture
def planes(app: App) -> Planes:
    records: list[RequestRecord] = []
    telemetry = Telemetry([records.extend])
    control = FastAPI(openapi_url=None, redirect_slashes=False, strict_content_type=False)
    control.state.database = app.platform.database
    control.state.managers = {}
    problem.install(control)
    control.include_router(router)
    asgi = Pipeline(
        control,
        [ROUTE.bind(NOTES, app.platform.database)],
        gate=app.platform.of(GatewayManager),
        telemetry=telemetry,
        body_bytes=LIMIT,
        rules=[
            RouteRule("control", "/api/v1/control", CLASS_LIMIT),
            RouteRule("data", "/api/v1/data", CLASS_LIMIT),
        ],
    )
    return Planes(app, asgi, records, telemetry)


JSON = {"Content-Type": "application/json"}
ONCE = {"Idempotency-Key": "k"}
CHUNKED = object()
# Who asks for what, and how it ends.
ASKED: list[tuple[str, str, str, dict[str, Any], int, str]] = [
    ("nobody", "POST", NOTE_ID, {"json": {"text": "a"}}, 401, "unauthenticated"),
    ("nobody", "GET", NOTE_ID, {}, 401, "unauthenticated"),
    ("nobody", "GET", "a/b", {}, 401, "unauthenticated"),
    ("viewer", "POST", NOTE_ID, {"json": {"text": "a"}}, 403, "forbidden"),
    ("viewer", "POST", NOTE_ID, {"content": b"x" * 5_000}, 403, "forbidden"),
    ("viewer", "POST", NOTE_ID, {"content": CHUNKED}, 403, "forbidden"),
    ("viewer", "POST", NOTE_ID, {"content": b"{"}, 403, "forbidden"),
    ("viewer", "POST", "none", {"json": {}}, 403, "forbidden"),
    ("operator", "GET", NOTE_ID, {}, 405, "method_not_allowed"),
    ("operator", "BREW", NOTE_ID, {}, 405, "method_not_allowed"),
    ("operator", "POST", f"{NOTE_ID}/more", {}, 404, "not_found"),
    ("operator", "POST", f"{NOTE_ID}/", {}, 422, "invalid_input"),
    ("operator", "POST", f"{NOTE_ID}//", {}, 404, "not_found"),
    ("operator", "POST", f"{NOTE_ID}?loud=1", {}, 422, "invalid_input"),
    ("operator", "POST", "", {}, 404, "not_found"),
    ("operator", "POST", "%2F", {}, 404, "not_found"),
    ("operator", "POST", "%00", {}, 422, "invalid_input"),
    ("operator", "POST", "none", {"json": {"text": "a"}}, 422, "invalid_input"),
    ("operator", "POST", NOTE_ID, {"content": b"x" * 101}, 413, "too_large"),
    ("operator", "POST", NOTE_ID, {"content": CHUNKED}, 413, "too_large"),
    ("operator", "POST", NOTE_ID, {"content": CHUNKED, "headers": ONCE}, 413, "too_large"),
    ("operator", "POST", NOTE_ID, {"content": b"{", "headers": JSON}, 400, "malformed_json"),
    ("operator", "POST", NOTE_ID, {"headers": JSON}, 422, "invalid_input"),
    ("operator", "POST", NOTE_ID, {"data": {"text": "a"}}, 415, "unsupported_media_type"),
    ("operator", "POST", NOTE_ID, {"json": {"text": 1}}, 422, "invalid_input"),
    ("operator", "POST", NOTE_ID, {"json": {"text": "a", "more": 1}}, 422, "invalid_input"),
    ("operator", "POST", NOTE_ID, {"json": {"text": "\0"}}, 422, "invalid_input"),
    ("operator", "POST", NOTE_ID, {"json": {"text": "full"}}, 409, "conflict"),
    ("operator", "POST", NOTE_ID, {"json": {"text": "one"}}, 201, ""),
    ("operator", "POST", NOTE_ID.upper(), {"json": {"text": "two"}}, 201, ""),
    (
        *("operator", "POST", NOTE_ID, {"json": {}, "headers": {"Idempotency-Key": ""}}),
        *(400, "invalid_idempotency_key"),
    ),
    ("operator", "POST", NOTE_ID, {"json": {"text": "full"}, "headers": ONCE}, 409, "conflict"),
    ("operator", "POST", NOTE_ID, {"json": {"text": "three"}, "headers": ONCE}, 201, ""),
    ("operator", "POST", NOTE_ID, {"json": {"text": "three"}, "headers": ONCE}, 201, ""),
    (
        *("operator", "POST", NOTE_ID, {"json": {"text": "four"}, "headers": ONCE}),
        *(422, "gateway.idempotency_key_reused"),
    ),
    ("viewer", "POST", NOTE_ID, {"json": {"text": "three"}, "headers": ONCE}, 403, "forbidden"),
]
HEADERS = ["allow", "accept", "www-authenticate", "location", "content-type", "content-length"]
MEMBERS = ["type", "title", "status", "code", "permission", "limit_bytes", "id", "text"]


async def chunks() -> AsyncIterator[bytes]:
    """A body that goes over the limit of its class while it is read."""
    for _ in range(3):
        yield b" " * 50


def outline(answer: httpx.Response) -> dict[str, Any]:
    """What two answers of one kind have in common, byte for byte."""
    said = answer.json()
    found = {name: said[name] for name in MEMBERS if name in said}
    if "errors" in said:
        found["pointers"] = [error["pointer"] for error in said["errors"]]
    kept = HEADERS[:-1] if "code" in said else HEADERS
    found |= {name: answer.headers[name] for name in kept if name in answer.headers}
    policy = answer.headers.get("ratelimit-policy", "")
    found["levels"] = [part.split('"')[1] for part in policy.split(",") if part]
    found["replayed"] = "idempotency-replayed" in answer.headers
    return found


async def walk(planes: Planes, plane: str) -> tuple[list[Any], list[Any]]:
    """Ask for everything of one plane; the answers, and the records of the requests."""
    viewer = await planes.app.caller("viewer")
    operator = await planes.app.caller("operator", viewer.tenant)
    callers = {"nobody": None, "viewer": viewer, "operator": operator}
    actors = {f"client:{one.client_id}": name for name, one in callers.items() if one} | {"": ""}
    answers = []
    for who, method, path, more, status, code in ASKED:
        asked = f"{plane}: {who} {method} {path} {more}"
        given = {**more, "content": chunks()} if more.get("content") is CHUNKED else more
        async with planes.http(callers[who]) as http:
            answer = await http.request(method, f"/api/v1/{plane}/{path}", **given)
        assert answer.status_code == status, (asked, answer.text)
        assert answer.json().get("code", "") == code, asked
        if code:
            assert answer.headers["content-type"] == "application/problem+json", asked
            assert answer.json()["request_id"] == answer.headers["x-request-id"], asked
        answers.append(outline(answer))
    planes.telemetry.drain()
    records = [
        (r.method, r.route.replace(plane, "*"), r.status, r.problem, actors[r.actor])
        for r in planes.records
    ]
    planes.records.clear()
    return answers, records


async def test_every_request_ends_alike_on_both(planes: Planes) -> None:
    control_answers, control_records = await walk(planes, "control")
    data_answers, data_records = await walk(planes, "data")
    for asked, one, other in zip(ASKED, control_answers, data_answers, strict=True):
        assert one == other, asked
    assert control_records == data_records
    assert [record[2] for record in data_records] == [asked[4] for asked in ASKED]
    assert {record[1] for record in data_records} == {"/api/v1/*/{note_id}", "(none)"}
    written = await planes.trail()
    assert [text for text, _ in written] == ["one", "two", "three"] * 2
    assert {actor.partition(":")[0] for _, actor in written} == {"client"}


@pytest.mark.parametrize("plane", ["control", "data"])
async def test_requests_with_one_key_at_a_time_act_once(planes: Planes, plane: str) -> None:
    operator = await planes.app.caller("operator")
    async with planes.http(operator) as http:
        asked = [
            http.post(f"/api/v1/{plane}/{NOTE_ID}", json={"text": "a"}, headers=ONCE)
            for _ in range(8)
        ]
        answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {201}
    assert len(await planes.trail()) == 1


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize("plane", ["control", "data"])
async def test_a_limit_holds_before_anything_else_is_looked_at(planes: Planes, plane: str) -> None:
    operator = await planes.app.caller("operator")
    burst = planes.app.platform.settings.gateway.other_burst_requests
    async with planes.http(operator) as http:
        for _ in range(burst):
            answer = await http.delete(f"/api/v1/{plane}/{NOTE_ID}")
            assert answer.status_code == 405
        for method, path in (("POST", NOTE_ID), ("GET", NOTE_ID), ("GET", "a/b")):
            answer = await http.request(method, f"/api/v1/{plane}/{path}", content=b"{")
            assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
            assert int(answer.headers["retry-after"]) >= 1
            assert '"other"' in answer.headers["ratelimit-policy"]
    assert await planes.trail() == []


@pytest.mark.usefixtures("stopped")
async def test_a_dear_route_costs_what_it_declares(app: App) -> None:
    cheap, dear = (
        Pipeline(
            FastAPI(openapi_url=None),
            [replace(ROUTE, cost=cost).bind(NOTES, app.platform.database)],
            gate=app.platform.of(GatewayManager),
            telemetry=Telemetry([]),
            body_bytes=LIMIT,
        )
        for cost in (1, 7)
    )
    caller = await app.caller("operator")
    left = []
    for asgi in (cheap, dear, dear):
        async with Planes(app, asgi, [], Telemetry([])).http(caller) as http:
            answer = await http.post(f"/api/v1/data/{NOTE_ID}", json={"text": "a"})
        assert answer.status_code == 201
        left.append(int(answer.headers["ratelimit"].split("r=")[1].split(";")[0]))
    assert [left[0] - left[1], left[1] - left[2]] == [7, 7]

"""What comes with a declaration: reading, decoding, problems, answers, and the operation's text."""

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest
from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from starlette.types import Message

from backend.core.context import NO_RUN, Principal
from backend.core.errors import AppError, NotFoundError
from backend.http.data_route import DataRoute, Raw, Reply
from backend.http.openapi import build_document

CALLER = Principal("client:c", "client", "tenant", frozenset({"note:write"}))
RAW = Raw("text/plain", {"type": "string"})


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a note."""

    size: int


class NoteCreate(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody notes."""

    text: str
    parts: list[Part] = []
    more: dict[str, Any] = {}


class Where(msgspec.Struct):
    """The path's parameters."""

    note_id: UUID
    part: int


class NoteOut(msgspec.Struct):
    """A note."""

    text: str


class Loose(msgspec.Struct):
    """What takes any field."""


def note(_manager, call):
    """Answers what it was told."""
    return NoteOut(call.body.text if isinstance(call.body, NoteCreate) else repr(call.body))


def declared(**more):
    given: dict[str, Any] = {
        "method": "POST",
        "path": "/notes",
        "permission": "note:write",
        "handler": note,
        "summary": "Note something",
        "body": NoteCreate,
        "answer": NoteOut,
    }
    return DataRoute(**given | more)


async def serve(route, body=b"", path=None, manager=None, **headers):
    """The two messages of an answer: status, headers, body."""
    chunks = body if isinstance(body, list) else [body]
    messages = [
        {"type": "http.request", "body": chunk, "more_body": at < len(chunks) - 1}
        if chunk is not None
        else {"type": "http.disconnect"}
        for at, chunk in enumerate(chunks)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": route.method,
        "path": path or route.path,
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
        "principal": CALLER,
        "request_id": "r",
        "traceparent": "t",
        "run": NO_RUN,
    }
    await route.bind(manager, database=None).app(scope, receive, send)
    start, end = sent
    return start["status"], dict(start["headers"]), end["body"]


async def refused(route, body, **headers):
    with pytest.raises(AppError) as raised:
        await serve(route, body, **headers)
    return raised.value


class TestDeclaration:
    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({"permission": ""}, "POST /notes needs a permission"),
            ({"cost": 0}, "must cost something"),
            ({"body": Loose}, "Loose must forbid unknown fields"),
            ({"path": "/notes/{note_id}"}, r"names \['note_id'\], its struct has \[\]"),
            ({"parameters": Where}, r"names \[\], its struct has \['note_id', 'part'\]"),
        ],
    )
    def test_that_contradicts_itself_is_refused(self, more, said):
        with pytest.raises(ValueError, match=said):
            declared(**more)


class TestBody:
    async def test_is_read_to_its_end(self):
        whole = b'{"text": "a \\ud83d\\ude80"}'
        for chunks in (whole, [whole, b""], [whole[:5], whole[5:9], whole[9:]]):
            status, _, answer = await serve(declared(), chunks)
            assert (status, json.loads(answer)) == (200, {"text": "a \U0001f680"})

    async def test_that_does_not_come_whole_is_not_acted_on(self):
        for chunks in ([None], [b'{"text": "a"}', b" ", None]):
            for route in (declared(), declared(body=RAW)):
                with pytest.raises(ClientDisconnect):
                    await serve(route, chunks)

    async def test_raw_is_the_handlers(self):
        _, _, answer = await serve(declared(body=RAW), [b"a", b"\xff"], content_type="any/thing")
        assert json.loads(answer) == {"text": repr(b"a\xff")}

    async def test_of_a_route_without_one_is_left_alone(self):
        status, _, _ = await serve(declared(method="GET", body=None), [])
        assert status == 200

    @pytest.mark.parametrize(
        ("body", "status", "pointer"),
        [
            (b"{", 400, None),
            (b'{"text": "a"} x', 400, None),
            (b'{"text": "\xff"}', 400, None),
            (b'{"text": "\\ud800"}', 400, None),
            (b'{"text": "a", "more": {"a": NaN}}', 400, None),
            (b'{"text": "a", "more": ' + b'{"a":' * 100_000, 400, None),
            (b"", 422, "/body"),
            (b"[]", 422, "/body"),
            (b"null", 422, "/body"),
            (b"{}", 422, "/body/text"),
            (b'{"text": 1}', 422, "/body/text"),
            (b'{"text": "a", "colour": 1}', 422, "/body/colour"),
            (b'{"text": "a", "parts": [{"size": 1}, {"size": "1"}]}', 422, "/body/parts/1/size"),
            (b'{"text": "a", "parts": [{"size": 1, "a/b": 1}]}', 422, "/body/parts/0/a~1b"),
            (b'{"text": "a\\u0000"}', 422, "/body"),
            (b'{"text": "a", "more": {"b\\u0000": [1]}}', 422, "/body"),
        ],
    )
    async def test_that_is_not_acceptable_is_pointed_at(self, body, status, pointer):
        problem = await refused(declared(), body)
        assert (problem.status, bool(problem.extra)) == (status, pointer is not None)
        if pointer is not None:
            (error,) = problem.extra["errors"]
            assert error["pointer"] == pointer
            assert error["detail"]

    async def test_a_problem_repeats_little_of_it(self):
        problem = await refused(declared(), b'{"' + b"x" * 100_000 + b'": 1}')
        assert len(json.dumps(problem.extra)) < 1000

    async def test_what_only_looks_like_nul_is_text(self):
        _, _, answer = await serve(declared(), b'{"text": "\\\\u0000"}')
        assert json.loads(answer) == {"text": "\\u0000"}

    async def test_is_called_json_or_nothing(self):
        body = b'{"text": "a"}'
        for kind in ("application/json", "Application/JSON; charset=utf-8", "application/a+json"):
            assert (await serve(declared(), body, content_type=kind))[0] == 200
        assert (await serve(declared(), body))[0] == 200
        for kind in ("text/plain", "application/x-www-form-urlencoded", "", "nonsense"):
            problem = await refused(declared(), body, content_type=kind)
            assert (problem.status, problem.headers) == (415, {"Accept": "application/json"})


class TestPath:
    ROUTE = declared(
        method="GET",
        path="/notes/{note_id}/parts/{part}",
        body=None,
        parameters=Where,
        handler=lambda _, call: NoteOut(f"{call.parameters.note_id} {call.parameters.part + 1}"),
    )

    async def test_parameters_are_what_was_declared(self):
        note_id = "0199c0de-0000-7000-8000-000000000001"
        _, _, answer = await serve(self.ROUTE, path=f"/notes/{note_id.upper()}/parts/7")
        assert json.loads(answer) == {"text": f"{note_id} 8"}

    async def test_what_is_none_is_pointed_at(self):
        for path, pointer in (
            ("/notes/1/parts/7", "/path/note_id"),
            ("/notes/0199c0de-0000-7000-8000-000000000001/parts/x", "/path/part"),
        ):
            problem = await refused(self.ROUTE, b"", path=path)
            assert (problem.status, problem.extra["errors"][0]["pointer"]) == (422, pointer)


class TestAnswer:
    async def answer(self, outcome, **more):
        async def later() -> Any:
            return outcome

        kept = {"Cache-Control": "no-store"}
        at_once, awaited = [
            await serve(declared(body=None, headers=kept, handler=handler, **more))
            for handler in (lambda *_: outcome, lambda *_: later())
        ]
        assert at_once == awaited
        return at_once

    async def test_is_bytes_a_struct_a_reply_or_nothing(self):
        kind = {b"content-type": b"application/json"}
        kept = {b"cache-control": b"no-store"}
        for outcome, status, headers, body in (
            (b'{"a":1}', 201, kind | kept | {b"content-length": b"7"}, b'{"a":1}'),
            (NoteOut("a"), 201, kind | kept | {b"content-length": b"12"}, b'{"text":"a"}'),
            (None, 204, kept, b""),
            (Reply(409, b"{}"), 409, kind | {b"content-length": b"2"}, b"{}"),
            (Reply(304, b"", {"ETag": "x"}), 304, {b"etag": b"x", b"content-length": b"0"}, b""),
            (
                Reply(400, b"no", {"Content-Type": "text/plain"}),
                400,
                {b"content-type": b"text/plain", b"content-length": b"2"},
                b"no",
            ),
        ):
            assert await self.answer(outcome, status=201) == (status, headers, body)


class TestDocument:
    def test_says_what_was_declared(self):
        async def get_part(_manager, _call):
            """A handler."""

        document = build_document(
            FastAPI(title="T"),
            version="1",
            data_routes=[
                declared(cost=5, once=True, tags=("notes",)),
                declared(
                    method="GET",
                    path="/notes/{note_id}/parts/{part}",
                    body=None,
                    parameters=Where,
                    handler=get_part,
                    errors=(NotFoundError,),
                    responses={"200": {"description": "A part"}},
                ),
            ],
        )
        made = document["paths"]["/notes"]["post"]
        assert made["operationId"] == "note"
        assert made["security"] == [{"bearer": ["note:write"]}, {"apiKey": ["note:write"]}]
        ref = {"$ref": "#/components/schemas/NoteCreate"}
        assert made["requestBody"]["content"] == {"application/json": {"schema": ref}}
        ref = {"$ref": "#/components/schemas/NoteOut"}
        assert made["responses"]["200"]["content"] == {"application/json": {"schema": ref}}
        statuses = "200 400 401 403 409 413 415 422 429 500 503"
        assert " ".join(sorted(made["responses"])) == statuses
        assert [one["name"] for one in made["parameters"]] == ["Idempotency-Key"]
        assert document["components"]["schemas"]["NoteCreate"]["additionalProperties"] is False
        assert "Part" in document["components"]["schemas"]
        got = document["paths"]["/notes/{note_id}/parts/{part}"]["get"]
        assert [(p["name"], p["in"], p["required"]) for p in got["parameters"]] == [
            ("note_id", "path", True),
            ("part", "path", True),
        ]
        assert got["parameters"][0]["schema"]["format"] == "uuid"
        assert got["responses"]["200"]["description"] == "A part"
        assert "requestBody" not in got
        assert "404" in got["responses"]

    def test_two_things_of_one_name_are_refused(self):
        other = msgspec.defstruct("NoteOut", [("other", int)])
        second = declared(method="PUT", answer=other)
        with pytest.raises(ValueError, match="two schemas named NoteOut"):
            build_document(
                FastAPI(),
                version="1",
                fragments=[{"components": {"schemas": {"NoteOut": {"type": "string"}}}}],
                data_routes=[declared()],
            )
        with pytest.raises(ValueError, match="NoteOut"):
            build_document(FastAPI(), version="1", data_routes=[declared(), second])

"""The console's client is what the API's document says: all of it, and nothing by hand."""

import inspect
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from dashboard.client import Api, Connection, models
from dashboard.settings import Settings
from scripts import client as generator

DOCUMENT: dict[str, Any] = json.loads(generator.DOCUMENT.read_text(encoding="utf-8"))
SETTINGS = Settings(
    api_url="http://api.test",
    issuer_url="http://issuer.test",
    client_id="console",
    client_secret="hidden",
    public_url="http://localhost:8401",
    timeout_seconds=5,
)
ID = "0198c1de-0000-7000-8000-000000000001"


class Tokens:
    def bearer(self, *, renew: bool = False) -> str:
        return "token"


def barest(schema: dict[str, Any]) -> Any:
    """The emptiest instance: what may be null is, and what may be left out is left out.

    Lists have one item, so that the item's own fields are met as well.
    """
    if "$ref" in schema:
        return barest(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    kinds = schema.get("anyOf") or schema.get("oneOf") or [schema]
    if len(kinds) > 1 and schema.get("type") != "object":
        return None if {"type": "null"} in kinds else barest(kinds[0])
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"), schema.get("format"):
        case "object", _:
            required = schema.get("required", [])
            return {name: barest(schema["properties"][name]) for name in required}
        case "array", _:
            return [barest(part) for part in schema.get("prefixItems", [schema.get("items", {})])]
        case "string", "date-time":
            return "2026-01-02T03:04:05Z"
        case "string", _:
            return ""
        case (("integer" | "number"), _):
            return 0
        case "boolean", _:
            return False
    return None


def operation_at(method: str, path: str) -> dict[str, Any]:
    for template, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in item:
            found: dict[str, Any] = item[method.lower()]
            return found
    raise AssertionError(f"the API has no {method} {path}")


def answer_barely(request: httpx.Request) -> httpx.Response:
    """Hold a request to the document, and answer with as little as the document allows."""
    operation = operation_at(request.method, request.url.path)
    known = {(one["in"], one["name"].lower()) for one in operation.get("parameters", [])}
    assert {("query", name.lower()) for name in request.url.params} <= known
    for name in ("idempotency-key", "if-match"):
        assert (name in request.headers) <= (("header", name) in known), name
    wanted = operation.get("requestBody", {}).get("content")
    assert bool(request.content) == bool(wanted)
    for status, given in operation["responses"].items():
        if status.startswith("2"):
            content = given.get("content")
            if content is None:
                return httpx.Response(int(status))
            if "application/json" not in content:
                return httpx.Response(int(status), headers={"Content-Type": next(iter(content))})
            return httpx.Response(int(status), json=barest(content["application/json"]["schema"]))
    raise AssertionError("no success")


def made_up(annotation: str) -> Any:
    """A value of a parameter's type."""
    kind = annotation.removesuffix(" | None")
    if kind.startswith("models."):
        struct = getattr(models, kind.removeprefix("models."))
        schema = DOCUMENT["components"]["schemas"][struct.__name__]
        return msgspec.convert(barest(schema), type=struct)
    made: dict[str, Any] = {"str": ID, "int": 1, "float": 0.5, "bool": True, "bytes": b"x"}
    return (made | {"list[str]": [ID], "datetime": datetime.now(UTC)})[kind]


class TestGenerate:
    @pytest.mark.slow
    def test_gives_what_is_committed(self, tmp_path: Path) -> None:
        generator.generate(DOCUMENT, tmp_path)
        for name in ("models.py", "operations.py"):
            committed = (generator.CLIENT / name).read_text(encoding="utf-8")
            assert (tmp_path / name).read_text(encoding="utf-8") == committed, (
                "renew it with scripts/generate-client"
            )

    def test_knows_files_tags_and_lists_of_values(self) -> None:
        page = {"$ref": "#/components/schemas/Page_Thing_"}
        document = {
            "paths": {
                "/api/v1/things": {
                    "get": {
                        "operationId": "export_things",
                        "parameters": [
                            {
                                "in": "query",
                                "name": "since",
                                "required": True,
                                "schema": {"type": "string", "format": "date-time"},
                            },
                            {
                                "in": "query",
                                "name": "state",
                                "schema": {"type": "array", "items": {"type": "string"}},
                            },
                            {
                                "in": "query",
                                "name": "kind",
                                "schema": {
                                    "anyOf": [
                                        {"type": "string", "enum": ["b", "a"]},
                                        {"type": "null"},
                                    ]
                                },
                            },
                        ],
                        "responses": {"200": {"content": {"text/csv": {}}}},
                    },
                    "put": {
                        "operationId": "import_things",
                        "parameters": [
                            {"in": "header", "name": "If-Match", "schema": {"type": "string"}}
                        ],
                        "requestBody": {"required": True, "content": {"text/csv": {}}},
                        "responses": {"200": {"content": {"application/json": {"schema": page}}}},
                    },
                },
                "/api/v1/events": {
                    "get": {
                        "operationId": "stream_events",
                        "responses": {"200": {"content": {"text/event-stream": {}}}},
                    }
                },
                "/api/v1/things/retry": {
                    "post": {
                        "operationId": "retry_things",
                        "requestBody": {"content": {"application/json": {"schema": page}}},
                        "responses": {"204": {}},
                    }
                },
                "/elsewhere": {"get": {"operationId": "elsewhere"}},
            }
        }
        code = generator.write_operations(document)
        assert (
            "def export_things(\n        self, *, since: datetime, state: list[str] | None = None, "
            "kind: str | None = None\n    ) -> Download:"
        ) in code
        assert '"export_things.kind": ("b", "a")' in code
        assert "from datetime import datetime" in code
        assert "def import_things(\n        self, body: bytes, *, if_match: str | None" in code
        assert "-> Tagged[models.PageThing]:" in code
        assert 'media_type="text/csv"' in code
        assert "def retry_things(self, body: models.PageThing | None = None) -> None:" in code
        assert "stream_events" not in code
        assert "elsewhere" not in code

    @pytest.mark.parametrize(
        ("operation", "why"),
        [
            ({"responses": {"200": {"content": {"application/json": {"schema": {}}}}}}, "name"),
            ({"responses": {"200": {}, "201": {"content": {"text/csv": {}}}}}, "more than one"),
            (
                {
                    "parameters": [{"in": "query", "name": "q", "schema": {"type": "object"}}],
                    "responses": {"204": {}},
                },
                "no simple type",
            ),
        ],
    )
    def test_refuses_what_it_has_no_form_for(self, operation: Any, why: str) -> None:
        document = {"paths": {"/api/v1/x": {"get": {"operationId": "x", **operation}}}}
        with pytest.raises(generator.GeneratorError, match=why):
            generator.write_operations(document)


class TestModels:
    def test_lose_no_field(self) -> None:
        for name, schema in DOCUMENT["components"]["schemas"].items():
            struct = getattr(models, generator.class_name(name))
            assert set(struct.__struct_encode_fields__) == set(schema.get("properties", {})), name

    def test_read_what_a_newer_platform_says(self) -> None:
        email = barest({"$ref": "#/components/schemas/EmailOut"})
        read = msgspec.convert({**email, "state": "teleported", "more": 1}, models.EmailOut)
        assert read.state == "teleported"

    def test_keep_their_values_out_of_logs(self) -> None:
        schema = {"$ref": "#/components/schemas/ApiKeySecretOut"}
        made = msgspec.convert({**barest(schema), "key": "es_secret"}, models.ApiKeySecretOut)
        assert repr(made) == str(made) == "ApiKeySecretOut(...)"


def is_stream(operation: dict[str, Any]) -> bool:
    """A stream is followed, not asked."""
    return any(
        "text/event-stream" in answer.get("content", {})
        for answer in operation["responses"].values()
    )


class TestOperations:
    def test_are_asked_and_read_as_documented(self) -> None:
        asked: list[str] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(operation_at(request.method, request.url.path)["operationId"])
            return answer_barely(request)

        http = httpx.Client(transport=httpx.MockTransport(answer))
        api = Api(Connection(SETTINGS, http, Tokens()))
        for name, method in inspect.getmembers(api, inspect.ismethod):
            if not name.startswith("_"):
                parameters = inspect.signature(method).parameters.values()
                method(
                    *(
                        made_up(one.annotation)
                        for one in parameters
                        if one.kind != one.KEYWORD_ONLY
                    ),
                    **{
                        one.name: made_up(one.annotation)
                        for one in parameters
                        if one.kind == one.KEYWORD_ONLY
                    },
                )
                assert asked[-1] == name
        assert set(asked) == {
            operation["operationId"]
            for path, item in DOCUMENT["paths"].items()
            for operation in item.values()
            if path.startswith("/api/v1/") and not is_stream(operation)
        }

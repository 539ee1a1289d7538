"""What the operations of the n8n node send is what the API's OpenAPI document offers.

The declarations are TypeScript; `n8n-nodes/test/snapshot.json` tells them where there is no Node,
and the node's own tests hold it to them.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backend.core.room import WORKFLOW
from backend.rooms import ROOMS

ROOT = Path(__file__).resolve().parents[2]
# The released document; another test keeps it equal to what the API says of itself.
DOCUMENT = json.loads((ROOT / "tests/contract/openapi-v1.json").read_text(encoding="utf-8"))
SNAPSHOT = json.loads((ROOT / "n8n-nodes/test/snapshot.json").read_text(encoding="utf-8"))


class Operation(NamedTuple):
    """One operation of the node, as it declares itself."""

    route: str
    query: list[str]
    body: list[str]


OPERATIONS = {name: Operation(**told) for name, told in SNAPSHOT["operations"].items()}
FREE = {"customApiCall.call"}
DECLARED = sorted(OPERATIONS.keys() - FREE)


def offered(route: str) -> dict[str, Any]:
    method, path = route.split(" ")
    operation: dict[str, Any] | None = DOCUMENT["paths"].get(path, {}).get(method.lower())
    assert operation is not None, f"{route} is not in the OpenAPI document"
    return operation


def body_schema(operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    # What is no JSON has no properties: lines of a log are checked by the node's own tests.
    schema: dict[str, Any] = content.get("application/json", {}).get("schema", {})
    if reference := schema.get("$ref"):
        named: dict[str, Any] = DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]]
        return named
    return schema


def choices(name: str) -> Iterator[tuple[str, set[str]]]:
    """The fields of an operation that offer a choice, under the names of the API."""
    resource, _, operation = name.partition(".")
    for field in SNAPSHOT["parameters"]:
        shown = field.get("displayOptions", {}).get("show", {})
        if (shown.get("resource"), shown.get("operation")) == ([resource], [operation]):
            for leaf in field["options"] if field["type"] == "collection" else [field]:
                # What the editor asks the API for, such as templates, is no choice of the document.
                if leaf["type"] == "options" and "options" in leaf:
                    snake = re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", leaf["name"])
                    yield snake, {option["value"] for option in leaf["options"]}


def enum(schema: dict[str, Any]) -> set[str]:
    return {value for part in [schema, *schema.get("anyOf", [])] for value in part.get("enum", [])}


class TestOperations:
    def test_are_told_by_the_snapshot(self):
        assert {"email.send", "email.get", "email.list"} <= OPERATIONS.keys()
        assert {"job.get", "job.cancel", "job.retry"} <= OPERATIONS.keys()

    def test_leave_the_path_free_for_the_custom_call_only(self):
        free = {name for name, operation in OPERATIONS.items() if "*" in operation.route}
        assert free == FREE

    @pytest.mark.parametrize("name", DECLARED)
    def test_call_a_method_and_path_of_the_document(self, name):
        # Parameters by name, too: the fields of the node are named after them.
        offered(OPERATIONS[name].route)

    @pytest.mark.parametrize("name", DECLARED)
    def test_send_query_parameters_of_the_document(self, name):
        operation = OPERATIONS[name]
        parameters = offered(operation.route).get("parameters", [])
        known = [parameter for parameter in parameters if parameter["in"] == "query"]
        needed = {parameter["name"] for parameter in known if parameter["required"]}
        assert set(operation.query) <= {parameter["name"] for parameter in known}
        assert needed <= set(operation.query)

    @pytest.mark.parametrize("name", DECLARED)
    def test_send_properties_of_the_document(self, name):
        operation = OPERATIONS[name]
        schema = body_schema(offered(operation.route))
        assert set(operation.body) <= set(schema.get("properties", {}))
        assert set(schema.get("required", [])) <= set(operation.body)

    @pytest.mark.parametrize("name", DECLARED)
    def test_offer_the_choices_of_the_document(self, name):
        operation = OPERATIONS[name]
        api = offered(operation.route)
        asked = {parameter["name"]: parameter["schema"] for parameter in api.get("parameters", [])}
        known = {**asked, **body_schema(api).get("properties", {})}
        for field, values in choices(name):
            if field in {*operation.query, *operation.body}:
                assert values == enum(known[field]), field

    @pytest.mark.parametrize("name", DECLARED)
    def test_send_nothing_by_two_fields(self, name):
        operation = OPERATIONS[name]
        assert len({*operation.query, *operation.body}) == len(operation.query + operation.body)


class TestTrigger:
    def test_offers_the_events_that_its_credential_may_read(self):
        (events,) = (field for field in SNAPSHOT["trigger"] if field["name"] == "events")
        readable = {
            kind
            for room in ROOMS
            for kind, permission in room.events.items()
            if any(one.permissions.get(permission, frozenset()) >= WORKFLOW for one in ROOMS)
        }
        assert {option["value"] for option in events["options"]} == readable

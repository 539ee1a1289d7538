"""Version 1 of the API only grows: the committed document is what callers were promised.

A change of the API shows as a diff of ``openapi-v1.json``. What could break a caller is named as
such, and is not made in version 1 at all. CONTRIBUTING says how to renew the file.
"""

import copy
import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.operations import PROMISED

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"
# What version 1 took back, and the record that argues it. Nothing else may go.
WITHDRAWN = {"GET /api/v1/emails/{email_id}/sink": "0012-kit-outbound-and-sink.md"}
RENEW = "scripts/renew"


def rendered(document: dict[str, Any]) -> str:
    """The document as the command writes it, without the release it was made by."""
    about = {name: value for name, value in document["info"].items() if name != "version"}
    return json.dumps({**document, "info": about}, indent=2, sort_keys=True)


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def fields(document: dict[str, Any], schema: dict[str, Any], at: str = "") -> dict[str, Any]:
    """Every named value in ``schema`` by its path; references are followed, but not in circles."""
    found: dict[str, Any] = {}

    def walk(node: dict[str, Any], path: str, seen: tuple[str, ...]) -> None:
        reference = node.get("$ref")
        if reference is not None:
            if reference not in seen:
                name = reference.rpartition("/")[2]
                walk(document["components"]["schemas"][name], path, (*seen, reference))
            return
        for name, child in node.get("properties", {}).items():
            found[f"{path}/{name}"] = {**child, "required": name in node.get("required", ())}
            walk(child, f"{path}/{name}", seen)
        if isinstance(node.get("items"), dict):
            walk(node["items"], f"{path}/*", seen)
        for branch in (*node.get("anyOf", ()), *node.get("oneOf", ())):
            walk(branch, path, seen)

    walk(schema, at, ())
    return found


def body_of(part: dict[str, Any]) -> dict[str, Any]:
    """The schema of the first media type of a request or response."""
    for media in part.get("content", {}).values():
        found: dict[str, Any] = media.get("schema", {})
        return found
    return {}


def breaking(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """What a caller of ``old`` may stumble over in ``new``."""
    now = operations(new)
    for label, was in operations(old).items():
        if label not in now:
            if label not in WITHDRAWN:
                yield f"{label} is gone"
            continue
        operation = now[label]
        if operation["operationId"] != was["operationId"]:
            yield f"{label} is now called {operation['operationId']}"
        yield from _requests(label, old, was, new, operation)
        yield from _answers(label, old, was, new, operation)


def _requests(
    label: str,
    old: dict[str, Any],
    was: dict[str, Any],
    new: dict[str, Any],
    operation: dict[str, Any],
) -> Iterator[str]:
    known = {(p["in"], p["name"]): p for p in was.get("parameters", ())}
    given = {(p["in"], p["name"]): p for p in operation.get("parameters", ())}
    for place, name in known.keys() - given.keys():
        yield f"{label} no longer takes {place} {name}"
    for key, parameter in given.items():
        if parameter.get("required") and not known.get(key, {}).get("required"):
            yield f"{label} now demands {key[0]} {key[1]}"
    before = fields(old, body_of(was.get("requestBody", {})))
    after = fields(new, body_of(operation.get("requestBody", {})))
    for name in before.keys() - after.keys():
        yield f"{label} no longer takes {name}"
    for name, schema in after.items():
        # A required field of an optional object that is itself new is no burden.
        parent_is_known = name.rpartition("/")[0] in ("", *before)
        if schema["required"] and parent_is_known and not before.get(name, {}).get("required"):
            yield f"{label} now demands {name}"
        lost = set(before.get(name, {}).get("enum", ())) - set(schema.get("enum", ()))
        if lost and "enum" in schema:
            yield f"{label} no longer takes {sorted(lost)} as {name}"


def _answers(
    label: str,
    old: dict[str, Any],
    was: dict[str, Any],
    new: dict[str, Any],
    operation: dict[str, Any],
) -> Iterator[str]:
    for status, response in was["responses"].items():
        if not status.startswith("2"):
            continue
        if status not in operation["responses"]:
            yield f"{label} no longer answers {status}"
            continue
        before = fields(old, body_of(response))
        after = fields(new, body_of(operation["responses"][status]))
        for name, schema in before.items():
            if name not in after:
                yield f"{label} no longer answers {name}"
            elif schema.get("type") != after[name].get("type"):
                yield f"{label} answers another type of {name}"


class TestSnapshot:
    def test_nothing_that_callers_rely_on_has_changed(self, openapi: dict[str, Any]) -> None:
        found = "\n".join(breaking(PROMISED, openapi))
        assert not found, f"this breaks callers of version 1:\n{found}"

    @pytest.mark.parametrize(("label", "record"), WITHDRAWN.items())
    def test_what_was_withdrawn_is_gone_and_argued(
        self, label: str, record: str, openapi: dict[str, Any]
    ) -> None:
        assert label not in operations(openapi)
        assert label in (DECISIONS / record).read_text()

    def test_the_document_is_the_committed_one(self, openapi: dict[str, Any]) -> None:
        committed = rendered(PROMISED).splitlines()
        current = rendered(json.loads(json.dumps(openapi))).splitlines()
        changes = "\n".join(
            difflib.unified_diff(committed, current, "committed", "current", lineterm="", n=4)
        )
        assert not changes, f"if it is meant, renew the snapshot: {RENEW}\n{changes}"


class TestBreaking:
    def test_forgives_only_what_was_withdrawn(self, openapi: dict[str, Any]) -> None:
        before = copy.deepcopy(openapi)
        operation = openapi["paths"]["/api/v1/me"]
        before["paths"]["/api/v1/emails/{email_id}/sink"] = copy.deepcopy(operation)
        before["paths"]["/api/v1/emails/{email_id}/drain"] = copy.deepcopy(operation)
        assert list(breaking(before, openapi)) == ["GET /api/v1/emails/{email_id}/drain is gone"]

    def test_sees_what_breaks_a_caller(self, openapi: dict[str, Any]) -> None:
        changed = copy.deepcopy(openapi)
        schemas = changed["components"]["schemas"]
        del changed["paths"]["/api/v1/me"]
        for out in ("EmailOut", "SubmittedOut"):
            del schemas[out]["properties"]["state"]
        schemas["ClientCreate"]["properties"]["purpose"] = {"type": "string"}
        schemas["ClientCreate"]["required"].append("purpose")
        schemas["PlatformClientCreate"]["properties"]["role"]["enum"].remove("support")
        del schemas["TenantCreate"]["properties"]["owner_email"]
        found = set(breaking(openapi, changed))
        assert found >= {
            "GET /api/v1/me is gone",
            "POST /api/v1/emails no longer answers /state",
            "GET /api/v1/emails no longer answers /items/*/state",
            "POST /api/v1/clients now demands /purpose",
            "POST /api/v1/platform/clients no longer takes ['support'] as /role",
            "POST /api/v1/platform/tenants no longer takes /owner_email",
        }

    def test_lets_the_api_grow(self, openapi: dict[str, Any]) -> None:
        changed = copy.deepcopy(openapi)
        schemas = changed["components"]["schemas"]
        changed["paths"]["/api/v1/more"] = copy.deepcopy(openapi["paths"]["/api/v1/me"])
        schemas["EmailOut"]["properties"]["mood"] = {"type": "string"}
        schemas["ClientCreate"]["properties"]["purpose"] = {"type": "string"}
        assert not list(breaking(openapi, changed))

"""The published contract of the API, for what the console asks and what its fake answers."""

from __future__ import annotations

import copy
import functools
import json
import re
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

Json = dict[str, Any]

DOCUMENT: Final[Json] = json.loads(
    (Path(__file__).parents[1] / "contract" / "openapi-v1.json").read_text(encoding="utf-8")
)


def operation(method: str, path: str) -> Json:
    """Return the operation that answers at ``path``; fails when the API has none."""
    for template, methods in DOCUMENT["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and method.lower() in methods:
            return methods[method.lower()]
    raise AssertionError(f"the API has no {method} {path}")


def answer_schema(method: str, path: str) -> Json | None:
    """Return the schema of the body of an operation's success; None when it has no body."""
    answers = operation(method, path)["responses"]
    success = next(answer for status, answer in answers.items() if status.startswith("2"))
    return success["content"]["application/json"]["schema"] if "content" in success else None


def hold(
    method: str, path: str, query: dict[str, str], body: Any, status: int, answer: Any
) -> None:
    """Fail unless the call is one that the API takes, and the answer one that it gives.

    An answer may not have fields that the contract does not know either: the console would learn
    to read them.
    """
    where = f"{method} {path}"
    if path.startswith("/sink/"):
        return  # not promised: tests/integration/sink asks the platform itself
    known = operation(method, path)
    unknown = set(query) - {p["name"] for p in known.get("parameters", []) if p["in"] == "query"}
    assert not unknown, f"{where} takes no {unknown}"
    if status >= 400:
        schema = {"$ref": "#/components/schemas/Problem"}
        if path.startswith("/api/"):
            _refuse(where, _validator(json.dumps(schema), closed=False), answer)
        return
    asked = known.get("requestBody", {}).get("content", {}).get("application/json")
    if asked:
        _refuse(f"{where}, its body", _validator(json.dumps(asked["schema"]), closed=False), body)
    assert str(status) in known["responses"], f"{where} does not answer {status}"
    given = known["responses"][str(status)].get("content")
    if given is None:
        assert answer is None, f"{where} has no body with {status}"
    else:
        schema = given["application/json"]["schema"]
        _refuse(where, _validator(json.dumps(schema), closed=True), answer)


def barest(schema: Json) -> Any:
    """Return the emptiest instance: what may be null is, what may be left out is left out.

    Lists have one item, so that the item's own fields are met as well.
    """
    if "$ref" in schema:
        found = DOCUMENT
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return barest(found)
    kinds = schema.get("anyOf", [schema])
    if len(kinds) > 1:
        return None if {"type": "null"} in kinds else barest(kinds[0])
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"), schema.get("format"):
        case "object", _:
            fields = schema.get("properties", {})
            return {name: barest(fields[name]) for name in schema.get("required", [])}
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


def _refuse(where: str, validator: jsonschema_rs.Draft202012Validator, instance: Any) -> None:
    errors = [
        f"{error.instance_path}: {error.message}" for error in validator.iter_errors(instance)
    ]
    assert not errors, f"{where}: {errors}"


@functools.cache
def _validator(schema: str, *, closed: bool) -> jsonschema_rs.Draft202012Validator:
    components = copy.deepcopy(DOCUMENT["components"])
    if closed:
        for component in components["schemas"].values():
            if "properties" in component:
                component.setdefault("additionalProperties", False)
    whole = {**json.loads(schema), "components": components}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)

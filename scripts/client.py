"""Writes the console's client from the API's published document.

The document is the source: its schemas become ``models.py`` of ``dashboard/client/`` by
datamodel-code-generator, and each of its operations one method in ``operations.py`` by this module.
Nothing is asked of a network, and the same document gives the same files.

    scripts/generate-client [--output FOLDER]
"""

from __future__ import annotations

import argparse
import json
import keyword
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = ROOT / "tests" / "contract" / "openapi-v1.json"
CLIENT: Final = ROOT / "dashboard" / "client"
_VERSION: Final = "/api/v1/"
_JSON: Final = "application/json"
_STREAM: Final = "text/event-stream"
_HEADER: Final = "# Written by scripts/generate-client from tests/contract/openapi-v1.json."
_SCALARS: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
# What tells how an answer is read. What only refuses a value is left out: a client that knew it
# would refuse what a newer version of the API has learned to say, an unknown state for one.
_KEPT: Final = frozenset(
    {"$ref", "type", "items", "prefixItems", "minItems", "maxItems", "default", "required"}
)
_LISTS_OF_SCHEMAS: Final = ("anyOf", "oneOf", "prefixItems")

Json = dict[str, Any]


class GeneratorError(ValueError):
    """The document says something for which the client has no form yet."""


# --- the wire types -------------------------------------------------------------------------


def class_name(component: str) -> str:
    """Return the Python name of a schema: ``Page_ApiKeyOut_`` is ``PageApiKeyOut``."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9A-Za-z]+", component))


def readable(schema: Json) -> Json:
    """Return the schema as a tolerant reader needs it: the form alone, without any bound."""
    if "discriminator" in schema:
        # A reader of one of several shapes, which newer versions add to, takes it as it comes.
        return {"type": "object"}
    kept = {name: value for name, value in schema.items() if name in _KEPT}
    if "$ref" in kept:
        kept["$ref"] = "#/components/schemas/" + class_name(kept["$ref"].rpartition("/")[2])
    if kept.get("type") != "array" or "prefixItems" not in kept:
        kept.pop("minItems", None)
        kept.pop("maxItems", None)
    if schema.get("format") == "date-time":
        kept["format"] = "date-time"
    if "properties" in schema:
        # Beside fields, alternatives only say which of them go together.
        kept["properties"] = {name: readable(field) for name, field in schema["properties"].items()}
        kept["description"] = schema.get("description", "")
        return kept
    for name in _LISTS_OF_SCHEMAS:
        if name in schema:
            kept[name] = [readable(one) for one in schema[name]]
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            kept[name] = readable(schema[name])
    if "const" in schema:
        kept["type"] = {str: "string", bool: "boolean", int: "integer"}[type(schema["const"])]
    return kept


def write_models(document: Json) -> str:
    """Return the module of wire types: one struct for each schema of the document."""
    schemas = {
        class_name(name): readable(schema)
        for name, schema in document["components"]["schemas"].items()
    }
    if len(schemas) < len(document["components"]["schemas"]):
        raise GeneratorError("two schemas have the same name in Python")
    reduced = {
        "openapi": document["openapi"],
        "info": {"title": "wire types", "version": "1"},
        "paths": {},
        "components": {"schemas": schemas},
    }
    made = _run(
        json.dumps(reduced, sort_keys=True),
        *("-m", "datamodel_code_generator", "--ignore-pyproject", "--no-formatters"),
        *("--input-file-type", "openapi", "--output-model-type", "msgspec.Struct"),
        *("--base-class", "dashboard.client.wire.Wire", "--keyword-only"),
        *("--target-python-version", "3.11", "--output-datetime-class", "datetime"),
        *("--use-standard-collections", "--use-union-operator", "--use-tuple-for-fixed-items"),
        *("--keep-model-order", "--use-schema-description", "--use-single-line-docstring"),
        *("--disable-timestamp", "--disable-warnings", "--custom-file-header", _HEADER),
    )
    # The option for frozen classes means dataclasses alone.
    made = made.replace("(Wire, kw_only=True)", "(Wire, frozen=True, kw_only=True)")
    docstring = '"""What goes over the wire, as the API\'s document tells it."""\n'
    head, mark, rest = made.partition("from __future__")
    return _formatted("models.py", f"{head}{docstring}\n{mark}{rest}")


# --- the operations -------------------------------------------------------------------------


def write_operations(document: Json) -> str:
    """Return the module of methods: one for each operation of version 1."""
    names: set[str] = set()
    methods: list[str] = []
    values: list[str] = []
    for path, item in document["paths"].items():
        if not path.startswith(_VERSION):
            continue
        tagged = any(_header(operation, "if-match") for operation in item.values())
        for verb, operation in item.items():
            name = operation["operationId"]
            if name in names:
                raise GeneratorError(f"two operations are called {name}")
            names.add(name)
            methods.extend(_method(verb.upper(), path, operation, tagged=tagged))
            values.extend(_values(operation))
    body = textwrap.indent("\n\n".join(methods), "    ")
    made = _OPERATIONS.format(header=_HEADER, methods=body, values="\n".join(values))
    return _formatted("operations.py", made)


def _values(operation: Json) -> Iterator[str]:
    """Yield what a query parameter may be, where that is one of a few: by operation and name."""
    for parameter in operation.get("parameters", []):
        schema = parameter["schema"]
        for one in schema.get("anyOf", [schema]):
            if parameter["in"] == "query" and "enum" in one:
                key = f"{operation['operationId']}.{parameter['name']}"
                yield f"    {json.dumps(key)}: {tuple(one['enum'])!r},"


_OPERATIONS: Final = '''{header}
"""One method for each operation of version 1 of the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from dashboard.client import models
from dashboard.client.transport import (
    Connection,
    Download,
    Tagged,
    fresh_key,
    segment,
    uuid_segment,
)


VALUES: Final[Mapping[str, tuple[str, ...]]] = {{
{values}
}}
"""What query parameters take that are one of a few, in the document's order."""


class Api:
    """The API as one session may use it. Every method may raise ``ApiProblem``."""

    def __init__(self, connection: Connection) -> None:
        """Ask over ``connection``."""
        self.connection = connection

{methods}
'''


def _method(verb: str, path: str, operation: Json, *, tagged: bool) -> Iterator[str]:
    where = f"{verb} {path}"
    media, shape = _answer(where, operation)
    if media == _STREAM:
        return  # It never ends, and so has no return value.
    positional: list[str] = []
    keywords: list[str] = []
    options: list[str] = []
    address = path
    query: list[str] = []
    headers: list[str] = []
    for parameter in operation.get("parameters", []):
        wire = parameter["name"]
        name = _python_name(wire)
        match parameter["in"]:
            case "path":
                positional.append(f"{name}: str")
                kept = "uuid_segment" if parameter["schema"].get("format") == "uuid" else "segment"
                address = address.replace(f"{{{wire}}}", f"{{{kept}({name})}}")
            case "query":
                kind = _annotation(where, parameter["schema"])
                required = parameter.get("required", False)
                keywords.append(f"{name}: {kind}" if required else f"{name}: {kind} | None = None")
                query.append(f'"{wire}": {name}')
            case "header":
                keywords.append(f"{name}: str | None = None")
                value = f"{name} or fresh_key()" if wire == "Idempotency-Key" else name
                headers.append(f'"{wire.title()}": {value}')
            case other:
                raise GeneratorError(f"{where} has a parameter in {other}")
    for kind, schema in _body(where, operation):
        needed = operation["requestBody"].get("required", False)
        form = "bytes" if kind != _JSON else f"models.{schema}"
        positional.append(f"body: {form}" if needed else f"body: {form} | None = None")
        options.append("body=body" if kind == _JSON else f'content=body, media_type="{kind}"')
    given = {
        "query": _mapping(query),
        "headers": _mapping(headers),
        "answer_seconds": operation.get("x-answer-seconds"),
    }
    options += [f"{option}={value}" for option, value in given.items() if value]
    call = f'"{verb}", {"f" if address != path else ""}"{address}"'
    if shape and tagged:
        returned, call = f"Tagged[models.{shape}]", f"ask_tagged({call}, models.{shape}"
    elif shape:
        returned, call = f"models.{shape}", f"ask({call}, models.{shape}"
    elif media:
        returned, call = "Download", f"download({call}"
    else:
        returned, call = "None", f"tell({call}"
    call = f"self.connection.{call}{''.join(f', {option}' for option in options)})"
    signature = ", ".join(["self", *positional, *(["*", *keywords] if keywords else [])])
    yield "\n".join(
        [
            f"def {operation['operationId']}({signature}) -> {returned}:",
            f'    """{_words(operation)}"""',
            f"    {'return ' if returned != 'None' else ''}{call}",
        ]
    )


def _mapping(pairs: list[str]) -> str:
    """Return a dict's display, or nothing for an empty one."""
    return f"{{{', '.join(pairs)}}}" if pairs else ""


def _answer(where: str, operation: Json) -> tuple[str | None, str | None]:
    """Return the media type of an operation's success, and its struct where it is JSON."""
    found = {
        (media, _struct(where, content["schema"]) if media == _JSON else None)
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for media, content in (answer.get("content") or {None: {}}).items()
    }
    if len(found) != 1:
        raise GeneratorError(f"{where} answers in more than one form")
    return found.pop()


def _body(where: str, operation: Json) -> Iterator[tuple[str, str | None]]:
    content = operation.get("requestBody", {}).get("content", {})
    if len(content) > 1:
        raise GeneratorError(f"{where} takes more than one kind of body")
    for media, body in content.items():
        yield media, _struct(where, body["schema"]) if media == _JSON else None


def _struct(where: str, schema: Json) -> str:
    if "$ref" not in schema:
        raise GeneratorError(f"{where} has a body without a name: give it a model")
    return class_name(schema["$ref"].rpartition("/")[2])


def _annotation(where: str, schema: Json) -> str:
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    if len(kinds) == 1:
        kind = kinds[0]
        if kind.get("format") == "date-time":
            return "datetime"
        if kind.get("type") == "array":
            return f"list[{_annotation(where, kind['items'])}]"
        if kind.get("type") in _SCALARS:
            return _SCALARS[kind["type"]]
    raise GeneratorError(f"{where} has a parameter of no simple type: {schema}")


def _python_name(wire: str) -> str:
    name = re.sub(r"\W", "_", wire).lower()
    return f"{name}_" if keyword.iskeyword(name) else name


def _header(operation: Json, name: str) -> bool:
    return any(
        parameter["in"] == "header" and parameter["name"].lower() == name
        for parameter in operation.get("parameters", [])
    )


def _words(operation: Json) -> str:
    """Return an operation's own words as a docstring: its first paragraph, wrapped."""
    text = operation.get("description") or operation.get("summary") or operation["operationId"]
    first = " ".join(text.partition("\n\n")[0].split()).replace("\\", "\\\\").replace('"', "'")
    sentence, stop, more = first.partition(". ")
    said = sentence + stop.strip() if more else first
    if more:
        said += "\n\n" + textwrap.fill(more, 88)
    return textwrap.indent(said + ("\n" if more else ""), "    ").lstrip() + (
        "    " if more else ""
    )


# --- the tools ------------------------------------------------------------------------------


def _formatted(name: str, code: str) -> str:
    """Return the code as the repository's own rules write it."""
    ruff = ("-m", "ruff")
    at = ("--config", str(ROOT / "pyproject.toml"), "--stdin-filename", str(CLIENT / name), "-")
    for command in (("check", "--fix-only", "--quiet", "--select", "F401,I"), ("format",)):
        code = _run(code, *ruff, *command, *at)
    return code


def _run(given: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        raise GeneratorError(done.stderr.strip() or f"{arguments[1]} failed")
    return done.stdout


def generate(document: Json, output: Path) -> None:
    """Write both modules into ``output``.

    Raises:
        GeneratorError: The document says something for which the client has no form yet.
    """
    output.mkdir(parents=True, exist_ok=True)
    (output / "models.py").write_text(write_models(document), encoding="utf-8")
    (output / "operations.py").write_text(write_operations(document), encoding="utf-8")


def main() -> None:
    """Write the client, or say in one line why it cannot be."""
    parser = argparse.ArgumentParser(prog="scripts/generate-client", description=__doc__)
    parser.add_argument("--output", type=Path, default=CLIENT, help="where (default: its place)")
    options = parser.parse_args()
    try:
        generate(json.loads(DOCUMENT.read_text(encoding="utf-8")), options.output)
    except GeneratorError as error:
        sys.exit(f"generate-client: {error}")


if __name__ == "__main__":
    main()

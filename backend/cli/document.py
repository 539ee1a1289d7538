"""Document: the API's description, without a server."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final

from backend.app import compose
from backend.cli.command import Command
from backend.managers.webhooks import asyncapi_of
from backend.rooms import HOUSE
from backend.settings import Settings


def _openapi(settings: Settings, options: argparse.Namespace) -> None:
    with (
        tempfile.TemporaryDirectory() as nothing
    ):  # the document depends on no data, and makes none
        apart = settings.model_copy(update={"data_dir": Path(nothing)})
        _write(openapi_document(apart), options)


def _asyncapi(_: Settings, options: argparse.Namespace) -> None:
    _write(asyncapi_document(), options)


def asyncapi_document() -> dict[str, Any]:
    """What ``docs/asyncapi.json`` is made of: every event that a room declares."""
    return asyncapi_of(HOUSE.events, "1")


def _write(said: dict[str, Any], options: argparse.Namespace) -> None:
    document = json.dumps(said, indent=2, sort_keys=True) + "\n"
    if options.output:
        options.output.write_text(document)
    else:
        sys.stdout.write(document)


def openapi_document(settings: Settings) -> dict[str, Any]:
    """The document that ``/openapi.json`` serves, without serving it."""
    # By name: no other command wants routes.
    create_app = resolve_name("backend.api:create_app")
    document: dict[str, Any] = create_app(compose(settings)).control_plane.openapi()
    return document


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path)


COMMANDS: Final = (
    Command("asyncapi", "print the AsyncAPI document of events", _asyncapi, _options, "needs none"),
    Command("openapi", "print the OpenAPI document", _openapi, _options, installation="makes"),
)

"""Document: the API's description, without a server."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from backend.app import compose, create_app
from backend.cli.command import Command
from backend.settings import Settings


def _openapi(settings: Settings, options: argparse.Namespace) -> None:
    with (
        tempfile.TemporaryDirectory() as nothing
    ):  # the document depends on no data, and makes none
        apart = settings.model_copy(update={"data_dir": Path(nothing)})
        document = json.dumps(openapi_document(apart), indent=2, sort_keys=True) + "\n"
    if options.output:
        options.output.write_text(document)
    else:
        sys.stdout.write(document)


def openapi_document(settings: Settings) -> dict[str, Any]:
    """The document that ``/openapi.json`` serves, without serving it."""
    return create_app(compose(settings)).control_plane.openapi()


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path)


COMMANDS: Final = (
    Command("openapi", "print the OpenAPI document", _openapi, _options, installation="makes"),
)

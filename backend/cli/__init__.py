"""The ``email-sender`` command: everything an operator starts or asks from a shell.

A module a noun, each with its ``COMMANDS``. Bad input and foreseeable failures are one line on
standard error and exit code 2.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import sqlalchemy as sa
from alembic.util import CommandError as MigrationError
from pydantic import ValidationError

from backend import __version__
from backend.app import SERVICE
from backend.cli import audit, document, installation, jobs, people, processes, schema, suppressions
from backend.cli.command import Command, CommandError
from backend.core.errors import AppError
from backend.core.log import configure_logging
from backend.settings import Settings

_USAGE: Final = 2
COMMANDS: Final = (
    *processes.COMMANDS,
    *schema.COMMANDS,
    *installation.COMMANDS,
    *audit.COMMANDS,
    *people.COMMANDS,
    *jobs.COMMANDS,
    *suppressions.COMMANDS,
    *document.COMMANDS,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits 0, or 2 with one line of explanation."""
    # The database, its journal, logs and mail hold what every tenant sent: a folder that others
    # may enter must not show them.
    os.umask(0o077)
    options = _parser().parse_args(arguments)
    try:
        settings = Settings()
        configure_logging(f"{SERVICE}-{options.command}", settings.telemetry.log_level)
        command: Command = options.chosen
        command.run(settings, options)
    except ValidationError as exc:
        first = exc.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            _fail(said)
        name = "EMAIL_SENDER__" + "__".join(str(part).upper() for part in first["loc"])
        if first["type"] == "extra_forbidden":
            _fail(f"{name} is no setting of this release")
        _fail(f"{name}: {said}")
    except AppError as exc:
        _fail(f"{exc.title}: {exc.detail}" if exc.detail else exc.title)
    except ModuleNotFoundError as exc:
        # SQLAlchemy imports a driver when it needs one, and no sooner.
        if exc.name != "psycopg":
            raise
        extra = "pip install 'email-sender[cluster]', or scripts/setup in a checkout"
        _fail(f"PostgreSQL needs a driver: {extra}")
    except (
        CommandError,
        MigrationError,
        ValueError,
        OSError,
        RuntimeError,
        sa.exc.SQLAlchemyError,
    ) as exc:
        _fail(str(exc).splitlines()[0] if str(exc) else type(exc).__name__)


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"email-sender: {message}\n")
    sys.exit(_USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="email-sender", description="Everything an operator starts or asks from a shell."
    )
    parser.add_argument("--version", action="version", version=__version__)
    words = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        word = words.add_parser(command.name, help=command.text, description=command.text)
        word.set_defaults(chosen=command)
        command.options(word)
    return parser

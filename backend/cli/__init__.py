"""The ``email-sender`` command: everything an operator starts or asks from a shell.

A module a noun, each with its ``COMMANDS``: to add one is to add the file. Most work on the
database of the installation they are run in; those marked "by the API" ask an API that may be
anywhere, as whoever logged in with ``login``. Bad input and foreseeable failures are one line on
standard error and exit code 2; what was waited for and did not come in time is exit code 1.
"""

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import sqlalchemy as sa
from alembic.util import CommandError as MigrationError
from pydantic import ValidationError

from backend import __version__
from backend.app import SERVICE
from backend.cli.command import Command, CommandError
from backend.core.errors import AppError
from backend.core.log import configure_logging
from backend.settings import Settings

_USAGE: Final = 2
_INTERRUPTED: Final = 130
# What an installation begins with; after these the help follows the names of the modules.
_FIRST: Final = ("processes", "schema", "installation")


def _commands() -> tuple[Command, ...]:
    names = sorted(one.name for one in pkgutil.iter_modules(__path__))
    ordered = [*_FIRST, *(name for name in names if name not in _FIRST)]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in ordered]
    return tuple(one for module in modules for one in getattr(module, "COMMANDS", ()))


COMMANDS: Final = _commands()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits 0, 1 or 2 with one line of explanation, or 130 after a Ctrl-C."""
    # The database, its journal, logs and mail hold what every tenant sent: a folder that others
    # may enter must not show them.
    os.umask(0o077)
    options = _parser().parse_args(arguments)
    try:
        settings = Settings()
        configure_logging(f"{SERVICE}-{options.command}", settings.telemetry.log_level)
        command: Command = options.chosen
        command.run(command.settings_for(settings), options)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
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
        wrong = [str(one["detail"]) for one in exc.extra.get("errors", ())]
        _fail("; ".join([f"{exc.title}: {exc.detail}" if exc.detail else exc.title, *wrong[:3]]))
    except ModuleNotFoundError as exc:
        # SQLAlchemy imports a driver when it needs one, and no sooner.
        if exc.name != "psycopg":
            raise
        extra = "pip install 'email-sender[cluster]', or scripts/setup in a checkout"
        _fail(f"PostgreSQL needs a driver: {extra}")
    except CommandError as exc:
        _fail(str(exc).splitlines()[0], exc.status)
    except (
        MigrationError,
        ValueError,
        OSError,
        RuntimeError,
        sa.exc.SQLAlchemyError,
    ) as exc:
        _fail(str(exc).splitlines()[0] if str(exc) else type(exc).__name__)


def _fail(message: str, status: int = _USAGE) -> NoReturn:
    sys.stderr.write(f"email-sender: {message}\n")
    sys.exit(status)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with its arguments in one line, as commands do."""

    def error(self, message: str) -> NoReturn:
        """Leave with it."""
        _fail(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="email-sender", description="Everything an operator starts or asks from a shell."
    )
    parser.add_argument("--version", action="version", version=__version__)
    words = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        by_api = " (by the API)" if command.installation == "needs none" else ""
        word = words.add_parser(
            command.name, help=command.text + by_api, description=command.text + by_api
        )
        word.set_defaults(chosen=command)
        command.options(word)
    return parser

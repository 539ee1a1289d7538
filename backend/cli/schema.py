"""Schema: the database's tables, migrated as their owner."""

import argparse
from typing import Final

import sqlalchemy as sa

from backend.cli.command import Command
from backend.migrations import runner
from backend.settings import Settings


def _migrate(settings: Settings, options: argparse.Namespace) -> None:
    if options.down:
        runner.downgrade(settings.owner_url, options.to)
        return
    if sa.make_url(settings.owner_url).get_backend_name() == "sqlite":
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    role = sa.make_url(settings.database_url).username
    is_owner = role == sa.make_url(settings.owner_url).username
    runner.upgrade(settings.owner_url, options.to, role=None if is_owner else role)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", default="head", help="revision, or 'base' to drop everything")
    parser.add_argument(
        "--down", action="store_true", help="allow going down to the revision of --to"
    )


COMMANDS: Final = (
    Command(
        "migrate",
        "migrate the database as its owner",
        _migrate,
        _options,
        installation="makes",
    ),
)

"""Logs of the tenant that one is logged in to: searched, and followed as they come."""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from backend.cli._api import Api, api_command, print_rows
from backend.cli.command import time_of
from backend.managers.logging import LEVELS

_POLL_SECONDS: Final = 1.0
_PAGE: Final = 200
_FILTERS: Final = ("level", "source", "trace_id", "request_id", "execution_id", "words")


async def _search(api: Api, options: argparse.Namespace) -> None:
    """The latest lines that are wanted, oldest first, as whoever reads on expects them."""
    query = _query(options, "after", "before")
    found: list[Mapping[str, Any]] = []
    cursor: str | None = None
    while len(found) < options.limit:
        limit = min(_PAGE, options.limit - len(found))
        page = await api.get("logs", **query, limit=limit, cursor=cursor)
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    _print(reversed(found), as_json=options.json)


async def _patterns(api: Api, options: argparse.Namespace) -> None:
    """A pattern a line: how many lines, whether it is new, its worst level, what it is."""
    query = _query(options, "after", "before")
    found = await api.get("logs/patterns", **query, limit=options.limit, new=options.new)
    if options.json:
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
        return
    for one in found["items"]:
        new = {True: "new", False: "known", None: "-"}[one["is_new"]]
        level = one["levels"][0]["value"]
        sys.stdout.write(f"{one['count']}\t{new}\t{level}\t{one['pattern']}\n")


async def _tail(api: Api, options: argparse.Namespace) -> None:
    query = _query(options)
    after: int | None = None
    while True:
        limit = options.lines if after is None else _PAGE
        page = await api.get("logs/tail", **query, after_seq=after, limit=limit)
        _print(page["items"], as_json=options.json)
        sys.stdout.flush()
        if not options.follow:
            return
        after = page["seq"]
        if len(page["items"]) < limit:
            await asyncio.sleep(_POLL_SECONDS)


def _query(options: argparse.Namespace, *times: str) -> dict[str, str | None]:
    query = {name: getattr(options, name) for name in _FILTERS}
    at = {name: getattr(options, name) for name in times}
    return query | {name: None if one is None else one.isoformat() for name, one in at.items()}


def _print(lines: Any, *, as_json: bool) -> None:
    """A line a line: its time, level, source and message between tabs, or all of it as JSON."""
    for one in lines:
        if as_json:
            sys.stdout.write(json.dumps(one, ensure_ascii=False) + "\n")
        else:
            words = " ".join(one["message"].split())
            sys.stdout.write(f"{one['at']}\t{one['level']}\t{one['source'] or '-'}\t{words}\n")


def _filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="?", help='in the message; "one after the other", pay*, -without'
    )
    parser.add_argument("--level", choices=tuple(LEVELS), help="this one or a higher one")
    parser.add_argument("--source", help="exact")
    parser.add_argument("--trace-id", help="exact")
    parser.add_argument("--request-id", help="exact")
    parser.add_argument("--execution-id", help="exact")
    parser.add_argument("--json", action="store_true", help="all of each line, as JSON")


def _between(parser: argparse.ArgumentParser) -> None:
    _filters(parser)
    parser.add_argument("--after", type=time_of, metavar="TIME", help="happened then or later")
    parser.add_argument("--before", type=time_of, metavar="TIME", help="happened earlier")


def _pattern_options(parser: argparse.ArgumentParser) -> None:
    _between(parser)
    parser.add_argument("--new", action="store_true", help="only what was not said before")
    parser.add_argument("--limit", type=int, default=50, help="those of most lines; default: 50")


def _search_options(parser: argparse.ArgumentParser) -> None:
    _between(parser)
    parser.add_argument("--limit", type=int, default=100, help="the latest so many; default: 100")


def _tail_options(parser: argparse.ArgumentParser) -> None:
    _filters(parser)
    parser.add_argument(
        "--lines", type=int, choices=range(1, _PAGE + 1), default=20, metavar="1..200",
        help="that are there already; default: 20",
    )  # fmt: skip
    parser.add_argument("--follow", action="store_true", help="go on with what comes")


async def _export(api: Api, _: argparse.Namespace) -> None:
    """What there is to say of the export, a fact a line."""
    for name, value in (await api.get("log-export")).items():
        sys.stdout.write(f"{name}\t{'-' if value is None else value}\n")


async def _dead(api: Api, _: argparse.Namespace) -> None:
    found = await api.items("log-export/dead-letters")
    print_rows(found, "id", "seq", "at", "status", "kind", "reason")


async def _decide(verb: str, api: Api, options: argparse.Namespace) -> None:
    """Of those that are named, or else of all: a thousand a request, until none is left."""
    total = 0
    while True:
        body = {"ids": options.ids} if options.ids else {}
        count = (await api.post(f"log-export/dead-letters/{verb}", body))["count"]
        total += count
        if options.ids or not count:
            break
    sys.stdout.write(f"{total}\n")


def _decide_options(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", dest="ids", action="append", metavar="ID", help="one; again: more")
    which.add_argument("--all", action="store_true", help="all that there are")


COMMANDS: Final = (
    api_command("logs-search", "print the log lines that are looked for", _search, _search_options),
    api_command(
        "logs-patterns", "print what log lines have in common", _patterns, _pattern_options
    ),
    api_command("logs-tail", "print the newest log lines, and what comes", _tail, _tail_options),
    api_command("logs-export", "print how far the export to Elasticsearch has come", _export),
    api_command("logs-dead", "print the log lines that Elasticsearch does not take", _dead),
    api_command(
        "logs-dead-retry",
        "have log lines tried once more that Elasticsearch did not take",
        partial(_decide, "retry"),
        _decide_options,
    ),
    api_command(
        "logs-dead-forget",
        "give up log lines that Elasticsearch does not take",
        partial(_decide, "forget"),
        _decide_options,
    ),
)

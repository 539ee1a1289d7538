"""Limits: what the platform allows a tenant, or every tenant, seen and set from a shell."""

import argparse
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from backend.app import Platform
from backend.cli.command import (
    OPERATOR,
    Command,
    Installation,
    Options,
    find_tenant,
    run_on_platform,
)
from backend.core.context import SystemScope
from backend.core.paging import in_parts
from backend.managers.gateway import LIMITS, Bounds, GatewayManager, Rate
from backend.settings import Settings

_Work = Callable[[Platform, str | None, argparse.Namespace], Awaitable[None]]


async def _list(platform: Platform, tenant_id: str | None, _: argparse.Namespace) -> None:
    """One limit a line, by tabs.

    Id, tenant, owner, kind, name, requests, bytes, concurrency, class, sustained, cost.
    """
    scope = SystemScope(LIMITS, actor=OPERATOR)
    read = partial(platform.of(GatewayManager).limits.list_limits, tenant_id=tenant_id)
    async for rows in in_parts(platform.database, scope, read):
        for one in rows:
            words = (
                one.id,
                one.tenant_id or "every",
                one.owner,
                one.kind,
                one.name or "-",
                "/".join(map(str, one.requests)) if one.requests else "-",
                "/".join(map(str, one.bytes)) if one.bytes else "-",
                str(one.concurrency or "-"),
                one.route_class or "-",
                "/".join(map(str, one.sustained)) if one.sustained else "-",
                str(one.cost or "-"),
            )
            sys.stdout.write("\t".join(words) + "\n")


async def _set(platform: Platform, tenant_id: str | None, options: argparse.Namespace) -> None:
    scope = SystemScope(LIMITS, actor=OPERATOR)
    bounds = Bounds(
        options.requests, options.bytes, options.concurrency, options.sustained, options.cost
    )
    async with platform.database.transaction(scope) as tx:
        made = await platform.of(GatewayManager).limits.put_limit(
            tx,
            tenant_id=tenant_id,
            kind=options.kind,
            name=options.name,
            bounds=bounds,
            route_class=options.route_class,
        )
    sys.stdout.write(f"{made.id}\n")


async def _remove(platform: Platform, _: str | None, options: argparse.Namespace) -> None:
    async with platform.database.transaction(SystemScope(LIMITS, actor=OPERATOR)) as tx:
        limits = platform.of(GatewayManager).limits
        await limits.delete_limit(tx, options.id, expected_version=None)


def _rate(text: str) -> Rate:
    """``burst/refill/seconds``."""
    try:
        found = Rate(*map(int, text.split("/")))
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError("write burst/refill/seconds, as 1000/1000/86400") from None
    if min(found) < 1:
        raise argparse.ArgumentTypeError("each number is at least 1")
    return found


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError("a whole number, at least 1")
    return int(text)


def _whose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", help="slug; without it: of every tenant")


def _what(parser: argparse.ArgumentParser) -> None:
    _whose(parser)
    kinds = ("tenant", "caller", "client", "api_key", "user", "route_class")
    parser.add_argument("--kind", choices=kinds, default="tenant", help="what it limits")
    parser.add_argument("--name", default="", help="a client id, another id, or a class of routes")
    parser.add_argument(
        "--route-class", default="", metavar="CLASS", help="one caller's use of this class alone"
    )
    parser.add_argument("--requests", type=_rate, help="burst/refill/seconds")
    parser.add_argument(
        "--sustained", type=_rate, help="burst/refill/seconds, over a longer time; both hold"
    )
    parser.add_argument("--bytes", type=_rate, help="burst/refill/seconds, of request bodies")
    parser.add_argument("--concurrency", type=_count, help="requests under way at once")
    parser.add_argument("--cost", type=_count, help="requests that one of the class counts for")


def _command(
    name: str, text: str, work: _Work, options: Options, installation: Installation = "changes"
) -> Command:
    def run(settings: Settings, chosen: argparse.Namespace) -> None:
        async def act(platform: Platform) -> None:
            slug = getattr(chosen, "tenant", None)
            tenant = await find_tenant(platform, slug) if slug else None
            await work(platform, tenant.id if tenant else None, chosen)

        run_on_platform(settings, act)

    return Command(name, text, run, options, installation)


COMMANDS: Final = (
    _command("limit-list", "print the limits that are set at run time", _list, _whose, "looks"),
    _command("limit-set", "limit a tenant, its callers or a class of routes", _set, _what),
    _command(
        "limit-remove",
        "take a limit of the platform away",
        _remove,
        lambda parser: parser.add_argument("id", help="as limit-list prints it"),
    ),
)

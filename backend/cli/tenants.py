"""Tenants: listed, made, suspended, called back and given quotas by an operator with a shell."""

import argparse
import dataclasses
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from backend.app import Platform
from backend.cli.command import (
    OPERATOR,
    Command,
    Options,
    as_in_api,
    find_tenant,
    run_on_platform,
)
from backend.core.context import Scope, SystemScope
from backend.core.database import Tx
from backend.http.schemas import Email, Name, Slug
from backend.managers.tenant import PLATFORM, QUOTAS, Tenant, TenantManager
from backend.settings import Settings

_PART: Final = 500

Act = Callable[[TenantManager, Tx, Tenant, argparse.Namespace], Awaitable[Tenant]]


def _scope() -> SystemScope:
    return SystemScope(PLATFORM, actor=OPERATOR)


def _told(tenant: Tenant) -> None:
    """One tenant a line: slug, state, name and, if it is not active, why; between tabs."""
    words = " ".join((tenant.reason or "").split())
    sys.stdout.write(f"{tenant.slug}\t{tenant.state}\t{tenant.name}\t{words}\n")


def _list(settings: Settings, _: argparse.Namespace) -> None:
    async def work(platform: Platform) -> None:
        before: str | None = None
        more = True
        while more:
            async with platform.database.read(_scope()) as view:
                tenants = await platform.of(TenantManager).list_tenants(
                    view, limit=_PART, before_id=before
                )
            more = len(tenants) > _PART
            for tenant in tenants[:_PART]:
                _told(tenant)
                before = tenant.id

    run_on_platform(settings, work)


def _create(settings: Settings, options: argparse.Namespace) -> None:
    async def work(platform: Platform) -> None:
        manager = platform.of(TenantManager)
        async with platform.database.transaction(_scope()) as tx:
            tenant, link = await manager.found_tenant(
                tx,
                slug=options.slug,
                name=options.name,
                owner_email=options.owner,
                # Nobody acts here whom the tenant could fall to.
                founder=OPERATOR,
            )
        _told(tenant)
        sys.stdout.write(f"{link}\n")

    run_on_platform(settings, work)


def _act(act: Act) -> Callable[[Settings, argparse.Namespace], None]:
    def run(settings: Settings, options: argparse.Namespace) -> None:
        async def work(platform: Platform) -> None:
            tenant = await find_tenant(platform, options.tenant)
            async with platform.database.transaction(_scope()) as tx:
                changed = await act(platform.of(TenantManager), tx, tenant, options)
            _told(changed)

        run_on_platform(settings, work)

    return run


def _command(name: str, text: str, act: Act, options: Options = lambda _: None) -> Command:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("tenant", help="slug")
        options(parser)

    return Command(name, text, _act(act), add)


async def _suspend(
    manager: TenantManager, tx: Tx, tenant: Tenant, options: argparse.Namespace
) -> Tenant:
    return await manager.lifecycle.suspend(tx, tenant.id, reason=options.reason)


async def _resume(manager: TenantManager, tx: Tx, tenant: Tenant, _: argparse.Namespace) -> Tenant:
    return await manager.lifecycle.resume(tx, tenant.id)


async def _rename(
    manager: TenantManager, tx: Tx, tenant: Tenant, options: argparse.Namespace
) -> Tenant:
    return await manager.lifecycle.rename(tx, tenant.id, slug=options.slug, name=options.name)


async def _delete(
    manager: TenantManager, tx: Tx, tenant: Tenant, options: argparse.Namespace
) -> Tenant:
    return await manager.lifecycle.delete(tx, tenant.id, slug=options.confirm)


async def _restore(manager: TenantManager, tx: Tx, tenant: Tenant, _: argparse.Namespace) -> Tenant:
    return await manager.lifecycle.restore(tx, tenant.id)


def _quota(settings: Settings, options: argparse.Namespace) -> None:
    """One quota a line: name, limit, used; first the plan's name; between tabs."""

    async def work(platform: Platform) -> None:
        tenant, manager = await find_tenant(platform, options.tenant), platform.of(TenantManager)
        async with platform.database.transaction(_scope()) as tx:
            found = await manager.plans.quotas_of_tenant(tx, tenant.id)
            if options.plan or options.set:
                given = dict(options.set or ())
                found = await manager.plans.set_quotas(
                    tx, tenant.id, plan=options.plan, overrides={**found.overrides, **given}
                )
        async with platform.database.read(Scope(OPERATOR, tenant.id)) as view:
            shown = await manager.describe_quotas(view, found.limits)
        sys.stdout.write(f"plan\t{found.plan}\n")
        for one in shown:
            limit = "none" if one.limit is None else one.limit
            used = "" if one.used is None else one.used
            sys.stdout.write(f"{one.quota}\t{limit}\t{used}\n")

    run_on_platform(settings, work)


def _usage(settings: Settings, options: argparse.Namespace) -> None:
    """One day a line: its figures by name, between tabs."""

    async def work(platform: Platform) -> None:
        tenant = await find_tenant(platform, options.tenant)
        async with platform.database.read(Scope(OPERATOR, tenant.id)) as view:
            usage = platform.of(TenantManager).usage
            found = await usage.describe(view, options.first, options.last)
        for day in found.days:
            told = dataclasses.asdict(day)
            figures = "\t".join(f"{name}={told[name]}" for name in told if name != "day")
            sys.stdout.write(f"{day.day}\t{figures}\n")

    run_on_platform(settings, work)


def _override(text: str) -> tuple[str, int | None]:
    name, _, limit = text.partition("=")
    if name in QUOTAS and (limit == "none" or (limit.isascii() and limit.isdigit())):
        return name, None if limit == "none" else int(limit)
    raise argparse.ArgumentTypeError(
        f"write NAME=NUMBER or NAME=none, where NAME is one of {', '.join(QUOTAS)}"
    )


def _put_plan(settings: Settings, options: argparse.Namespace) -> None:
    quotas = {name: limit for name, limit in options.quotas if limit is not None}

    async def work(platform: Platform) -> None:
        async with platform.database.transaction(_scope()) as tx:
            await platform.of(TenantManager).plans.put(tx, options.name, quotas)

    run_on_platform(settings, work)


def _quota_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tenant", help="slug")
    parser.add_argument("--plan", help="give it another; default: as it is")
    parser.add_argument(
        "--set",
        action="append",
        type=_override,
        metavar="NAME=LIMIT",
        help="override one of the plan's, none for no limit; may be given again",
    )


def _usage_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tenant", help="slug")
    parser.add_argument("--from", dest="first", metavar="DAY", help="default: 29 days before")
    parser.add_argument("--to", dest="last", metavar="DAY", help="default: today, UTC")


def _plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=as_in_api(Slug), help="as starter")
    parser.add_argument(
        "quotas", nargs="*", type=_override, metavar="NAME=LIMIT", help="others: no limit"
    )


def _create_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("slug", type=as_in_api(Slug), help="as addresses have it: acme")
    parser.add_argument("name", type=as_in_api(Name), help="as people read it")
    parser.add_argument(
        "--owner", type=as_in_api(Email), required=True, help="e-mail of whom to invite to own it"
    )


def _rename_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", type=as_in_api(Name), help="default: as it is")
    parser.add_argument("--slug", type=as_in_api(Slug), help="default: as it is")


COMMANDS: Final = (
    Command("tenant-list", "print all tenants", _list, installation="looks"),
    Command(
        "tenant-create",
        "make a tenant, and print the link by which its owner comes in",
        _create,
        _create_options,
    ),
    _command("tenant-rename", "give a tenant another name or slug", _rename, _rename_options),
    _command(
        "tenant-suspend",
        "refuse everybody of a tenant, and start no job of it",
        _suspend,
        lambda parser: parser.add_argument("--reason", required=True, help="they are told it"),
    ),
    _command("tenant-resume", "end a tenant's suspension", _resume),
    _command(
        "tenant-delete",
        "remove a tenant and all its data, after the grace period",
        _delete,
        lambda parser: parser.add_argument("--confirm", required=True, help="its slug, again"),
    ),
    _command("tenant-restore", "call back a tenant that is being deleted", _restore),
    Command("tenant-quota", "print, and change, what a tenant may", _quota, _quota_options),
    Command("tenant-usage", "print what a tenant did by day", _usage, _usage_options, "looks"),
    Command(
        "plan-set", "make a plan, or give all its tenants its quotas", _put_plan, _plan_options
    ),
)

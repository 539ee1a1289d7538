"""Tenants: listed, made, suspended and called back by an operator with a shell."""

import argparse
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from backend.app import Platform
from backend.cli.command import OPERATOR, Command, Options, find_tenant, run_on_platform
from backend.core.context import SystemScope
from backend.core.database import Tx
from backend.managers.tenant import PLATFORM, Tenant, TenantManager
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


def _create_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("slug", help="as addresses have it: acme")
    parser.add_argument("name", help="as people read it")
    parser.add_argument("--owner", required=True, help="e-mail of whom to invite to own it")


def _rename_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="default: as it is")
    parser.add_argument("--slug", help="default: as it is")


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
)

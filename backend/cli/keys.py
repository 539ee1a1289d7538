"""Keys: a tenant's named keys listed, made and rotated; tenants sealed; the root key replaced."""

import argparse
import asyncio
import base64
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Final, get_args

from pydantic import Field

from backend.app import Platform
from backend.cli.command import (
    OPERATOR,
    Command,
    CommandError,
    as_in_api,
    find_tenant,
    run_on_platform,
    tenant_command,
)
from backend.core.context import Scope, SystemScope
from backend.core.paging import in_parts
from backend.managers.security import (
    KEY_NAME,
    ROTATE_ROOT,
    Key,
    KeyType,
    Policy,
    SecurityManager,
    changing_root_keys,
    derivation_of,
    load_root_keys,
    root_key_file,
    write_root_keys,
)
from backend.managers.tenant import PLATFORM, Lifecycle, TenantManager, TenantSeal
from backend.settings import Settings

_NAME: Final = Annotated[str, Field(max_length=64, pattern=KEY_NAME)]
_ROOT_BYTES: Final = 32
# A signal that was lost is found in two seconds; a process then reads the source within one.
_HEARD_SECONDS: Final = 4.0


def _told(key: Key) -> None:
    """One key a line: name, type, version, operations, budget, when it comes of age, state."""
    state = "deleting" if key.delete_at else "disabled" if key.disabled else "active"
    columns = (
        key.name,
        key.type,
        str(key.latest_version),
        str(key.operations),
        "none" if key.rotate_after_operations is None else str(key.rotate_after_operations),
        key.rotates_at.isoformat() if key.rotates_at else "never",
        state,
    )
    sys.stdout.write("\t".join(columns) + "\n")


async def _list(platform: Platform, scope: Scope, _: argparse.Namespace) -> None:
    keys = platform.of(SecurityManager).keys
    async for rows in in_parts(platform.database, scope, keys.list):
        for key in rows:
            _told(key)


async def _create(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    days = options.rotate_after_days
    policy = Policy(
        rotate_after_seconds=None if days is None else days * 86_400,
        rotate_after_operations=options.rotate_after_operations,
        exportable=options.exportable,
    )
    async with platform.database.transaction(scope) as tx:
        made = await platform.of(SecurityManager).keys.create(
            tx, name=options.name, key_type=options.type, policy=policy
        )
    _told(made)


async def _rotate(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    async with platform.database.transaction(scope) as tx:
        made = await platform.of(SecurityManager).keys.rotate(tx, options.name)
    _told(made)


def _seal(settings: Settings, options: argparse.Namespace) -> None:
    async def work(platform: Platform) -> None:
        tenant, lifecycle = await _found(platform, options)
        async with platform.database.transaction(SystemScope(PLATFORM, actor=OPERATOR)) as tx:
            _said(options.tenant, await lifecycle.seal(tx, tenant, reason=options.reason))

    run_on_platform(settings, work)


def _unseal(settings: Settings, options: argparse.Namespace) -> None:
    async def work(platform: Platform) -> None:
        tenant, lifecycle = await _found(platform, options)
        async with platform.database.transaction(SystemScope(PLATFORM, actor=OPERATOR)) as tx:
            _said(options.tenant, await lifecycle.unseal(tx, tenant))

    run_on_platform(settings, work)


async def _found(platform: Platform, options: argparse.Namespace) -> tuple[str, Lifecycle]:
    tenant = await find_tenant(platform, options.tenant)
    return tenant.id, platform.of(TenantManager).lifecycle


def _said(slug: str, seal: TenantSeal) -> None:
    sys.stdout.write(f"{slug}\t{'sealed' if seal.sealed else 'unsealed'}\n")


def _rotate_root(settings: Settings, options: argparse.Namespace) -> None:
    """Replace the root key, or let go of the one before.

    The order is what makes it safe at any moment: first both keys are configured and every process
    knows them; then the data keys are wrapped anew, as often as it takes until none is left under
    the old one; only then, and by a second call, does the old one go.
    """
    security = settings.security
    own_file = security.root_key is None and not security.root_key_command
    path = root_key_file(security, settings.data_dir / "root.key")
    # For as long as it lasts: another one that ends in the middle of this one would take away the
    # key under which this one is wrapping.
    with changing_root_keys(path) if own_file else nullcontext():
        _rotate_root_held(settings, options, path if own_file else None)


def _rotate_root_held(settings: Settings, options: argparse.Namespace, path: Path | None) -> None:
    """Replace it; ``path`` is the file that is ours to change."""
    known = load_root_keys(settings.security, settings.data_dir / "root.key", make=False)
    if options.derivation:
        sys.stdout.write(base64.b64encode(derivation_of(known)).decode() + "\n")
        return
    if options.retire and path is None and known.derivation is None:
        raise CommandError(
            "configure first what keys are derived from, which --derivation prints, in every "
            "process: root_key_derivation, or a line derives:... of what the command prints"
        )
    if not options.retire and path is not None and len(known) == 1:
        # The new one first: it wraps from now on. A call that was interrupted finds two.
        write_root_keys(path, [os.urandom(_ROOT_BYTES), *known], known.derivation)
    elif not options.retire and len(known) == 1:
        raise CommandError(
            "configure the new root key first and the old one as the one before it, in every "
            "process: root_key and root_key_previous, or two lines of what the command prints"
        )

    async def work(platform: Platform) -> None:
        manager = platform.of(SecurityManager)
        rewrapped = 0
        # Twice: a process that had not heard of the new key yet may have made a tenant's first
        # data key with the old one meanwhile.
        for _ in range(2):
            async with platform.database.transaction(_root_scope()) as tx:
                manager.announce_root(tx)
            await asyncio.sleep(options.wait_seconds)
            while bite := await _rewrap(platform):
                rewrapped += bite
        sys.stdout.write(f"{rewrapped} data key(s) rewrapped, {await _left(platform)} left\n")

    async def retire(platform: Platform) -> None:
        left = await _left(platform)
        if left:
            raise CommandError(f"{left} data key(s) are not under the new root key: rotate first")
        if path is not None and len(known) > 1:
            write_root_keys(path, known[:1], derivation_of(known))
        async with platform.database.transaction(_root_scope()) as tx:
            platform.of(SecurityManager).announce_root(tx)
        sys.stdout.write("the root key before the current one is not needed any more\n")

    run_on_platform(settings, retire if options.retire else work)


def _root_scope() -> SystemScope:
    return SystemScope(ROTATE_ROOT, actor=OPERATOR)


async def _rewrap(platform: Platform) -> int:
    async with platform.database.transaction(_root_scope()) as tx:
        return await platform.of(SecurityManager).rewrap_data_keys(tx)


async def _left(platform: Platform) -> int:
    async with platform.database.read(_root_scope()) as view:
        return await platform.of(SecurityManager).count_old_data_keys(view)


def _create_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=as_in_api(_NAME), help="as orders")
    parser.add_argument("--type", choices=get_args(KeyType), default="aes256-gcm")
    parser.add_argument("--rotate-after-days", type=int, metavar="DAYS", help="default: never")
    parser.add_argument(
        "--rotate-after-operations",
        type=int,
        default=Policy().rotate_after_operations,
        metavar="NUMBER",
        help="default: 2^31",
    )
    parser.add_argument("--exportable", action="store_true", help="not taken back")


def _seal_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tenant", help="slug")
    parser.add_argument("--reason", required=True, help="for the platform's people")


def _root_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--retire", action="store_true", help="let go of the old one, once nothing needs it"
    )
    parser.add_argument(
        "--derivation",
        action="store_true",
        help="print what keys of single uses are derived from: a secret, to configure before the "
        "old one goes",
    )
    parser.add_argument(
        "--wait-seconds",
        type=float,
        default=_HEARD_SECONDS,
        help=f"until all processes know both keys ({_HEARD_SECONDS:g})",
    )


COMMANDS: Final = (
    tenant_command("crypto-key-list", "print a tenant's named keys", _list, installation="looks"),
    tenant_command("crypto-key-create", "make a named key for a tenant", _create, _create_options),
    tenant_command(
        "crypto-key-rotate",
        "make a new version of a key, which does all from then on",
        _rotate,
        lambda parser: parser.add_argument("name"),
    ),
    Command("seal", "refuse every use of a tenant's keys", _seal, _seal_options),
    Command(
        "unseal",
        "let a tenant's keys be used again",
        _unseal,
        lambda parser: parser.add_argument("tenant", help="slug"),
    ),
    Command(
        "rotate-root",
        "wrap all data keys with a new root key, while everything runs",
        _rotate_root,
        _root_options,
    ),
)

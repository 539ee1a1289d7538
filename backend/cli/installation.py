"""Installation: the first admin, the demo tenant, the console's client; is all of it well."""

import argparse
import asyncio
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Final

from backend.app import Platform, compose
from backend.cli.command import (
    Command,
    CommandError,
    as_in_api,
    find_tenant,
    run_async,
    run_on_platform,
)
from backend.core.context import Scope, SystemScope
from backend.core.errors import UnavailableError
from backend.http.schemas import Email
from backend.managers.identity import AUTHENTICATE, IdentityManager
from backend.managers.monitoring import MonitoringManager
from backend.managers.security import CHECK_KEYS, KeyUnavailableError, SecurityManager
from backend.managers.tenant import PLATFORM, Tenant, TenantManager, hash_password
from backend.migrations import runner
from backend.settings import Settings
from backend.supervisor import refuse_held_folder

# What a program needs to send as the demo tenant.
_DEMO: Final = "demo"
_SHOWN_ONCE: Final = frozenset({"admin_password", "client_secret"})
_DRIVING: Final = frozenset({"tenant_id", "tenant_slug", "client_id", "client_secret"})


def _bootstrap(settings: Settings, options: argparse.Namespace) -> None:
    """Print what was made; what a second call finds in its place, it leaves, secrets untold."""
    # The console that runs would have another secret than the API knows, or another address.
    refuse_held_folder(settings.data_dir)
    made = run_async(
        bootstrap(compose(settings), options.admin_email, options.console_url, options.console_file)
    )
    sys.stdout.write(json.dumps(made, indent=2) + "\n")


def _start_client(settings: Settings, _: argparse.Namespace) -> None:
    """Print the client, whose secret is kept nowhere."""
    sys.stdout.write(json.dumps(run_async(renew_start_client(compose(settings))), indent=2) + "\n")


async def renew_start_client(platform: Platform) -> dict[str, str]:
    """The client by which a start proves the main job, with a secret of this moment.

    Its own, because people rotate, disable and delete what the console shows them, the demo's
    client among it: that must stop their workflows and no start.

    Raises:
        CommandError: There is no demo tenant.
    """
    async with platform.running():
        tenant = await find_tenant(platform, _DEMO)
        demo = Scope(actor="system:start", tenant_id=tenant.id)
        async with platform.database.transaction(demo) as tx:
            client, secret = await platform.of(IdentityManager).clients.renew_own_client(
                tx,
                f"es_start_{tenant.id.replace('-', '')}",
                name="scripts/run: proof of the start",
                role="workflow",
            )
    return {
        "tenant_id": tenant.id,
        "tenant_slug": tenant.slug,
        "client_id": client.client_id,
        "client_secret": secret,
    }


async def bootstrap(
    platform: Platform, admin_email: str, console_url: str, console_file: Path | None = None
) -> dict[str, str]:
    """Make the platform usable: the console's client always, the demo tenant and its client once.

    Secrets that were made are returned, once, and written to ``first-run.json`` (mode 0600) in the
    data folder; they are in no log. The console's own go to ``console_file``, which without one is
    ``console.json`` in that folder. Without ``first-run.json`` an existing demo tenant gets another
    client, and its people keep their passwords.

    Raises:
        CommandError: The database was sealed under another root key, or a file is damaged.
    """
    folder = platform.settings.data_dir
    console_file, first_file = console_file or folder / "console.json", folder / "first-run.json"
    async with platform.running():
        # First: a new data folder makes a new root key, which opens nothing of an older database.
        # No token could be signed then, and a new console secret would only cut the old console.
        try:
            async with platform.database.read(SystemScope(CHECK_KEYS)) as view:
                await platform.of(SecurityManager).check_keys(view)
        except KeyUnavailableError as exc:
            msg = (
                "this database was sealed under another root key: restore root.key in "
                f"{folder}, or EMAIL_SENDER__SECURITY__ROOT_KEY"
            )
            raise CommandError(msg) from exc
        known = _read_private(console_file)
        console_secret = known.get("client_secret") or secrets.token_urlsafe(48)
        async with platform.database.transaction(SystemScope(AUTHENTICATE)) as tx:
            await platform.of(IdentityManager).clients.put_console_client(
                tx,
                secret=console_secret,
                redirect_uris=[f"{console_url.rstrip('/')}/oauth2callback"],
            )
        _write_private(console_file, {"client_id": "console", "client_secret": console_secret})
        async with platform.database.read(SystemScope(PLATFORM)) as view:
            tenant = await platform.of(TenantManager).find_tenant(view, _DEMO)
        made = _read_private(first_file)
        # A file of another database, when the folder is used with several, counts as none.
        if tenant is not None and made.get("tenant_id") == tenant.id and made.keys() >= _DRIVING:
            return {name: value for name, value in made.items() if name not in _SHOWN_ONCE}
        made = {}
        if tenant is None:
            tenant, made = await _make_demo_tenant(platform, admin_email)
        demo = Scope(actor="system:bootstrap", tenant_id=tenant.id)
        async with platform.database.transaction(demo) as tx:
            # Never a new secret for the old client: somebody's workflows may be using it.
            client, secret = await platform.of(IdentityManager).clients.create_client(
                tx, name="n8n", role="workflow", granter=None
            )
        made |= {
            "tenant_id": tenant.id,
            "tenant_slug": tenant.slug,
            "client_id": client.client_id,
            "client_secret": secret,
        }
        _write_private(first_file, made)
        return made


async def _make_demo_tenant(platform: Platform, admin_email: str) -> tuple[Tenant, dict[str, str]]:
    """The tenant, and how its owner logs in: with a new password, unless they have one."""
    tenants = platform.of(TenantManager)
    password = secrets.token_urlsafe(15)
    hashed = await asyncio.to_thread(hash_password, password)
    made = {"admin_email": admin_email}
    async with platform.database.transaction(SystemScope(PLATFORM)) as tx:
        tenant = await tenants.create_tenant(tx, slug=_DEMO, name="Demo")
        found = await tenants.find_login(tx, admin_email)
        if found:
            admin = found[0]
        else:
            admin = await tenants.create_user(
                tx,
                email=admin_email,
                name="First admin",
                password_hash=hashed,
                platform_role="administrator",
            )
            made["admin_password"] = password
        await tenants.add_member(
            tx, tenant_id=tenant.id, user_id=admin.id, role="owner", granter=None
        )
    return tenant, made


def _read_private(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        content = None
    if not isinstance(content, dict):
        msg = f"{path} is damaged: remove it, and bootstrap makes another"
        raise CommandError(msg)
    return content


def _write_private(path: Path, content: dict[str, str]) -> None:
    handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file, indent=2)


def _doctor(settings: Settings, _: argparse.Namespace) -> None:
    """Exit 0 when every required dependency works, 2 otherwise."""
    sys.stdout.write(json.dumps(settings.redacted(), indent=2) + "\n")

    async def check(platform: Platform) -> bool:
        for name, errand in sorted(platform.house.errands.items()):
            sys.stdout.write(f"errand {name:<24} {' '.join(sorted(errand.tables))}\n")

        async def check_schema() -> str:
            current, head = await asyncio.to_thread(runner.current_and_head, settings.owner_url)
            if current != head:
                msg = f"at {current or 'nothing'}, this release needs {head}: email-sender migrate"
                raise UnavailableError(msg)
            return f"at {current}"

        async def check_root_key() -> str:
            async with platform.database.read(SystemScope(CHECK_KEYS)) as view:
                return f"opens {await platform.of(SecurityManager).check_keys(view)} data key(s)"

        monitoring = platform.of(MonitoringManager)
        monitoring.add_check("schema", check_schema)
        monitoring.add_check("root_key", check_root_key)
        found = await monitoring.check_health()
        for health in found:
            mark = "ok  " if health.ok else "FAIL" if health.required else "warn"
            sys.stdout.write(
                f"{mark} {health.name:<16} {health.milliseconds:8.1f} ms  {health.detail}\n"
            )
        return all(health.ok for health in found if health.required)

    if not run_on_platform(settings, check):
        msg = "a required dependency does not work"
        raise CommandError(msg)


def _bootstrap_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--admin-email", type=as_in_api(Email), default="admin@email-sender.example"
    )
    parser.add_argument("--console-url", default="http://localhost:8401")
    parser.add_argument(
        "--console-file",
        type=Path,
        help="where the console's secret is kept, for a console that shall not see the data "
        "folder; default: console.json there",
    )


COMMANDS: Final = (
    Command(
        "bootstrap",
        "create the first admin, a demo tenant, its client",
        _bootstrap,
        _bootstrap_options,
        installation="makes",
    ),
    Command(
        "start-client",
        "renew the client by which scripts/run proves a start, and print it",
        _start_client,
    ),
    Command(
        "doctor",
        "print the settings redacted and check every configured dependency",
        _doctor,
        installation="looks",
    ),
)

"""The ``email-sender`` command: everything an operator starts or asks from a shell.

Bad input and foreseeable failures are one line on standard error and exit code 2.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import sqlalchemy as sa
import uvicorn
from alembic.util import CommandError as MigrationError
from pydantic import ValidationError

from backend import __version__
from backend.app import SERVICE, Platform, compose, create_app
from backend.core.context import Scope, SystemScope
from backend.core.errors import AppError, UnavailableError
from backend.core.ids import PLATFORM_TENANT
from backend.core.log import configure_logging
from backend.http import server
from backend.managers.audit import VERIFY, AuditEntry, AuditManager
from backend.managers.email import SmtpSink
from backend.managers.identity import AUTHENTICATE, IdentityManager
from backend.managers.monitoring import MonitoringManager
from backend.managers.security import CHECK_KEYS, KeyUnavailableError, SecurityManager
from backend.managers.tenant import PLATFORM, Tenant, TenantManager, hash_password
from backend.migrations import runner
from backend.settings import Settings
from backend.worker import run_worker

_USAGE: Final = 2
# What a program needs to send as the demo tenant.
_DRIVING: Final = frozenset({"tenant_id", "tenant_slug", "client_id", "client_secret"})


class CommandError(Exception):
    """A failure to be told in one line."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits 0, or 2 with one line of explanation."""
    # The database, its journal, logs and mail hold what every tenant sent: a folder that others
    # may enter must not show them.
    os.umask(0o077)
    options = _parser().parse_args(arguments)
    try:
        settings = Settings()
        configure_logging(f"{SERVICE}-{options.command}", settings.telemetry.log_level)
        command: Callable[[Settings, argparse.Namespace], None] = options.run
        command(settings, options)
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
    parser = argparse.ArgumentParser(prog="email-sender", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[Settings, argparse.Namespace], None], text: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    add("serve", _serve, "serve the HTTP API")
    add("worker", _worker, "run jobs and the platform's own ticks")
    sink = add("sink", _sink, "run the local SMTP sink, which accepts everything and keeps it")
    sink.add_argument("--port", type=int, default=8402)
    sink.add_argument("--host", default="127.0.0.1")
    migrate = add("migrate", _migrate, "migrate the database as its owner")
    migrate.add_argument("--to", default="head", help="revision, or 'base' to drop everything")
    migrate.add_argument(
        "--down", action="store_true", help="allow going down to the revision of --to"
    )
    bootstrap = add("bootstrap", _bootstrap, "create the first admin, a demo tenant, its client")
    bootstrap.add_argument("--admin-email", default="admin@email-sender.example")
    bootstrap.add_argument("--console-url", default="http://localhost:8401")
    add("doctor", _doctor, "print the settings redacted and check every configured dependency")
    verify = add("audit-verify", _audit_verify, "recompute the audit chain of every tenant")
    verify.add_argument("--tenant", help="slug of one tenant")
    listing = add("audit-list", _audit_list, "print a tenant's audit records, oldest first")
    listing.add_argument("--tenant", required=True, help="slug, or 'platform'")
    listing.add_argument("--target", help="exact, or a prefix with *")
    listing.add_argument("--action", help="exact, or a prefix with *")
    listing.add_argument("--actor", help="exact, or a prefix with *")
    listing.add_argument("--limit", type=int, default=200)
    password = add("reset-password", _reset_password, "give a person a new random password")
    password.add_argument("email")
    openapi = add("openapi", _openapi, "print the OpenAPI document")
    openapi.add_argument("--output", type=Path)
    return parser


def _serve(settings: Settings, _: argparse.Namespace) -> None:
    app = create_app(compose(settings))
    uvicorn.run(
        app,
        host=settings.http.host,
        port=settings.http.port,
        loop="uvloop",
        timeout_graceful_shutdown=20,
        **server.OPTIONS,
    )


def _worker(settings: Settings, _: argparse.Namespace) -> None:
    _run(run_worker(compose(settings)))


def _run(work: Any) -> Any:
    with asyncio.Runner(
        loop_factory=uvicorn.Config("", loop="uvloop").get_loop_factory()
    ) as runner:
        return runner.run(work)


def _sink(settings: Settings, options: argparse.Namespace) -> None:
    directory = settings.email.sink_directory or settings.data_dir / "sink"

    async def serve() -> None:
        sink = SmtpSink(directory, options.host, options.port)
        await sink.start()
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        await stopped.wait()
        await sink.stop()

    _run(serve())


def _migrate(settings: Settings, options: argparse.Namespace) -> None:
    if options.down:
        runner.downgrade(settings.owner_url, options.to)
        return
    if sa.make_url(settings.owner_url).get_backend_name() == "sqlite":
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    runner.upgrade(settings.owner_url, options.to)
    role = sa.make_url(settings.database_url).username
    if role and role != sa.make_url(settings.owner_url).username:
        runner.grant(settings.owner_url, role)


def _bootstrap(settings: Settings, options: argparse.Namespace) -> None:
    """Print what the demo is driven with; what a second call finds in its place, it leaves."""
    made = _run(bootstrap(compose(settings), options.admin_email, options.console_url))
    sys.stdout.write(json.dumps(made, indent=2) + "\n")


async def bootstrap(platform: Platform, admin_email: str, console_url: str) -> dict[str, str]:
    """Make the platform usable: the console's client always, the demo tenant and its client once.

    The secrets are returned and written to ``first-run.json`` (mode 0600) in the data folder,
    which later starts read to drive the demo; they are in no log. Without that file an existing
    demo tenant gets another client, and its people keep their passwords.

    Raises:
        CommandError: The database was sealed under another root key, or a file is damaged.
    """
    folder = platform.settings.data_dir
    console_file, first_file = folder / "console.json", folder / "first-run.json"
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
            tenant = await platform.of(TenantManager).find_tenant(view, "demo")
        made = _read_private(first_file)
        # A file of another database, when the folder is used with several, counts as none.
        if tenant is not None and made.get("tenant_id") == tenant.id and made.keys() >= _DRIVING:
            return made
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
        tenant = await tenants.create_tenant(tx, slug="demo", name="Demo")
        found = await tenants.find_login(tx, admin_email)
        if found:
            admin = found[0]
        else:
            admin = await tenants.create_user(
                tx,
                email=admin_email,
                name="First admin",
                password_hash=hashed,
                platform_admin=True,
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
    platform = compose(settings)
    for name, errand in sorted(platform.house.errands.items()):
        sys.stdout.write(f"errand {name:<24} {' '.join(sorted(errand.tables))}\n")

    async def check() -> bool:
        async def check_schema() -> str:
            current, head = await asyncio.to_thread(runner.current_and_head, settings.owner_url)
            if current != head:
                msg = f"at {current or 'nothing'}, this release needs {head}: email-sender migrate"
                raise UnavailableError(msg)
            return f"at {current}"

        async def check_root_key() -> str:
            async with platform.database.read(SystemScope(CHECK_KEYS)) as view:
                return f"opens {await platform.of(SecurityManager).check_keys(view)} data key(s)"

        platform.of(MonitoringManager).add_check("schema", check_schema)
        platform.of(MonitoringManager).add_check("root_key", check_root_key)
        async with platform.running():
            found = await platform.of(MonitoringManager).check_health()
        for health in found:
            mark = "ok  " if health.ok else "FAIL" if health.required else "warn"
            sys.stdout.write(
                f"{mark} {health.name:<16} {health.milliseconds:8.1f} ms  {health.detail}\n"
            )
        return all(health.ok for health in found if health.required)

    if not _run(check()):
        msg = "a required dependency does not work"
        raise CommandError(msg)


def _audit_verify(settings: Settings, options: argparse.Namespace) -> None:
    platform = compose(settings)

    async def verify() -> bool:
        async with platform.running():
            async with platform.database.read(SystemScope(PLATFORM)) as view:
                found = await platform.of(TenantManager).list_tenants(view, limit=100_000)
            chains = [("platform", PLATFORM_TENANT), *((one.slug, one.id) for one in found)]
            if options.tenant:
                chains = [(slug, id_) for slug, id_ in chains if slug == options.tenant]
                if not chains:
                    msg = f"no tenant {options.tenant!r}"
                    raise CommandError(msg)
            valid = True
            for slug, tenant_id in chains:
                scope = SystemScope(VERIFY, tenant_id=tenant_id)
                async with platform.database.read(scope) as view:
                    report = await platform.of(AuditManager).verify_chain(view)
                valid = valid and report.valid
                broken = "" if report.valid else f"  first invalid seq {report.first_invalid_seq}"
                sys.stdout.write(
                    f"{'ok  ' if report.valid else 'FAIL'} {slug:<24} {report.records} records"
                    f"  head {report.head_hash or '-'}{broken}\n"
                )
            return valid

    if not _run(verify()):
        msg = "an audit chain does not hold"
        raise CommandError(msg)


def _audit_list(settings: Settings, options: argparse.Namespace) -> None:
    """One JSON object a line, ready for a log shipper or jq."""
    platform = compose(settings)

    async def read() -> list[AuditEntry]:
        async with platform.running():
            tenant_id = PLATFORM_TENANT
            if options.tenant != "platform":
                async with platform.database.read(SystemScope(PLATFORM)) as view:
                    tenant = await platform.of(TenantManager).find_tenant(view, options.tenant)
                if tenant is None:
                    msg = f"no tenant {options.tenant!r}"
                    raise CommandError(msg)
                tenant_id = tenant.id
            scope = SystemScope(VERIFY, tenant_id=tenant_id)
            async with platform.database.read(scope) as view:
                return await platform.of(AuditManager).list_records(
                    view,
                    limit=options.limit,
                    action=options.action,
                    actor=options.actor,
                    target=options.target,
                )

    for entry in reversed(_run(read())[: options.limit]):
        record = {**dataclasses.asdict(entry), "at": entry.at.isoformat()}
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


def _reset_password(settings: Settings, options: argparse.Namespace) -> None:
    platform = compose(settings)
    password = secrets.token_urlsafe(15)

    async def reset() -> None:
        async with platform.running():
            await reset_password(platform, options.email, password)

    _run(reset())
    sys.stdout.write(f"{password}\n")


async def reset_password(platform: Platform, email: str, password: str) -> None:
    """Replace a person's password and end every log-in that the old one began.

    Raises:
        MemberNotFoundError: Nobody logs in with this e-mail.
    """
    hashed = await asyncio.to_thread(hash_password, password)
    scope = SystemScope(AUTHENTICATE, actor="system:operator")
    async with platform.database.transaction(scope) as tx:
        user = await platform.of(TenantManager).set_password(tx, email=email, password_hash=hashed)
        await platform.of(IdentityManager).provider.log_ins.end_all(tx, user.id)


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

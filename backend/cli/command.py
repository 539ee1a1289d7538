"""What a command is made of, and what its modules share."""

import argparse
import asyncio
import base64
import dataclasses
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import sqlalchemy as sa
import uvicorn
from pydantic import SecretStr, TypeAdapter, ValidationError

from backend.app import Platform, compose
from backend.core.context import Scope, SystemScope
from backend.managers.tenant import PLATFORM, Tenant, TenantManager
from backend.settings import Settings

OPERATOR: Final = "system:operator"
"""Who acts, in the trail's words, when somebody with a shell does."""

_T = TypeVar("_T")
Options = Callable[[argparse.ArgumentParser], object]
Installation = Literal["makes", "changes", "looks", "needs none"]


class CommandError(Exception):
    """A failure to be told in one line; ``status`` is what the process exits with."""

    status = 2


class LateError(CommandError):
    """What was asked for is done, and what was waited for did not come in time."""

    status = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """One word after ``email-sender``.

    Attributes:
        name: The word.
        text: What it does, in a line.
        run: Does it; what it raises of ours becomes one line and exit status 2.
        options: Adds its arguments.
        installation: What it does to one. ``makes``: it may be the first to make one. ``changes``:
            there must be a whole one. ``looks``: there must be a database, and nothing is left.
            ``needs none``: it speaks to an API, which may be anywhere.
    """

    name: str
    text: str
    run: Callable[[Settings, argparse.Namespace], None]
    options: Options = lambda _: None
    installation: Installation = "changes"

    def settings_for(self, settings: Settings) -> Settings:
        """The settings, once there is what the command needs.

        What only looks and finds no root key is given one of the moment, which opens nothing:
        loading the configured one would make it, and a folder around it.

        Raises:
            CommandError: There is no installation; names where it was looked for.
        """
        if self.installation in {"makes", "needs none"}:
            return settings
        url = sa.make_url(settings.database_url)
        if url.get_backend_name() == "sqlite" and url.database:
            _expect(Path(url.database))
        security = settings.security
        key_file = security.root_key_file or settings.data_dir / "root.key"
        if security.root_key is not None or security.root_key_command or key_file.exists():
            return settings
        if self.installation == "changes":
            _expect(key_file.resolve())
        passing = SecretStr(base64.b64encode(os.urandom(32)).decode())
        return settings.model_copy(
            update={"security": security.model_copy(update={"root_key": passing})}
        )


def _expect(path: Path) -> None:
    if not path.exists():
        msg = (
            f"there is no installation here: {path} does not exist; run this where its data "
            "folder is, or set EMAIL_SENDER__DATA_DIR"
        )
        raise CommandError(msg)


def time_of(text: str) -> datetime:
    """A time as an argument; it must say of which zone.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    with suppress(ValueError):
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at
    raise argparse.ArgumentTypeError("a time is written like 2027-01-31T12:00:00Z")


def as_in_api(kind: Any) -> Callable[[str], Any]:
    """What an argument must be to be what the API takes, for ``type=``.

    Args:
        kind: The type of the API's field.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def read(text: str) -> Any:
        try:
            return adapter.validate_python(text)
        except ValidationError as exc:
            said = exc.errors()[0]["msg"].removeprefix("Value error, ")
            raise argparse.ArgumentTypeError(f"{text!r}: {said}") from None

    return read


def tenant_command(
    name: str,
    text: str,
    work: Callable[[Platform, Scope, argparse.Namespace], Awaitable[None]],
    options: Options = lambda _: None,
    *,
    installation: Installation = "changes",
) -> Command:
    """A command for one tenant, which ``--tenant`` names: ``work`` acts in it as the operator."""

    def run(settings: Settings, chosen: argparse.Namespace) -> None:
        async def act(platform: Platform) -> None:
            tenant = await find_tenant(platform, chosen.tenant)
            await work(platform, Scope(actor=OPERATOR, tenant_id=tenant.id), chosen)

        run_on_platform(settings, act)

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="slug")
        options(parser)

    return Command(name, text, run, add, installation)


def run_on_platform(settings: Settings, work: Callable[[Platform], Awaitable[_T]]) -> _T:
    """Run ``work`` to its end on a platform that is up for as long."""
    platform = compose(settings)

    async def run() -> _T:
        async with platform.running():
            return await work(platform)

    return run_async(run())


def run_async(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end, on the loop that the servers use."""
    # Without a configuration of its own for logs, which would stand beside ours from then on.
    chosen = uvicorn.Config("", loop="uvloop", log_config=None)
    with asyncio.Runner(loop_factory=chosen.get_loop_factory()) as runner:
        return runner.run(work)


async def find_tenant(platform: Platform, slug: str) -> Tenant:
    """The tenant that an operator names.

    Raises:
        CommandError: There is none of this name.
    """
    async with platform.database.read(SystemScope(PLATFORM)) as view:
        tenant = await platform.of(TenantManager).find_tenant(view, slug)
    if tenant is None:
        msg = f"no tenant {slug!r}"
        raise CommandError(msg)
    return tenant

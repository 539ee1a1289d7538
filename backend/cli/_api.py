"""What commands share that speak to an API, from anywhere: whom they log in as, and how they ask.

Who one is stands in a file of profiles that its owner alone may read. A secret never stands on a
command line, where every process of the machine would see it.
"""

import argparse
import json
import os
import stat
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from backend.cli.command import Command, CommandError, Options, run_async
from backend.kit.outbound import HttpAnswer, Outbound
from backend.managers.identity import TOKEN_PATH
from backend.settings import Settings

_USUAL_SECONDS: Final = 30.0
_MOST_BYTES: Final = 16 * 2**20
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_SHOWN_ERRORS: Final = 5


@dataclass(frozen=True, slots=True)
class Profile:
    """An API and who one is there: an API client, or an API key where ``client_id`` is empty."""

    url: str
    client_id: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise CommandError("the URL must be https://host")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise CommandError("the secret would travel in plain text: the URL must be https://")


class Profiles:
    """The file of profiles, mode 0600; a file that others may read is refused."""

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self._path = path.expanduser()

    def get(self, name: str) -> Profile:
        """One of them.

        Raises:
            CommandError: There is none of this name, or the file is not one's own alone.
        """
        found = self._load().get(name)
        if found is None:
            raise CommandError(f"there is no profile {name!r}: log in with `email-sender login`")
        return Profile(**found)

    def put(self, name: str, profile: Profile) -> None:
        """Keep it, in place of another of this name."""
        self._save({**self._load(), name: asdict(profile)})

    def remove(self, name: str) -> None:
        """Forget it, if it is there."""
        self._save({kept: one for kept, one in self._load().items() if kept != name})

    def _load(self) -> dict[str, Any]:
        try:
            with self._path.open(encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_mode & _OTHERS:
                    raise CommandError(f"{self._path} may be read by others: chmod 600 it")
                profiles = json.load(file)
        except FileNotFoundError:
            return {}
        except ValueError:
            raise CommandError(f"{self._path} is no file of profiles") from None
        if not isinstance(profiles, dict):
            raise CommandError(f"{self._path} is no file of profiles")
        return profiles

    def _save(self, profiles: Mapping[str, Any]) -> None:
        # Beside it and then in its place: who is interrupted has the old file, whole.
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            with os.fdopen(
                os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
            ) as file:
                json.dump(profiles, file, indent=2)
                file.write("\n")
            fresh.replace(self._path)
        finally:
            fresh.unlink(missing_ok=True)


class Api:
    """The API as a profile may use it."""

    def __init__(self, outbound: Outbound, profile: Profile) -> None:
        """Ask nothing yet."""
        self._outbound = outbound
        self._profile = profile
        self._headers: dict[str, str] = {}

    async def get(self, path: str, /, **query: str | int | list[str] | None) -> Any:
        """What stands below ``/api/v1/``.

        Raises:
            CommandError: It is refused; says why.
            UnreachableError: There is no answer.
        """
        sent = {name: value for name, value in query.items() if value is not None}
        given = urlencode(sent, doseq=True)
        return await self._ask("GET", f"{path}?{given}" if given else path)

    async def items(self, path: str, /, **query: str | None) -> list[dict[str, Any]]:
        """All things of a list, in the API's order.

        Raises:
            CommandError, UnreachableError: As :meth:`get`.
        """
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self.get(path, **query, limit=200, cursor=cursor)
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    async def post(self, path: str, body: Any = None, *, seconds: float = _USUAL_SECONDS) -> Any:
        """Do something, once.

        Raises:
            CommandError, UnreachableError: As :meth:`get`.
        """
        return await self._ask("POST", path, body, seconds=seconds)

    async def send_file(self, path: str, content: bytes, media_type: str) -> Any:
        """Have a file taken in.

        Raises:
            CommandError, UnreachableError: As :meth:`get`.
        """
        return await self._ask("POST", path, content, media_type=media_type)

    async def put(self, path: str, body: Any) -> Any:
        """Replace something.

        Raises:
            CommandError, UnreachableError: As :meth:`get`.
        """
        return await self._ask("PUT", path, body)

    async def delete(self, path: str) -> None:
        """Take something away.

        Raises:
            CommandError, UnreachableError: As :meth:`get`.
        """
        await self._ask("DELETE", path)

    async def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        seconds: float = _USUAL_SECONDS,
        media_type: str = "application/json",
    ) -> Any:
        if not self._headers:
            self._headers = await self._log_in()
        headers = dict(self._headers)
        if method == "POST":
            headers["Idempotency-Key"] = uuid.uuid4().hex
        content = b""
        if body is not None:
            headers["Content-Type"] = media_type
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self._send(method, f"/api/v1/{path}", headers, content, seconds)
        return json.loads(answer.body) if answer.body else None

    async def _log_in(self) -> dict[str, str]:
        profile = self._profile
        if not profile.client_id:
            return {"X-API-Key": profile.secret}
        form = {
            "grant_type": "client_credentials",
            "client_id": profile.client_id,
            "client_secret": profile.secret,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self._send("POST", TOKEN_PATH, headers, urlencode(form).encode())
        return {"Authorization": f"Bearer {json.loads(answer.body)['access_token']}"}

    async def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes,
        seconds: float = _USUAL_SECONDS,
    ) -> HttpAnswer:
        answer = await self._outbound.request(
            method,
            self._profile.url.rstrip("/") + path,
            tenant_id=None,
            public_only=False,
            headers={**headers, "Accept": "application/json", "User-Agent": "email-sender-cli"},
            content=content,
            timeout_seconds=seconds,
            max_bytes=_MOST_BYTES,
        )
        if not answer.is_success:
            raise CommandError(_refusal(answer))
        return answer


def _refusal(answer: HttpAnswer) -> str:
    """A problem in one line, or the status where it is none."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not ("title" in said or "error" in said):
        return f"{answer.url} answers {answer.status} without an explanation"
    if "title" not in said:
        return f"the log-in is refused: {said.get('error_description') or said['error']}"
    words = [f"{said['title']}: {said['detail']}" if said.get("detail") else str(said["title"])]
    words += [
        f"{one.get('pointer', '')} {one.get('detail', '')}".strip()
        for one in said.get("errors", ())[:_SHOWN_ERRORS]
    ]
    return "; ".join(words)


def segment(text: str) -> str:
    """A name as a part of a path, which it cannot leave."""
    if text in {"", ".", ".."}:
        raise CommandError(f"{text!r} names nothing")
    return quote(text, safe="")


def ask_api(settings: Settings, profile: Profile, work: Callable[[Api], Awaitable[None]]) -> None:
    """Run ``work`` on the API of a profile."""

    async def run() -> None:
        outbound = Outbound(settings.outbound)
        try:
            await work(Api(outbound, profile))
        finally:
            await outbound.aclose()

    run_async(run())


def api_command(
    name: str,
    text: str,
    work: Callable[[Api, argparse.Namespace], Awaitable[None]],
    options: Options = lambda _: None,
) -> Command:
    """A command that speaks to the API of the profile that ``--profile`` names."""

    def run(settings: Settings, chosen: argparse.Namespace) -> None:
        profile = Profiles(settings.cli.profiles).get(chosen.profile)
        ask_api(settings, profile, lambda api: work(api, chosen))

    def add(parser: argparse.ArgumentParser) -> None:
        add_profile(parser)
        options(parser)

    return Command(name, text, run, add, "needs none")


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Let the command take ``--profile``."""
    parser.add_argument("--profile", default="default", help="as whom; default: default")


def print_rows(rows: list[dict[str, Any]], *names: str) -> None:
    """A thing a line, its values between tabs; what there is none of is a dash."""
    for row in rows:
        values = ("-" if row[name] in {None, ""} else str(row[name]) for name in names)
        sys.stdout.write("\t".join(" ".join(value.split()) for value in values) + "\n")

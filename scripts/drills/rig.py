"""One installation to break: real processes on ports and data of their own, gone afterwards.

All that a drill knows it knows from outside: what the API answers, what the mail sink stored, what
the processes wrote and how they ended.
"""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import httpx
import sqlalchemy as sa

from backend.migrations import runner
from backend.sink import count_copies, read_copies
from scripts.installation import Client, Installation, InstallationError, run_module
from tests.support.postgres import PostgresServer

_READY_SECONDS: Final = 180.0
_EXIT_SECONDS: Final = 60.0
_PAGE: Final = 200
_OPEN: Final = ("queued", "sending", "deferred")

Json = dict[str, Any]


class DrillError(Exception):
    """The drill could not be held, or showed a failure; one line for people."""


@dataclass(frozen=True, slots=True)
class Where:
    """The database of an installation; ``server`` is None for SQLite."""

    kind: str
    server: PostgresServer | None = None

    def settings(self, name: str) -> dict[str, str]:
        """Settings that lead to a new, empty database of this name."""
        if self.server is None:
            return {}
        made = self.server.create_database(name)
        return {"DATABASE__URL": made.url, "DATABASE__OWNER_URL": made.owner_url}

    def migrated(self, folder: Path, name: str) -> str:
        """The address of a new, migrated database of this name; a file of SQLite is in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.server is None:
            url = f"sqlite:///{folder / name}.db"
            runner.upgrade(url)
            return url
        made = self.server.create_database(name)
        runner.upgrade(made.owner_url, role=sa.make_url(made.url).username)
        return made.url


@dataclass(frozen=True, slots=True)
class Tally:
    """Every accepted e-mail, accounted for."""

    queued: int
    lost: int
    """E-mails of which the mail server has no copy."""
    doubles: int
    """Copies beyond the first of each e-mail; every one has the Message-ID of the first."""
    doubled: frozenset[str]
    """Ids of the e-mails that arrived more than once."""
    strange: int
    """Copies with a Message-ID that belongs to no e-mail, or in front of another recipient."""
    states: Mapping[str, int]
    open_jobs: Mapping[str, int]
    """Jobs in any state but succeeded."""
    implausible: Sequence[str]
    """E-mails whose timeline contradicts what happened, with the reason."""
    audit_valid: bool
    errors: Sequence[str]
    """What the processes logged as an error."""

    def problems(self, most_doubles: int) -> list[str]:
        """What is wrong; nothing, when all is well and at most so many copies are doubles."""
        found = []
        if self.lost:
            found.append(f"{self.lost} of {self.queued} e-mails never arrived")
        if self.doubles > most_doubles:
            found.append(f"{self.doubles} doubles, of which only {most_doubles} can be explained")
        if self.strange:
            found.append(f"{self.strange} copies of nothing that was queued")
        if self.states != {"accepted": self.queued}:
            found.append(f"states {dict(self.states)}, not all accepted")
        if self.open_jobs:
            found.append(f"jobs left {dict(self.open_jobs)}")
        if self.implausible:
            found.append(f"{len(self.implausible)} odd timelines, first {self.implausible[0]}")
        if not self.audit_valid:
            found.append("the audit chain is broken")
        if self.errors:
            found.append(f"{len(self.errors)} errors in the logs, first {self.errors[0]}")
        return found


class Login(httpx.Auth):
    """Who asks, with a token that is never older than half its life: drills outlive many."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/oauth/token"
        self._client = Client("", "")
        self._token, self._renew_at = "", 0.0

    def use(self, client: Client) -> None:
        """Ask as this client from now on."""
        self._client, self._token, self._renew_at = client, "", 0.0

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Put the token on the request, and get one first when it is time."""
        if time.monotonic() >= self._renew_at:
            made = httpx.Request("POST", self._url, data={"grant_type": "client_credentials"})
            by_name = httpx.BasicAuth(self._client.client_id, self._client.client_secret)
            answer = yield next(by_name.sync_auth_flow(made))
            await answer.aread()
            # Refused, as when the database is away: what is there holds for a while yet.
            if not self._token or answer.is_success:
                token = _expect(answer, 200)
                self._token = token["access_token"]
                self._renew_at = time.monotonic() + token["expires_in"] / 2
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class Rig:
    """A running installation; made by :func:`open_rig`."""

    def __init__(self, folder: Path, where: Where, settings: Mapping[str, str]) -> None:
        self.where = where
        self.folder = folder
        self._installation = Installation(
            folder,
            {
                # Nobody reads it, and a new worker must not wait for the port of a dead one.
                "TELEMETRY__WORKER_METRICS_PORT": "0",
                # Looking on is what a drill does; it must not be slowed down for it.
                "EMAIL__REQUESTS_PER_SECOND": "100000",
                "EMAIL__BURST_REQUESTS": "100000",
                **settings,
            },
        )
        self._sink_folder = self._installation.sink_folder
        self._worker_pid = 0
        self._login = Login(self._installation.url)
        self.http = httpx.AsyncClient(
            base_url=self._installation.url,
            auth=self._login,
            timeout=30,
            trust_env=False,
            # An idle connection is let go long before the API does so, however late either of
            # them gets to run: a request on one that is being closed would fail the drill.
            limits=httpx.Limits(
                max_connections=100, max_keepalive_connections=20, keepalive_expiry=2
            ),
        )

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._installation.make)
        await self.start("sink")
        await self.start("api")
        self._login.use(self._installation.client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        # What a drill has broken need not end in order.
        for name in ("worker", "worker-2", "api", "sink"):
            # A stopped one too: SIGKILL needs no thaw.
            await self.kill(name)
        self._installation.close()

    # --- processes ----------------------------------------------------------------------------

    async def start(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Start ``api``, ``worker`` or ``sink``; returns once it serves (a worker: at once).

        A further worker is ``worker-2`` and so on. ``env`` is what it alone is told besides.

        Raises:
            DrillError: It ended, or does not serve after three minutes.
        """
        # Not in a thread of its own: the process would be killed with it.
        process = self._installation.start(name, env)
        if name.startswith("worker"):
            self._worker_pid = process.pid
        else:
            await self._until_serves(name, process)

    async def kill(self, name: str) -> None:
        """Kill the process with SIGKILL; returns once it is gone. Gone already is fine."""
        process = self._installation.take(name)
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)

    async def freeze(self, name: str) -> None:
        """Stop the process where it is; returns once it does nothing any more.

        Raises:
            DrillError: It does not run.
        """
        process = self._running(name)
        process.send_signal(signal.SIGSTOP)
        # The signal is delivered at once, but a thread on another processor obeys in its own time.
        # Only looking: the exit status of one that has ended is for the one who takes it.
        change = os.WSTOPPED | os.WEXITED | os.WNOWAIT
        await asyncio.to_thread(os.waitid, os.P_PID, process.pid, change)

    def thaw(self, name: str) -> None:
        """Let a frozen process go on.

        Raises:
            DrillError: It does not run.
        """
        self._running(name).send_signal(signal.SIGCONT)

    def caller(self, client: Client) -> httpx.AsyncClient:
        """The API as another client sees it; the caller closes it."""
        login = Login(self._installation.url)
        login.use(client)
        return httpx.AsyncClient(
            base_url=self._installation.url, auth=login, timeout=60, trust_env=False
        )

    def mib(self, name: str) -> float:
        """The memory that the process has of its own (RSS); 0: it does not run."""
        process = self._installation.running(name)
        if process is None:
            return 0.0
        with suppress(FileNotFoundError):
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def pid(self, name: str) -> int:
        """The id of the process.

        Raises:
            DrillError: It does not run.
        """
        return self._running(name).pid

    def _running(self, name: str) -> subprocess.Popen[bytes]:
        process = self._installation.running(name)
        if process is None:
            raise DrillError(f"there is no {name}, or it has ended")
        return process

    @property
    def sink_port(self) -> int:
        """Where the mail sink listens."""
        return self._installation.sink_port

    def setting(self, name: str) -> str:
        """What the processes are told under this name, without its prefix."""
        return self._installation.env[f"EMAIL_SENDER__{name}"]

    def run_module(self, module: str, *arguments: str) -> str:
        """Run a program of ours on this installation to its end; its standard output.

        Raises:
            InstallationError: It failed.
        """
        return run_module(module, arguments, self._installation.env)

    @property
    def database_url(self) -> str:
        """The run-time DSN, for what a drill does beside the API."""
        return self._installation.database_url

    @property
    def root_key_file(self) -> Path:
        """Where the root key lies, for a process of ours that is none of the installation's."""
        return self._installation.root_key_file

    @property
    def tenant_id(self) -> str:
        """Of the demo tenant."""
        return self._installation.tenant_id

    async def terminate(self, name: str) -> tuple[int, float]:
        """Ask the process to end; its exit status and the seconds it took.

        Raises:
            DrillError: It does not run, or still runs a minute later.
        """
        process = self._installation.take(name)
        if process is None:
            raise DrillError(f"there is no {name} to end")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            status = await asyncio.to_thread(process.wait, _EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
            raise DrillError(f"the {name} ignored SIGTERM") from None
        return status, time.monotonic() - began

    async def until_serving(self) -> None:
        """Wait until the API answers that it is ready, its database included.

        Raises:
            DrillError: It does not within three minutes.
        """
        await self._until_serves("api")

    async def _until_serves(
        self, name: str, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        async def serves() -> bool:
            return await asyncio.to_thread(self._installation.serves, name)

        await self.until(serves, _READY_SECONDS, f"the {name} to serve", runs=process)

    def logged_errors(self, *, allowed_statuses: Collection[int] = ()) -> list[str]:
        """Lines of all logs that are errors, or no log lines at all (a traceback, a crash)."""
        found = []
        for path in sorted(self._installation.logs.glob("*.log")):
            for line in path.read_text(errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    found.append(f"{path.stem}: {line}")
                    continue
                if entry.get("http.response.status_code") in allowed_statuses:
                    continue
                if entry["log.level"] in {"error", "critical"}:
                    told = entry.get("error.message") or entry.get("http.response.status_code", "")
                    found.append(f"{path.stem}: {entry['message']} {told}".rstrip())
        return found

    # --- the API ------------------------------------------------------------------------------

    async def submit(self, messages: Sequence[Json], **headers: str) -> list[Json]:
        """Queue messages in batches of up to 500; the e-mails as the API answered them."""
        made: list[Json] = []
        for start in range(0, len(messages), 500):
            batch = {"messages": messages[start : start + 500]}
            answer = await self.http.post("/api/v1/emails/batch", json=batch, headers=headers)
            made += _expect(answer, 202)["items"]
        return made

    async def become_owner(self) -> None:
        """Ask the API as an owner of the demo tenant from now on."""
        made = json.loads(await asyncio.to_thread(self.run_module, "scripts.drills.owner_client"))
        self._login.use(Client(**made))

    async def emails(self, state: str | None = None) -> list[Json]:
        """All e-mails, or those in one state, newest first."""
        return await self.list_all("/api/v1/emails", {"state": state} if state else {})

    async def in_flight(self) -> set[str]:
        """Ids of the e-mails in state ``sending`` whose job the last started worker holds.

        The state alone would not do: what a dead worker left stays ``sending`` until another
        takes it up.
        """
        holder = f":{self._worker_pid}:"
        jobs = await self.list_all("/api/v1/jobs", {"state": "running"})
        held = {job["subject"].removeprefix("email:") for job in jobs if holder in job["worker"]}
        return {email["id"] for email in await self.emails("sending")} & held

    async def list_all(self, path: str, query: Mapping[str, Any], *, pages: int = 0) -> list[Json]:
        """All items of a list, or those of its first ``pages``."""
        found: list[Json] = []
        asked: dict[str, Any] = {"limit": _PAGE, **query}
        while True:
            page = _expect(await self.http.get(path, params=asked), 200)
            found += page["items"]
            pages -= 1
            if page["next_cursor"] is None or pages == 0:
                return found
            asked["cursor"] = page["next_cursor"]

    async def has_emails(self, *states: str) -> bool:
        """Whether any e-mail is in one of these states."""
        for state in states:
            query: dict[str, Any] = {"state": state, "limit": 1}
            page = _expect(await self.http.get("/api/v1/emails", params=query), 200)
            if page["items"]:
                return True
        return False

    async def count_jobs(self, *states: str) -> dict[str, int]:
        """How many jobs are in each of these states (up to 200), those with none left out."""
        found = {}
        for state in states:
            query: dict[str, Any] = {"state": state, "limit": _PAGE}
            page = _expect(await self.http.get("/api/v1/jobs", params=query), 200)
            if page["items"]:
                found[state] = len(page["items"])
        return found

    async def until_in_flight(self, least: int, seconds: float = 60) -> set[str]:
        """Wait until so many e-mails are in flight; their ids.

        Raises:
            DrillError: They were not in time.
        """
        seen: set[str] = set()

        async def enough() -> bool:
            seen.clear()
            seen.update(await self.in_flight())
            return len(seen) >= least

        await self.until(enough, seconds, f"{least} e-mails in flight")
        return seen

    async def until_settled(self, seconds: float = 400) -> None:
        """Wait until no e-mail is open any more, and no job.

        Raises:
            DrillError: Some still are after this time.
        """

        async def settled() -> bool:
            if await self.has_emails(*_OPEN):
                return False
            # One that changed states between those questions was not seen by them.
            if any(email["state"] in _OPEN for email in await self.emails()):
                return False
            return not await self.count_jobs("ready", "running", "blocked")

        try:
            await self.until(settled, seconds, "every e-mail to be settled", pause=0.2)
        except DrillError as exc:
            states = dict(Counter(email["state"] for email in await self.emails()))
            jobs = await self.count_jobs("ready", "running", "blocked")
            raise DrillError(f"{exc}: e-mails {states}, open jobs {jobs}") from None

    async def until(
        self,
        condition: Callable[[], Awaitable[bool]],
        seconds: float,
        what: str,
        *,
        runs: subprocess.Popen[bytes] | None = None,
        pause: float = 0.05,
    ) -> None:
        """Wait for a condition, as long as the process that should bring it about runs.

        Raises:
            DrillError: It did not come true in time.
        """
        deadline = time.monotonic() + seconds
        while not await condition():
            if runs is not None and runs.poll() is not None:
                last = "; ".join(self.logged_errors()[-1:]) or "nothing in its log"
                raise DrillError(f"waiting for {what}: the process ended, {last}")
            if time.monotonic() > deadline:
                raise DrillError(f"waited {seconds:g} s in vain for {what}")
            await asyncio.sleep(pause)

    # --- accounting ---------------------------------------------------------------------------

    def copies(self) -> int:
        """How many messages the mail server holds by now."""
        return sum(count_copies(self._sink_folder).values())

    async def tally(
        self, queued: Sequence[Json], *, allowed_statuses: Collection[int] = ()
    ) -> Tally:
        """Account for these e-mails, which must be all there are."""
        now = await self.emails()
        strange = abs(len(now) - len(queued))
        total = self.copies()
        copies: dict[str, int] = {}
        for email in queued:
            found = await asyncio.to_thread(
                read_copies, self._sink_folder, email["message_id"], self._installation.sink_key
            )
            copies[email["id"]] = len(found)
            strange += sum(copy.envelope_to != email["to"] for copy in found)
        strange += total - sum(copies.values())
        return Tally(
            queued=len(queued),
            lost=sum(count == 0 for count in copies.values()),
            doubles=sum(max(0, count - 1) for count in copies.values()),
            doubled=frozenset(id_ for id_, count in copies.items() if count > 1),
            strange=strange,
            states=Counter(email["state"] for email in now),
            open_jobs=await self.count_jobs("blocked", "ready", "running", "dead", "cancelled"),
            implausible=await self._implausible(copies),
            audit_valid=await self.audit_holds(),
            errors=self.logged_errors(allowed_statuses=allowed_statuses),
        )

    async def _implausible(self, copies: Mapping[str, int]) -> list[str]:
        gate = asyncio.Semaphore(8)

        async def check(email_id: str, count: int) -> str | None:
            async with gate:
                answer = await self.http.get(f"/api/v1/emails/{email_id}")
            reason = _oddity(_expect(answer, 200), count)
            return f"{email_id}: {reason}" if reason else None

        found = await asyncio.gather(*(check(id_, count) for id_, count in copies.items()))
        return [one for one in found if one]

    async def audit_holds(self) -> bool:
        """Whether every trail holds, by the command that operators use."""
        try:
            said = await asyncio.to_thread(self._installation.command, "audit-verify")
        except InstallationError:
            return False
        return "FAIL" not in said

    async def accepted_at(self, ids: Collection[str]) -> dict[str, datetime]:
        """When the mail server's answer was recorded, for those of these e-mails that have one."""
        return {
            email["id"]: datetime.fromisoformat(email["accepted_at"])
            for email in await self.emails("accepted")
            if email["id"] in ids
        }


def _oddity(email: Json, copies: int) -> str | None:
    """Why an e-mail's timeline cannot be true; None when it can."""
    events = [event["event"] for event in email["timeline"]]
    times = [datetime.fromisoformat(event["at"]) for event in email["timeline"]]
    if events[0] != "queued" or events[-1] != "accepted" or events.count("accepted") != 1:
        return f"it reads {', '.join(events)}"
    if events.count("sending") != email["attempts"] or email["attempts"] < copies:
        return f"{email['attempts']} attempts, {events.count('sending')} begun, {copies} copies"
    if times != sorted(times):
        return "its times run backwards"
    return None


def _expect(answer: httpx.Response, status: int) -> Json:
    if answer.status_code != status:
        where = f"{answer.request.method} {answer.request.url.path}"
        raise DrillError(f"{where} answered {answer.status_code}: {answer.text[:300]}")
    body: Json = answer.json()
    return body


@asynccontextmanager
async def open_rig(
    folder: Path, where: Where, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Rig]:
    """An installation with API and mail server, without a worker yet, in a new folder.

    ``settings`` are environment variables without their prefix. Whatever happens, no process of
    it is left, and the folder of its data is the caller's to remove.
    """
    name = f"drill_{os.urandom(6).hex()}"
    async with AsyncExitStack() as stack:
        database = await asyncio.to_thread(where.settings, name)
        rig = Rig(folder, where, database | dict(settings or {}))
        # Also when entering fails half way: what was started is stopped.
        stack.push_async_exit(rig.__aexit__)
        await rig.__aenter__()
        yield rig

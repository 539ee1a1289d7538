"""Jobs: what a tenant may use of the workers, one more of them, and acts on many at once."""

import argparse
import sys
from typing import Any, Final

from backend.app import Platform
from backend.cli._api import Api, api_command, print_rows, segment
from backend.cli._files import read_json
from backend.cli.command import tenant_command, time_of
from backend.core.context import Scope
from backend.managers.orchestrator import JOBS, STATES, OrchestratorManager


async def _limit(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    async with platform.database.transaction(scope) as tx:
        await platform.of(OrchestratorManager).set_limits(
            tx,
            max_running=options.max_running,
            weight=options.weight,
            rate=options.rate,
            burst=options.burst,
            paused=options.pause,
        )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-running", type=int, help="jobs running at once over all workers; default: no limit"
    )
    parser.add_argument(
        "--weight", type=float, default=1.0, help="against other tenants; default: 1"
    )
    parser.add_argument("--rate", type=float, help="starts per second; default: no limit")
    parser.add_argument("--burst", type=int, help="starts at once after a pause; default: rate")
    parser.add_argument("--pause", action="store_true", help="start nothing new")


async def _retry(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    manager, database = platform.of(OrchestratorManager), platform.database
    retried = refused = 0
    last_id: str | None = None
    while True:
        async with database.transaction(scope) as tx:
            done = await manager.retry_jobs(
                tx,
                state=options.state,
                kind=options.kind,
                subject=options.subject,
                graph_id=options.graph,
                created_after=options.created_after,
                created_before=options.created_before,
                error=options.error,
                before_id=last_id,
            )
        retried, refused = retried + done.retried, refused + done.refused
        last_id = done.last_id
        if last_id is None:
            break
    sys.stdout.write(f"{retried} retried, {refused} refused\n")


def _retry_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", choices=("dead", "cancelled"), default="dead")
    _filters(parser)
    _error(parser)


def _filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", help="exact, as email.send; default: all")
    parser.add_argument("--subject", help="what they are about, as email:ID; default: any")
    parser.add_argument("--graph", metavar="ID", help="of this graph; default: any and none")
    parser.add_argument("--created-after", type=time_of, metavar="TIME", help="made then or later")
    parser.add_argument("--created-before", type=time_of, metavar="TIME", help="made earlier")


def _error(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--error", help="first line of why the last attempt failed; default: any")


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """The filters that are set, as the API takes them."""
    said = {"state": options.state, "kind": options.kind, "subject": options.subject}
    said |= {"graph_id": options.graph}
    for name in ("created_after", "created_before"):
        at = getattr(options, name)
        said[name] = None if at is None else at.isoformat()
    return {name: value for name, value in said.items() if value is not None}


async def _list(api: Api, options: argparse.Namespace) -> None:
    """A job a line, the newest first: id, state, attempt, kind, subject, why it failed."""
    found = await api.get(JOBS, **_asked(options), limit=options.limit)
    print_rows(found["items"], "id", "state", "attempt", "kind", "subject", "error")


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", choices=STATES, help="default: any")
    parser.add_argument("--limit", type=int, default=50, help="1 to 200; default: 50")
    _filters(parser)


async def _attempts(api: Api, options: argparse.Namespace) -> None:
    """An attempt a line, the newest first: number, outcome, begin, end, worker, why it failed."""
    found = await api.get(f"{JOBS}/{segment(options.job)}/attempts")
    print_rows(found["items"], "attempt", "outcome", "started_at", "ended_at", "worker", "error")


def _attempts_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB")


async def _submit(api: Api, options: argparse.Namespace) -> None:
    """Submit what a file says, or standard input: JSON with a kind and args; print id and state."""
    body = await read_json(options.file, "job", "kind")
    print_rows([await api.post(JOBS, body)], "id", "state", "kind", "due_at")


def _submit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="- reads standard input")


async def _cancel(api: Api, options: argparse.Namespace) -> None:
    """Cancel all that the filters leave, part by part; print how many."""
    asked = {**_asked(options), "error": options.error}
    cancelled = running = 0
    cursor: str | None = None
    while True:
        part = await api.post(f"{JOBS}/cancel", {**asked, "cursor": cursor})
        cancelled, running = cancelled + part["cancelled"], running + part["asked"]
        cursor = part["next_cursor"]
        if cursor is None:
            break
    sys.stdout.write(f"{cancelled} cancelled, {running} asked to stop\n")


def _cancel_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state", choices=("ready", "blocked", "awaiting", "running"), default="ready"
    )
    _filters(parser)
    _error(parser)


async def _totals(api: Api, options: argparse.Namespace) -> None:
    """A kind and state a line, and how many; or a kind and error of dead jobs, and how many."""
    found = await api.get(f"{JOBS}/totals")
    if options.errors:
        print_rows(found["failures"], "count", "kind", "error", "job_id")
        return
    rows = [{**one, "count": f"{one['count']}{'+' * one['at_least']}"} for one in found["items"]]
    print_rows(rows, "kind", "state", "count")


def _totals_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--errors", action="store_true", help="why the newest dead jobs died")


COMMANDS: Final = (
    tenant_command(
        "job-limits",
        "set what a tenant may use of the workers, all of it anew",
        _limit,
        _options,
    ),
    tenant_command(
        "job-retry",
        "start a tenant's dead or cancelled jobs again",
        _retry,
        _retry_options,
    ),
    api_command("jobs-list", "jobs, the newest first", _list, _list_options),
    api_command("jobs-attempts", "what became of a job's attempts", _attempts, _attempts_options),
    api_command("jobs-submit", "submit one job", _submit, _submit_options),
    api_command("jobs-cancel", "cancel all that wait, or ask what runs", _cancel, _cancel_options),
    api_command("jobs-totals", "count jobs by kind and state", _totals, _totals_options),
)

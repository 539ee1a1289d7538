"""Jobs: what a tenant may use of the workers, and a new start for many at once."""

import argparse
import sys
from typing import Final

from backend.app import Platform
from backend.cli.command import tenant_command, time_of
from backend.core.context import Scope
from backend.managers.orchestrator import OrchestratorManager


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
                created_after=options.created_after,
                created_before=options.created_before,
                before_id=last_id,
            )
        retried, refused = retried + done.retried, refused + done.refused
        last_id = done.last_id
        if last_id is None:
            break
    sys.stdout.write(f"{retried} retried, {refused} refused\n")


def _retry_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", choices=("dead", "cancelled"), default="dead")
    parser.add_argument("--kind", help="exact, as email.send; default: all")
    parser.add_argument("--created-after", type=time_of, metavar="TIME", help="made then or later")
    parser.add_argument("--created-before", type=time_of, metavar="TIME", help="made earlier")


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
)

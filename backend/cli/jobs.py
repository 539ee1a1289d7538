"""Jobs: what a tenant may use of the workers."""

import argparse
from typing import Final

from backend.app import Platform
from backend.cli.command import tenant_command
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


COMMANDS: Final = (
    tenant_command(
        "job-limits",
        "set what a tenant may use of the workers, all of it anew",
        _limit,
        _options,
    ),
)

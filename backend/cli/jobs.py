"""Jobs: what a tenant may use of the workers."""

import argparse
from typing import Final

from backend.app import compose
from backend.cli.command import Command, find_tenant, run_async
from backend.core.context import Scope
from backend.managers.orchestrator import OrchestratorManager
from backend.settings import Settings


def _limit(settings: Settings, options: argparse.Namespace) -> None:
    platform = compose(settings)

    async def run() -> None:
        async with platform.running():
            tenant = await find_tenant(platform, options.tenant)
            scope = Scope(actor="system:operator", tenant_id=tenant.id)
            async with platform.database.transaction(scope) as tx:
                await platform.of(OrchestratorManager).set_limits(
                    tx,
                    max_running=options.max_running,
                    weight=options.weight,
                    rate=options.rate,
                    burst=options.burst,
                    paused=options.pause,
                )

    run_async(run())


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", required=True, help="slug")
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
    Command(
        "job-limits",
        "set what a tenant may use of the workers, all of it anew",
        _limit,
        _options,
    ),
)

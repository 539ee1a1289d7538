"""Our worker process as shipped, ticks and metrics included, plus one kind of job: a no-op."""

import asyncio
from typing import Final

import msgspec
import uvloop

from backend.app import SERVICE, compose
from backend.core.log import configure_logging
from backend.managers.orchestrator import Claim, JobKind, OrchestratorManager
from backend.settings import Settings
from backend.worker import run_worker


async def _nothing(_: Claim) -> None:
    return None


class _Takes(msgspec.Struct, forbid_unknown_fields=True):
    """What a tenant may hand in: nothing."""


NOOP: Final = JobKind.simple("bench.noop", _nothing, takes=_Takes)


def main() -> None:
    """Work until SIGTERM."""
    settings = Settings()
    configure_logging(f"{SERVICE}-worker", settings.telemetry.log_level)
    platform = compose(settings)
    platform.of(OrchestratorManager).register(NOOP)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_worker(platform))


if __name__ == "__main__":
    main()

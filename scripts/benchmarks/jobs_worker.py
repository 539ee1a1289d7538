"""Our worker process as shipped, ticks and metrics included, plus kinds that do nothing."""

from typing import Final

import msgspec

from backend.app import SERVICE, compose
from backend.cli.processes import work
from backend.core.log import configure_logging
from backend.managers.orchestrator import Claim, JobKind, OrchestratorManager
from backend.settings import Settings
from scripts.benchmarks.measure import say_picked_up


async def _nothing(_: Claim) -> None:
    return None


class _Takes(msgspec.Struct, forbid_unknown_fields=True):
    """What a tenant may hand in: nothing."""


NOOP: Final = JobKind.simple("bench.noop", _nothing, takes=_Takes)


async def _say(claim: Claim) -> None:
    say_picked_up(claim.args["called_at"])


TIMED: Final = JobKind.simple("bench.timed", _say)


def main() -> None:
    """Work until SIGTERM."""
    settings = Settings()
    configure_logging(f"{SERVICE}-worker", settings.telemetry.log_level)
    platform = compose(settings)
    manager = platform.of(OrchestratorManager)
    for kind in (NOOP, TIMED):
        manager.register(kind)
    work(platform)


if __name__ == "__main__":
    main()

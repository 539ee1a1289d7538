"""Hold drills and say in one line each what came of them; exit status 1 if any failed."""

import argparse
import asyncio
import logging
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from scripts.drills import (
    alerts,
    audit,
    audit_tree,
    budget,
    catalogue,
    compose,
    events,
    export,
    export_full,
    fairness,
    image,
    jobs,
    outages,
    refusals,
    rewrap,
    rollups,
    services,
    shares,
    smtp,
    tampering,
    webhooks,
    workers,
)
from scripts.drills.rig import DrillError, Where, open_rig
from scripts.installation import InstallationError
from tests.support.postgres import MISSING, PostgresServer, find_programs


class Report(Protocol):
    """What every drill ends with: a line for people, and what is wrong."""

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""


@dataclass(frozen=True, slots=True)
class Drill:
    """One way to break the installation."""

    run: Callable[..., Awaitable[Report]]
    settings: Mapping[str, str] | Callable[[], Mapping[str, str]]
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    limit_seconds: float = 240.0
    takes: tuple[str, ...] = ()
    """Options of the command line that it is given."""


@dataclass(frozen=True, slots=True)
class BareDrill:
    """One that makes what it breaks by itself."""

    run: Callable[..., Awaitable[Report]]
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    limit_seconds: float = 240.0
    takes: tuple[str, ...] = ()


DRILLS: Final[dict[str, Drill | BareDrill]] = {
    "kill-worker": Drill(workers.kill_worker, workers.KILL_SETTINGS),
    "crash-loop": Drill(workers.crash_loop, workers.CRASH_LOOP_SETTINGS),
    "stop-worker": Drill(workers.stop_worker, workers.STOP_SETTINGS),
    "kill-api": Drill(services.kill_api, services.API_SETTINGS),
    "mail-server": Drill(services.stop_mail_server, services.MAIL_SERVER_SETTINGS),
    "alerts": Drill(
        alerts.kill_tellers,
        alerts.SETTINGS,
        limit_seconds=3600.0,
        takes=("alerts", "alert_seconds", "kills"),
    ),
    "catalogue": BareDrill(catalogue.catalogue, limit_seconds=4 * 3600.0, takes=("scale",)),
    "events": Drill(events.kill_consumers, events.SETTINGS),
    "export": BareDrill(export.export, limit_seconds=3600.0, takes=("rounds",)),
    "rollups": BareDrill(rollups.rollups, limit_seconds=3600.0, takes=("days",)),
    "export-elasticsearch": BareDrill(
        export_full.export, limit_seconds=7200.0, takes=("rounds", "lines", "server")
    ),
    "rewrap": Drill(rewrap.rewrap, rewrap.SETTINGS, limit_seconds=3600.0, takes=("secrets",)),
    "smtp": BareDrill(smtp.play_servers),
    "image": BareDrill(image.run_image, limit_seconds=2400.0),
    # Of a file: a database has no part in it.
    "compose": BareDrill(compose.run_compose, ("sqlite",), limit_seconds=3600.0),
    "audit-kill": Drill(
        audit.kill_amid_records, audit.SETTINGS, limit_seconds=3600.0, takes=("rounds",)
    ),
    "audit-refusals": BareDrill(refusals.refuse, limit_seconds=1800.0),
    "audit-tampering": BareDrill(tampering.tamper, limit_seconds=1800.0),
    "budget": Drill(budget.hammer, budget.SETTINGS, limit_seconds=900.0),
    "audit-tree": BareDrill(audit_tree.grow_and_prove, limit_seconds=7200.0, takes=("leaves",)),
    "outage": Drill(outages.outages, outages.SETTINGS, limit_seconds=3600.0, takes=("rounds",)),
    "fairness": Drill(
        fairness.fairness, fairness.settings, limit_seconds=900.0, takes=("seconds",)
    ),
    "shares": BareDrill(shares.shares, limit_seconds=3600.0, takes=("backlog", "tenants")),
    "webhooks": Drill(
        webhooks.kill_deliverers,
        webhooks.SETTINGS,
        limit_seconds=3600.0,
        takes=("hook_events", "hook_tenants", "hook_kills", "hook_n8n_seconds"),
    ),
    "jobs": BareDrill(jobs.jobs, limit_seconds=2 * 3600.0, takes=("faults", "only")),
    "database": Drill(services.restart_database, services.DATABASE_SETTINGS, ("postgresql",)),
}


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/drill", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(DRILLS)}, or how some of them begin (audit); default: all",
    )
    parser.add_argument(
        "--database", choices=["sqlite", "postgresql", "both"], default="both", help="default: both"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of all random choices; else a new one, printed first"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep each installation's data and logs, and say where"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=20,
        metavar="N",
        help="outages of `outage`, kills of `audit-kill` and `export...`; default: 20",
    )
    parser.add_argument(
        "--faults",
        type=int,
        default=10,
        metavar="N",
        help="times that each fault of `jobs` strikes; default: 10",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=list(jobs.FAULTS),
        default=[],
        metavar="FAULT",
        help=f"of `jobs`: {', '.join(jobs.FAULTS)}; may be said again; default: all",
    )
    parser.add_argument(
        "--lines",
        type=int,
        default=200_000,
        metavar="N",
        help="that `export-elasticsearch` exports; default: 200000",
    )
    parser.add_argument(
        "--server",
        type=int,
        choices=[8, 9],
        default=8,
        help="version of Elasticsearch of `export-elasticsearch`; default: 8",
    )
    parser.add_argument(
        "--leaves", type=int, default=100_000, metavar="N", help="of `audit-tree`; default: 100000"
    )
    parser.add_argument(
        "--seconds", type=int, default=120, metavar="N", help="of load in `fairness`; default: 120"
    )
    parser.add_argument(
        "--backlog",
        type=int,
        default=100_000,
        metavar="N",
        help="jobs of one tenant that wait in `shares`; default: 100000",
    )
    parser.add_argument(
        "--tenants",
        type=int,
        default=1000,
        metavar="N",
        help="with a job each in `shares`; default: 1000",
    )
    parser.add_argument(
        "--alerts", type=int, default=500, metavar="N", help="of `alerts`; default: 500"
    )
    parser.add_argument(
        "--alert-seconds",
        type=int,
        default=600,
        metavar="N",
        help="in which `alerts` has them fire and end; default: 600",
    )
    parser.add_argument(
        "--kills", type=int, default=30, metavar="N", help="of `alerts`; default: 30"
    )
    for name, usual, text in (
        ("events", 5000, "that programs are told of"),
        ("tenants", 20, "whose programs they are"),
        ("kills", 20, "of who tells them"),
        ("n8n-seconds", 120, "that a real n8n is down for, 0 without one,"),
    ):
        parser.add_argument(
            f"--hook-{name}",
            type=int,
            default=usual,
            metavar="N",
            help=f"{text} in `webhooks`; default: {usual}",
        )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="X",
        help="of holds and windows in `catalogue`; default: 1, the real ones",
    )
    parser.add_argument(
        "--days", type=int, default=30, metavar="N", help="that `rollups` records; default: 30"
    )
    parser.add_argument(
        "--secrets",
        type=int,
        default=100_000,
        metavar="N",
        help="that `rewrap` has sealed; default: 100000",
    )
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if not _named(name)]:
        parser.error(f"no drill {unknown[0]!r}; there are {', '.join(DRILLS)}")
    wanted = options.names or [""]
    options.names = list(dict.fromkeys(each for name in wanted for each in _named(name)))
    return options


def _named(name: str) -> list[str]:
    """The drill of this name, or all whose names begin with it."""
    return [name] if name in DRILLS else [one for one in DRILLS if one.startswith(name)]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def _hold(
    drill: Drill | BareDrill,
    where: Where,
    rng: random.Random,
    folder: Path,
    given: Mapping[str, Any],
) -> Report:
    async with asyncio.timeout(drill.limit_seconds):
        if isinstance(drill, BareDrill):
            return await drill.run(where, rng, folder, **given)
        settings = drill.settings() if callable(drill.settings) else drill.settings
        async with open_rig(folder, where, settings) as rig:
            return await drill.run(rig, rng, **given)


def _hold_and_tell(name: str, where: Where, seed: int, options: argparse.Namespace) -> bool:
    drill = DRILLS[name]
    folder = Path(tempfile.mkdtemp(prefix="email-sender-drill-"))
    # What runs in this process logs as well; the others have files of their own.
    logging.basicConfig(filename=folder / "drill.log", force=True)
    began = time.monotonic()
    try:
        # Its own source: a drill held alone meets what it met among the others.
        rng = random.Random(f"{seed} {name} {where.kind}")  # noqa: S311 - not a secret
        given = {option: getattr(options, option) for option in drill.takes}
        report = asyncio.run(_hold(drill, where, rng, folder / "rig", given))
        problems, told = report.problems(), str(report)
    except (DrillError, InstallationError) as exc:
        problems, told = [str(exc)], "not held to its end"
    except TimeoutError:
        problems, told = [f"not done after {drill.limit_seconds:g} s"], "not held to its end"
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    verdict = "FAIL" if problems else "ok  "
    _say(f"{verdict} {name:<15} {where.kind:<10} {time.monotonic() - began:5.1f} s  {told}")
    for problem in problems:
        _say(f"     {problem}")
    if options.keep:
        _say(f"     kept in {folder}")
    return not problems


def main(arguments: list[str] | None = None) -> int:
    """Hold the drills; the exit status."""
    options = _options(arguments)
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    kinds = ["sqlite", "postgresql"] if options.database == "both" else [options.database]
    wanted = {
        kind: [name for name in options.names if kind in DRILLS[name].databases] for kind in kinds
    }
    if not any(wanted.values()):
        sys.stderr.write("scripts/drill: none of these drills is about this database\n")
        return 2
    if wanted.get("postgresql") and find_programs() is None:
        sys.stderr.write(f"scripts/drill: {MISSING}\n")
        return 2
    # Asked to stop, it stops as after Ctrl-C: with its processes and folders gone.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _say(f"seed {seed}")
    passed = True
    for kind, names in wanted.items():
        with ExitStack() as stack:
            server = None
            if kind == "postgresql" and names:
                server = stack.enter_context(PostgresServer(fsync=True))
            for name in names:
                where = Where(kind, server)
                passed = _hold_and_tell(name, where, seed, options) and passed
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

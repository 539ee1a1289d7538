"""Measure the platform against a reference and print ratios, best read with docs/benchmarks.md."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from scripts.benchmarks import (
    alert_groups,
    alerts,
    crypto,
    email,
    enqueue,
    events,
    export,
    growth,
    ingest,
    jobs,
    keys,
    limiter,
    otlp,
    permission,
    pipeline,
    search,
)
from scripts.benchmarks.measure import MIN_ROUNDS, BenchmarkError, Result
from scripts.installation import InstallationError

_GROWTH: Final = growth.Growth()
_SIZES: Final = {"lines": search.LINES, "finished": jobs.FINISHED}
"""What options of the command line change before a case runs."""
CASES: Final[Mapping[str, Callable[[int], Result]]] = {
    "pipeline/introspect": partial(pipeline.run_introspect, seconds=5.0),
    **{f"crypto/encrypt-{case}": partial(crypto.run_encrypt, case) for case in crypto.SIZES},
    "batch/encrypt-1000x1KiB": partial(keys.run_batch, seconds=5.0),
    "alert-eval/postgresql": partial(alerts.run_case, "postgresql"),
    "alert-eval/sqlite": partial(alerts.run_case, "sqlite"),
    "alert-group/postgresql": partial(alert_groups.run_case, "postgresql"),
    "alert-group/sqlite": partial(alert_groups.run_case, "sqlite"),
    "audit/postgresql": partial(keys.run_audit, "postgresql", seconds=5.0),
    "audit/sqlite": partial(keys.run_audit, "sqlite", seconds=5.0),
    "email/single": lambda rounds: email.run_case("single", rounds, 600),
    "email/batch100": lambda rounds: email.run_case("batch100", rounds, 2000),
    **{
        f"enqueue/{case}": partial(enqueue.run_case, case, count=count)
        for case, count in (("single", 2000), ("bulk", 50_000))
    },
    "events/postgresql": lambda rounds: events.run_case("postgresql", rounds, 10_000),
    "events/sqlite": lambda rounds: events.run_case("sqlite", rounds, 10_000),
    "export/elasticsearch": lambda rounds: export.run_case(rounds, 50_000),
    "graph/graph-200": jobs.run_graph,
    **_GROWTH.cases(),
    "ingest-logs/postgresql": lambda rounds: ingest.run_logs("postgresql", rounds, 40_000),
    "ingest-logs/sqlite": lambda rounds: ingest.run_logs("sqlite", rounds, 40_000),
    "ingest-metrics/postgresql": lambda rounds: ingest.run_metrics("postgresql", rounds, 100_000),
    "ingest-metrics/sqlite": lambda rounds: ingest.run_metrics("sqlite", rounds, 100_000),
    "pickup/postgresql": partial(jobs.run_pickup, count=150),
    "search/sqlite": lambda rounds: search.run_case(rounds, _SIZES["lines"]),
    "otlp/traces": lambda rounds: otlp.run_traces(rounds, 1000),
    "permission/pycasbin-1000": permission.run_pycasbin,
    "permission/cedarpy-1000": permission.run_cedarpy,
    "permission/flat": permission.run_flat,
    "jobs/postgresql": lambda rounds: jobs.run_case("postgresql", rounds, jobs.Backlog(5000, 1500)),
    "jobs/procrastinate-1w": partial(
        jobs.run_case,
        "postgresql",
        backlog=jobs.Backlog(5000, 1500),
        label="procrastinate-1w",
        floor=jobs.PROCRASTINATE_FLOOR,
    ),
    **{
        f"jobs/pgqueuer-{workers}w": partial(jobs.run_workers, workers, count=10_000)
        for workers in (1, 2)
    },
    "jobs/finished-10M": lambda rounds: jobs.run_finished(rounds, 10_000, _SIZES["finished"]),
    "jobs/sqlite": lambda rounds: jobs.run_case("sqlite", rounds, jobs.Backlog(5000, 1500)),
    "limiter/memory-3-levels": lambda rounds: limiter.run_memory(rounds, 200_000),
    "limiter/redis-3-levels": lambda rounds: limiter.run_redis(rounds, 10_000),
}
"""Every case by its name. Sizes: seconds of work a run on a small machine."""


def main(arguments: list[str] | None = None) -> int:
    """Run the named benchmarks, all of them by default; 1 when one could not be measured."""
    options = _options(arguments)
    # The default would end us without the blocks that stop what we started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _GROWTH.messages = options.messages
    _SIZES.update(lines=options.lines, finished=options.finished)
    with _GROWTH:
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    failed = False
    for name in options.names:
        sys.stderr.write(f"==> {name} ({options.rounds} rounds; load {os.getloadavg()[0]:.1f})\n")
        try:
            result = CASES[name](options.rounds)
        except (BenchmarkError, InstallationError) as exc:
            sys.stderr.write(f"scripts/bench: {name}: {exc}\n")
            failed = True
            continue
        if options.json:
            print(result.as_json(), flush=True)
            sys.stderr.write(f"{result.as_text()}\n")
        else:
            print(result.as_text(), flush=True)
    return int(failed)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--json", action="store_true", help="one JSON object a line, nothing else")
    parser.add_argument(
        "--rounds", type=int, default=MIN_ROUNDS, help="alternating runs of each side (3)"
    )
    parser.add_argument(
        "--messages",
        type=int,
        default=growth.MESSAGES,
        help=f"stored by the full one of growth ({growth.MESSAGES}); fewer for trying",
    )
    parser.add_argument(
        "--lines",
        type=int,
        default=search.LINES,
        help=f"stored for search ({search.LINES}); fewer for trying",
    )
    parser.add_argument(
        "--finished",
        type=int,
        default=jobs.FINISHED,
        help=f"jobs that have ended, for jobs/finished-10M ({jobs.FINISHED}); fewer for trying",
    )
    options = parser.parse_args(arguments)
    if options.finished < jobs.FEW:
        parser.error(f"--finished must be {jobs.FEW} at least")
    if options.lines < search.FEW:
        parser.error(f"--lines must be {search.FEW} at least")
    if options.messages < growth.FEW:
        parser.error(f"--messages must be {growth.FEW} at least")
    if not MIN_ROUNDS <= options.rounds <= 50:
        parser.error(f"--rounds must lie between {MIN_ROUNDS} and 50")
    wanted = []
    for name in options.names or CASES:
        found = [case for case in CASES if case == name or case.partition("/")[0] == name]
        if not found:
            parser.error(f"no benchmark {name!r}; there are {', '.join(CASES)}")
        wanted += [case for case in found if case not in wanted]
    options.names = wanted
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

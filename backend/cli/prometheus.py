"""The Prometheus of an installation, from afar: asked in PromQL as whoever logged in."""

import argparse
import sys
from typing import Any, Final

from backend.cli._api import Api, api_command
from backend.cli.command import CommandError, time_of


async def _query(api: Api, options: argparse.Namespace) -> None:
    """One value a line: the series' labels, the time in seconds since 1970, the value."""
    asked: dict[str, Any] = {"query": options.query}
    for name in ("at", "since", "until"):
        at = getattr(options, name)
        asked[name] = at and at.isoformat()
    is_range = options.since is not None or options.until is not None
    if is_range and options.at is not None:
        raise CommandError("--at is one moment, --since and --until are a time range: give one")
    if is_range:
        del asked["at"]
        asked["step_seconds"] = options.step and str(options.step)
    else:
        del asked["since"], asked["until"]
    root = "platform/prometheus" if options.platform else "prometheus"
    found = await api.get(f"{root}/query-range" if is_range else f"{root}/query", **asked)
    for warning in found["warnings"]:
        sys.stderr.write(f"Prometheus warns: {warning}\n")
    for line in found["lines"]:
        labels = ",".join(f"{name}={value}" for name, value in line["labels"].items()) or "-"
        for at, value in zip(line["times"], line["values"], strict=True):
            sys.stdout.write(f"{labels}\t{at:.3f}\t{value}\n")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", help="PromQL, as 'sum by (shop) (rate(orders_total[5m]))'")
    parser.add_argument("--at", type=time_of, help="RFC 3339; default: now")
    parser.add_argument("--since", type=time_of, help="RFC 3339: over a time range from then on")
    parser.add_argument("--until", type=time_of, help="RFC 3339; default: now")
    parser.add_argument("--step", type=float, metavar="SECONDS", help="default: 250 points")
    parser.add_argument("--platform", action="store_true", help="all of the platform's series")


COMMANDS: Final = (
    api_command("prometheus-query", "print what a query to Prometheus comes to", _query, _options),
)

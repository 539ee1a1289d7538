"""A tenant's objectives, from afar: listed as they stand, promised and let go of."""

import argparse
import sys
from typing import Any, Final

from backend.cli._api import Api, api_command, segment
from backend.cli.command import CommandError
from backend.managers.monitoring import SLO_KINDS, WINDOW_DAYS


async def _list(api: Api, _: argparse.Namespace) -> None:
    """One objective a line: name, state, value, objective, budget left and the reason."""
    for one in await api.items("slos"):
        values = (one["value"], one["objective"], one["budget_left"])
        said = "\t".join("-" if value is None else f"{value:.6g}" for value in values)
        reason = one["reason"] or "-"
        sys.stdout.write(f"{one['name']}\t{one['state']}\t{said}\t{reason}\n")


async def _save(api: Api, options: argparse.Namespace) -> None:
    """Promise something, or something else under a name that is there."""
    body: dict[str, Any] = {
        "name": options.name,
        "kind": options.kind,
        "objective": options.objective,
        "window_days": options.window_days,
    }
    for name in ("of", "metric", "good_metric", "within_ms", "within_seconds"):
        if getattr(options, name) is not None:
            body[name] = getattr(options, name)
    known = await _ids(api)
    if options.name in known:
        await api.put(f"slos/{segment(known[options.name])}", body)
    else:
        await api.post("slos", body)


async def _delete(api: Api, options: argparse.Namespace) -> None:
    known = await _ids(api)
    if options.name not in known:
        raise CommandError(f"there is no objective {options.name!r}")
    await api.delete(f"slos/{segment(known[options.name])}")


async def _ids(api: Api) -> dict[str, str]:
    return {one["name"]: one["id"] for one in await api.items("slos")}


def _save_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("kind", choices=SLO_KINDS)
    parser.add_argument("objective", type=float, help="share that has to be good, as 0.999")
    parser.add_argument(
        "--window-days", type=int, choices=WINDOW_DAYS, default=30, help="default: 30"
    )
    parser.add_argument("--of", help="for success: emails, jobs, or metric")
    parser.add_argument("--metric", help="for success of metric, and freshness")
    parser.add_argument("--good-metric", help="for success of metric")
    parser.add_argument("--within-ms", type=float, help="for latency")
    parser.add_argument("--within-seconds", type=float, help="for freshness")


COMMANDS: Final = (
    api_command("slo-list", "print the objectives and how they stand", _list),
    api_command("slo-save", "promise something, or something else", _save, _save_options),
    api_command(
        "slo-delete",
        "promise something no more",
        _delete,
        lambda parser: parser.add_argument("name"),
    ),
)

"""Schedules of jobs of the tenant that one is logged in to, from a shell."""

import argparse
from typing import Any, Final

from backend.cli._api import Api, api_command, print_rows, segment
from backend.cli._files import read_json
from backend.cli._times import time

_SHOWN: Final = ("id", "state", "name", "due_at", "timing", "last_graph_id")


def _told(one: dict[str, Any]) -> dict[str, Any]:
    timing = one["timing"]
    said = {
        "cron": "{expression} {zone}",
        "calendar": "each {every} {unit} {zone}",
        "interval": "each {seconds} s",
        "once": "once",
    }[timing["type"]]
    state = "on" if one["enabled"] else "paused"
    return {**one, "state": state, "timing": said.format(**timing)}


async def _list(api: Api, _: argparse.Namespace) -> None:
    """A schedule a line: id, whether it is on, name, when it is due, by what, its last graph."""
    print_rows([_told(one) for one in await api.items("job-schedules")], *_SHOWN)


async def _save(api: Api, options: argparse.Namespace) -> None:
    """Keep one from a file, as the API has it, or another one under a name that is there."""
    body = await read_json(options.file, "schedule")
    known = {one["name"]: one["id"] for one in await api.items("job-schedules")}
    if body["name"] in known:
        made = await api.put(f"job-schedules/{segment(known[body['name']])}", body)
    else:
        made = await api.post("job-schedules", body)
    print_rows([_told(made)], *_SHOWN)


async def _preview(api: Api, options: argparse.Namespace) -> None:
    """The next times that one of a file would be due, a line each."""
    body = await read_json(options.file, "schedule")
    asked = {"timing": body.get("timing"), "count": options.count}
    found = await api.post("job-schedules/preview", asked)
    print_rows([{"due_at": at} for at in found["times"]], "due_at")


async def _run(api: Api, options: argparse.Namespace) -> None:
    """Submit what it submits once more, and print the graph's id."""
    print_rows([await api.post(f"job-schedules/{segment(options.schedule_id)}/run")], "graph_id")


async def _pause(api: Api, options: argparse.Namespace) -> None:
    await api.post(f"job-schedules/{segment(options.schedule_id)}/pause")


async def _resume(api: Api, options: argparse.Namespace) -> None:
    await api.post(f"job-schedules/{segment(options.schedule_id)}/resume")


async def _remove(api: Api, options: argparse.Namespace) -> None:
    await api.delete(f"job-schedules/{segment(options.schedule_id)}")


async def _backfill(api: Api, options: argparse.Namespace) -> None:
    """Run each time of a stretch that did not; print how many are submitted, and how many had."""
    body = {"since": options.since.isoformat(), "until": options.until.isoformat()}
    done = await api.post(f"job-schedules/{segment(options.schedule_id)}/backfill", body)
    print_rows([done], "submitted", "ran_before")


async def _firings(api: Api, options: argparse.Namespace) -> None:
    """What became of its times, the newest first: when, what, how often, its graph, and why."""
    query = {
        name: at.isoformat()
        for name, at in (("since", options.since), ("until", options.until))
        if at is not None
    }
    found = await api.get(f"job-schedules/{segment(options.schedule_id)}/firings", **query)
    print_rows(found["items"], "due_at", "outcome", "times", "graph_id", "why")


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="JSON as of the API; - is standard input")


def _preview_options(parser: argparse.ArgumentParser) -> None:
    _file(parser)
    parser.add_argument("--count", type=int, default=10, help="how many; 10 unless said")


def _one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("schedule_id", metavar="SCHEDULE")


def _firings_options(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--since", type=time, metavar="WHEN", help="RFC 3339; a week before")
    parser.add_argument("--until", type=time, metavar="WHEN", help="RFC 3339; now")


def _backfill_options(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--since", type=time, metavar="WHEN", required=True, help="RFC 3339")
    parser.add_argument("--until", type=time, metavar="WHEN", required=True, help="RFC 3339")


COMMANDS: Final = (
    api_command("schedules-list", "print schedules of jobs", _list),
    api_command("schedules-save", "keep a schedule from a file", _save, _file),
    api_command("schedules-preview", "say when one would be due", _preview, _preview_options),
    api_command("schedules-run", "run one now", _run, _one),
    api_command("schedules-backfill", "run what did not run", _backfill, _backfill_options),
    api_command("schedules-pause", "run one no more", _pause, _one),
    api_command("schedules-resume", "go on with one from now", _resume, _one),
    api_command("schedules-remove", "forget one", _remove, _one),
    api_command("schedules-firings", "say what became of its times", _firings, _firings_options),
)

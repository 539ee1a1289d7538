"""Graphs of jobs of the tenant that one is logged in to, from a shell."""

import argparse
from typing import Any, Final

from backend.cli._api import Api, api_command, print_rows, segment
from backend.cli._files import read_json

_SHOWN: Final = ("id", "state", "done", "name", "created_at", "finished_at")
_OVER: Final = ("succeeded", "dead", "cancelled", "skipped")


def _told(one: dict[str, Any]) -> dict[str, Any]:
    over = sum(one["by_state"].get(state, 0) for state in _OVER)
    state = "paused" if one["paused"] and one["state"] == "running" else one["state"]
    return {**one, "state": state, "done": f"{over}/{one['total']}"}


async def _list(api: Api, options: argparse.Namespace) -> None:
    """A graph a line: id, state, jobs that have ended of all, name, when it began and ended."""
    query = {"state": options.state} if options.state else {}
    print_rows([_told(one) for one in await api.items("job-graphs", **query)], *_SHOWN)


async def _submit(api: Api, options: argparse.Namespace) -> None:
    """Submit what a file says, or standard input: JSON with a name and tasks."""
    body = await read_json(options.file, "graph")
    print_rows([_told(await api.post("job-graphs", body))], *_SHOWN)


async def _tasks(api: Api, options: argparse.Namespace) -> None:
    """A job a line: id, state, attempt, name, kind, whom it waits for, why it failed."""
    query = {"state": options.state} if options.state else {}
    found = await api.items(f"job-graphs/{segment(options.graph_id)}/tasks", **query)
    told = [{**one, "depends_on": " ".join(one["depends_on"])} for one in found]
    print_rows(told, "id", "state", "attempt", "name", "kind", "depends_on", "error")


async def _act(api: Api, options: argparse.Namespace, act: str, body: Any = None) -> None:
    told = await api.post(f"job-graphs/{segment(options.graph_id)}/{act}", body)
    print_rows([_told(told)], *_SHOWN)


async def _pause(api: Api, options: argparse.Namespace) -> None:
    await _act(api, options, "pause")


async def _resume(api: Api, options: argparse.Namespace) -> None:
    await _act(api, options, "resume")


async def _cancel(api: Api, options: argparse.Namespace) -> None:
    await _act(api, options, "cancel")


async def _retry(api: Api, options: argparse.Namespace) -> None:
    await _act(api, options, "retry", {"job_id": options.job})


def _one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("graph_id", metavar="GRAPH")


def _state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", choices=("running", "succeeded", "failed", "cancelled"))


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="- reads standard input")


def _tasks_options(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--state", choices=("blocked", "ready", "running", "awaiting", *_OVER))


def _retry_options(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--job", help="this one and what waits for it; else all that failed")


COMMANDS: Final = (
    api_command("graphs-list", "print graphs of jobs", _list, _state),
    api_command("graphs-submit", "submit jobs that wait for each other", _submit, _file),
    api_command("graphs-tasks", "print a graph's jobs", _tasks, _tasks_options),
    api_command("graphs-pause", "start no more of a graph", _pause, _one),
    api_command("graphs-resume", "go on with a graph", _resume, _one),
    api_command("graphs-cancel", "cancel what waits, and stop what runs", _cancel, _one),
    api_command("graphs-retry", "start again what failed", _retry, _retry_options),
)

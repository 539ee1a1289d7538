"""Workers of the platform that one is logged in to, from a shell: who works, who is to drain."""

import argparse
import asyncio
from typing import Annotated, Any, Final

from pydantic import Field

from backend.cli._api import Api, api_command, print_rows, segment
from backend.cli.command import CommandError, LateError, as_in_api
from backend.core.clock import monotonic

_PATH: Final = "platform/workers"
_LOOK_SECONDS: Final = 0.5
_Seconds = Annotated[float, Field(ge=0, le=86_400)]


def _told(one: dict[str, Any]) -> dict[str, Any]:
    slots = "-" if one["slots"] is None else one["slots"]
    state = "drained" if one["drained"] else one["state"]
    return {**one, "state": state, "used": f"{one['running']}/{slots}"}


async def _list(api: Api, _: argparse.Namespace) -> None:
    """A worker a line: id, state, slots used of all, version, since when, heard last."""
    found = [_told(one) for one in await api.items(_PATH)]
    print_rows(found, "id", "state", "used", "version", "started_at", "beat_at")


async def _chosen(api: Api, options: argparse.Namespace) -> list[str]:
    """The ids of those that are meant: of a host all that can be heard."""
    if options.worker_id is not None:
        return [options.worker_id]
    found = [
        one["id"]
        for one in await api.items(_PATH)
        if one["host"] == options.host and one["state"] != "silent"
    ]
    if not found:
        raise CommandError(f"no worker of host {options.host!r} can be heard")
    return found


async def _drain(api: Api, options: argparse.Namespace) -> None:
    """Have them take nothing more; print each, and how many workers take work after it."""
    chosen = await _chosen(api, options)
    for worker in chosen:
        made = await api.post(f"{_PATH}/{segment(worker)}/drain")
        print_rows([_told(made)], "id", "state", "used", "working")
    if options.wait is not None:
        await _wait(api, set(chosen), options.wait)


async def _wait(api: Api, chosen: set[str], seconds: float) -> None:
    """Until each is drained, or gone without holding a job.

    Raises:
        LateError: One is not in time.
    """
    until = monotonic() + seconds
    while True:
        left = [one for one in await api.items(_PATH) if one["id"] in chosen and not _is_done(one)]
        if not left:
            return
        if monotonic() >= until:
            said = "; ".join(f"{one['id']} is {one['state']}, {one['running']} run" for one in left)
            raise LateError(f"not drained within {seconds:g} s: {said}")
        await asyncio.sleep(min(_LOOK_SECONDS, max(until - monotonic(), 0.0)))


def _is_done(one: dict[str, Any]) -> bool:
    return bool(one["drained"]) or (one["state"] == "silent" and not one["running"])


async def _resume(api: Api, options: argparse.Namespace) -> None:
    """Have them take work again."""
    for worker in await _chosen(api, options):
        await api.post(f"{_PATH}/{segment(worker)}/resume")


def _which(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("worker_id", metavar="WORKER", nargs="?", help="its id")
    which.add_argument("--host", help="all of this host that can be heard")


def _drain_options(parser: argparse.ArgumentParser) -> None:
    _which(parser)
    parser.add_argument(
        "--wait",
        type=as_in_api(_Seconds),
        metavar="SECONDS",
        help="until they run nothing; exits 1 if that takes longer",
    )


COMMANDS: Final = (
    api_command("workers-list", "print who works, and how much", _list),
    api_command("workers-drain", "let workers end what they run", _drain, _drain_options),
    api_command("workers-resume", "let drained workers work again", _resume, _which),
)

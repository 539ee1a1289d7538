"""Whether anybody works: without a worker nothing goes out, whatever a page says of what waits."""

from __future__ import annotations

from dashboard import client, state
from dashboard.widgets import markup


def last_seen(workers: client.models.WorkersOut) -> str:
    """Return since when none takes work, or that all that live are draining."""
    if workers.draining:
        return "all workers are draining and take nothing more"
    if workers.seen_at is None:
        return "no worker was ever seen"
    return f"no worker seen since {markup.moment(workers.seen_at)}"


def warn() -> None:
    """Draw a warning while nobody works, and nothing else; for who may know.

    What is not known is no reason to draw anything: the page has its own figures.
    """
    session = state.current()
    if not session.can("overview:read"):
        return
    try:
        workers = session.api.read_workers()
    except client.ApiProblem:
        return
    if not workers.alive:
        markup.status("red", "Stopped", f"What waits is not done: {last_seen(workers)}.")

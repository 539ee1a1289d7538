"""Workers: the processes that run jobs, for who looks after them."""

from __future__ import annotations

from typing import Final

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Act, Column, ListPage
from dashboard.widgets import markup, workers


def _state(one: models.WorkerOut) -> str:
    return "drained" if one.drained else one.state


def _slots(one: models.WorkerOut) -> str:
    most = markup.NONE if one.slots is None else f"{one.slots:,}"
    return f"{one.running:,} of {most}"


def _below(one: models.WorkerOut) -> None:
    """Draw how full the opened one is, and with whose jobs."""
    if not one.tenants:
        markup.note("It runs nothing.")
        return
    names = state.current().names
    slots = one.slots or one.running
    rows = [("All slots", _slots(one), one.running, "full" if one.running >= slots else "")]
    rows += [
        (names.of(f"tenant:{load.tenant_id}"), f"{load.running:,}", load.running, "")
        for load in one.tenants
    ]
    markup.meters((name, words, running / slots, full) for name, words, running, full in rows)


PAGE: Final = ListPage(
    key="workers",
    of=models.WorkerOut,
    title="Workers",
    lead="The processes that run every tenant's jobs. One that drains ends what it runs.",
    noun="worker",
    nothing="A worker appears when it starts.",
    notice=workers.warn,
    fetch=Api.list_workers,
    write="platform:write",
    name=lambda one: str(one.id),
    columns=(
        Column("id", "Worker", "strong"),
        Column("state", "State", "badge", value=_state),
        Column("running", "Slots used", value=_slots),
        Column("version", "Version", none="not said"),
        Column("started_at", "Since", "time"),
        Column("beat_at", "Heard last", "time"),
    ),
    facts=(
        Column("host", "Host"),
        Column("pid", "Process"),
    ),
    export=(
        "id", "host", "pid", "version", "state", "drained", "running", "slots", "started_at",
        "beat_at",
    ),
    below=_below,
    acts=(
        Act(
            key="drain", label="Drain", icon=":material/pause:",
            call=Api.drain_worker, yes="Drain this worker", ends=False, danger=True,
            said="{0} takes nothing more.",
            offered=lambda one: one.state == "working",
            will="{0} takes no job any more and ends those it runs; it stays alive. When no other "
            "works, nothing is begun until one is resumed or started.",
        ),
        Act(
            key="resume", label="Resume", icon=":material/resume:",
            call=Api.resume_worker, yes="Resume this worker", ends=False,
            said="{0} takes jobs again.",
            offered=lambda one: one.state == "draining",
            will="{0} takes jobs again, whoever drained it.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)

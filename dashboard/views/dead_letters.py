"""Dead letters: jobs that gave up, together with those that failed alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Bulk, Column, ListPage
from dashboard.views.jobs import retry_part, said_of_retried
from dashboard.widgets import findings, markup

_UNSAID: Final = "(nothing was said)"


@dataclass(frozen=True, slots=True)
class _Groups:
    items: Sequence[models.JobFailureOut]
    next_cursor: None = None


def _fetch(api: Api, **_: Any) -> _Groups:
    return _Groups(api.count_jobs().failures)


def _error(group: models.JobFailureOut) -> str:
    return group.error or _UNSAID


def _will(wanted: Mapping[str, str | None]) -> str:
    mail = "A message is sent again to everybody whose server has not accepted it. "
    return (
        f"Every dead job of the kind {wanted['kind']} that failed so is started again with all its "
        f"attempts, also those that are not counted here. "
        f"{mail if wanted['kind'] == 'email.send' else ''}Nothing else is touched."
    )


_RETRY: Final = Bulk(
    key="retry-all",
    label="Run all of these again",
    icon=":material/replay:",
    offered=lambda _: True,
    call=retry_part,
    will=_will,
    yes="Run all of them again",
    sums=("retried", "refused"),
    said=said_of_retried,
)


def _below(group: models.JobFailureOut) -> None:
    session = state.current()
    findings.ways(
        "dead-letters",
        [
            (f"/jobs?id={group.job_id}", "Open the newest, to look or to change it"),
            (f"/jobs?state=dead&kind={group.kind}", "Open all dead jobs of this kind"),
        ],
    )
    if session.can("job:write"):
        wanted = {"state": "dead", "kind": group.kind, "error": group.error}
        pages.draw_bulk(session, "dead_letters", _RETRY, wanted)


def _notice() -> None:
    markup.note(
        "The most frequent reasons of the newest dead jobs, up to a thousand of them. A job that "
        "gave up is kept until somebody runs it again or its time is over."
    )


PAGE: Final = ListPage(
    key="dead_letters",
    of=models.JobFailureOut,
    title="Dead letters",
    lead="Jobs that gave up, by what they were to do and why it failed.",
    noun="dead letter",
    nothing="Jobs that give up appear here.",
    fetch=_fetch,
    write="job:write",
    id="job_id",
    name=_error,
    columns=(
        Column("error", "Why", "strong", _error),
        Column("kind", "Kind"),
        Column("count", "Jobs", "number"),
    ),
    export=("kind", "error", "count", "job_id"),
    notice=_notice,
    below=_below,
)

if __name__ == "__main__":
    pages.draw(PAGE)

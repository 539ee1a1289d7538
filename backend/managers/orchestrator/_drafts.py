"""What a graph of jobs is asked to be, and what is no graph: all of it is looked at first.

Nothing is written of one that is refused: names that are there twice, parents that are not there,
circles, and more than anybody may hand in at once.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from backend.core.database import Tx
from backend.core.errors import placed
from backend.managers.orchestrator._offers import Offers
from backend.managers.orchestrator._wiring import (
    read_wiring,
    references,
    refuse_odd,
    wiring_of,
)
from backend.managers.orchestrator.errors import GraphInvalidError
from backend.managers.orchestrator.kinds import JobKind

RunsOn = Literal["success", "failure", "always"]

MAX_TASKS: Final = 10_000
MAX_EDGES: Final = 50_000
MAX_DEPTH: Final = 1_000
"""Of the longest way from one that waits for nobody: what is skipped goes down it step by step."""
_NAMED: Final = 5

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][\w.:-]*$")]
Kind = Annotated[str, Meta(max_length=100, pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$")]


@dataclass(frozen=True, slots=True)
class TaskDraft:
    """One job of a graph.

    Attributes:
        name: Its own within the graph.
        kind: What is to be done; one that tenants may submit.
        args: What its handler is given; visible to operators.
        depends_on: Names of those that have to end before it.
        runs_on: What of these: that all succeeded, that one died or was cancelled, or nothing.
        delay_seconds: Between their end and its start.
        condition: What has to hold of their results, or it is skipped; all of it.
        foreach: The list among their results for each of whose elements there is a job; the task
            itself stands for all of these, and ends when they have.
        grows: Where in its result a list of more tasks is, which become the graph's when it
            succeeds; None: it hands in none.
    """

    name: Name
    kind: Kind
    args: Mapping[str, Any]
    depends_on: Annotated[Sequence[Name], Meta(max_length=1000)] = ()
    runs_on: RunsOn = "success"
    subject: str | None = None
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    delay_seconds: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 0.0
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 5
    backoff_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 1.0
    timeout_seconds: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    condition: Annotated[Sequence[Mapping[str, Any]], Meta(max_length=20)] = ()
    foreach: Mapping[str, Any] | None = None
    grows: str | None = None

    @property
    def wiring(self) -> dict[str, Any] | None:
        """What it takes from those it waits for, and hands in; None if it is nothing."""
        return wiring_of(self.condition, self.foreach, self.args, self.grows)

    def check_wiring(self, place: int) -> None:
        """See that it takes only from those it waits for.

        Raises:
            GraphInvalidError: From others, or nothing of the kind.
        """
        said = self.wiring
        if said is None:
            return
        try:
            wiring = read_wiring(said)
        except msgspec.ValidationError as exc:
            raise GraphInvalidError(str(exc)).at("tasks", place) from None
        for number, check in enumerate(wiring.condition):
            if odd := refuse_odd(check):
                raise GraphInvalidError(odd).at("tasks", place, "condition", number)
        if wiring.grows is not None and wiring.foreach is not None:
            # It runs nothing itself, so it has no result.
            raise GraphInvalidError("A task for each of a list has no result to grow by").at(
                "tasks", place, "grows"
            )
        named = {check.task: "condition" for check in wiring.condition}
        if wiring.foreach is not None:
            named[wiring.foreach.task] = "foreach"
        for task, _ in references(self.args):
            if task:
                named[task] = "args"
            elif wiring.foreach is None:
                raise GraphInvalidError("Only a task for each of a list has an element").at(
                    "tasks", place, "args"
                )
        for task, where in named.items():
            if task not in self.depends_on:
                raise GraphInvalidError(f"It does not wait for {task}").at("tasks", place, where)


_SAID: Final = frozenset(one.name for one in fields(TaskDraft)) - {"subject"}
"""What of a task is said from outside."""


def read_tasks(said: Sequence[Any]) -> list[TaskDraft]:
    """Tasks as JSON has them, by the bounds that the API's own type has.

    Raises:
        GraphInvalidError: One of them is none, and which.
    """
    found = []
    for place, one in enumerate(said):
        try:
            told = msgspec.convert(one, dict[str, Any])
            if unknown := sorted(told.keys() - _SAID):
                raise GraphInvalidError(f"A task has no {unknown[0]}").at("tasks", place)
            found.append(msgspec.convert({"args": {}, **told}, TaskDraft))
        except msgspec.ValidationError as exc:
            raise GraphInvalidError(str(exc)).at("tasks", place) from None
    return found


@dataclass(frozen=True, slots=True)
class GraphDraft:
    """Jobs that wait for each other.

    Attributes:
        name: For people; several may have it.
        tasks: In any order.
        dedup_key: At most one graph of a tenant has it, as long as that is kept.
    """

    name: str
    tasks: Sequence[TaskDraft]
    dedup_key: str | None = None

    def edges(self) -> Iterator[tuple[str, str]]:
        """Parent and child, each pair once."""
        for task in self.tasks:
            for parent in dict.fromkeys(task.depends_on):
                yield parent, task.name

    def check(self, *, after: str | None = None) -> None:
        """See that it is a graph.

        Args:
            after: A task that is there and has ended: they may wait for it as well.

        Raises:
            GraphInvalidError: It is none, and where.
        """
        if not 1 <= len(self.tasks) <= MAX_TASKS:
            raise GraphInvalidError(f"It has 1 to {MAX_TASKS} tasks").at("tasks")
        names = Counter(task.name for task in self.tasks)
        refuse_twice([name for name, times in names.items() if times > 1])
        edges = list(self.edges())
        if len(edges) > MAX_EDGES:
            raise GraphInvalidError(f"Its tasks wait for more than {MAX_EDGES} others").at("tasks")
        edges = [one for one in edges if one[0] != after]
        unknown = sorted({parent for parent, _ in edges} - names.keys())
        if unknown:
            raise GraphInvalidError(f"There is no task {_some(unknown)} to wait for").at("tasks")
        for place, task in enumerate(self.tasks):
            task.check_wiring(place)
        self._refuse_circles(edges)

    def _refuse_circles(self, edges: Sequence[tuple[str, str]]) -> None:
        """Take away those that wait for nobody, over and over (A. B. Kahn, 1962)."""
        children: dict[str, list[str]] = {}
        waits: Counter[str] = Counter()
        for parent, child in edges:
            children.setdefault(parent, []).append(child)
            waits[child] += 1
        depth = {task.name: 1 for task in self.tasks if not waits[task.name]}
        free = deque(depth)
        while free:
            parent = free.popleft()
            for child in children.get(parent, ()):
                waits[child] -= 1
                depth[child] = max(depth.get(child, 0), depth[parent] + 1)
                if not waits[child]:
                    free.append(child)
        circle = sorted(name for name, count in waits.items() if count)
        if circle:
            raise GraphInvalidError(f"{_some(circle)} wait for each other").at("tasks")
        if max(depth.values()) > MAX_DEPTH:
            raise GraphInvalidError(f"More than {MAX_DEPTH} wait in a row").at("tasks")


def refuse_twice(names: Sequence[str]) -> None:
    """Refuse names that several tasks of a graph would have.

    Raises:
        GraphInvalidError: There are some.
    """
    if names:
        raise GraphInvalidError(f"Several tasks are called {_some(names)}").at("tasks")


def check_kinds(
    tx: Tx, tasks: Sequence[TaskDraft], kinds: Mapping[str, JobKind], permissions: frozenset[str]
) -> None:
    """See that one with these permissions may submit all of their kinds, with such arguments.

    Raises:
        GraphInvalidError: One that no tenant may, or not so.
        JobForbiddenError: One takes a permission that is not among them.
    """
    offers = Offers(kinds)
    for place, task in enumerate(tasks):
        # What they refer to is known when it starts, and refused by its handler then.
        args = None if any(True for _ in references(task.args)) else task.args
        with placed("tasks", place):
            offers.check(tx, task.kind, args, GraphInvalidError, permissions=permissions)


def job_of_task(task: TaskDraft, **more: Any) -> dict[str, Any]:
    """What the row of a task is made of, with what it does not say itself."""
    return {
        "key": task.name,
        "kind": task.kind,
        "args": dict(task.args),
        "subject": task.subject,
        "runs_on": task.runs_on,
        "priority": task.priority,
        "delay_seconds": task.delay_seconds,
        "due_in": task.delay_seconds,
        "wiring": task.wiring,
        "max_attempts": task.max_attempts,
        "backoff_seconds": task.backoff_seconds,
        "timeout_seconds": task.timeout_seconds,
        **more,
    }


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    said = ", ".join(names[:_NAMED])
    return f"{said} and {more} more" if more > 0 else said

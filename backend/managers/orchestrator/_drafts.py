"""What a graph of jobs is asked to be, and what is no graph: all of it is looked at first.

Nothing is written of one that is refused: names that are there twice, parents that are not there,
circles, and more than anybody may hand in at once.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from backend.managers.orchestrator._wiring import (
    read_wiring,
    references,
    refuse_odd,
    wiring_of,
)
from backend.managers.orchestrator.errors import GraphInvalidError

RunsOn = Literal["success", "failure", "always"]

MAX_TASKS: Final = 10_000
MAX_EDGES: Final = 50_000
MAX_DEPTH: Final = 1_000
"""Of the longest way from one that waits for nobody: what is skipped goes down it step by step."""
_NAMED: Final = 5


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
    """

    name: str
    kind: str
    args: Mapping[str, Any]
    depends_on: Sequence[str] = ()
    runs_on: RunsOn = "success"
    subject: str | None = None
    priority: int = 0
    delay_seconds: float = 0.0
    max_attempts: int = 5
    backoff_seconds: float = 1.0
    timeout_seconds: float = 60.0
    condition: Sequence[Mapping[str, Any]] = ()
    foreach: Mapping[str, Any] | None = None

    @property
    def wiring(self) -> dict[str, Any] | None:
        """What it takes from those it waits for; None if it takes nothing."""
        return wiring_of(self.condition, self.foreach, self.args)

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

    def check(self) -> None:
        """See that it is a graph.

        Raises:
            GraphInvalidError: It is none, and where.
        """
        if not 1 <= len(self.tasks) <= MAX_TASKS:
            raise GraphInvalidError(f"It has 1 to {MAX_TASKS} tasks").at("tasks")
        names = Counter(task.name for task in self.tasks)
        twice = [name for name, times in names.items() if times > 1]
        if twice:
            raise GraphInvalidError(f"Several tasks are called {_some(twice)}").at("tasks")
        edges = list(self.edges())
        if len(edges) > MAX_EDGES:
            raise GraphInvalidError(f"Its tasks wait for more than {MAX_EDGES} others").at("tasks")
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


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    said = ", ".join(names[:_NAMED])
    return f"{said} and {more} more" if more > 0 else said

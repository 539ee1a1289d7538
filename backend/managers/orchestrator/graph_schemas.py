"""Wire types of graphs of jobs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.http.schemas import IdText, Input
from backend.managers.orchestrator._drafts import MAX_TASKS, GraphDraft, TaskDraft
from backend.managers.orchestrator.kinds import State
from backend.managers.orchestrator.schemas import Work

TaskName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][\w.:-]*$")]


ResultPath = Annotated[
    str,
    Field(
        max_length=500,
        examples=["orders.0.id"],
        description="Names and numbers with dots between them; empty is all of it",
    ),
]


class ConditionModel(Input):
    """Something that has to hold of the result of a task that it waits for."""

    task: TaskName
    path: ResultPath = ""
    test: Literal["equals", "differs", "above", "below", "contains", "exists", "absent"]
    value: Any = Field(None, description="What it is compared with")


class ForeachModel(Input):
    """The list in a result for each of whose elements there is a job."""

    task: TaskName
    path: ResultPath = ""


class TaskModel(Work):
    """One job of a graph."""

    name: TaskName = Field(description="Its own within the graph")
    args: dict[str, Any] = Field(
        default_factory=dict,
        description="What its kind takes; operators see it: no secrets. "
        '`{"$result": task, "path": path}` stands for a part of a result, and `{"$item": path}` '
        "for one of the element of a task with `foreach`",
    )
    depends_on: list[TaskName] = Field(default_factory=list, max_length=1000)
    runs_on: Literal["success", "failure", "always"] = Field(
        "success", description="What of those: all succeeded, one failed, or that they ended"
    )
    condition: list[ConditionModel] = Field(
        default_factory=list, max_length=20, description="All of it, or the task is skipped"
    )
    foreach: ForeachModel | None = Field(
        None, description="It stands for a job for each element, and ends when these have"
    )
    grows: ResultPath | None = Field(
        None,
        description="Where in its result a list of more tasks of this graph is, as they would be "
        "here; what waits for this task waits for them as well",
    )


class GraphCreate(Input):
    """Jobs that wait for each other."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Month's end",
                    "tasks": [
                        {
                            "name": "collect",
                            "kind": "http.request",
                            "args": {"method": "POST", "url": "https://books.example/close"},
                        },
                        {
                            "name": "complain",
                            "kind": "http.request",
                            "args": {"method": "POST", "url": "https://chat.example/hook"},
                            "depends_on": ["collect"],
                            "runs_on": "failure",
                        },
                    ],
                }
            ]
        }
    )

    name: str = Field(min_length=1, max_length=200)
    tasks: list[TaskModel] = Field(min_length=1, max_length=MAX_TASKS)
    dedup_key: str | None = Field(
        None, min_length=1, max_length=200, description="One graph has it as long as that is kept"
    )

    def draft(self) -> GraphDraft:
        """As the orchestrator takes it."""
        tasks = [TaskDraft(**one.model_dump(mode="json")) for one in self.tasks]
        return GraphDraft(self.name, tasks, self.dedup_key)


class GraphRetry(Input):
    """What of a graph to start again."""

    job_id: IdText | None = Field(
        None, description="This one and what waits for it; null: all that did not succeed"
    )


class GraphOut(BaseModel):
    """A graph and how far it is."""

    id: str
    name: str
    state: Literal["running", "succeeded", "failed", "cancelled"]
    paused: bool
    total: int
    by_state: dict[str, int] = Field(description="Its jobs by their present state")
    created_at: datetime
    created_by: str
    finished_at: datetime | None


class GraphTaskOut(BaseModel):
    """A job of a graph."""

    id: str = Field(description="As a job, it is under `/jobs/{id}`")
    name: str
    kind: str
    state: State
    runs_on: Literal["success", "failure", "always"]
    depends_on: list[str]
    part_of: str | None = Field(description="The task that stands for it and others")
    grown_by: str | None = Field(description="The task that handed it in with its result")
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


class GraphBoxOut(BaseModel):
    """Jobs of a graph that stand together, or one."""

    name: str = Field(description="Of the one, or what theirs begin with and an ellipsis")
    kind: str | None = Field(description="Of all of them; null: they are of several")
    size: int = Field(description="How many they are")
    by_state: dict[str, int] = Field(description="How many by their present state")
    after: list[int] = Field(
        description="Places in `boxes`, from 0, of those with whom some of them wait for"
    )


class GraphOutlineOut(BaseModel):
    """Who waits for whom in a graph."""

    boxes: list[GraphBoxOut] = Field(
        description="Up to 120, each after all that it waits for. Of a graph that has more jobs, "
        "those stand together that are of a kind and wait for the same, or are as far from its "
        "beginning"
    )

"""Tasks that are handed in with a result are held to what the API holds them to."""

from typing import Any

import pytest
from pydantic import ValidationError

from backend.managers.orchestrator._drafts import TaskDraft, read_tasks
from backend.managers.orchestrator.errors import GraphInvalidError
from backend.managers.orchestrator.graph_schemas import TaskModel

LEAST = {"name": "a", "kind": "test.work"}
BOUNDS: dict[str, tuple[list[Any], list[Any]]] = {
    "name": (["a", "A.b:c-d_1", "a" * 100], ["", "-a", "a b", "a" * 101, None, 1]),
    "kind": (["a", "a.b_1", "a" * 100], ["A", "a.", "a" * 101, None]),
    "args": ([{}, {"a": [1]}], [None, [], "a"]),
    "depends_on": ([[], ["b"], ["b"] * 1000], [None, "b", [""], [1], ["b"] * 1001]),
    "runs_on": (["success", "failure", "always"], ["never", None]),
    "priority": ([-100, 100], [-101, 101, "1", 1.5]),
    "delay_seconds": ([0, 0.5, 2_592_000], [-1, 2_592_001, "1"]),
    "max_attempts": ([1, 100], [0, 101]),
    "backoff_seconds": ([0.1, 3600], [0, 3601]),
    "timeout_seconds": ([1, 3600], [0.5, 3601]),
    "condition": ([[], [{"task": "b", "test": "exists"}]], [None, {}, [1]]),
    "foreach": ([None, {"task": "b"}], [[], "b"]),
    "grows": ([None, "", "body.tasks"], [1, []]),
    "subject": ([], ["email:1", None]),
    "unknown": ([], [1]),
}


def is_taken_by_the_api(said: Any) -> bool:
    try:
        TaskModel.model_validate(said)
    except ValidationError:
        return False
    return True


def is_taken(said: Any) -> bool:
    try:
        read_tasks([said])
    except GraphInvalidError:
        return False
    return True


@pytest.mark.parametrize("member", BOUNDS)
def test_both_take_the_same(member: str) -> None:
    taken, refused = BOUNDS[member]
    for values, expected in ((taken, True), (refused, False)):
        for value in values:
            said = {**LEAST, member: value}
            assert (value, is_taken_by_the_api(said), is_taken(said)) == (value, expected, expected)


def test_what_is_not_said_is_what_the_api_has() -> None:
    (read,) = read_tasks([LEAST])
    asked = TaskModel.model_validate(LEAST).model_dump(mode="json")
    assert read == TaskDraft(**{**asked, "condition": (), "depends_on": ()})


def test_all_members_are_looked_at() -> None:
    assert BOUNDS.keys() >= TaskModel.model_fields.keys()

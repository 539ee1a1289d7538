"""Which tests are near a change."""

import pytest

from tests.support.near import rooms_of, runs

OTHER = [f"tests/integration/tenant/test_x.py::test_{number}[sqlite]" for number in range(300)]


@pytest.mark.parametrize(
    ("paths", "rooms"),
    [
        ([], set()),
        (["docs/managers/email.md", "README.md", "n8n-nodes/package.json"], set()),
        (["backend/managers/email/_places.py", "dashboard/views/roles.py"], {"email"}),
        (["tests/integration/tenant/test_roles.py"], {"tenant"}),
        (["backend/managers/email/routes.py", "backend/core/database.py"], None),
        (["backend/managers/__init__.py"], None),
        (["tests/conftest.py"], None),
        (["pyproject.toml"], None),
    ],
)
def test_the_rooms_of_a_change(paths: list[str], rooms: set[str] | None) -> None:
    assert rooms_of(paths) == rooms


def share_of(near: set[str] | None) -> float:
    return sum(runs(each, each.partition("::")[0], near) for each in OTHER) / len(OTHER)


def test_all_of_a_room_that_changed_and_of_what_all_stand_on() -> None:
    assert share_of({"tenant", "email"}) == share_of(None) == 1


def test_a_quarter_of_the_others() -> None:
    assert 0.15 < share_of({"email"}) < 0.35


def test_all_that_is_of_no_room() -> None:
    assert all(
        runs(f"tests/unit/test_x.py::test_{n}", "tests/unit/test_x.py", set()) for n in range(9)
    )


def test_variants_of_one_test_stand_and_fall_together() -> None:
    path = "tests/integration/tenant/test_x.py"
    for number in range(20):
        one = f"{path}::test_{number}"
        assert len({runs(f"{one}[{kind}]", path, set()) for kind in ("sqlite", "a-b", "1")}) == 1

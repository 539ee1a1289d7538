"""Every problem code means one thing, and docs/problems.md says what."""

import re
from pathlib import Path

import pytest

from backend.core.errors import AppError
from backend.http import problem

DOCUMENT = Path(__file__).parents[2] / "docs" / "problems.md"


def documented() -> dict[str, tuple[int, str]]:
    """Status and title by code; fails when a code stands there twice or a cell is empty."""
    found: dict[str, tuple[int, str]] = {}
    for line in DOCUMENT.read_text().splitlines():
        row = re.fullmatch(r"\| `([a-z_.]+)` \| (\d{3}) \|([^|]+)\|([^|]+)\|([^|]+)\|", line)
        if row is None:
            assert not line.startswith("| `"), line
            continue
        code, status, title, when, what_to_do = (cell.strip() for cell in row.groups())
        assert code not in found, code
        assert title, line
        assert when, line
        assert what_to_do, line
        found[code] = int(status), title
    return found


def defined() -> dict[str, tuple[int, str]]:
    """Status and title by code, of our own errors and the framework's."""
    found = {code: (error.status, error.title) for code, error in AppError.registry.items()}
    for status, (code, title) in problem.FRAMEWORK.items():
        found.setdefault(code, (status, title))
    return found


# Whoever makes the document loads every manager and every route, and so every error.
@pytest.mark.usefixtures("openapi")
class TestProblems:
    def test_every_code_is_documented_and_no_other(self) -> None:
        assert documented() == {"internal": (AppError.status, AppError.title), **defined()}

    def test_a_class_that_keeps_a_code_keeps_its_meaning(self) -> None:
        # Two unrelated classes cannot share a code: AppError refuses the second when it is made.
        classes: list[type[AppError]] = [AppError]
        for error in classes:
            classes += error.__subclasses__()
            known = AppError.registry.get(error.code, AppError)
            assert (error.status, error.title) == (known.status, known.title), error

    def test_the_framework_uses_our_words(self) -> None:
        for status, (code, title) in problem.FRAMEWORK.items():
            known = AppError.registry.get(code)
            assert known is None or (known.status, known.title) == (status, title)

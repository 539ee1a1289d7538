"""What rooms record of people is sealed under their keys: said once, where it is recorded."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

BACKEND: Final = Path(__file__).parents[2] / "backend"
TELLING: Final = frozenset({"address", "agent", "email", "from_address", "ip", "sender", "to"})
"""Members of a record's data that by their names tell of a person."""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.AST]]:
    """The acts that are recorded, each with the function that records it."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "audit"
                ):
                    yield node, function


def is_said(value: ast.expr, function: ast.AST) -> bool:
    """Whether the value is a Personal, or a name that is given one in the same function."""
    text = ast.unparse(value)
    if "Personal" in text:
        return True
    return isinstance(value, ast.Name) and any(
        isinstance(one, ast.Assign)
        and any(isinstance(to, ast.Name) and to.id == value.id for to in one.targets)
        and "Personal" in ast.unparse(one.value)
        for one in ast.walk(function)
    )


def in_the_clear(source: str) -> list[str]:
    return [
        f"{call.lineno}: {keyword.arg}={ast.unparse(keyword.value)}"
        for call, function in calls(ast.parse(source))
        for keyword in call.keywords
        if keyword.arg in TELLING and not is_said(keyword.value, function)
    ]


def test_no_act_is_recorded_with_a_person_in_the_clear() -> None:
    found = {
        str(path.relative_to(BACKEND)): lines
        for path in sorted(BACKEND.rglob("*.py"))
        if (lines := in_the_clear(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_one_in_the_clear_is_found() -> None:
    plain = "def f(tx, email):\n    tx.audit('a.b', 'a:1', email=email, role='x')"
    assert in_the_clear(plain) == ["2: email=email"]
    said = "def f(tx, email):\n    who = Personal.address(email)\n    tx.audit('a', 'b', email=who)"
    assert in_the_clear(said) == []

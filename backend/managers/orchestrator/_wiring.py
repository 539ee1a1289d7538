"""What a task takes from those that it waits for: whether it runs, how often, and with what.

Results in, decisions out; no I/O. A place in a result is a path of names and numbers with dots
between them (``orders.0.id``), and the empty path is all of it. There is no language here: what can
be asked of a place is listed, and none of it takes longer than looking.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

ITEM: Final = "$item"
RESULT: Final = "$result"
_MISSING: Final = object()

Path = Annotated[str, Meta(max_length=500)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]


class WiringError(Exception):
    """What is named is not there, or is nothing of the kind; the message says what."""


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that has to hold of a result."""

    task: Name
    test: Literal["equals", "differs", "above", "below", "contains", "exists", "absent"]
    path: Path = ""
    value: Any = None


class Each(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list in a result; there is a job for each of its elements."""

    task: Name
    path: Path = ""


class Wiring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All that one task takes from those before it, as its row has it.

    Attributes:
        condition: All of these have to hold, or the task is skipped.
        foreach: Of a task that stands for many.
        unfolded: How many; None before they are there.
        grows: Where in its own result more tasks of its graph are; None where none are looked for.
    """

    condition: tuple[Check, ...] = ()
    foreach: Each | None = None
    unfolded: int | None = None
    grows: Path | None = None


def read_wiring(said: Mapping[str, Any]) -> Wiring:
    """As JSON has it.

    Raises:
        msgspec.ValidationError: It is none.
    """
    return msgspec.convert(dict(said), Wiring)


def wiring_of(
    condition: Sequence[Mapping[str, Any]],
    foreach: Mapping[str, Any] | None,
    args: Mapping[str, Any],
    grows: str | None = None,
) -> dict[str, Any] | None:
    """What a row keeps of it; None where a task takes nothing from others and hands in none."""
    said: dict[str, Any] = {"condition": [dict(one) for one in condition]} if condition else {}
    if foreach is not None:
        said["foreach"] = dict(foreach)
    if grows is not None:
        said["grows"] = grows
    return said if said or any(True for _ in references(args)) else None


def references(args: Any) -> Iterator[tuple[str, str]]:
    """What arguments refer to: the task's name and the path, the name empty for the element."""
    if isinstance(args, Mapping):
        found = _reference(args)
        if found is not None:
            yield found
            return
        args = args.values()
    elif not isinstance(args, list | tuple):
        return
    for one in args:
        yield from references(one)


def resolve(args: Any, results: Mapping[str, Any], item: Any = _MISSING) -> Any:
    """Arguments with what they refer to in its place.

    Args:
        args: As they were handed in.
        results: Of those that succeeded of whom the task waits for, by name.
        item: The element, where there is one.

    Raises:
        WiringError: It is not there.
    """
    if isinstance(args, Mapping):
        found = _reference(args)
        if found is not None:
            task, path = found
            if task:
                return _look(results, task, path)
            if item is _MISSING:
                raise WiringError("There is no element here")
            return _at(item, path, "the element")
        return {name: resolve(one, results, item) for name, one in args.items()}
    if isinstance(args, list | tuple):
        return [resolve(one, results, item) for one in args]
    return args


def elements(each: Each, results: Mapping[str, Any]) -> Sequence[Any]:
    """The list that a task stands for.

    Raises:
        WiringError: It is not there, or no list.
    """
    found = _look(results, each.task, each.path)
    if not isinstance(found, list):
        raise WiringError(f"What is at {_place(each.task, each.path)} is no list")
    return found


def holds(check: Check, results: Mapping[str, Any]) -> bool:
    """Whether it holds; of a place that is not there only ``absent`` and ``differs`` do.

    Raises:
        WiringError: What is compared is no number, or can contain nothing.
    """
    try:
        found = _look(results, check.task, check.path)
    except WiringError:
        return check.test in {"absent", "differs"}
    match check.test:
        case "exists":
            return True
        case "absent":
            return False
        case "equals":
            return _same(found, check.value)
        case "differs":
            return not _same(found, check.value)
        case "contains":
            if isinstance(found, str) and isinstance(check.value, str):
                return check.value in found
            if isinstance(found, list):
                return any(_same(one, check.value) for one in found)
            raise WiringError(f"What is at {_place(check.task, check.path)} contains nothing")
    if not _is_number(found):
        raise WiringError(f"What is at {_place(check.task, check.path)} is no number")
    return bool(found > check.value if check.test == "above" else found < check.value)


def refuse_odd(check: Check) -> str | None:
    """What is wrong with a check whatever the results are; None if nothing is."""
    if check.test in {"above", "below"} and not _is_number(check.value):
        return f"{check.test} takes a number"
    return None


def _reference(args: Mapping[str, Any]) -> tuple[str, str] | None:
    keys = args.keys()
    if keys == {ITEM} and isinstance(args[ITEM], str):
        return "", args[ITEM]
    if RESULT in keys and keys <= {RESULT, "path"}:
        task, path = args[RESULT], args.get("path", "")
        if isinstance(task, str) and task and isinstance(path, str):
            return task, path
    return None


def _look(results: Mapping[str, Any], task: str, path: str) -> Any:
    if task not in results:
        raise WiringError(f"{task} has no result")
    return _at(results[task], path, f"the result of {task}")


def _at(found: Any, path: str, whose: str) -> Any:
    for part in path.split(".") if path else ():
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif (
            isinstance(found, list) and part.isascii() and part.isdigit() and int(part) < len(found)
        ):
            found = found[int(part)]
        else:
            raise WiringError(f"There is no {path} in {whose}")
    return found


def _place(task: str, path: str) -> str:
    return f"{path} of {task}" if path else task


def _same(one: Any, other: Any) -> bool:
    # To Python True is 1; to whoever writes JSON it is not.
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

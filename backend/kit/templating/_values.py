"""What a template's values may be, and what handling them costs: the base of the sandbox."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NoReturn

from jinja2 import StrictUndefined, Undefined, UndefinedError
from jinja2.runtime import Context

MAX_OUTPUT_CHARACTERS: Final = 1024 * 1024
MAX_LOOP_STEPS: Final = 100_000
# Nodes evaluated inside loops: 0.1 to 0.5 us each.
MAX_LOOP_WORK: Final = 1_000_000
# Characters built, scanned or compared: memory and time of everything that handles strings.
MAX_CHARACTERS: Final = 8 * 1024 * 1024
MAX_INT_BITS: Final = 256
MAX_EXPONENT: Final = 64


class ExpensiveError(Exception):
    """The budget is spent; the message says which bound."""


class UnfitValueError(Exception):
    """A value does not fit what the template does with it; the message is ours."""


class Budget:
    """What one part of one rendering may still use up; charged before the work is done."""

    __slots__ = ("characters", "output", "steps", "work")

    def __init__(self) -> None:
        self.output = 0
        self.steps = MAX_LOOP_STEPS
        self.work = MAX_LOOP_WORK
        self.characters = MAX_CHARACTERS

    def charge(self, characters: int) -> None:
        self.characters -= characters
        if self.characters < 0:
            raise ExpensiveError(f"handles more than {MAX_CHARACTERS} characters")

    def count(self, values: Iterable[Any], work: int, characters: int) -> Iterator[Any]:
        """Yield the values of a loop, charging for each pass what its body holds."""
        for value in values:
            self.steps -= 1
            self.work -= work
            if self.steps < 0:
                raise ExpensiveError(f"takes more than {MAX_LOOP_STEPS} loop steps")
            if self.work < 0:
                raise ExpensiveError("does too much work in its loops")
            self.charge(characters)
            yield value


class BudgetContext(Context):
    """Jinja's context with the budget of this rendering on it."""

    budget: Budget


class NamedUndefined(StrictUndefined):
    """Fails on every use and then tells its name alone, so that the caller can list it."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        return str(self._undefined_name)


# --- Values ---------------------------------------------------------------------------------------

SCALARS: Final = (str, int, float, bool, type(None))
CONTAINERS: Final = (list, tuple, dict)


def refuse_value(message: str) -> NoReturn:
    raise UnfitValueError(message)


def defined(value: Any) -> Any:
    if isinstance(value, Undefined):
        str(value)  # raises with the name
    return value


def number(value: Any) -> Any:
    defined(value)
    if not isinstance(value, int | float):
        refuse_value("a number is needed")
    return value


def bounded(value: Any) -> Any:
    if bits(value) > MAX_INT_BITS:
        refuse_value("a number is too large")
    return value


def bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def small(value: Any, most: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        refuse_value(f"a whole number from 0 to {most} is needed")
    return int(value)


def scalar_text(value: Any) -> str:
    """Return what printing the value shows; containers have no printed form."""
    if isinstance(value, str):
        return value
    if isinstance(value, Undefined):
        return str(value)  # raises with the name, unless it is an "if" without its "else"
    if value is None:
        return ""
    if not isinstance(value, int | float):
        refuse_value("a list or mapping cannot be printed; loop over it or join it")
    return str(bounded(value))


def text_of(context: Context, value: Any) -> str:
    text = scalar_text(value)
    budget_of(context).charge(len(text))
    return text


def listed(context: Context, value: Any) -> list[Any]:
    defined(value)
    if not isinstance(value, list | tuple | dict | str):
        refuse_value("a list is needed")
    budget_of(context).charge(len(value) * 8)
    return list(value)


def budget_of(context: Context) -> Budget:
    assert isinstance(context, BudgetContext)  # noqa: S101 - tells the checker what context_class says
    return context.budget


def size_of(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict) else 1


def field_of(value: Any, name: Any) -> Any:
    # Not str() of whatever it is: the printed form of a list costs more than it is charged.
    if not isinstance(name, str | int) or size_of(name) > 200:
        refuse_value("an attribute is named by a short text or an index")
    for step in str(bounded(name)).split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list | tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise UndefinedError(step)
    return value


def sort_key(context: Context, values: list[Any], attribute: Any) -> Callable[[Any], Any]:
    def key(value: Any) -> Any:
        found = value if attribute is None else field_of(value, attribute)
        return found.casefold() if isinstance(found, str) else found

    found = [key(value) for value in values]
    if not (
        all(isinstance(value, str) for value in found)
        or all(isinstance(value, int | float) for value in found)
    ):
        refuse_value("only texts or only numbers can be sorted")
    # A comparison may read whole strings, and there are n log n of them.
    rounds = max(1, len(found).bit_length())
    budget_of(context).charge(rounds * sum(len(v) if isinstance(v, str) else 4 for v in found))
    return key

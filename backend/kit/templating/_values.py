"""What a template's values may be, and what handling them costs: the base of the sandbox.

Two bounds, both charged before the work. A *budget* belongs to one part of one message and keeps
it reasonable. The *purse* belongs to a whole request and keeps it short: it holds a second of CPU
as nanoseconds at the prices below, which were measured for the worst input of each operation on a
slow machine and rounded up. Nothing looks at a clock: the same request costs the same everywhere.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NoReturn

from jinja2 import StrictUndefined, Undefined, UndefinedError
from jinja2.runtime import Context

MAX_OUTPUT_CHARACTERS: Final = 1024 * 1024
MAX_LOOP_STEPS: Final = 100_000
# Nodes evaluated inside loops: 0.1 to 0.5 us each.
MAX_LOOP_WORK: Final = 1_000_000
# Characters built, scanned or compared: memory and time of everything that handles strings.
MAX_CHARACTERS: Final = 8 * 1024 * 1024
MAX_COST: Final = 1_000_000_000
"""Nanoseconds that all templates of one request may cost together."""

# For one character.
READ: Final = 4  # to copy, to scan, to strip, to compare
WRITE: Final = 30  # to write out; what becomes of it (sealed, stored, sent) costs as well
CASE: Final = 20  # Unicode's tables, and one character may become three
SEARCH: Final = 10  # a needle that nearly matches everywhere, found or replaced
ESCAPE: Final = 8  # a quotation mark becomes five characters
SPLIT: Final = 60  # a text of nothing but line ends, made into a list and back
QUOTE: Final = 250  # one character may be four bytes, each written as three by Python code
FORMAT: Final = 80  # to look for what a pattern may not have
# For one element of a list, of the variables, of the source.
ITEM: Final = 80  # to copy a reference, or to make a text of one character
STEP: Final = 1_000  # to look at an element in Python code
COMPARISON: Final = 300
DIGITS: Final = 15_000  # a very large or small number written out: "%.99f" of 1e300
NODE: Final = 500  # one node evaluated in the body of a loop
TOKEN: Final = 30_000  # to parse, to rewrite and to compile
EVALUATED: Final = 600  # a token of a template that is compiled already

MAX_INT_BITS: Final = 256
MAX_EXPONENT: Final = 64


class ExpensiveError(Exception):
    """The budget is spent; the message says which bound."""


class SpentError(Exception):
    """The purse is empty: whatever else the request wants of templates is refused."""


class Purse:
    """What all messages of one request may cost together; see :data:`MAX_COST`."""

    __slots__ = ("_compiled", "left")

    def __init__(self) -> None:
        self.left = MAX_COST
        self._compiled: set[tuple[str, str]] = set()

    def pay(self, cost: int) -> None:
        """Pay for what is about to be done.

        Raises:
            SpentError: It is not to be done. The purse stays empty.
        """
        self.left -= cost
        if self.left < 0:
            raise SpentError

    def is_first(self, part: str, source: str) -> bool:
        """Whether this request has not had the template yet, and so must pay its compilation.

        Also when somebody had it compiled before: what a request costs must not depend on others.
        """
        before = len(self._compiled)
        self._compiled.add((part, source))
        return len(self._compiled) > before


class UnfitValueError(Exception):
    """A value does not fit what the template does with it; the message is ours."""


class Budget:
    """What one part of one rendering may still use up, and the purse it pays from."""

    __slots__ = ("_purse", "characters", "output", "steps", "work")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self.output = 0
        self.steps = MAX_LOOP_STEPS
        self.work = MAX_LOOP_WORK
        self.characters = MAX_CHARACTERS

    def charge(self, characters: int, price: int = READ) -> None:
        """Charge for characters that are about to be handled, each at this price."""
        self.characters -= characters
        if self.characters < 0:
            raise ExpensiveError(f"handles more than {MAX_CHARACTERS} characters")
        self._purse.pay(characters * price)

    def charge_items(self, count: int, price: int) -> None:
        """Charge for elements that are about to be handled: memory like eight characters each."""
        self.charge(count * 8, 0)
        self._purse.pay(count * price)

    def count(self, values: Iterable[Any], work: int, characters: int) -> Iterator[Any]:
        """Yield the values of a loop, charging for each pass what its body holds."""
        for value in values:
            self.steps -= 1
            self.work -= work
            if self.steps < 0:
                raise ExpensiveError(f"takes more than {MAX_LOOP_STEPS} loop steps")
            if self.work < 0:
                raise ExpensiveError("does too much work in its loops")
            self._purse.pay(work * NODE)
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


def text_of(context: Context, value: Any, price: int = READ) -> str:
    """The value's printed form, paid for: what is done with a character of it has this price."""
    text = scalar_text(value)
    budget_of(context).charge(len(text), price)
    return text


def listed(context: Context, value: Any, price: int = ITEM) -> list[Any]:
    """The elements, paid for: what is done with one of them has this price."""
    defined(value)
    if not isinstance(value, list | tuple | dict | str):
        refuse_value("a list is needed")
    budget_of(context).charge_items(len(value), price)
    return list(value)


def fields_of(context: Context, value: Any, name: Any) -> list[Any]:
    """The named field of every element; of a ``None`` name the elements themselves."""
    if name is None:
        return listed(context, value, STEP)
    # Not str() of whatever it is: the printed form of a list costs more than it is charged.
    if not isinstance(name, str | int) or size_of(name) > 200:
        refuse_value("an attribute is named by a short text or an index")
    steps = str(bounded(name)).split(".")
    return [_field(item, steps) for item in listed(context, value, STEP + len(steps) * 200)]


def budget_of(context: Context) -> Budget:
    assert isinstance(context, BudgetContext)  # noqa: S101 - tells the checker what context_class says
    return context.budget


def size_of(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict) else 1


def _field(value: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list | tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise UndefinedError(step)
    return value


def in_order(context: Context, value: Any, attribute: Any) -> list[tuple[Any, Any]]:
    """The elements, each behind what it is to be compared by: texts without case, or numbers."""
    values = listed(context, value)
    fields = fields_of(context, values, attribute)
    texts = all(isinstance(found, str) for found in fields)
    if not texts and not all(isinstance(found, int | float) for found in fields):
        refuse_value("only texts or only numbers can be sorted")
    # A comparison may read whole strings, and there are n log n of them.
    rounds = max(1, len(fields).bit_length())
    budget = budget_of(context)
    budget.charge_items(rounds * len(fields), COMPARISON)
    if texts:
        budget.charge((rounds + 1) * sum(map(len, fields)), READ)
        budget.charge(sum(map(len, fields)), CASE)
        fields = [found.casefold() for found in fields]
    return list(zip(fields, values, strict=True))

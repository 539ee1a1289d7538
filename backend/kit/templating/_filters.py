"""The filters and tests of the templates' language: each charges for what it does, first."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote_plus

from jinja2 import Undefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from backend.kit.templating._values import (
    CASE,
    CONTAINERS,
    DIGITS,
    ESCAPE,
    FORMAT,
    ITEM,
    MAX_OUTPUT_CHARACTERS,
    QUOTE,
    READ,
    SCALARS,
    SEARCH,
    SPLIT,
    STEP,
    Budget,
    NamedUndefined,
    bounded,
    budget_of,
    defined,
    fields_of,
    in_order,
    listed,
    number,
    refuse_value,
    size_of,
    small,
    text_of,
)

# Every filter takes the context, which also exempts it from evaluation at compile time.


@pass_context
def _loop(context: Context, values: Any, work: int, characters: int) -> Iterator[Any]:
    return budget_of(context).count(listed(context, values), work, characters)


@pass_context
def concat(context: Context, values: list[Any]) -> str:
    budget_of(context).charge_items(len(values), STEP)
    return _joined(context, "", [text_of(context, value) for value in values])


def _joined(context: Context, separator: str, texts: list[str]) -> str:
    """The texts in one; where one of them is markup, the plain ones are escaped."""
    if not isinstance(separator, Markup) and not any(isinstance(text, Markup) for text in texts):
        return str(separator).join(texts)
    budget_of(context).charge(sum(map(len, texts)), ESCAPE)
    return escape(separator).join(texts)


@pass_context
def _slice(context: Context, value: Any, start: Any, stop: Any, step: Any) -> Any:
    defined(value)
    if not isinstance(value, str | list | tuple):
        refuse_value("only texts and lists have slices")
    if isinstance(value, str):
        budget_of(context).charge(len(value))
    else:
        budget_of(context).charge_items(len(value), ITEM)
    return value[slice(start, stop, step)]


@pass_context
def _scalar(_context: Context, value: Any) -> Any:
    defined(value)
    if not isinstance(value, SCALARS):
        refuse_value("a list or mapping inside a list literal must be written out there")
    return value


_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


@pass_context
def _compare(context: Context, values: list[Any], operators: str) -> bool:
    budget = budget_of(context)
    left = defined(values[0])
    for name, right in zip(operators.split(), values[1:], strict=True):
        defined(right)
        if name in {"in", "notin"}:
            if not isinstance(left, SCALARS) or not isinstance(right, str | list | tuple | dict):
                refuse_value("'in' looks for a text or number in a text, list or mapping")
            _charge_search(budget, left, right)
            holds = (left in right) == (name == "in")
        else:
            budget.charge(size_of(left) + size_of(right))
            # Equal containers are compared element by element, without end or price.
            if all(isinstance(side, CONTAINERS) and side for side in (left, right)):
                refuse_value("lists and mappings cannot be compared")
            holds = _COMPARISONS[name](left, right)
        if not holds:
            return False
        left = right
    return True


def _charge_search(budget: Budget, needle: Any, place: Any) -> None:
    if isinstance(place, str):
        budget.charge(size_of(needle) + len(place), SEARCH)
        return
    budget.charge_items(len(place), STEP)
    if isinstance(needle, str):
        # Texts of one length are compared to their end.
        budget.charge(len(needle) + sum(len(one) for one in place if _as_long(one, needle)))


def _as_long(one: Any, text: str) -> bool:
    return isinstance(one, str) and len(one) == len(text)


@pass_context
def finalize(context: Context, value: Any) -> str:
    # Written out, and in HTML escaped on the way.
    return text_of(context, value, READ if isinstance(value, Markup) else ESCAPE)


@pass_context
def _default(_context: Context, value: Any, fallback: Any = "", boolean: Any = False) -> Any:  # noqa: FBT002 - Jinja's own signature
    return fallback if isinstance(value, Undefined) or (boolean and not value) else value


@pass_context
def _upper(context: Context, value: Any) -> str:
    return text_of(context, value, CASE).upper()


@pass_context
def _lower(context: Context, value: Any) -> str:
    return text_of(context, value, CASE).lower()


@pass_context
def _title(context: Context, value: Any) -> str:
    return text_of(context, value, CASE).title()


@pass_context
def _capitalize(context: Context, value: Any) -> str:
    return text_of(context, value, CASE).capitalize()


@pass_context
def _trim(context: Context, value: Any) -> str:
    return text_of(context, value).strip()


@pass_context
def _string(context: Context, value: Any) -> str:
    return text_of(context, value)


@pass_context
def _escape(context: Context, value: Any) -> Markup:
    return escape(text_of(context, value, ESCAPE))


@pass_context
def _nl2br(context: Context, value: Any) -> Markup:
    # Escaped in one go: Markup's own join escapes line by line, in Python code.
    lines = str(escape(text_of(context, value, ESCAPE + SPLIT))).splitlines()
    budget_of(context).charge(len(lines) * len("<br>\n"))
    return Markup("<br>\n".join(lines))  # noqa: S704 - escaped above


@pass_context
def _urlencode(context: Context, value: Any) -> str:
    text = text_of(context, value)
    budget_of(context).charge(len(text) * 12, 0)
    budget_of(context).charge(len(text), QUOTE)
    return quote_plus(text)


@pass_context
def _replace(context: Context, value: Any, old: Any, new: Any) -> str:
    text = text_of(context, value)
    old, new = text_of(context, old), text_of(context, new)
    if not old:
        refuse_value("an empty text cannot be replaced")
    budget = budget_of(context)
    if isinstance(text, Markup) or isinstance(new, Markup):
        budget.charge(len(text) + len(old) + len(new), ESCAPE)
        text, old, new = escape(text), escape(old), escape(new)
    # Once to count what is found, once to replace it.
    budget.charge(2 * len(text), SEARCH)
    budget.charge(text.count(old) * len(new))
    return text.replace(old, new)


@pass_context
def _truncate(context: Context, value: Any, length: Any = 255, end: Any = "...") -> str:
    text, suffix = text_of(context, value), text_of(context, end)
    length = small(length, MAX_OUTPUT_CHARACTERS)
    if len(text) <= length:
        return text
    return text[: max(0, length - len(suffix))].rstrip() + suffix


@pass_context
def _indent(context: Context, value: Any, width: Any = 4, first: Any = False) -> str:  # noqa: FBT002 - Jinja's own signature
    text = text_of(context, value)
    space = " " * small(width, 80)
    budget_of(context).charge(len(text), SPLIT)
    lines = text.split("\n")
    budget_of(context).charge(len(lines) * len(space))
    indented = ("\n" + space).join(lines)
    indented = space + indented if first else indented
    return Markup(indented) if isinstance(text, Markup) else indented  # noqa: S704 - was markup


@pass_context
def _join(context: Context, value: Any, separator: Any = "", attribute: Any = None) -> str:
    values = fields_of(context, value, attribute)
    separator = text_of(context, separator)
    budget_of(context).charge(len(separator) * len(values))
    budget_of(context).charge_items(len(values), STEP)
    return _joined(context, separator, [text_of(context, item) for item in values])


@pass_context
def _length(_context: Context, value: Any) -> int:
    defined(value)
    if not isinstance(value, str | list | tuple | dict):
        refuse_value("only texts, lists and mappings have a length")
    return len(value)


@pass_context
def _first(context: Context, value: Any) -> Any:
    return next(iter(listed(context, value)), NamedUndefined(name="first"))


@pass_context
def _last(context: Context, value: Any) -> Any:
    return next(reversed(listed(context, value)), NamedUndefined(name="last"))


@pass_context
def _int(_context: Context, value: Any, default: Any = 0) -> Any:
    defined(value)
    if not isinstance(value, str | int | float) or (isinstance(value, str) and len(value) > 60):
        return default
    try:
        return bounded(int(value))
    except (ValueError, OverflowError):
        return default


@pass_context
def _float(_context: Context, value: Any, default: Any = 0.0) -> Any:
    defined(value)
    if not isinstance(value, str | int | float) or (isinstance(value, str) and len(value) > 60):
        return default
    try:
        return float(value)
    except (ValueError, OverflowError):
        return default


@pass_context
def _round(_context: Context, value: Any, precision: Any = 0) -> Any:
    return round(number(value), small(precision, 12))


@pass_context
def _abs(_context: Context, value: Any) -> Any:
    return abs(number(value))


@pass_context
def _sum(context: Context, value: Any, attribute: Any = None) -> Any:
    values = fields_of(context, value, attribute)
    budget_of(context).charge_items(len(values), STEP)
    return bounded(sum(bounded(number(item)) for item in values))


_ORDER: Final = operator.itemgetter(0)


@pass_context
def _min(context: Context, value: Any, attribute: Any = None) -> Any:
    return min(in_order(context, value, attribute), key=_ORDER)[1]


@pass_context
def _max(context: Context, value: Any, attribute: Any = None) -> Any:
    return max(in_order(context, value, attribute), key=_ORDER)[1]


@pass_context
def _sort(context: Context, value: Any, reverse: Any = False, attribute: Any = None) -> list[Any]:  # noqa: FBT002 - Jinja's own signature
    ordered = sorted(in_order(context, value, attribute), key=_ORDER, reverse=bool(reverse))
    return [one for _, one in ordered]


@pass_context
def _reverse(context: Context, value: Any) -> Any:
    return listed(context, value)[::-1]


@pass_context
def _unique(context: Context, value: Any) -> list[Any]:
    values = [_scalar(context, item) for item in listed(context, value, STEP)]
    budget_of(context).charge(sum(map(size_of, values)))
    return list(dict.fromkeys(values))


@pass_context
def _map(context: Context, value: Any, attribute: Any) -> list[Any]:
    return fields_of(context, value, attribute)


@pass_context
def _items(context: Context, value: Any) -> list[Any]:
    defined(value)
    if not isinstance(value, dict):
        refuse_value("a mapping is needed")
    budget_of(context).charge_items(2 * len(value), ITEM)
    return list(value.items())


@pass_context
def _dictsort(context: Context, value: Any) -> list[Any]:
    ordered = sorted(in_order(context, _items(context, value), "0"), key=_ORDER)
    return [pair for _, pair in ordered]


_FORMAT: Final = re.compile(r"%(?:%|[-+ #0]{0,5}\d{0,2}(?:\.\d{1,2})?[sdifeEgGxXo])", re.ASCII)


def _is_extreme(value: Any) -> bool:
    return isinstance(value, int | float) and value != 0 and not 1e-16 < abs(value) < 1e16


@pass_context
def _format(context: Context, value: Any, *values: Any) -> str:
    """Apply ``%`` with widths and precisions up to 99; without that bound it allocates at will."""
    pattern = text_of(context, value, FORMAT)
    if "%" in _FORMAT.sub("", pattern):
        refuse_value("a format may use %s %d %i %f %e %g %x %o with widths up to 99")
    budget_of(context).charge(len(pattern) * 100)
    budget_of(context).charge_items(len(values), STEP)
    budget_of(context).charge_items(sum(map(_is_extreme, values)), DIGITS)
    for item in values:
        text_of(context, item)
    filled: str = pattern % values
    return filled


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "abs": _abs,
    "capitalize": _capitalize,
    "count": _length,
    "d": _default,
    "default": _default,
    "dictsort": _dictsort,
    "e": _escape,
    "escape": _escape,
    "first": _first,
    "float": _float,
    "format": _format,
    "indent": _indent,
    "int": _int,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _length,
    "lower": _lower,
    "map": _map,
    "max": _max,
    "min": _min,
    "nl2br": _nl2br,
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "sort": _sort,
    "string": _string,
    "sum": _sum,
    "title": _title,
    "trim": _trim,
    "truncate": _truncate,
    "unique": _unique,
    "upper": _upper,
    "urlencode": _urlencode,
}
# No name a template can write contains these brackets, so only the rewriting reaches them.
INTERNAL_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "<compare>": _compare,
    "<concat>": concat,
    "<loop>": _loop,
    "<scalar>": _scalar,
    "<slice>": _slice,
}
# Jinja's own even, odd and divisibleby apply "%", which formats when the value is a text.
TESTS: Final[dict[str, Callable[..., bool]]] = {
    "boolean": lambda value: isinstance(value, bool),
    "defined": lambda value: not isinstance(value, Undefined),
    "divisibleby": lambda value, by: bool(number(value) % number(by) == 0),
    "even": lambda value: bool(number(value) % 2 == 0),
    "mapping": lambda value: isinstance(value, dict),
    "none": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "odd": lambda value: bool(number(value) % 2 == 1),
    "sequence": lambda value: isinstance(value, list | tuple),
    "string": lambda value: isinstance(value, str),
    "undefined": lambda value: isinstance(value, Undefined),
}

"""A tenant's wall in PromQL: put into the parsed query, printed by us, parsed and checked again.

Nothing is done to the text of a query. It is parsed; of the tree only what is known here is
let through; each selector of series gets the one matcher of its tenant in place of any that it has
of that label; the tree is printed in a form in which no two readers differ (below); and what was
printed is parsed once more and every selector of it looked at before it is sent.

The form: every metric name is a matcher of ``__name__``, so that no name can be a keyword; texts
stand in double quotes with each quote, backslash and control character escaped; durations are
whole milliseconds; names of labels are those of the classic data model. The parser's own printer is
not used: it escapes nothing, so that a value with a quote in it ends its text, and it forgets the
colon of a subquery.
"""

import math
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import promql_parser as promql

from backend.managers.monitoring.errors import BadQueryError, QueryRefusedError

MAX_CHARACTERS: Final = 4000
MAX_LEVELS: Final = 32
# The parser recurses in C, and takes time cubic in what is nested: twenty thousand brackets end the
# process, a thousand take seconds. So these are counted before it sees a text, and without regard
# to quotes: whoever disagrees with us on where a text ends gains nothing by it.
MAX_BRACKETS: Final = 100
MAX_OPERATORS: Final = 100
# Each expression of a matcher is compiled, to ten megabytes at most.
MAX_EXPRESSIONS: Final = 16

_OPERATORS: Final = re.compile(r"[-+*/%^<>]|[=!]=|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_OPENING: Final = {"(": ")", "[": "]", "{": "}"}
_CLOSING: Final = frozenset(_OPENING.values())
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z", re.ASCII)
_AT: Final = re.compile(r"@ (?:[0-9]{1,12}\.[0-9]{3}|start\(\)|end\(\))\Z", re.ASCII)
_MATCHES: Final = (
    (promql.MatchOp.Equal, "="),
    (promql.MatchOp.NotEqual, "!="),
    (promql.MatchOp.Re, "=~"),
    (promql.MatchOp.NotRe, "!~"),
)
_SIDES: Final = (
    (promql.VectorMatchCardinality.ManyToOne, "group_left"),
    (promql.VectorMatchCardinality.OneToMany, "group_right"),
)
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f"\\]')
_ESCAPES: Final = {
    **{chr(code): f"\\x{code:02x}" for code in (*range(32), 127)},
    '"': '\\"',
    "\\": "\\\\",
}
_BINARY: Final = frozenset(
    ["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">=", "and", "or", "unless"]
)
_AGGREGATES: Final = frozenset(
    (
        *("avg", "bottomk", "count", "count_values", "group", "limit_ratio", "limitk", "max"),
        *("min", "quantile", "stddev", "stdvar", "sum", "topk"),
    )
)
# Named one by one: `info` reads series that no selector of the query names, and so may the next.
_FUNCTIONS: Final = frozenset(
    re.findall(
        r"\w+",
        """
    abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp
    clamp_max clamp_min cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month
    deg delta deriv double_exponential_smoothing exp first_over_time floor histogram_avg
    histogram_count histogram_fraction histogram_quantile histogram_stddev histogram_stdvar
    histogram_sum hour idelta increase irate label_join label_replace last_over_time ln log10 log2
    mad_over_time max_over_time min_over_time minute month pi predict_linear present_over_time
    quantile_over_time rad rate resets round scalar sgn sin sinh sort sort_by_label
    sort_by_label_desc sort_desc sqrt stddev_over_time stdvar_over_time sum_over_time tan tanh time
    timestamp ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time
    vector year
    """,
    )
)
_NO_TIME: Final = timedelta()
_MILLISECOND: Final = timedelta(milliseconds=1)
_LONGEST: Final = timedelta(days=3660)


def confine(text: str, label: str, tenant: str) -> str:
    """The query that reads what ``text`` reads, of the series with ``label`` = ``tenant`` alone.

    Matchers of ``label`` in the text are left out, whatever they say. What a query writes into that
    label of its result (``label_replace``) stays as it is: it reads nothing by that.

    Args:
        text: PromQL, at most 4 000 characters, 32 levels and 100 operators.
        label: Of the classic data model: ``[a-zA-Z_][a-zA-Z0-9_]*``.
        tenant: Any text.

    Returns:
        PromQL of at most a few times the length.

    Raises:
        BadQueryError: It is no PromQL.
        QueryRefusedError: It is too much, or holds what is not known here.
    """
    return _checked(_printed(parse(text), label, tenant), label, tenant)


def refuse_query(text: str) -> None:
    """Refuse what could not be asked, whoever asks.

    Raises:
        BadQueryError: It is no PromQL.
        QueryRefusedError: It is too much, or holds what is not known here.
    """
    confine(text, "tenant_id", "somebody")


def confine_selector(text: str, label: str, tenant: str) -> str:
    """The same for a selector of series alone, without a time: what ``match[]`` takes."""
    tree = parse(text)
    if not isinstance(tree, promql.VectorSelector) or tree.offset is not None or tree.at:
        raise QueryRefusedError('Series are named by a selector such as up{job="api"}, no more')
    return _checked(_printed(tree, label, tenant), label, tenant)


def selector_of(label: str, tenant: str) -> str:
    """All of the tenant's series."""
    return f"{{{label}={_quoted(tenant)}}}"


def parse(text: str) -> promql.Expr:
    """The tree of a query, once it is known to be one that the parser survives."""
    _measure(text)
    try:
        return promql.parse(text)
    except ValueError as exc:
        raise BadQueryError(str(exc)[:300]) from exc
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exc:
        # A panic of the parser's is no Exception, and would end the thread that asked.
        raise BadQueryError("the parser gave up on it") from exc


def _measure(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise QueryRefusedError(f"A query has at most {MAX_CHARACTERS} characters")
    if not text.strip():
        raise BadQueryError("The query is empty", line=1, column=1)
    if sum(map(text.count, _OPENING)) > MAX_BRACKETS:
        raise QueryRefusedError(f"A query opens at most {MAX_BRACKETS} brackets, quoted ones too")
    if len(_OPERATORS.findall(text)) > MAX_OPERATORS:
        raise QueryRefusedError(f"A query has at most {MAX_OPERATORS} operators, quoted ones too")
    if text.count("~") > MAX_EXPRESSIONS:
        raise QueryRefusedError(f"A query has at most {MAX_EXPRESSIONS} regular expressions")
    waiting: list[tuple[str, int]] = []
    for sign, at in _signs(text):
        if sign in _OPENING:
            waiting.append((sign, at))
            if len(waiting) > MAX_LEVELS:
                raise QueryRefusedError(f"A query is nested at most {MAX_LEVELS} levels deep")
        elif not waiting or _OPENING[waiting[-1][0]] != sign:
            raise _misread(text, at, f"{sign} closes nothing")
        else:
            waiting.pop()
    if waiting:
        sign, at = waiting[-1]
        raise _misread(text, at, f"{sign} is not closed")


def _signs(text: str) -> Iterator[tuple[str, int]]:
    """Brackets outside of texts and comments, each with its place."""
    at = 0
    while at < len(text):
        sign = text[at]
        if sign in "\"'`":
            end = at + 1
            while end < len(text) and text[end] != sign:
                end += 2 if text[end] == "\\" and sign != "`" else 1
            if end >= len(text):
                raise _misread(text, at, "a text is not closed")
            at = end
        elif sign == "#":
            at = text.find("\n", at)
            if at < 0:
                return
        elif sign in _OPENING or sign in _CLOSING:
            yield sign, at
        at += 1


def _misread(text: str, at: int, why: str) -> BadQueryError:
    before = text[:at]
    line, column = before.count("\n") + 1, at - before.rfind("\n")
    return BadQueryError(f"{line}:{column}: {why}", line=line, column=column)


def _printed(tree: promql.Expr, label: str, tenant: str) -> str:
    try:
        return _Printer(label, tenant).show(tree)
    except (OverflowError, ValueError) as exc:
        # The parser's durations become Python's as they are looked at, and may be too long for it.
        raise QueryRefusedError("A time is out of bounds") from exc


def _checked(text: str, label: str, tenant: str) -> str:
    """``text``, after a second look at it.

    This is what the wall stands on: whatever is wrong in the printing, what is sent is PromQL of
    which every selector has one matcher of the label, the tenant's.
    """
    try:
        tree = promql.parse(text)
    except ValueError as exc:
        raise QueryRefusedError("The query does not stay the same when it is printed") from exc
    found = _selectors(tree)
    for one in found:
        of_label = [matcher for matcher in one.matchers.matchers if matcher.name == label]
        if (
            one.matchers.or_matchers
            or len(of_label) != 1
            or of_label[0].op != promql.MatchOp.Equal
            or of_label[0].value != tenant
        ):
            raise QueryRefusedError("The query cannot be confined to the tenant")
    again = _Printer(label, tenant)
    # The library walks the tree for the one, we for the other: neither may miss a selector.
    if again.show(tree) != text or again.selectors != len(found):
        raise QueryRefusedError("The query does not stay the same when it is printed")
    return text


def _selectors(tree: promql.Expr) -> list[promql.VectorSelector]:
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(tree, visit)
    return found


class _Printer:
    """A tree as text, each selector with the tenant's matcher; what is not known is refused."""

    def __init__(self, label: str, tenant: str) -> None:
        self._label = label
        self._tenant = tenant
        self.selectors = 0

    def show(self, node: Any) -> str:
        match node:
            case promql.VectorSelector():
                shown = self._select(node) + _when(node)
            case promql.MatrixSelector():
                vector = node.vector_selector
                shown = f"{self._select(vector)}[{_duration(node.range)}]{_when(vector)}"
            case promql.SubqueryExpr():
                step = "" if node.step is None else _duration(node.step)
                span = "" if node.range is None else _duration(node.range)
                shown = f"{self.show(node.expr)}[{span}:{step}]{_when(node)}"
            case promql.ParenExpr():
                shown = f"({self.show(node.expr)})"
            case promql.UnaryExpr():
                shown = f"-{self.show(node.expr)}"
            case promql.BinaryExpr():
                operator = f"{_known(node.op, _BINARY)}{_matching(node.modifier)}"
                shown = f"{self.show(node.lhs)} {operator} {self.show(node.rhs)}"
            case promql.Call():
                name = _known(node.func.name, _FUNCTIONS)
                shown = f"{name}({', '.join(map(self.show, node.args))})"
            case promql.AggregateExpr():
                inner = [node.expr] if node.param is None else [node.param, node.expr]
                name = _known(node.op, _AGGREGATES)
                shown = f"{name}{_grouping(node.modifier)}({', '.join(map(self.show, inner))})"
            case promql.NumberLiteral():
                shown = _number(node.val)
            case promql.StringLiteral():
                shown = _quoted(node.val)
            case _:
                raise QueryRefusedError(f"A query may not hold {type(node).__name__}")
        return shown

    def _select(self, node: promql.VectorSelector) -> str:
        if node.matchers.or_matchers:
            raise QueryRefusedError("A selector may not hold `or`: join two selectors by it")
        self.selectors += 1
        shown = [] if node.name is None else [f"__name__={_quoted(node.name)}"]
        for one in node.matchers.matchers:
            if one.name != self._label:
                sign = next(sign for op, sign in _MATCHES if op == one.op)
                shown.append(f"{_label(one.name)}{sign}{_quoted(one.value)}")
        shown.append(f"{self._label}={_quoted(self._tenant)}")
        return f"{{{','.join(shown)}}}"


def _when(node: Any) -> str:
    at = "" if node.at is None else f" {node.at}"
    if at and not _AT.match(at[1:]):
        raise QueryRefusedError("The time after @ is out of bounds")
    if node.offset is None or node.offset == _NO_TIME:
        return at
    sign = "-" if node.offset < _NO_TIME else ""
    return f"{at} offset {sign}{_duration(abs(node.offset))}"


def _duration(span: timedelta) -> str:
    milliseconds = span // _MILLISECOND
    if not 0 < milliseconds <= _LONGEST // _MILLISECOND:
        raise QueryRefusedError(f"A duration is 1 ms to {_LONGEST.days} days")
    return f"{milliseconds}ms"


def _matching(modifier: Any) -> str:
    if modifier is None:
        return ""
    if modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None:
        raise QueryRefusedError("A query may not hold `fill`")
    shown = " bool" if modifier.return_bool else ""
    if modifier.matching is not None:
        by = modifier.matching.type == promql.LabelModifierType.Include
        shown += f" {'on' if by else 'ignoring'} {_labels(modifier.matching.labels)}"
    for card, word in _SIDES:
        if modifier.card == card:
            shown += f" {word} {_labels(modifier.group_labels or [])}"
    return shown


def _grouping(modifier: Any) -> str:
    if modifier is None:
        return ""
    by = modifier.type == promql.AggModifierType.By
    return f" {'by' if by else 'without'} {_labels(modifier.labels)} "


def _labels(names: list[str]) -> str:
    return f"({', '.join(map(_label, names))})"


def _label(name: str) -> str:
    if not _LABEL.match(name):
        raise QueryRefusedError("A label's name is of ASCII letters, digits and underscores")
    return name


def _known(what: object, known: frozenset[str]) -> str:
    word = str(what).lower()
    if word not in known:
        raise QueryRefusedError(f"A query may not hold {word[:40]}")
    return word


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _quoted(text: str) -> str:
    """A text that ends where both readers think it does."""
    return f'"{_UNSAFE.sub(lambda found: _ESCAPES[found[0]], text)}"'

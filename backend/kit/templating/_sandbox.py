"""Renders the templates that tenants write, on the assumption that one of them is an attacker.

Jinja's sandbox keeps templates away from Python's objects; it does not keep them from taking all
memory or time. So what runs here is a smaller language, held in four places:

- *Syntax*: only the node types in ``_ALLOWED_NODES`` compile. There are no calls, macros, blocks,
  includes, imports or recursive loops, and no globals such as ``range``.
- *Values*: variables are JSON. Attributes exist on mappings and on ``loop`` only. A list literal
  may not hold another list by name, so no value can be larger than what was put in (otherwise
  forty lines of ``{% set a = [a, a] %}`` would print for years).
- *Operations*: everything whose cost depends on a value (loops, concatenation, comparison, slices,
  arithmetic, filters, output) is rewritten to or intercepted by functions that charge a
  ``Budget`` before they work. Constant folding is off: it would run the template's arithmetic at
  compile time, before any budget exists.
- *Totals*: source, tokens, nesting, loop steps, characters handled and output are bounded for each
  part, and what all of a request cost together by a ``Purse``.

The cost of a hostile template is bounded by these numbers and not by a timeout, because a thread
that computes cannot be interrupted. An empty purse ends the request, whatever else it wants:
``TemplatesTooCostlyError`` is not the fault of the one message at which it was empty.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, ClassVar, Final, NoReturn

from jinja2 import Template, UndefinedError, meta, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from backend.kit.templating._filters import (
    FILTERS,
    INTERNAL_FILTERS,
    TESTS,
    concat,
    finalize,
)
from backend.kit.templating._values import (
    EVALUATED,
    MAX_EXPONENT,
    MAX_INT_BITS,
    MAX_OUTPUT_CHARACTERS,
    NODE,
    READ,
    SCALARS,
    SEARCH,
    TOKEN,
    WRITE,
    Budget,
    BudgetContext,
    ExpensiveError,
    NamedUndefined,
    Purse,
    SpentError,
    UnfitValueError,
    bits,
    bounded,
    defined,
    number,
    refuse_value,
    scalar_text,
)
from backend.kit.templating.errors import (
    TemplateInvalidError,
    TemplatesTooCostlyError,
    TemplateVariablesError,
)

MAX_SOURCE_CHARACTERS: Final = 256 * 1024
MAX_SUBJECT_CHARACTERS: Final = 900
MAX_VARIABLES_CHARACTERS: Final = 1024 * 1024
MAX_VARIABLES_VALUES: Final = 50_000
MAX_VARIABLES_DEPTH: Final = 20
_MAX_TOKENS: Final = 15_000
_MAX_DEPTH: Final = 50
_MAX_LOOP_DEPTH: Final = 8
_FILE_NAME: Final = "<template>"
_SPENT: Final = (
    "The templates of this request take too much work together: send fewer messages at a time."
)


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """The sources of one message; a body may be absent, the subject may not."""

    subject: str
    text: str | None = None
    html: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template became; the bodies are present where the template's are."""

    subject: str
    text: str | None = None
    html: str | None = None


def check_source(source: TemplateSource) -> None:
    """Refuse at storing time every template that ``render`` could not even begin.

    Raises:
        TemplatesTooCostlyError: Its parts take too long to compile.
        TemplateInvalidError: Carries ``part`` (subject, text or html) and ``line`` where known.
    """
    if source.text is None and source.html is None:
        raise TemplateInvalidError("A template needs a text or an HTML body.")
    purse = Purse()
    for part, text in (("subject", source.subject), ("text", source.text), ("html", source.html)):
        if text is not None:
            _prepare(text, part, purse)


def find_variables(source: TemplateSource, purse: Purse | None = None) -> dict[str, bool]:
    """The variables that a template uses, by name, and whether it cannot do without.

    Raises:
        TemplateInvalidError, TemplatesTooCostlyError: As ``check_source``.
    """
    purse = purse or Purse()
    found: dict[str, bool] = {}
    for part, text in (("subject", source.subject), ("text", source.text), ("html", source.html)):
        if text is not None:
            compiled = _prepare(text, part, purse)
            for name in compiled.variables:
                found[name] = found.get(name, False) or name in compiled.required
    return dict(sorted(found.items()))


def render(
    source: TemplateSource, variables: Mapping[str, Any], purse: Purse | None = None
) -> Rendered:
    """Fill a template in; only the HTML body escapes what it inserts.

    Runs up to a second on hostile input and some 50 us on a usual message, without awaiting: hand
    templates to a thread, and all of one request the same ``purse``.

    Raises:
        TemplateInvalidError: As ``check_source``, or the template exceeds its budget.
        TemplatesTooCostlyError: The purse is empty: end the request, nothing more is rendered.
        TemplateVariablesError: Variables are missing (``missing`` names them), are not JSON, have
            the wrong type for what the template does, or would break the subject's line.
    """
    purse = purse or Purse()
    try:
        _check_variables(variables, purse)
    except SpentError:
        raise TemplatesTooCostlyError(_SPENT, part="variables") from None
    values = dict(variables)
    subject = _render_part(source.subject, "subject", values, purse).strip()
    # Any of these would end the header line for some reader.
    if len(subject.splitlines()) > 1:
        raise TemplateVariablesError("The subject would contain a line break.", part="subject")
    if len(subject) > MAX_SUBJECT_CHARACTERS:
        raise TemplateVariablesError(
            f"The subject would exceed {MAX_SUBJECT_CHARACTERS} characters.", part="subject"
        )
    return Rendered(
        subject,
        None if source.text is None else _render_part(source.text, "text", values, purse),
        None if source.html is None else _render_part(source.html, "html", values, purse),
    )


# --- Environment ----------------------------------------------------------------------------------

_LOOP_ATTRIBUTES: Final = frozenset(
    {"depth", "depth0", "first", "index", "index0", "last", "length", "revindex", "revindex0"}
)
_ARITHMETIC: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox with everything taken out that is not accounted for."""

    context_class = BudgetContext
    intercepted_binops: ClassVar[frozenset[str]] = frozenset(  # type: ignore[misc]
        {"+", "-", "*", "/", "//", "%", "**"}
    )

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(
            autoescape=autoescape,
            undefined=NamedUndefined,
            finalize=finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            cache_size=0,
        )
        self.globals.clear()
        self.filters = {**FILTERS, **INTERNAL_FILTERS}
        self.tests = dict(TESTS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look up a key of a mapping or one of the harmless attributes of ``loop``."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, LoopContext) and attribute in _LOOP_ATTRIBUTES:
            return getattr(obj, attribute)
        defined(obj)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Look up a key or index; nothing else has items."""
        defined(obj)
        defined(argument)
        if isinstance(obj, dict) and isinstance(argument, SCALARS) and argument in obj:
            return obj[argument]
        if isinstance(obj, list | tuple | str) and isinstance(argument, int):
            try:
                return obj[argument]
            except IndexError:
                pass
        return self.undefined(obj=obj, name=scalar_text(argument)[:80])

    def call(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Never: no call passes the syntax check, and this is the second lock."""
        refuse_value("nothing can be called")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate with bounded numbers; texts know ``+`` alone."""
        defined(left)
        defined(right)
        if operator == "+":
            if isinstance(left, str) and isinstance(right, str):
                return concat(context, [left, right])
            return bounded(number(left) + number(right))
        number(left)
        number(right)
        if operator == "**":
            if abs(right) > MAX_EXPONENT or abs(left) > 2.0**MAX_EXPONENT:
                refuse_value("a power is too large")
            result = left**right
            return (
                bounded(result)
                if isinstance(result, int | float)
                else refuse_value("no real power")
            )
        return bounded(_ARITHMETIC[operator](left, right))


_ENVIRONMENTS: Final = {
    "subject": _Environment(autoescape=False),
    "text": _Environment(autoescape=False),
    "html": _Environment(autoescape=True),
}


# --- Compiling ------------------------------------------------------------------------------------

_ALLOWED_NODES: Final = (
    nodes.Add,
    nodes.And,
    nodes.Assign,
    nodes.AssignBlock,
    nodes.Compare,
    nodes.Concat,
    nodes.CondExpr,
    nodes.Const,
    nodes.Dict,
    nodes.Div,
    nodes.Filter,
    nodes.FloorDiv,
    nodes.For,
    nodes.Getattr,
    nodes.Getitem,
    nodes.If,
    nodes.Keyword,
    nodes.List,
    nodes.Mod,
    nodes.Mul,
    nodes.Name,
    nodes.Neg,
    nodes.Not,
    nodes.Operand,
    nodes.Or,
    nodes.Output,
    nodes.Pair,
    nodes.Pos,
    nodes.Pow,
    nodes.Slice,
    nodes.Sub,
    nodes.Template,
    nodes.TemplateData,
    nodes.Test,
    nodes.Tuple,
    nodes.With,
)
_LITERALS: Final = (nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Const)


@dataclass(frozen=True, slots=True)
class _Compiled:
    template: Template
    variables: frozenset[str]
    required: frozenset[str]
    tokens: int


def _prepare(source: str, part: str, purse: Purse) -> _Compiled:
    """The compiled template, paid for before it is compiled."""
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise TemplateInvalidError(
            f"The {part} has more than {MAX_SOURCE_CHARACTERS} characters.", part=part
        )
    try:
        if purse.is_first(part, source):
            # Whoever looks for the tokens reads all of it.
            purse.pay(len(source) * SEARCH)
            purse.pay(_count_tokens(source, part) * TOKEN)
    except SpentError:
        raise TemplatesTooCostlyError(_SPENT, part=part) from None
    return _compile(source, part)


@lru_cache(maxsize=128)
def _count_tokens(source: str, part: str) -> int:
    count = 0
    try:
        for count, _ in enumerate(_ENVIRONMENTS[part].lexer.tokeniter(source, None), 1):
            if count > _MAX_TOKENS:
                raise TemplateInvalidError(f"The {part} is too complex.", part=part)
    except TemplateSyntaxError as error:
        raise _unparsable(error, part) from None
    except (RecursionError, ValueError):
        raise TemplateInvalidError(f"The {part} is too complex.", part=part) from None
    return count


def _unparsable(error: TemplateSyntaxError, part: str) -> TemplateInvalidError:
    # Quoted although it is a library's: it speaks about the author's own source, and nothing else
    # would help to find the mistake.
    return TemplateInvalidError(
        f"The {part} cannot be parsed: line {error.lineno}: {error.message}",
        part=part,
        line=error.lineno,
    )


# Keyed by the source itself: a tenant cannot reach another's entry, and an edit needs no eviction.
@lru_cache(maxsize=128)
def _compile(source: str, part: str) -> _Compiled:
    environment = _ENVIRONMENTS[part]
    # Counted first, lazily: parsing what has too many tokens would already be the damage.
    count = _count_tokens(source, part)
    try:
        tree = environment.parse(source)
        _check_syntax(tree, part)
        variables = frozenset(meta.find_undeclared_variables(tree))
        required = variables - _find_guarded(tree)
        _rewrite(tree, environment)
        code = environment.compile(tree, filename=_FILE_NAME)
    except TemplateSyntaxError as error:
        raise _unparsable(error, part) from None
    except (RecursionError, SyntaxError, MemoryError, OverflowError, ValueError):
        # Nesting that exhausts the parser or Python's compiler, and numbers that Python refuses.
        raise TemplateInvalidError(f"The {part} is too complex.", part=part) from None
    made = Template.from_code(environment, code, {})
    return _Compiled(made, variables, required, count)


def _check_syntax(tree: nodes.Template, part: str) -> None:
    """Walk without recursion, so that depth is measured before anything can overflow on it."""

    def refuse(node: nodes.Node, what: str) -> NoReturn:
        raise TemplateInvalidError(
            f"The {part} is refused: line {node.lineno}: {what}.", part=part, line=node.lineno
        )

    pending: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    while pending:
        node, depth, loops = pending.pop()
        if depth > _MAX_DEPTH:
            refuse(node, "expressions or blocks are nested too deeply")
        _check_node(node, refuse)
        if isinstance(node, nodes.For):
            loops += 1
            if loops > _MAX_LOOP_DEPTH:
                refuse(node, "loops are nested too deeply")
        pending += ((child, depth + 1, loops) for child in node.iter_child_nodes())


def _check_node(node: nodes.Node, refuse: Callable[[nodes.Node, str], NoReturn]) -> None:
    if isinstance(node, nodes.Call):
        refuse(node, "nothing can be called; filters are written value|filter")
    if not isinstance(node, _ALLOWED_NODES):
        refuse(node, f"{type(node).__name__} is not supported in templates")
    if isinstance(node, nodes.Filter | nodes.Test):
        kind, known = ("filter", FILTERS) if isinstance(node, nodes.Filter) else ("test", TESTS)
        if node.name not in known:
            refuse(node, f"there is no {kind} {node.name[:80]!r}")
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            refuse(node, "arguments cannot be unpacked")
    elif isinstance(node, nodes.For) and node.recursive:
        refuse(node, "a loop cannot be recursive")
    elif isinstance(node, nodes.AssignBlock) and node.filter is not None:
        refuse(node, "a set block takes no filter")
    elif isinstance(node, nodes.Name) and (node.name.startswith("_") or node.name == "self"):
        refuse(node, f"the name {node.name[:80]!r} is reserved")
    elif isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        refuse(node, f"the attribute {node.attr[:80]!r} is reserved")
    elif isinstance(node, nodes.Const) and bits(node.value) > MAX_INT_BITS:
        refuse(node, "a number is too large")


def _find_guarded(tree: nodes.Template) -> frozenset[str]:
    """Return the variables that are somewhere guarded by ``default`` or ``is defined``."""
    return frozenset(
        node.node.name
        for node in tree.find_all((nodes.Filter, nodes.Test))
        if node.name in {"d", "default", "defined", "undefined"}
        and isinstance(node.node, nodes.Name)
    )


def _rewrite(node: nodes.Node, environment: _Environment) -> None:
    """Put an accounting filter in the place of everything that has a price, innermost first."""
    # Weighed before the body is rewritten: the author's nodes are what the bound is about.
    weight = _weigh(node) if isinstance(node, nodes.For) else (0, 0)
    for name, value in list(node.iter_fields()):
        if isinstance(value, list):
            setattr(node, name, [_replace_node(item, environment) for item in value])
        elif isinstance(value, nodes.Node):
            setattr(node, name, _replace_node(value, environment))
    if isinstance(node, nodes.For):
        arguments = (nodes.Const(number, lineno=node.lineno) for number in weight)
        node.iter = _internal(environment, "<loop>", node.iter, *arguments)
    elif isinstance(node, nodes.List) or (isinstance(node, nodes.Tuple) and node.ctx == "load"):
        node.items = [
            item if isinstance(item, _LITERALS) else _internal(environment, "<scalar>", item)
            for item in node.items
        ]
    elif isinstance(node, nodes.Pair):
        node.key = _internal(environment, "<scalar>", node.key)
        if not isinstance(node.value, _LITERALS):
            node.value = _internal(environment, "<scalar>", node.value)


def _replace_node(child: Any, environment: _Environment) -> Any:
    if not isinstance(child, nodes.Node):
        return child
    _rewrite(child, environment)
    if isinstance(child, nodes.Concat):
        values = nodes.List(child.nodes, lineno=child.lineno)
        return _internal(environment, "<concat>", values)
    if isinstance(child, nodes.Compare):
        operands = [child.expr, *(operand.expr for operand in child.ops)]
        names = " ".join(operand.op for operand in child.ops)
        return _internal(
            environment,
            "<compare>",
            nodes.List(operands, lineno=child.lineno),
            nodes.Const(names, lineno=child.lineno),
        )
    if isinstance(child, nodes.Getitem) and isinstance(child.arg, nodes.Slice):
        bounds = (child.arg.start, child.arg.stop, child.arg.step)
        given = (bound or nodes.Const(None, lineno=child.lineno) for bound in bounds)
        return _internal(environment, "<slice>", child.node, *given)
    return child


def _internal(
    environment: _Environment, name: str, value: nodes.Node, *arguments: nodes.Expr
) -> nodes.Filter:
    return nodes.Filter(
        value, name, list(arguments), [], None, None, lineno=value.lineno, environment=environment
    )


def _weigh(loop: nodes.For) -> tuple[int, int]:
    """Return how many nodes and literal characters one pass of the loop may touch.

    A nested loop counts once here for being reached and pays for its own passes itself.
    """
    work, characters = 1, 0
    pending: list[nodes.Node] = list(loop.iter_child_nodes(exclude=("iter",)))
    while pending:
        node = pending.pop()
        work += 1
        if isinstance(node, nodes.TemplateData):
            characters += len(node.data)
        elif isinstance(node, nodes.For):
            pending.append(node.iter)
            pending += node.else_
            continue
        pending += node.iter_child_nodes()
    return work, characters


# --- Rendering ------------------------------------------------------------------------------------


def _render_part(source: str, part: str, variables: dict[str, Any], purse: Purse) -> str:
    compiled = _prepare(source, part, purse)
    template = compiled.template
    context = template.new_context(variables)
    assert isinstance(context, BudgetContext)  # noqa: S101 - tells the checker what context_class says
    budget = context.budget = Budget(purse)
    chunks: list[str] = []
    try:
        purse.pay(compiled.tokens * EVALUATED + len(source) * READ)
        for chunk in template.root_render_func(context):
            budget.output += len(chunk)
            purse.pay(len(chunk) * WRITE)
            if budget.output > MAX_OUTPUT_CHARACTERS:
                raise ExpensiveError(f"writes more than {MAX_OUTPUT_CHARACTERS} characters")
            chunks.append(chunk)
    except UndefinedError as error:
        name = str(error.message)[:80]
        missing = sorted({name} | {n for n in compiled.required if n not in variables})
        shown = ", ".join(missing[:20])
        raise TemplateVariablesError(
            f"The {part} needs variables that are missing: {shown}.",
            part=part,
            line=_line(template, error.__traceback__),
            missing=missing[:100],
        ) from None
    except SpentError:
        raise TemplatesTooCostlyError(_SPENT, part=part) from None
    except (ExpensiveError, MemoryError, RecursionError) as error:
        bound = str(error) if isinstance(error, ExpensiveError) else "needs too much memory"
        raise TemplateInvalidError(f"The {part} {bound}.", part=part) from None
    # Whatever else values can provoke in expressions (division by zero, None in arithmetic, a bad
    # key) is the fault of template and variables together, never a failure of the service.
    except Exception as error:  # noqa: BLE001
        line = _line(template, error.__traceback__)
        reason = str(error) if isinstance(error, UnfitValueError) else "a value has the wrong type"
        raise TemplateVariablesError(
            f"The {part} cannot be rendered: line {line}: {reason}.", part=part, line=line
        ) from None
    return "".join(chunks)


def _line(template: Template, traceback: TracebackType | None) -> int:
    """Return the template's line that raised; 1 when none of its frames is on the traceback."""
    line = 1
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == _FILE_NAME:
            line = template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return line


def _check_variables(variables: Mapping[str, Any], purse: Purse) -> None:
    """Refuse what is not JSON of bounded size; exact types only, since subclasses bring methods."""
    pending: list[tuple[Any, int]] = [(dict(variables), 0)]
    characters = count = 0
    while pending:
        value, depth = pending.pop()
        count += 1
        purse.pay(NODE)
        kind = type(value)
        if kind is str:
            characters += len(value)
        elif kind is dict:
            if not all(type(key) is str for key in value):
                raise TemplateVariablesError("Keys of variables must be texts.")
            characters += sum(map(len, value))
            pending += ((item, depth + 1) for item in value.values())
        elif kind is list:
            pending += ((item, depth + 1) for item in value)
        else:
            _check_scalar(value)
        # The pending ones count as well: a shared list must not unfold before it is refused.
        if count + len(pending) > MAX_VARIABLES_VALUES or characters > MAX_VARIABLES_CHARACTERS:
            raise TemplateVariablesError("The variables are too large.")
        if depth > MAX_VARIABLES_DEPTH:
            raise TemplateVariablesError("The variables are nested too deeply.")


def _check_scalar(value: Any) -> None:
    if type(value) not in {int, float, bool, type(None)}:
        raise TemplateVariablesError("Variables must be JSON values.")
    if bits(value) > MAX_INT_BITS:
        raise TemplateVariablesError("A number among the variables is too large.")
    if isinstance(value, float) and not math.isfinite(value):
        raise TemplateVariablesError("A number among the variables is not finite.")

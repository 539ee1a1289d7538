"""Small lint rules that no linter ships: one function a rule, each finding ``path:line rule text``.

They hold what docs/decisions/0001 promises and a reviewer forgets. There is no way to silence one
in place: a rule that is wrong somewhere is changed here, in one reviewed line. Import directions
are not checked here but by import-linter.

Run it as ``python -m scripts.lint.rules [root]``; exit status 1 when anything is found.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

# An id carries the time it was made only to sort by it; no rule ever reads it back.
_CLOCKS = ("backend/core/clock.py", "backend/core/ids.py")
_ENVIRONMENTS = ("backend/settings.py", "dashboard/settings.py")
_SQL_HOMES = ("backend/core/", "backend/migrations/")

_NOW = frozenset(
    f"{owner}.{name}"
    for owner, names in {
        "datetime.datetime": ("now", "utcnow", "today"),
        "datetime.date": ("today",),
        "time": ("time", "time_ns"),
    }.items()
    for name in names
)
_ENVIRONMENT = frozenset({"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"})
_TEXT = frozenset({"sqlalchemy.text", "sqlalchemy.sql.text", "sqlalchemy.sql.expression.text"})
_NETWORK_MODULES = frozenset(
    {
        "aiohttp",
        "aiosmtplib",
        "http.client",
        "httpx",
        "requests",
        "smtplib",
        "socket",
        "urllib.request",
    }
)
_NETWORK_FUNCTIONS = frozenset(
    {
        "asyncio.create_datagram_endpoint",
        "asyncio.open_connection",
        "asyncio.open_unix_connection",
        "asyncio.start_server",
    }
)
# What our own objects are called when they speak to another machine: `self._http.post(...)`.
_NETWORK_NAMES = frozenset({"http", "http_client", "httpx_client", "smtp", "smtp_client"})
# Who goes out by themselves: the way out, the mail client that takes its connections from it, and
# the datagrams between the processes of one machine.
_WAYS_OUT = ("backend/kit/outbound/", "backend/kit/smtp/", "backend/core/signals.py")
_CLIENT_MODULES = frozenset(
    {
        "aiohttp",
        "aiodns",
        "aiosmtplib",
        "dns",
        "ftplib",
        "http.client",
        "httpcore",
        "requests",
        "smtplib",
        "urllib.request",
        "urllib3",
    }
)
# Of an event loop or a socket, whatever it is called.
_CLIENT_METHODS = frozenset(
    {"create_connection", "create_datagram_endpoint", "getaddrinfo", "getnameinfo", "sock_connect"}
)
_CLIENTS = frozenset(
    {"asyncio.open_connection"}
    | {f"socket.{name}" for name in _CLIENT_METHODS}
    | {f"socket.{name}" for name in ("gethostbyaddr", "gethostbyname", "gethostbyname_ex")}
    | {f"httpx.{kind}{name}" for kind in ("", "Async") for name in ("Client", "HTTPTransport")}
    | {f"httpx.{name}" for name in ("delete", "get", "head", "options", "patch", "post", "put")}
    | {"httpx.request", "httpx.stream"}
)
_BLOCKS = frozenset({"transaction", "read"})

_TYPE_IGNORE = re.compile(r"#\s*type:\s*ignore(?P<code>\[[^\]\s][^\]]*\])?")
_WHOLE_FILE = re.compile(r"#\s*mypy:\s*ignore-errors")

# Hosts are put together from pieces, so that this file passes its own rule.
_REGISTRIES = re.compile(
    "|".join(
        "".join(pieces)
        for pieces in (
            (r"\bpy", r"pi\.\w"),
            (r"\bpython", r"hosted\.\w"),
            (r"\bregistry\.", r"(npm|yarn)\w*\.\w"),
            (r"\bnpm", r"mirror\.\w"),
            (r"\bcrates", r"\.io\b"),
            (r"\bproxy\.go", r"lang\.\w"),
            (r"\bruby", r"gems\.org"),
            (r"\brepo\d*\.ma", r"ven\.\w"),
            (r"\b(deb|security|ftp)\.deb", r"ian\.org"),
            (r"\barchive\.ub", r"untu\.com"),
        )
    ),
    re.IGNORECASE,
)
# A checkout or a home folder names one machine; `/home/node/` is inside the n8n image.
_MACHINE_PATHS = re.compile(
    "|".join(
        (
            r"(?<![\w.:/*~$}-])/ro" + r"ot/",
            r"(?<![\w.:/*~$}-])/wo" + r"rk/",
            r"(?<![\w.:/*~$}-])/home/(?!node/)\w[\w.-]*/",
            r"(?<![\w.:/*~$}-])/Users/\w[\w.-]*/",
            r"\b[A-Za-z]:\\+Users\\",
        )
    )
)
_LOCK_OPTION = re.compile(r"://|^\s*--(?!hash=)|^\s*-[fi]\s")
_NPM_ADDRESS = re.compile(r'^\s*"resolved"\s*:\s*"[^"]*:')


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One broken law, printed as ``path:line rule text``."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.rule} {self.text}"


@dataclass(frozen=True)
class Source:
    """One tracked text file; a Python file also as a syntax tree with its imports resolved."""

    path: str
    text: str
    is_python: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_python", PurePosixPath(self.path).suffix == ".py")

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree. Raises SyntaxError for a file that is not Python."""
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree, parents before children."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def imports(self) -> dict[str, str]:
        """What a name bound by an import stands for: ``{"sa": "sqlalchemy", "now": "time.time"}``.

        One table a file: rules look for dangerous names, and a name imported in one function and
        something harmless in another does not occur in code worth reading.
        """
        table: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.partition(".")[0]
                    table[bound] = alias.name if alias.asname else bound
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    table[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return table

    def resolve(self, node: ast.AST) -> str:
        """The dotted name an expression stands for, or ``""`` when no import leads to it."""
        if isinstance(node, ast.Name):
            return self.imports.get(node.id, "")
        if isinstance(node, ast.Attribute):
            owner = self.resolve(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        return ""


def check_commits(source: Source) -> Iterator[Finding]:
    """Only core ends a transaction: two places that commit are two ideas of what is whole."""
    if source.path.startswith("backend/core/"):
        return
    for node in source.nodes:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"commit", "rollback"}
        ):
            text = f"{node.func.attr}() outside backend/core: leave the transaction block instead"
            yield Finding(source.path, node.lineno, "transaction-in-core", text)


def check_clock(source: Source) -> Iterator[Finding]:
    """Time is an argument: what reads the wall clock itself cannot be tested without waiting.

    A parameter's default (``clock=time.time``) is such an argument, and allowed.
    """
    if source.path in _CLOCKS:
        return
    defaults = {
        id(default)
        for node in source.nodes
        if isinstance(node, ast.arguments)
        for default in (*node.defaults, *node.kw_defaults)
    }
    for node in source.nodes:
        if (
            isinstance(node, ast.Attribute | ast.Name)
            and id(node) not in defaults
            and source.resolve(node) in _NOW
        ):
            text = f"{source.resolve(node)} outside the clock: take the injected clock"
            yield Finding(source.path, node.lineno, "clock", text)


def check_environment(source: Source) -> Iterator[Finding]:
    """The environment is read once, in settings; everyone else gets values."""
    if source.path in _ENVIRONMENTS:
        return
    for node in source.nodes:
        if isinstance(node, ast.Attribute | ast.Name) and source.resolve(node) in _ENVIRONMENT:
            text = f"{source.resolve(node)} outside settings: take the setting as an argument"
            yield Finding(source.path, node.lineno, "environment", text)


def check_sql(source: Source) -> Iterator[Finding]:
    """Textual SQL and bare tables slip past the criterion that confines a query to its tenant."""
    if source.path.startswith(_SQL_HOMES):
        return
    for node in source.nodes:
        if isinstance(node, ast.Call) and source.resolve(node.func) in _TEXT:
            found = "text()"
        elif isinstance(node, ast.Attribute) and node.attr in {"__table__", "exec_driver_sql"}:
            found = node.attr
        else:
            continue
        text = f"{found} outside core and migrations: it is not confined to the tenant"
        yield Finding(source.path, node.lineno, "confined-sql", text)


def check_transactions(source: Source) -> Iterator[Finding]:
    """No network call inside a transaction: a slow peer would hold our locks and connections.

    Lexical on purpose. Functions and lambdas defined in the block are skipped: they run elsewhere,
    typically after the commit.
    """
    for node in source.nodes:
        if not isinstance(node, ast.AsyncWith | ast.With):
            continue
        opens = [item for item in node.items if _opens_transaction(item.context_expr)]
        if not opens:
            continue
        for inner in _same_time(node.body):
            if isinstance(inner, ast.Call) and _is_network_call(source, inner):
                text = f"{ast.unparse(inner.func)}() inside a transaction: lease, work, then apply"
                yield Finding(source.path, inner.lineno, "network-in-transaction", text)


def check_outbound(source: Source) -> Iterator[Finding]:
    """One way out: whoever makes a client of its own has no guard, no share and no deadline."""
    if source.path.startswith(_WAYS_OUT):
        return
    for node in source.nodes:
        found = ""
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found = next((name for name in names if _within(name, _CLIENT_MODULES)), "")
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found = next((name for name in names if _within(name, _CLIENT_MODULES)), "")
        elif isinstance(node, ast.Attribute | ast.Name):
            name = source.resolve(node)
            found = name if name in _CLIENTS else ""
            if isinstance(node, ast.Attribute) and node.attr in _CLIENT_METHODS:
                found = node.attr
        if found:
            text = f"{found}: go out by backend.kit.outbound"
            yield Finding(source.path, getattr(node, "lineno", 1), "one-way-out", text)


def _within(name: str, modules: Iterable[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


def _opens_transaction(expression: ast.expr) -> bool:
    return (
        isinstance(expression, ast.Call)
        and isinstance(expression.func, ast.Attribute)
        and expression.func.attr in _BLOCKS
    )


def _same_time(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    later = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    for node in body:
        if not isinstance(node, later):
            yield node
            yield from _same_time(ast.iter_child_nodes(node))


def _is_network_call(source: Source, call: ast.Call) -> bool:
    name = source.resolve(call.func)
    if name in _NETWORK_FUNCTIONS or any(name.startswith(m + ".") for m in _NETWORK_MODULES):
        return True
    if not isinstance(call.func, ast.Attribute):
        return False
    owner = call.func.value
    spoken = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return spoken.strip("_") in _NETWORK_NAMES


def check_imports(source: Source) -> Iterator[Finding]:
    """Imports stand at the top: one inside a function hides a dependency, usually a cycle."""
    seen: set[int] = set()
    for node in source.nodes:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import | ast.ImportFrom) and inner.lineno not in seen:
                seen.add(inner.lineno)
                text = f"import inside {node.name}(): move it to the top of the module"
                yield Finding(source.path, inner.lineno, "import-at-top", text)


def check_type_ignores(source: Source) -> Iterator[Finding]:
    """A silenced type error names which one, and silences one line, never a function or a file."""
    rule = "type-ignore"
    # To tell a comment from a text takes the tokenizer, which costs more than all other rules.
    text = source.text if "ignore" in source.text else ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, ignore = token.start[0], _TYPE_IGNORE.search(token.string)
        if ignore and not ignore["code"]:
            yield Finding(source.path, line, rule, "`type: ignore` without its error code")
        elif ignore and not token.line[: token.start[1]].strip():
            yield Finding(source.path, line, rule, "`type: ignore` silences the whole file")
        elif _WHOLE_FILE.search(token.string):
            yield Finding(source.path, line, rule, "`mypy: ignore-errors` silences the whole file")
    for node in source.nodes:
        if source.resolve(node) in {"typing.no_type_check", "typing_extensions.no_type_check"}:
            line = getattr(node, "lineno", 1)
            yield Finding(source.path, line, rule, "no_type_check silences a whole function")


def check_addresses(source: Source) -> Iterator[Finding]:
    """The repository names no package registry and no folder of one machine: mirrors differ."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if host := _REGISTRIES.search(line):
            text = f"names a package registry ({host[0]})"
            yield Finding(source.path, number, "no-registry", text)
        if folder := _MACHINE_PATHS.search(line):
            text = f"names a folder of one machine ({folder[0]})"
            yield Finding(source.path, number, "no-machine-path", text)


def check_locks(source: Source) -> Iterator[Finding]:
    """A lock file holds names, versions and hashes: with an address it installs from one place."""
    name = PurePosixPath(source.path).name
    if name.endswith(".lock"):
        pattern = _LOCK_OPTION
    elif name.endswith("package-lock.json"):
        pattern = _NPM_ADDRESS
    else:
        return
    for number, line in enumerate(source.text.splitlines(), 1):
        if pattern.search(line):
            yield Finding(source.path, number, "lock-without-address", line.strip()[:80])


Rule = Callable[[Source], Iterator[Finding]]

BACKEND: tuple[Rule, ...] = (check_sql, check_transactions, check_outbound)
PRODUCT: tuple[Rule, ...] = (check_commits, check_clock, check_environment, check_imports)
PYTHON: tuple[Rule, ...] = (check_type_ignores,)
EVERY_FILE: tuple[Rule, ...] = (check_addresses, check_locks)


def check(source: Source) -> list[Finding]:
    """Apply to one file every rule that concerns it."""
    rules = list(EVERY_FILE)
    if source.is_python:
        try:
            _ = source.tree
        except SyntaxError as exc:
            return [Finding(source.path, exc.lineno or 1, "syntax", exc.msg)]
        rules += PYTHON
        if source.path.startswith(("backend/", "dashboard/")):
            rules += PRODUCT
        if source.path.startswith("backend/"):
            rules += BACKEND
    return sorted(finding for rule in rules for finding in rule(source))


def tracked_files(root: Path) -> list[str]:
    """Paths below ``root`` that git tracks or would add; relative, with forward slashes.

    Raises:
        RuntimeError: ``root`` is not inside a git checkout.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"git ls-files failed in {root}: {done.stderr.strip()}")
    return sorted({path for path in done.stdout.split("\0") if path and (root / path).is_file()})


def read_sources(root: Path) -> Iterator[Source]:
    """Every tracked text file; one with a NUL byte or another encoding is no text."""
    for path in tracked_files(root):
        content = (root / path).read_bytes()
        if b"\0" in content:
            continue
        try:
            yield Source(path, content.decode())
        except UnicodeDecodeError:
            yield Source(path, content.decode("latin-1"))


def main(arguments: list[str]) -> int:
    """Check the checkout at the first argument (default: here) and print what is broken."""
    root = Path(arguments[0]) if arguments else Path.cwd()
    files = 0
    broken = 0
    for source in read_sources(root):
        files += 1
        for finding in check(source):
            broken += 1
            print(finding)
    print(f"{files} files, {broken} broken rules" if broken else f"{files} files keep the rules")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

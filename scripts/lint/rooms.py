"""The law that import-linter cannot see: nobody spells out what belongs to another room.

A room's tables, permissions, events and paths are declared in its folder, and stand nowhere else in
the backend as text: not in the core, not in a lower room, not in an upper one. Whoever needs one
takes the value that the room's door hands out.

Unlike the rules beside it this one looks at all files at once.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from scripts.lint.rules import Finding, Source, read_sources

_ROOMS: Final = "backend/managers/"
# A migration repeats what a table once was, on purpose: it must not follow what it is now.
_FROZEN: Final = "backend/migrations/"
_METHODS: Final = frozenset({"delete", "get", "head", "patch", "post", "put", "api_route"})
_ROUTES: Final = frozenset({"Route", "DataRoute"})
_DECLARED: Final = frozenset({"permissions", "events"})
_API: Final = "/api/v1"


class Claim(NamedTuple):
    """What a room calls its own."""

    room: str
    kind: str
    name: str


def room_of(path: str) -> str:
    """The room whose folder holds the file; empty for what stands in none."""
    parts = PurePosixPath(path).parts
    return parts[2] if path.startswith(_ROOMS) and len(parts) > 3 else ""


def constants_of(source: Source) -> Iterator[tuple[str, str]]:
    """Names that a file gives to texts which may be paths."""
    for node in source.nodes:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str() as text))
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str() as text))
            ) if text.startswith("/"):
                yield name, text


def claims_of(source: Source, constants: Mapping[str, str]) -> Iterator[Claim]:
    """What one file of a room declares.

    Args:
        source: The file.
        constants: Texts of its room by name, for paths that are declared by one.
    """
    room = room_of(source.path)
    prefixes: dict[str, str | None] = {}
    for node in source.nodes:
        match node:
            case ast.Assign(
                targets=[ast.Name(id="__tablename__")], value=ast.Constant(value=str() as name)
            ):
                yield Claim(room, "table", name)
            case ast.Call(func=ast.Name(id="Room"), keywords=keywords):
                yield from _declared(room, keywords)
            case ast.Assign(
                targets=[ast.Name(id=router)],
                value=ast.Call(func=ast.Name(id="APIRouter"), keywords=keywords),
            ):
                prefixes[router] = _prefix(keywords)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=router), attr=attribute),
                args=[ast.Constant(value=str(path))],
            ):
                # A file may have several, and the prefix of one says nothing of the others' paths.
                prefix = prefixes.get(router, "")
                if attribute in _METHODS and path.startswith("/") and prefix is not None:
                    yield from _path(room, prefix + path)
            case ast.Call(func=ast.Name(id=called), args=arguments, keywords=keywords) if (
                called in _ROUTES
            ):
                for argument in (*arguments, *(each.value for each in keywords)):
                    path = _text(argument, constants)
                    if path.startswith("/"):
                        yield from _path(room, path)


def _text(node: ast.expr, constants: Mapping[str, str]) -> str:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Name(id=name):
            return constants.get(name, "")
    return ""


def _declared(room: str, keywords: Iterable[ast.keyword]) -> Iterator[Claim]:
    for keyword in keywords:
        if keyword.arg in _DECLARED and isinstance(keyword.value, ast.Dict):
            for key in keyword.value.keys:
                if isinstance(key, ast.Constant):
                    yield Claim(room, keyword.arg.removesuffix("s"), str(key.value))


def _prefix(keywords: Iterable[ast.keyword]) -> str | None:
    """The text that a router's paths begin with; None when it is put together as it is made."""
    for keyword in keywords:
        if keyword.arg == "prefix":
            value = keyword.value
            return str(value.value) if isinstance(value, ast.Constant) else None
    return ""


def _path(room: str, path: str) -> Iterator[Claim]:
    literal = path.partition("{")[0].rstrip("/")
    if literal not in {"", _API}:
        yield Claim(room, "path", literal)


def check_rooms(sources: Iterable[Source]) -> Iterator[Finding]:
    """Find every text of the backend that names what another room declares.

    Args:
        sources: All files of the repository; others than the backend's Python are passed over.
    """
    backend = [
        source
        for source in sources
        if source.is_python
        and source.path.startswith("backend/")
        and not source.path.startswith(_FROZEN)
    ]
    exact: dict[str, Claim] = {}
    paths: dict[str, Claim] = {}
    constants: dict[str, dict[str, str]] = {}
    for source in backend:
        constants.setdefault(room_of(source.path), {}).update(constants_of(source))
    for source in backend:
        if room_of(source.path):
            for each in claims_of(source, constants[room_of(source.path)]):
                (paths if each.kind == "path" else exact)[each.name] = each
    for source in backend:
        own = room_of(source.path)
        for node in _texts(source):
            text = str(node.value)
            claim = exact.get(text) or next(
                (paths[path] for path in _above(text) if path in paths), None
            )
            if claim is not None and claim.room != own:
                yield Finding(
                    source.path,
                    node.lineno,
                    "words-of-a-room",
                    f"spells out the {claim.kind} {claim.name} of the room {claim.room}",
                )


def _texts(source: Source) -> Iterator[ast.Constant]:
    """Every text of the file but docstrings, which may speak of whatever they explain."""
    docstrings = {id(node.value) for node in source.nodes if isinstance(node, ast.Expr)}
    for node in source.nodes:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ):
            yield node


def _above(path: str) -> Iterator[str]:
    """The path itself and what it lies below, nearest first."""
    while path.startswith("/") and path != "/":
        yield path
        path = path.rpartition("/")[0]


def main(arguments: list[str]) -> int:
    """Check the checkout at the first argument (default: here) and print what is spelled out."""
    root = Path(arguments[0]) if arguments else Path.cwd()
    found = list(check_rooms(read_sources(root)))
    for finding in found:
        print(finding)
    print(f"{len(found)} words of other rooms" if found else "no room is spelled out elsewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Import contracts that import-linter has no type for.

A manager is a room with one door, its ``__init__``. The stock ``protected`` contract cannot say
"each manager's own modules" with a wildcard, and sixteen copies of it would go stale; one custom
contract says it once.
"""

from fnmatch import fnmatchcase
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

_ARROW = "->"


class DoorsContract(Contract):
    """Refuses an import of ``<rooms>.<room>.<inner>`` from outside ``<rooms>.<room>``.

    Options:
        rooms: The package whose children are the rooms.
        keys: ``"<importer pattern> -> <inner> <inner> ..."``: modules that match the pattern may
            import exactly these inner modules, of any room.
    """

    rooms = fields.StringField()
    keys = fields.ListField(subfield=fields.StringField(), required=False, default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001 - given
        """Find every import that goes past a door without a key."""
        output.verbose_print(verbose, "Looking for imports past the doors...")
        prefix = cast("str", self.rooms) + "."
        keys = [_parse_key(key) for key in cast("list[str]", self.keys)]
        trespasses = []
        for inner in sorted(graph.modules):
            room, _, rest = inner.removeprefix(prefix).partition(".")
            if not inner.startswith(prefix) or not rest:
                continue
            home = prefix + room
            for importer in sorted(graph.find_modules_that_directly_import(inner)):
                if importer == home or importer.startswith(home + "."):
                    continue
                if not any(fnmatchcase(importer, who) and rest in what for who, what in keys):
                    trespasses.append((importer, home, inner))
        return ContractCheck(kept=not trespasses, metadata={"trespasses": trespasses})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line per trespass: who, into what, and the door to use instead."""
        for importer, home, inner in check.metadata["trespasses"]:
            output.print_error(f"- {importer} imports {inner}: enter by {home}", bold=False)


def _parse_key(key: str) -> tuple[str, frozenset[str]]:
    who, arrow, what = key.partition(_ARROW)
    if not arrow or not who.strip() or not what.split():
        raise ValueError(f"a key reads '<importer> {_ARROW} <inner> ...', not {key!r}")
    return who.strip(), frozenset(what.split())

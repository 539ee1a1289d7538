"""Import contracts that import-linter has no type for.

A manager is a room with one door, its ``__init__``. The stock ``protected`` contract cannot say
"each manager's own modules" with a wildcard, and sixteen copies of it would go stale; one custom
contract says it once.
"""

from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class DoorsContract(Contract):
    """Refuses an import of ``<rooms>.<room>.<inner>`` from outside ``<rooms>.<room>``.

    Options:
        rooms: The package whose children are the rooms.
    """

    rooms = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001 - given
        """Find every import that goes past a door."""
        output.verbose_print(verbose, "Looking for imports past the doors...")
        prefix = cast("str", self.rooms) + "."
        trespasses = []
        for inner in sorted(graph.modules):
            room, _, rest = inner.removeprefix(prefix).partition(".")
            if not inner.startswith(prefix) or not rest:
                continue
            home = prefix + room
            trespasses += [
                (importer, home, inner)
                for importer in sorted(graph.find_modules_that_directly_import(inner))
                if importer != home and not importer.startswith(home + ".")
            ]
        return ContractCheck(kept=not trespasses, metadata={"trespasses": trespasses})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line per trespass: who, into what, and the door to use instead."""
        for importer, home, inner in check.metadata["trespasses"]:
            output.print_error(f"- {importer} imports {inner}: enter by {home}", bold=False)

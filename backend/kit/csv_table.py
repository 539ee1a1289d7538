"""Tables as CSV (RFC 4180, UTF-8) that came out of a spreadsheet or will be opened in one.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula, and what
tenants and strangers write ends up in cells. Writing puts an apostrophe before such a cell, by
which a spreadsheet knows a text; reading takes it away again.
"""

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_MAX_CELL_CHARACTERS: Final = 4096


class CsvError(ValueError):
    """The text is no CSV; says in which line and why."""


def write_rows(rows: Iterable[Sequence[object]]) -> bytes:
    """The rows as lines; times are RFC 3339, None is an empty cell."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerows([_written(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def read_rows(data: bytes, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty as its line's number and the cells of ``columns``, trimmed.

    A first line with the name of the first column says where the columns stand, and may have
    others; without one they stand in their order. What a row lacks is an empty cell.

    Raises:
        CsvError: It is no CSV in UTF-8, or a cell has more than 4096 characters.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CsvError(f"line {line} is not UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    places: list[int] | None = None
    try:
        for row in reader:
            cells = [_read(cell, reader.line_num) for cell in row]
            if not any(cells):
                continue
            if places is None:
                names = [cell.lower() for cell in cells]
                if columns[0] in names:
                    # A column that is not there lies beyond the end of every row.
                    places = [names.index(one) if one in names else sys.maxsize for one in columns]
                    continue
                places = list(range(len(columns)))
            yield reader.line_num, [cells[at] if at < len(cells) else "" for at in places]
    except csv.Error as error:
        raise CsvError(f"line {reader.line_num}: {error}") from None


def _written(cell: object) -> object:
    if isinstance(cell, datetime):
        return cell.isoformat().replace("+00:00", "Z")
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS):
        return f"'{cell}"
    return cell


def _read(cell: str, line: int) -> str:
    if len(cell) > _MAX_CELL_CHARACTERS:
        raise CsvError(f"line {line}: a cell may have {_MAX_CELL_CHARACTERS} characters")
    cell = cell.strip()
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA_STARTS) else cell

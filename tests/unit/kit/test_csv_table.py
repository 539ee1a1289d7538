"""CSV out of a spreadsheet and into one."""

from datetime import UTC, datetime

import pytest

from backend.kit.csv_table import CsvError, read_rows, write_rows

COLUMNS = ("address", "comment")


def read(text: str | bytes) -> list[tuple[int, list[str]]]:
    return list(read_rows(text if isinstance(text, bytes) else text.encode(), COLUMNS))


class TestReadRows:
    def test_takes_columns_by_their_names_whatever_else_there_is(self) -> None:
        assert read("id,Comment,address\r\n1,no,a@b.c\r\n") == [(2, ["a@b.c", "no"])]
        assert read("address\na@b.c\n") == [(2, ["a@b.c", ""])]

    def test_takes_them_in_order_without_a_heading(self) -> None:
        assert read("\ufeffa@b.c, no \n\nd@e.f") == [(1, ["a@b.c", "no"]), (3, ["d@e.f", ""])]

    def test_a_row_may_span_lines(self) -> None:
        assert read('a@b.c,"one\ntwo"\nd@e.f') == [(2, ["a@b.c", "one\ntwo"]), (3, ["d@e.f", ""])]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (b"a@b.c\n\xff", "line 2 is not UTF-8"),
            ('a@b.c\n"open', "line 2: unexpected end of data"),
            ("a" * 5000, "line 1: a cell may have 4096 characters"),
        ],
    )
    def test_says_where_it_is_none(self, text: str | bytes, said: str) -> None:
        with pytest.raises(CsvError, match=said):
            read(text)


class TestWriteRows:
    def test_no_cell_becomes_a_formula_and_all_come_back(self) -> None:
        cells = ["=1+1", "+x", "-x", "@x", "plain", "'quoted", 'a "b", c']
        written = write_rows([cells])
        assert written.startswith(b"'=1+1,'+x,'-x,'@x,plain,'quoted,")
        assert next(read_rows(written, "abcdefg"))[1] == cells

    def test_writes_times_and_nothing(self) -> None:
        assert write_rows([[datetime(2027, 1, 31, tzinfo=UTC), None]]) == (
            b"2027-01-31T00:00:00Z,\r\n"
        )

"""Widgets: thinning keeps the curve, files cannot become formulas, messages stay in their frame."""

from __future__ import annotations

import contextlib
import csv
import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.runtime.scriptrunner import RerunData, RerunException

from dashboard import theme
from dashboard.widgets import charts, confirm, export, mail, markup


class TestThin:
    def test_keeps_short_series_whole(self):
        x = np.arange(50.0)
        assert list(charts.thin(x, x, 100)) == list(range(50))

    @pytest.mark.parametrize("length", [2001, 5000, 100_000])
    def test_keeps_the_ends_and_at_most_so_many_points(self, length):
        x = np.arange(float(length))
        kept = charts.thin(x, np.sin(x / 50), 2000)
        assert len(kept) <= 2000
        assert kept[0] == 0
        assert kept[-1] == length - 1
        assert (np.diff(kept) > 0).all()

    def test_keeps_a_single_spike(self):
        y = np.zeros(100_000)
        y[54_321] = 1.0
        assert 54_321 in charts.thin(np.arange(100_000.0), y, 500)


class TestDrawn:
    def test_keeps_a_gap_as_one_missing_value(self):
        start = datetime(2026, 1, 1, tzinfo=UTC)
        times = [start + timedelta(seconds=10 * step) for step in range(6000)]
        values = [None if 3000 <= step < 3100 else float(step % 7) for step in range(6000)]
        shown_times, shown_values = charts._drawn(times, values)
        assert len(shown_times) == len(shown_values) <= charts.MAX_POINTS + 1
        assert shown_values.count(None) == 1
        gap = shown_times[shown_values.index(None)]
        assert times[2990] < gap < times[3100]
        assert shown_times == sorted(shown_times)


class TestAlone:
    def test_finds_the_measurements_without_a_neighbour(self):
        assert charts._alone([1.0, None, 2.0, None, 3.0, 4.0]) == [
            True,
            False,
            True,
            False,
            False,
            False,
        ]


class TestAsk:
    def test_keeps_the_answer_when_another_click_ends_the_run(self, monkeypatch):
        drawn = iter([RerunException(RerunData()), None, None])

        def button(*_, **__):
            now = next(drawn)
            if now:
                raise now

        fake = SimpleNamespace(
            session_state={"end-asked": "yes"},
            button=button,
            container=lambda **_: contextlib.nullcontext(),
        )
        monkeypatch.setattr("dashboard.widgets.confirm.st", fake)
        with pytest.raises(RerunException):
            confirm.ask("end", "End", will="It ends.", yes="End it")
        assert confirm.ask("end", "End", will="It ends.", yes="End it")
        assert not confirm.ask("end", "End", will="It ends.", yes="End it")


class TestToCsv:
    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
    def test_disarms_what_a_spreadsheet_would_run(self, start):
        content = export.to_csv(["a"], [[f"{start}cmd|' /C calc'!A0"]]).decode()
        cell = list(csv.reader(io.StringIO(content, newline="")))[1][0]
        assert cell.startswith("'")

    def test_round_trips_quotes_commas_and_lines(self):
        rows = [["a,b", 'say "hi"', "two\nlines", 7, None]]
        content = export.to_csv(["1", "2", "3", "4", "5"], rows).decode()
        read = list(csv.reader(io.StringIO(content, newline="")))
        assert read[1] == ["a,b", 'say "hi"', "two\nlines", "7", ""]

    def test_writes_lists_and_documents_into_one_cell(self):
        content = export.to_csv(["to", "data"], [[["a@x.test", "b@x.test"], {"é": 1}]]).decode()
        assert list(csv.reader(io.StringIO(content)))[1] == ["a@x.test; b@x.test", '{"é": 1}']

    def test_disarms_a_list_that_begins_like_a_formula(self):
        assert export.to_csv(["to"], [[["=cmd()", "b"]]]) == b"to\r\n'=cmd(); b\r\n"


class TestDocument:
    def test_puts_the_policy_before_the_message(self):
        document = mail.document("<meta http-equiv='Content-Security-Policy' content=''>hello")
        assert document.index("default-src 'none'") < document.index("hello")
        assert document.count("default-src 'none'") == 1


class TestMarkup:
    def test_escapes_what_it_is_given(self):
        assert "<script>" not in markup.badge_html("<script>")

    @pytest.mark.parametrize(
        ("size_bytes", "said"),
        [(None, "–"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB")],
    )
    def test_says_sizes_for_people(self, size_bytes, said):
        assert markup.size(size_bytes) == said

    @pytest.mark.parametrize(
        ("seconds", "said"), [(0.25, "250 ms"), (2.46, "2.5 s"), (300, "5.0 min"), (-1, "0 ms")]
    )
    def test_says_durations_for_people(self, seconds, said):
        start = datetime(2026, 1, 1, tzinfo=UTC)
        assert markup.duration(start, start + timedelta(seconds=seconds)) == said


def _luminance(color: str) -> float:
    parts = [int(color[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


class TestTheme:
    @pytest.mark.parametrize("ground", ["theme.light", "theme.dark"])
    def test_gives_text_enough_contrast(self, ground):
        colors = {name: str(value) for name, value in theme.streamlit_theme()[ground].items()}
        for below in ("backgroundColor", "secondaryBackgroundColor"):
            assert _contrast(colors["textColor"], colors[below]) >= 7
            assert _contrast(colors["linkColor"], colors[below]) >= 4.5
        assert _contrast("#FFFFFF", colors["primaryColor"]) >= 4.5

    @pytest.mark.parametrize("ground", ["#FFFFFF", "#141E2F"])
    @pytest.mark.parametrize("state", sorted(theme.STATES))
    def test_gives_bars_enough_contrast(self, state, ground):
        assert _contrast(theme.look(state).color, ground) >= 2.5


class TestBar:
    def test_shows_what_strangers_chose_as_they_wrote_it(self):
        bar = charts.Bar("<b>GET</b> /", "shop", 0, 1, depth=2)
        assert bar.tick == "· · &lt;b&gt;GET&lt;/b&gt; /"

    def test_has_room_for_so_much_and_no_more(self):
        bar = charts.Bar("n" * 512, "shop", 0, 1, depth=1999)
        assert bar.tick == "· " * 12 + "n" * 59 + "…"

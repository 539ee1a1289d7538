"""The wall that is put into a parsed query."""

import contextlib

import promql_parser as promql
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend.managers.monitoring._promql import (
    MAX_BRACKETS,
    MAX_CHARACTERS,
    MAX_EXPRESSIONS,
    MAX_LEVELS,
    MAX_OPERATORS,
    confine,
    confine_selector,
    selector_of,
)
from backend.managers.monitoring.errors import BadQueryError, QueryRefusedError
from tests.support.promql import HOSTILE

LABEL, TENANT = "tenant_id", "mine"


def walled(text: str) -> str:
    """What becomes of it, once each selector was seen to be the tenant's and no more."""
    made = confine(text, LABEL, TENANT)
    for selector in selectors(made):
        of_label = [str(one) for one in selector.matchers.matchers if one.name == LABEL]
        assert of_label == ['tenant_id="mine"'], made
        assert not selector.matchers.or_matchers, made
    return made


def selectors(text: str) -> list[promql.VectorSelector]:
    found: list[promql.VectorSelector] = []
    promql.walk(
        promql.parse(text),
        lambda node: found.append(node) if isinstance(node, promql.VectorSelector) else None,
    )
    return found


class TestConfine:
    @pytest.mark.parametrize(
        ("text", "made"),
        [
            ("up", '{__name__="up",tenant_id="mine"}'),
            ("1 + 2.5", "1 + 2.5"),
            ("vector(time())", "vector(time())"),
            ('up{a=~"x|y", tenant_id="b"}', '{__name__="up",a=~"x|y",tenant_id="mine"}'),
            (
                "sum by (a) (rate(x_total[5m] offset -1m)) > bool 0",
                (
                    'sum by (a) (rate({__name__="x_total",tenant_id="mine"}[300000ms]'
                    " offset -60000ms)) > bool 0"
                ),
            ),
            (
                "max_over_time((-up)[1h:30s] @ start() offset 1m)",
                (
                    'max_over_time((-{__name__="up",tenant_id="mine"})[3600000ms:30000ms] @ start()'
                    " offset 60000ms)"
                ),
            ),
            (
                "max_over_time(up[1h:])",
                'max_over_time({__name__="up",tenant_id="mine"}[3600000ms:])',
            ),
            (
                "a / on (x) group_left (y) b or topk(scalar(c), d)",
                (
                    '{__name__="a",tenant_id="mine"} / on (x) group_left (y)'
                    ' {__name__="b",tenant_id="mine"}'
                    ' or topk(scalar({__name__="c",tenant_id="mine"}),'
                    ' {__name__="d",tenant_id="mine"})'
                ),
            ),
            (
                'count_values without (x) ("v", up) unless ignoring (z) -(up ^ -2)',
                (
                    'count_values without (x) ("v", {__name__="up",tenant_id="mine"})'
                    ' unless ignoring (z) -({__name__="up",tenant_id="mine"} ^ -2)'
                ),
            ),
            ('up{a="\\"}\\\\\\n"}', '{__name__="up",a="\\"}\\\\\\x0a",tenant_id="mine"}'),
            ("up # {\n", '{__name__="up",tenant_id="mine"}'),
            ('{"up"} * NaN', '{__name__="up",tenant_id="mine"} * NaN'),
        ],
    )
    def test_every_selector_gets_the_matcher(self, text: str, made: str) -> None:
        assert walled(text) == made

    def test_is_the_same_when_done_twice(self) -> None:
        for text in HOSTILE:
            try:
                made = walled(text)
            except (BadQueryError, QueryRefusedError):
                continue
            assert confine(made, LABEL, TENANT) == made, text

    def test_hostile_queries_are_walled_or_refused(self) -> None:
        assert len(HOSTILE) == len(set(HOSTILE)) >= 60
        passed = 0
        for text in HOSTILE:
            try:
                walled(text)
            except (BadQueryError, QueryRefusedError):
                continue
            passed += 1
        # A wall that lets nobody through would stand as well.
        assert passed >= 55

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("info(up)", "info"),
            ('up{a="1" or b="2"}', "may not hold `or`"),
            ('up{"my.label"="1"}', "label's name"),
            ('sum by ("my.label") (up)', "label's name"),
            ("up + fill(0) up", "fill"),
            ("up offset 300000y", "duration"),
            ("up @ 1e15", "@"),
            ("up offset 99999999y", "out of bounds"),
            ("up offset 2739727y", "out of bounds"),
            ("up[0.0001]", "duration"),
            ("start()", "start"),
            ("(" * (MAX_LEVELS + 1) + "up" + ")" * (MAX_LEVELS + 1), "levels"),
            ("up+" * (MAX_OPERATORS + 1) + "up", "operators"),
            ("up or " * (MAX_OPERATORS + 1) + "up", "operators"),
            ("-" * (MAX_OPERATORS + 1) + "up", "operators"),
            ('up{a="' + "(" * (MAX_BRACKETS + 1) + '"}', "brackets"),
            ("up{" + 'a=~"b",' * (MAX_EXPRESSIONS + 1) + "}", "expressions"),
            ("u" * (MAX_CHARACTERS + 1), "characters"),
        ],
    )
    def test_refuses_what_it_cannot_wall(self, text: str, why: str) -> None:
        with pytest.raises(QueryRefusedError, match=why):
            confine(text, LABEL, TENANT)

    @pytest.mark.parametrize(
        ("text", "line", "column"),
        [
            ("sum(up", 1, 4),
            ("up\n + (up]", 2, 7),
            ("up)", 1, 3),
            ('up{a="b}', 1, 6),
            (" ", 1, 1),
        ],
    )
    def test_says_where_a_text_breaks_off(self, text: str, line: int, column: int) -> None:
        with pytest.raises(BadQueryError) as caught:
            confine(text, LABEL, TENANT)
        assert caught.value.extra == {"line": line, "column": column}

    @pytest.mark.parametrize(
        "text", ["up down", "up{", "sum(up, up)", 'up{a=~"("}', "no_such(up)", "up offset 1e20"]
    )
    def test_says_that_it_is_no_promql(self, text: str) -> None:
        with pytest.raises(BadQueryError) as caught:
            confine(text, LABEL, TENANT)
        assert caught.value.detail

    def test_a_tenants_name_stays_a_text(self) -> None:
        made = confine("up", LABEL, 'x"} or up{a="')
        assert made == '{__name__="up",tenant_id="x\\"} or up{a=\\""}'
        assert len(selectors(made)) == 1

    @pytest.mark.parametrize(
        "text",
        [
            "(" * MAX_LEVELS + "1" + "+1)" * MAX_LEVELS,
            "-(" * MAX_LEVELS + "up" + ")" * MAX_LEVELS,
            "1^(" * MAX_LEVELS + "1" + ")" * MAX_LEVELS,
            "1^" * MAX_OPERATORS + "1",
            "up or " * MAX_OPERATORS + "up",
            "-" * MAX_OPERATORS + "up",
            "a*on(a)group_left(b)" * (MAX_BRACKETS // 2) + "a",
            "up{" + 'a=~"(x{1000}){99}",' * MAX_EXPRESSIONS + "}",
            "up{" + 'a="b",' * 600 + "}",
            "abs(" * MAX_LEVELS + "-" * (MAX_OPERATORS - 1) + "up" + ")" * MAX_LEVELS,
            # Closed for us, open for a reader who knows no text in backticks.
            "`" + "(" * MAX_BRACKETS + "`",
        ],
    )
    def test_the_worst_that_is_let_in_ends(self, text: str) -> None:
        """As a walled query or a refusal: ten times the bounds would take the process along."""
        assert len(text) <= MAX_CHARACTERS
        with contextlib.suppress(BadQueryError, QueryRefusedError):
            walled(text)

    @pytest.mark.parametrize(
        "text",
        [
            "(" * (MAX_LEVELS + 1) + "up" + ")" * (MAX_LEVELS + 1),
            "1^" * (MAX_OPERATORS + 1) + "1",
            "up or " * (MAX_OPERATORS + 1) + "up",
            "up and\nup " * (MAX_OPERATORS // 2 + 1) + "unless\tup " * (MAX_OPERATORS // 2 + 1),
            "-" * (MAX_OPERATORS + 1) + "up",
            "up" + "[1m:]" * (MAX_BRACKETS + 1),
            "`" + "(" * (MAX_BRACKETS + 1) + "`",
            "up{" + 'a=~"x{1000}",' * (MAX_EXPRESSIONS + 1) + "}",
            "u" * (MAX_CHARACTERS + 1),
            " " * MAX_CHARACTERS,
            "(",
        ],
    )
    def test_the_parser_sees_nothing_beyond_the_bounds(
        self, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What takes it long is what is counted before it: so nothing here needs a clock."""
        seen: list[str] = []
        monkeypatch.setattr(promql, "parse", seen.append)
        for ask in (confine, confine_selector):
            with pytest.raises((BadQueryError, QueryRefusedError)):
                ask(text, LABEL, TENANT)
        assert seen == []


class TestConfineSelector:
    def test_names_series(self) -> None:
        made = confine_selector('up{job="api"}', LABEL, TENANT)
        assert made == '{__name__="up",job="api",tenant_id="mine"}'

    @pytest.mark.parametrize("text", ["up[5m]", "up offset 1m", "up @ 5", "sum(up)", "up or up"])
    def test_refuses_more_than_a_selector(self, text: str) -> None:
        with pytest.raises(QueryRefusedError):
            confine_selector(text, LABEL, TENANT)

    def test_all_of_a_tenant(self) -> None:
        assert selector_of(LABEL, 'a"b') == '{tenant_id="a\\"b"}'


NAMES = st.sampled_from(["up", "orders_total", "tenant_id", "le", "sum", "by", "inf", "__name__"])
SPANS = st.sampled_from(["5m", "1h30m", "500ms"])
VALUES = st.text(max_size=12)


def _written(text: str) -> str:
    return '"' + "".join(f"\\U{ord(one):08x}" for one in text) + '"'


MATCHERS = st.builds(
    lambda name, sign, value: f"{name}{sign}{_written(value)}",
    NAMES.filter(lambda name: name != "__name__"),
    st.sampled_from(["=", "!="]),
    VALUES.filter(lambda text: not any("\ud800" <= one <= "\udfff" for one in text)),
)
SELECTORS = st.builds(
    lambda name, matchers: f"{name}{{{','.join(matchers)}}}",
    st.sampled_from(["up", "orders_total", "sum", "secrets:rate5m"]),
    st.lists(MATCHERS, max_size=4),
)


def _deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("sum by (tenant_id) ({})".format, inner),
        st.builds("({})".format, inner),
        st.builds("abs(-{})".format, inner),
        st.builds("({}) or ({})".format, inner, inner),
        st.builds("({}) * on (le) group_left () ({})".format, inner, inner),
        st.builds("max_over_time(({})[{}:])".format, inner, SPANS),
        st.builds(
            'label_replace({}, "tenant_id", {}, "", "")'.format,
            inner,
            VALUES.map(
                lambda text: _written(
                    "".join(one for one in text if not "\ud800" <= one <= "\udfff")
                )
            ),
        ),
        st.builds("topk(scalar({}), {})".format, inner, inner),
    )


QUERIES = st.recursive(
    st.one_of(SELECTORS, st.builds("rate({}[{}] offset 1m)".format, SELECTORS, SPANS)),
    _deeper,
    max_leaves=6,
)


class TestAnyQuery:
    @given(QUERIES)
    def test_reads_what_was_written_and_no_other_tenant(self, text: str) -> None:
        assume(len(text) <= MAX_CHARACTERS)
        made = walled(text)
        wanted = [
            [one.name, *map(str, (m for m in one.matchers.matchers if m.name != LABEL))]
            for one in selectors(text)
        ]
        read = []
        for one in selectors(made):
            name, *others = (m for m in one.matchers.matchers if m.name != LABEL)
            read.append([name.value, *map(str, others)])
        assert read == wanted

    @given(st.text(max_size=80))
    def test_any_text_is_walled_or_refused(self, text: str) -> None:
        with contextlib.suppress(BadQueryError, QueryRefusedError):
            walled(text)

    @given(
        st.lists(
            st.sampled_from([*HOSTILE, "{", "}", "(", ")", '"', "`", "\\", "#", "\n"]),
            min_size=1,
            max_size=4,
        )
    )
    def test_pieces_of_hostile_queries_are_walled_or_refused(self, pieces: list[str]) -> None:
        with contextlib.suppress(BadQueryError, QueryRefusedError):
            walled("".join(pieces))

"""JSON that is kept as it was said, and shown again."""

import pytest

from backend.core.sound_json import UnsoundError, read_json


class TestReadJson:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b'{"a": [1, null, "\\ud83d\\ude00"]}', {"a": [1, None, "\U0001f600"]}),
            (b'"\\\\u0000"', "\\u0000"),
            (b"9" * 400, 10**400 - 1),
            ('{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        ],
    )
    def test_reads_what_is_kept(self, body, said):
        assert read_json(body) == said

    @pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
    def test_counts_lists_and_objects_that_are_nested(self, pair):
        begin, end = pair
        read_json(begin * 100 + b"1" + end * 100)
        for depth in (101, 20_000):
            with pytest.raises(UnsoundError):
                read_json(begin * depth + b"1" + end * depth)

    @pytest.mark.parametrize(
        "body", [b'"\\u0000"', b'{"\\u0000": 1}', b'["\\ud800"]', b'{"\\udc00": 1}', b"[-1e999]"]
    )
    def test_refuses_what_is_json_and_not_kept(self, body):
        with pytest.raises(UnsoundError):
            read_json(body)

    @pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"[Infinity]", b'"\xff"', b"9" * 5000])
    def test_refuses_what_is_no_json(self, body):
        with pytest.raises(ValueError, match=r".") as caught:
            read_json(body)
        assert not isinstance(caught.value, UnsoundError)

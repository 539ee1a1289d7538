"""Log lines of everything that is not a request."""

import io
import json
import logging
import sys

import httpx

from backend.core.log import EcsFormatter, configure_logging


def line(message, *arguments, exc_info=None, **extra):
    logger = logging.getLogger("backend.somewhere")
    made = logger.makeRecord(
        logger.name, logging.WARNING, "f.py", 1, message, arguments, exc_info, extra=extra
    )
    text = EcsFormatter("email-sender-worker").format(made)
    assert "\n" not in text
    return json.loads(text)


class TestEcsFormatter:
    def test_names_follow_the_elastic_common_schema(self):
        entry = line("waited %s s", 3)
        assert entry["message"] == "waited 3 s"
        assert entry["log.level"] == "warning"
        assert entry["log.logger"] == "backend.somewhere"
        assert entry["service.name"] == "email-sender-worker"
        assert entry["@timestamp"].endswith("+00:00")
        assert "labels" not in entry

    def test_extra_fields_stand_below_labels(self):
        entry = line("job_lost", job="j-1", count=2, nothing=None, odd=["a"])
        assert entry["labels"] == {"job": "j-1", "count": 2, "odd": "['a']"}

    def test_an_exception_keeps_its_stack_on_one_line(self):
        try:
            raise ValueError("two\nlines")
        except ValueError:
            entry = line("failed", exc_info=sys.exc_info())
        assert entry["error.type"] == "ValueError"
        assert entry["error.message"] == "two\nlines"
        assert "Traceback" in entry["error.stack_trace"]


class TestConfigureLogging:
    def test_the_address_of_what_is_asked_is_not_written(self):
        """That of a webhook is its secret; and a command says one thing, not each request."""
        stream = io.StringIO()
        root = logging.getLogger()
        before, level = root.handlers[:], root.level
        try:
            configure_logging("test", "debug", stream)
            answering = httpx.MockTransport(lambda _: httpx.Response(200))
            with httpx.Client(transport=answering) as client:
                client.get("https://hooks.example.test/services/canary-xq7?key=canary-xq7")
            logging.getLogger("backend.somewhere").info("said")
        finally:
            root.handlers[:], root.level = before, level
        assert '"said"' in stream.getvalue()
        assert "canary-xq7" not in stream.getvalue()

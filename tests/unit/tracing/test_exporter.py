"""What happens where a collector is configured and nothing is installed that could export."""

import pytest

from backend.core.errors import UpstreamError
from backend.kit.outbound import Outbound
from backend.managers.tracing import Collector, can_export, otlp_exporter

ENDPOINT = "http://collector:4318/v1/traces"


@pytest.fixture
def _not_installed(monkeypatch):
    monkeypatch.setattr("backend.managers.tracing.manager.OTLPSpanExporter", None)


@pytest.mark.usefixtures("_not_installed")
class TestMissingExporter:
    def test_is_known(self):
        assert not can_export()

    def test_no_exporter_is_made(self):
        with pytest.raises(RuntimeError, match="email-sender"):
            otlp_exporter(ENDPOINT)

    async def test_the_collector_is_not_even_asked(self):
        collector = Collector(ENDPOINT, Outbound())
        with pytest.raises(UpstreamError, match=r"pip install 'email-sender\[cluster\]'"):
            await collector.check()


def test_the_one_of_the_extra_is_used():
    assert can_export()
    otlp_exporter(ENDPOINT).shutdown()

"""How many secrets a tenant may have, and how many bytes of them; how fast it may ask."""

from typing import Any

import pytest

from backend.managers.secrets import SecretsSettings
from backend.settings import Settings
from tests.integration.secrets.conftest import SECRETS, refused, write
from tests.integration.tenant.test_lifecycle import people, root
from tests.integration.tenant.test_quotas import limit
from tests.support.platform import App

__all__ = ["people", "root"]


class TestQuotas:
    async def test_of_secrets_count_secrets_and_not_their_versions(
        self, app: App, root: Any
    ) -> None:
        ada = await app.caller()
        await limit(root, ada.tenant, secrets=2)
        made = await write(ada, "a", "1")
        await write(ada, "a", "2")
        await write(ada, "b", "1")
        answer = await ada.http.post(SECRETS, json={"path": "c", "value": "1"})
        assert answer.status_code == 409, answer.text
        assert (answer.json()["quota"], answer.json()["used"]) == ("secrets", 2)
        await ada.http.delete(f"{SECRETS}/{made['secret_id']}")
        await write(ada, "c", "1")
        used = {one["quota"]: one for one in (await ada.http.get("/api/v1/quotas")).json()["items"]}
        assert (used["secrets"]["used"], used["secrets"]["limit"]) == (2, 2)

    async def test_of_bytes_count_all_versions_and_fall_with_what_is_destroyed(
        self, app: App, root: Any
    ) -> None:
        ada = await app.caller()
        made = await write(ada, "a", "x" * 1000)
        await limit(root, ada.tenant, secret_bytes=1500)
        body = {"path": "a", "value": "x" * 1000}
        answer = await ada.http.post(SECRETS, json=body)
        assert answer.json()["quota"] == "secret_bytes", answer.text
        url = f"{SECRETS}/{made['secret_id']}"
        assert refused(await ada.http.post(f"{url}/patch", json={"value": {"k": "v"}})) == (
            409,
            "secrets.not_an_object",
        )
        await ada.http.post(f"{url}/versions/1/destroy")
        assert (await ada.http.post(SECRETS, json=body)).status_code == 201

    async def test_of_bytes_let_whoever_is_at_the_limit_replace_a_value(
        self, app: App, root: Any
    ) -> None:
        """A password that is out must be replaced, whatever else is full."""
        ada = await app.caller()
        made = await write(ada, "a", "x" * 1000)
        url = f"{SECRETS}/{made['secret_id']}"
        assert (await ada.http.put(url, json={"max_versions": 1})).is_success
        await limit(root, ada.tenant, secret_bytes=made["size_bytes"])
        for version in (2, 3):
            assert (await write(ada, "a", "y" * 1000))["version"] == version
        answer = await ada.http.post(SECRETS, json={"path": "a", "value": "y" * 1100})
        assert answer.json()["quota"] == "secret_bytes", answer.text
        # What was to make room for it is still there.
        (kept,) = (await ada.http.get(f"{url}/versions")).json()["items"]
        assert (kept["version"], kept["state"]) == (3, "live")


class TestRate:
    @pytest.fixture
    def app_settings(self, app_settings: Settings) -> Settings:
        few = SecretsSettings(requests_per_second=0.01, burst_requests=3, body_limit_bytes=2048)
        return app_settings.model_copy(update={"secrets": few})

    async def test_is_of_each_caller(self, app: App) -> None:
        ada = await app.caller()
        other = await app.caller("admin", ada.tenant)
        for _ in range(3):
            assert (await ada.http.get(SECRETS)).status_code == 200
        answer = await ada.http.get(SECRETS)
        assert answer.status_code == 429
        assert '"secrets"' in answer.headers["RateLimit"]
        assert (await other.http.get(SECRETS)).status_code == 200

    async def test_bodies_have_their_bound(self, app: App) -> None:
        ada = await app.caller()
        answer = await ada.http.post(SECRETS, json={"path": "a", "value": "x" * 2048})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

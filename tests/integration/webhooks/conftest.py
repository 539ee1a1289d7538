"""A tenant whose programs are told of events, and one that is told."""

from collections.abc import AsyncIterator

import pytest

from backend.managers.webhooks import WebhooksSettings
from backend.settings import Settings
from tests.support.platform import App
from tests.support.webhooks import Post, Receiver


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().running() as made:
        yield made


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    own = WebhooksSettings(allow_private=True)
    return app_settings.model_copy(update={"webhooks": own})


@pytest.fixture
async def post(app: App) -> Post:
    return Post(app, await app.caller("owner"))

"""Tests of the choice of the store by its URL."""

import pytest

from gateway.domain import errors
from gateway.domain.configuration import StoreSettings
from gateway.domain.secret import Secret
from gateway.store.factory import open_store
from gateway.store.memory import MemoryStore
from gateway.store.redis import RedisStore
from tests.fixtures.clock import FakeClock


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", MemoryStore),
        ("redis://127.0.0.1:6379/0", RedisStore),
        ("rediss://cache.example:6379", RedisStore),
        ("unix:///run/redis.sock", RedisStore),
    ],
)
async def test_the_scheme_of_the_url_selects_the_store(url: str, kind: type, clock: FakeClock) -> None:
    store = open_store(StoreSettings(url=Secret(url)), clock)
    assert isinstance(store, kind)
    await store.close()


async def test_an_unknown_scheme_is_misconfigured_and_the_error_does_not_show_the_url(clock: FakeClock) -> None:
    with pytest.raises(errors.Misconfigured) as caught:
        open_store(StoreSettings(url=Secret("mysql://hush-hush")), clock)
    assert "hush" not in str(caught.value)

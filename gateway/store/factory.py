"""Opens the store that the settings name."""

from gateway.domain import errors
from gateway.domain.configuration import StoreSettings
from gateway.domain.ports import Clock
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store


def open_store(settings: StoreSettings, clock: Clock) -> Store:
    """The store that `settings` name; nothing is connected before the first call.

    :raises errors.Misconfigured: the scheme of the URL is unknown.
    """
    scheme = settings.url.value.partition(":")[0].lower()
    if scheme == "memory":
        return MemoryStore(clock)
    if scheme in {"redis", "rediss", "unix"}:
        from gateway.store.redis import RedisStore  # noqa: PLC0415 - redis-py is large: not for a store in memory

        return RedisStore(url=settings.url.value, prefix=settings.prefix, timeout=settings.timeout, tls=settings.tls)
    raise errors.Misconfigured("store.url", "must begin with memory:, redis:, rediss: or unix:")

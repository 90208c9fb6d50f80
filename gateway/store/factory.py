"""Which store do the settings name?"""

from typing import Protocol

from gateway.domain import errors
from gateway.domain.channel import TlsSettings
from gateway.domain.ports import Clock
from gateway.domain.secret import Secret
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from gateway.store.redis import RedisStore


class StoreAddress(Protocol):
    """What `settings.snapshot.StoreSettings` says; its package stands above this one."""

    @property
    def url(self) -> Secret:
        """`memory://`, `redis://…`, `rediss://…` or `unix://…`."""

    @property
    def prefix(self) -> str:
        """Stands before every key."""

    @property
    def timeout(self) -> float:
        """Seconds for one call."""

    @property
    def tls(self) -> TlsSettings:
        """Trust and client certificate for `rediss://`."""


def open_store(settings: StoreAddress, clock: Clock) -> Store:
    """The store that `settings` name; nothing is connected before the first call.

    :raises errors.Misconfigured: no store has such an address.
    """
    scheme = settings.url.reveal().partition(":")[0].lower()
    if scheme == "memory":
        return MemoryStore(clock)
    if scheme in {"redis", "rediss", "unix"}:
        return RedisStore(url=settings.url.reveal(), prefix=settings.prefix, timeout=settings.timeout, tls=settings.tls)
    raise errors.Misconfigured("store.url", "begins with none of memory:, redis:, rediss:, unix:")

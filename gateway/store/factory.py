"""Opens the store that the settings name."""

from typing import Protocol

from gateway.domain import errors
from gateway.domain.channel import TlsSettings
from gateway.domain.ports import Clock
from gateway.domain.secret import Secret
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from gateway.store.redis import RedisStore


class StoreAddress(Protocol):
    """The fields of `settings.snapshot.StoreSettings`, a package that this one may not import."""

    @property
    def url(self) -> Secret:
        """`memory://`, `redis://…`, `rediss://…` or `unix://…`."""

    @property
    def prefix(self) -> str:
        """Prefix of every key."""

    @property
    def timeout(self) -> float:
        """Time limit of one call, in seconds."""

    @property
    def tls(self) -> TlsSettings:
        """Trust and client certificate for `rediss://`."""


def open_store(settings: StoreAddress, clock: Clock) -> Store:
    """The store that `settings` name; it connects at the first call.

    :raises errors.Misconfigured: the scheme of the URL is unknown.
    """
    scheme = settings.url.reveal().partition(":")[0].lower()
    if scheme == "memory":
        return MemoryStore(clock)
    if scheme in {"redis", "rediss", "unix"}:
        return RedisStore(url=settings.url.reveal(), prefix=settings.prefix, timeout=settings.timeout, tls=settings.tls)
    raise errors.Misconfigured("store.url", "must begin with memory:, redis:, rediss: or unix:")

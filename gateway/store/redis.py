"""The store for several replicas: Redis (7.0 or newer) or Valkey.

Every verb is one command or one script, so it is atomic for all replicas. Commands are never retried here: a command
whose answer was lost may have taken effect, so the caller receives `errors.Unreachable` and decides. Almost all verbs
share one connection, see `redis_pipeline`. Subscriptions and lists use the pool of redis-py, which checks a connection
before each use. So the next call reaches a server that is up again.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from hashlib import sha1
from secrets import token_bytes, token_hex
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.domain import errors
from gateway.domain.channel import TlsSettings
from gateway.domain.tasks import CancellationKept
from gateway.observe.connection_errors import own_text, why_not_connected
from gateway.store import scripts
from gateway.store.counters import MARGIN, Held, Reserved, Rule
from gateway.store.redis_pipeline import RedisPipeline

T = TypeVar("T")

_KEEPS_ALL = "noeviction"
_DROPS = "drops locks and used codes when its memory is full (maxmemory-policy {}); set maxmemory-policy noeviction"
CONNECTIONS = 49
"""Connections of the pool; with the shared one of `RedisPipeline`, a replica opens at most 50."""
POOL_WAIT = 2.0
"""Seconds for which a call waits for a free connection; at least the operator's `store.timeout`."""


class RedisStore:
    """Implements `store.protocol.Store` with one Redis or Valkey server.

    :param url: `redis://`, `rediss://` (TLS) or `unix://`, with user, password and database as redis-py reads them.
    :param prefix: prefix of every key and channel.
    :param timeout: time limit for connecting and for each answer, in seconds.
    :param tls: trust and client certificate for `rediss://`.
    :raises errors.Misconfigured: the URL is not one of these.
    """

    def __init__(self, *, url: str, prefix: str, timeout: float, tls: TlsSettings) -> None:
        self._prefix = prefix
        self._timeout = timeout
        try:
            self._pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=max(POOL_WAIT, timeout),
                protocol=3,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
                **_options(url, tls),
            )
        except (ValueError, TypeError, OSError):
            # Not chained: the parser's message may quote the URL, which may contain a password.
            raise errors.Misconfigured("store.url", "not a redis://, rediss:// or unix:// URL") from None
        self._is_tls = url.startswith("rediss:")
        to = self._pool.connection_kwargs
        self._address = to.get("path") or f"{to.get('host', 'localhost')}:{to.get('port', 6379)}"
        self._client: Redis = Redis.from_pool(self._pool)
        self._pipeline = RedisPipeline(self._pool.make_connection, timeout)

    async def get(self, key: str) -> bytes | None:
        return cast("bytes | None", await self._send("GET", self._prefix + key))

    def ask(self, key: str, answered: Callable[[bytes | None], None]) -> None:
        self._pipeline.ask(
            lambda found: answered(found if isinstance(found, bytes) else None), "GET", self._prefix + key
        )

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        await self._send("SET", self._prefix + key, value, "PX", _milliseconds(ttl))

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        return bool(await self._send("SET", self._prefix + key, value, "PX", _milliseconds(ttl), "NX"))

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        return bool(await self._run(scripts.SWAP, [self._prefix + key], old, new, _milliseconds(ttl)))

    async def delete(self, key: str) -> bool:
        return bool(await self._send("DEL", self._prefix + key))

    async def delete_if(self, key: str, old: bytes) -> bool:
        return bool(await self._run(scripts.DELETE_IF, [self._prefix + key], old))

    async def reserve(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        return await self._counted(scripts.RESERVE, rules, now)

    async def look(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        return await self._counted(scripts.LOOK, rules, now)

    async def _counted(self, script: str, rules: Sequence[Rule], now: float) -> Reserved | Held:
        arguments: list[str | int] = [repr(now), repr(MARGIN)]
        for rule in rules:
            flags = (int(flag) for flag in (rule.sliding, rule.restart, rule.ends_with_lock))
            arguments += [repr(rule.window), *flags, len(rule.steps)]
            for reached, seconds in rule.steps:
                arguments += [reached, repr(seconds)]
        return _found(await self._run(script, self._keys(rules), *arguments))

    async def give_back(self, rules: Sequence[Rule], now: float) -> None:
        await self._run(scripts.GIVE_BACK, self._keys(rules), repr(now), repr(MARGIN))

    async def clear(self, rules: Sequence[Rule]) -> None:
        if rules:
            await self._send("DEL", *self._keys(rules))

    async def append(self, key: str, value: bytes, keep: int, ttl: float) -> None:
        await self._run(scripts.APPEND, [self._prefix + key], value, keep, _milliseconds(ttl))

    async def last(self, key: str, count: int) -> list[bytes]:
        if count <= 0:
            return []
        values = await self._call(cast("Awaitable[list[bytes]]", self._client.lrange(self._prefix + key, -count, -1)))
        return values[::-1]

    async def publish(self, channel: str, message: bytes) -> None:
        await self._send("PUBLISH", self._prefix + channel, message)

    async def check(self) -> tuple[str, ...]:
        key, value = f"{{check:{token_hex(8)}}}", token_bytes(8)
        await self.set(key, value, 10)
        if await self.get(key) != value:
            raise errors.Unreachable("store", f"{self._address} did not return the value that was just written")
        # A user of the store may lack the right to one of these alone: scripts, messages.
        await self.swap(key, value, value, 10)
        await self.append(f"{key}:list", value, 1, 10)
        await self.publish("check", b"")
        try:
            memory = await self._call(self._client.info("memory"))
        except errors.Unreachable as error:
            if isinstance(error.__cause__, NoPermissionError):
                return ()  # the right to `info` is not needed for anything else
            raise
        policy = memory.get("maxmemory_policy", _KEEPS_ALL)
        return () if policy == _KEEPS_ALL else (f"{self._address} {_DROPS.format(policy)}",)

    async def close(self) -> None:
        await self._pipeline.close()
        with suppress(RedisError, OSError):
            await self._client.aclose()
        with suppress(RedisError, OSError):
            await self._pool.disconnect()

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[bytes]]:
        pubsub = self._client.pubsub()
        try:
            await self._call(pubsub.subscribe(self._prefix + channel))
            if await self._call(pubsub.get_message(timeout=self._timeout)) is None:
                raise errors.Unreachable("store", f"{self._address} did not confirm a subscription in time")
            yield self._messages(pubsub)
        finally:
            with suppress(RedisError, OSError):
                await pubsub.aclose()  # type: ignore[no-untyped-call]  # untyped in redis-py

    async def _messages(self, pubsub: PubSub) -> AsyncIterator[bytes]:
        while True:
            message = await self._call(pubsub.get_message(timeout=None))
            if message and message["type"] == "message":
                yield message["data"]

    def _keys(self, rules: Sequence[Rule]) -> list[str]:
        return [self._prefix + key for rule in rules for key in (rule.count, rule.lock)]

    async def _send(self, *command: str | bytes | int) -> Any:
        return await self._call(self._pipeline.call(*command))

    async def _run(self, script: str, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """The answer of a script, which the server keeps by its digest; a server that lacks it has run nothing."""
        words = len(keys), *keys, *arguments
        try:
            return await self._send("EVALSHA", _digest(script), *words)
        except errors.Unreachable as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
        return await self._send("EVAL", script, *words)

    async def _call(self, command: Awaitable[T]) -> T:
        """The answer of `command`. Raises `errors.Unreachable`, and a cancellation even if redis-py swallows it."""
        try:
            with CancellationKept():
                return await command
        except ReadOnlyError as error:
            # The server has become a replica: close idle connections, so that the next call resolves the name again.
            with suppress(RedisError, OSError):
                await self._pool.disconnect(inuse_connections=False)
            self._pipeline.renew()
            raise errors.Unreachable("store", f"{self._address} is read-only; name the primary in store.url") from error
        except NoPermissionError as error:  # its text names the command or says "key" or "channel", never a value
            advice = "give its user the rights that the guide lists, for the keys and channels of store.prefix"
            raise errors.Unreachable("store", f"{self._address}: {error}; {advice}") from error
        except (RedisError, OSError, TimeoutError) as error:
            raise errors.Unreachable("store", f"{self._address}: {self._why(error)}") from error

    def _why(self, error: BaseException) -> str:
        """The reason with the setting to check. A text that may quote the arguments of a command is not shown."""
        match error:
            case AuthenticationError():
                return f"{own_text(error)}; correct user and password in store.url"
            case RedisTimeoutError() | TimeoutError():
                tls = ", whether the server speaks TLS" if self._is_tls else ""
                return f"no response within {self._timeout:g} s; check store.url{tls}, or raise store.timeout"
            case RedisConnectionError() | OSError():
                return why_not_connected(error, tls="tls.store", address="store.url")
            case ResponseError() if "with args" not in str(error):
                return own_text(error)
            case _:
                return type(error).__name__


def _found(answer: list[bytes]) -> Reserved | Held:
    if answer[0] == b"held":
        return Held(int(answer[1]), float(answer[2]))
    return Reserved(tuple(int(count) for count in answer[1:]))


@cache
def _digest(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()  # the name that Redis gives a script


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))


def _options(url: str, tls: TlsSettings) -> dict[str, Any]:
    scheme = url.partition(":")[0]
    if scheme == "unix":
        return {}
    if scheme != "rediss":
        return {"socket_keepalive": True}
    return {
        "socket_keepalive": True,
        "ssl_ca_certs": tls.ca_file,
        "ssl_certfile": tls.certificate_file,
        "ssl_keyfile": tls.key_file,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
    }

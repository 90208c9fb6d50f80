"""Tests of the Redis store with failing servers, and of the keys it leaves."""

import asyncio
import gc
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex

import pytest
import trustme
from redis.asyncio import Redis

from gateway.domain import errors
from gateway.domain.channel import TlsSettings
from gateway.store.counters import Reserved, Rule
from gateway.store.redis import RedisStore
from tests.fixtures.clock import START
from tests.fixtures.ports import free_port
from tests.fixtures.redis import server

pytestmark = pytest.mark.redis
RULE = Rule(count="{t/u}:tries", lock="{t/u}:locked", window=600.0, steps=((3, 60.0),))


def at(url: str, timeout: float = 10.0) -> RedisStore:
    return RedisStore(url=url, prefix="test:", timeout=timeout, tls=TlsSettings())


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    made = at(redis_url)
    yield made
    await made.close()


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def fill(store: RedisStore) -> None:
    """Writes one key of every sort."""
    await store.set("set", b"1", 60)
    await store.add("add", b"1", 60)
    await store.swap("add", b"1", b"2", 60)
    await store.append("list", b"1", keep=3, ttl=60)
    for _ in range(3):
        await store.reserve([RULE], START)
    await store.give_back([RULE], START)
    await store.reserve([RULE], START)


async def test_every_key_has_the_prefix_and_an_expiry(store: RedisStore, raw: Redis) -> None:
    await fill(store)
    keys = await raw.keys("*")
    assert set(keys) == {f"test:{k}".encode() for k in ("set", "add", "list", RULE.count, RULE.lock)}
    assert all([await raw.pttl(key) > 0 for key in keys])


async def test_two_prefixes_share_no_keys(store: RedisStore, redis_url: str) -> None:
    other = RedisStore(url=redis_url, prefix="other:", timeout=10.0, tls=TlsSettings())
    await fill(store)
    assert await other.get("set") is None
    assert await other.look([RULE], START) == Reserved((0,))
    await other.close()


async def test_scripts_that_the_server_lost_are_loaded_again(store: RedisStore, raw: Redis) -> None:
    await store.reserve([RULE], START)
    await raw.script_flush()
    assert await store.reserve([RULE], START) == Reserved((2,))


async def test_the_check_leaves_no_permanent_key(store: RedisStore, raw: Redis) -> None:
    await store.check()
    assert all([0 < await raw.pttl(key) <= 10_000 for key in await raw.keys("*")])


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("-@scripting", "evalsha"),
        ("-publish", "publish"),
        ("-set", "'set'"),
        ("-get", "'get'"),
    ],
)
async def test_the_check_names_a_right_that_the_stores_user_lacks(
    redis_url: str, raw: Redis, missing: str, reason: str
) -> None:
    name, password = f"user{token_hex(4)}", token_hex(16)
    await raw.execute_command("ACL", "SETUSER", name, "on", f">{password}", "~*", "&*", "+@all", missing)  # type: ignore[no-untyped-call]  # untyped in redis-py
    scheme, _, rest = redis_url.partition("://")
    limited = at(f"{scheme}://{name}:{password}@{rest.rpartition('@')[2]}")
    with pytest.raises(errors.Unreachable, match=f"{reason}.*give its user the rights"):
        await limited.check()
    await limited.close()
    await raw.execute_command("ACL", "DELUSER", name)  # type: ignore[no-untyped-call]  # untyped in redis-py


async def test_a_closed_port_is_unreachable() -> None:
    store = at(f"redis://127.0.0.1:{free_port()}/0")
    for call in (store.get("k"), store.check(), store.publish("c", b""), store.reserve([RULE], START)):
        with pytest.raises(errors.Unreachable):
            await call
    with pytest.raises(errors.Unreachable):
        async with store.subscribe("c"):
            pass
    await store.close()


async def test_a_server_that_never_answers_is_unreachable_after_the_timeout() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(silence, "127.0.0.1", port):
        store = at(f"redis://127.0.0.1:{port}/0", timeout=0.05)
        async with asyncio.timeout(5):
            with pytest.raises(errors.Unreachable):
                await store.get("k")
        await store.close()


async def test_a_wrong_password_is_unreachable_and_never_shown(redis_url: str) -> None:
    store = at(redis_url.replace("://", "://nobody:hush-hush@"))
    with pytest.raises(errors.Unreachable) as caught:
        await store.get("k")
    assert "hush" not in repr(caught.value) + str(caught.value.__cause__)
    await store.close()


async def test_an_invalid_url_is_misconfigured_and_never_shown() -> None:
    with pytest.raises(errors.Misconfigured) as caught:
        at("redis://:hush-hush@host:notaport/0")
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_a_read_only_server_is_unreachable_for_writes_and_still_reads(store: RedisStore, raw: Redis) -> None:
    await store.set("k", b"1", 60)
    await raw.replicaof("127.0.0.1", str(free_port()))
    try:
        with pytest.raises(errors.Unreachable, match="read-only"):
            await store.set("k", b"2", 60)
        assert await store.get("k") == b"1"
        with pytest.raises(errors.Unreachable):
            await store.check()
    finally:
        await raw.replicaof("NO", "ONE")
    await store.set("k", b"3", 60)


async def test_idle_connections_to_a_server_that_became_a_replica_are_closed(store: RedisStore, raw: Redis) -> None:
    await asyncio.gather(store.get("k"), *(store.last("list", 1) for _ in range(6)))
    assert len(await raw.client_list()) > 3
    await raw.replicaof("127.0.0.1", str(free_port()))
    try:
        with pytest.raises(errors.Unreachable, match="read-only"):
            await store.set("k", b"2", 60)
        left = [len(await raw.client_list(_type="normal")) for _ in range(50)]
    finally:
        await raw.replicaof("NO", "ONE")
    assert left[-1] <= 2, "this test's own one, and the one that got the answer"


async def test_a_full_server_is_unreachable_for_writes(store: RedisStore, raw: Redis) -> None:
    await raw.config_set("maxmemory", "1")
    try:
        with pytest.raises(errors.Unreachable, match="OutOfMemory"):
            await store.set("k", b"1", 60)
        with pytest.raises(errors.Unreachable):
            await store.reserve([RULE], START)
    finally:
        await raw.config_set("maxmemory", "0")


async def test_a_server_that_does_not_answer_is_unreachable_and_usable_again_soon_after(
    redis_url: str, raw: Redis
) -> None:
    store = at(redis_url, timeout=0.1)
    await store.set("k", b"1", 60)
    await raw.client_pause(60_000, all=False)
    try:
        for call in (store.set("k", b"2", 60), store.reserve([RULE], START), store.check()):
            with pytest.raises(errors.Unreachable):
                await call
    finally:
        await raw.client_unpause()
    async with asyncio.timeout(2):
        while not await _answers(store):
            pass
        await store.check()
    await store.close()


async def test_a_cut_subscription_ends_as_unreachable(store: RedisStore, raw: Redis) -> None:
    async with store.subscribe("c") as messages:
        await raw.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(5):
            with pytest.raises(errors.Unreachable):
                await anext(messages)


async def test_connections_cut_by_the_server_are_soon_replaced(store: RedisStore, raw: Redis) -> None:
    await asyncio.gather(*(_answers(store) for _ in range(20)))
    await raw.client_kill_filter(_type="normal", skipme=True)
    async with asyncio.timeout(5):
        while not all(await asyncio.gather(*(_answers(store) for _ in range(20)))):
            pass  # the end of a cut connection is noticed when the end of its stream arrives


async def test_the_answer_of_a_cancelled_call_is_not_given_to_the_next_call(store: RedisStore) -> None:
    await store.set("a", b"a", 60)
    await store.set("b", b"b", 60)
    for _ in range(50):
        call = asyncio.create_task(store.get("a"))
        await asyncio.sleep(0)
        call.cancel()
        assert await store.get("b") == b"b"
        await asyncio.gather(call, return_exceptions=True)


async def test_a_unix_socket_can_be_used(redis_server: int, tmp_path: Path) -> None:
    with server(program(), tmp_path, "--unixsocket", str(tmp_path / "s")):
        store = at(f"unix://{tmp_path}/s?db=0")
        await store.check()
        await store.close()


@pytest.mark.row("GW-33")
async def test_tls_is_used_and_an_untrusted_server_is_reported_with_the_setting_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    files = {name: tmp_path / name for name in ("ca", "stranger", "certificate", "key")}
    authority.cert_pem.write_to_path(files["ca"])
    stranger.cert_pem.write_to_path(files["stranger"])
    certificate.cert_chain_pems[0].write_to_path(files["certificate"])
    certificate.private_key_pem.write_to_path(files["key"])
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(files["certificate"]), "--tls-auth-clients", "no"]
    options += ["--tls-key-file", str(files["key"]), "--tls-ca-cert-file", str(files["ca"])]
    with server(program(), tmp_path, *options):
        trusting, doubting = (
            RedisStore(
                url=f"rediss://127.0.0.1:{port}/0",
                prefix="test:",
                timeout=10.0,
                tls=TlsSettings(ca_file=str(files[name])),
            )
            for name in ("ca", "stranger")
        )
        assert await trusting.get("k") is None
        with pytest.raises(
            errors.Unreachable,
            match=rf":{port}: its certificate is not trusted: .*; see tls\.store\.ca_file",
        ):
            await doubting.get("k")
        with pytest.raises(errors.Unreachable):
            async with doubting.subscribe("c"):
                pass
        await trusting.close()
        await doubting.close()
    gc.collect()  # asyncio reports an error that was not read when its owner is collected
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelname != "DEBUG"]


@pytest.mark.row("GW-33")
async def test_a_server_that_requires_a_client_certificate_receives_the_gateways(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("127.0.0.1", "gateway.example"):
        authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    port, own = free_port(), str(tmp_path / "gateway.example.pem")
    options = ["--tls-port", str(port), "--tls-auth-clients", "yes", "--tls-ca-cert-file", str(tmp_path / "ca.pem")]
    options += [word for what in ("cert", "key") for word in (f"--tls-{what}-file", str(tmp_path / "127.0.0.1.pem"))]
    answers = []
    with server(program(), tmp_path, *options):
        for certificate in (own, None):
            tls = TlsSettings(ca_file=str(tmp_path / "ca.pem"), certificate_file=certificate)
            store = RedisStore(url=f"rediss://127.0.0.1:{port}/0", prefix="test:", timeout=10.0, tls=tls)
            answers.append(await _answers(store))
            await store.close()
    assert answers == [True, False]


def program() -> str:
    found = shutil.which("redis-server")
    assert found
    return found


async def _answers(store: RedisStore) -> bool:
    """Whether both the pool and the connection that reads share answer."""
    try:
        await store.last("list", 1)
        await store.get("k")
    except errors.Unreachable:
        return False
    return True

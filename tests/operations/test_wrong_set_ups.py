"""Tests that readiness names each wrong set-up of a dependency, with its fix. The ids are the list of set-ups."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import trustme
from redis.asyncio import Redis

from gateway.crypto.key_ring import Key, KeyRing
from gateway.delivery.smtp import Mailer, Message
from gateway.domain import errors
from gateway.domain.channel import Channel, ChannelKind, ChannelType, MailSecurity, Relay, TlsSettings
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.domain.secret import Secret
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.token_endpoint import TokenEndpoint
from gateway.keycloak.user_profile_schema import ATTRIBUTE, WANTED
from gateway.keycloak.users import UserProfiles, Users
from gateway.operations import key_ring_check
from gateway.operations.readiness import Readiness
from gateway.operations.realm_checks import RealmChecks
from gateway.store.memory import MemoryStore
from gateway.store.redis import RedisStore
from tests.fixtures.installation import Folder, folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer, StartMailServer
from tests.fixtures.ports import free_port


@dataclass
class SetUp:
    """A complete set-up on a real realm. Each method makes one thing wrong; `undo` repairs the realm."""

    settings: Folder
    keycloak: Keycloak
    tls_port: int
    undo: ExitStack

    @property
    def access(self) -> dict[str, Any]:
        """Returns EFCX's `keyCloak` object."""
        found: dict[str, Any] = self.settings.tenant["tenantSettings"]["keyCloak"]
        return found

    @property
    def own(self) -> dict[str, Any]:
        """Returns the section `gateway.keycloak`."""
        found: dict[str, Any] = self.settings.tenant["gateway"]["keycloak"]
        return found

    def url(self, url: str) -> None:
        """Sets `auth-server-url`; the expected issuer stays."""
        self.own["issuer"] = self.keycloak.issuer(self.keycloak.bare_realm)
        self.access["auth-server-url"] = url

    def change(self, path: str, **fields: Any) -> None:
        """Changes a representation of the admin API, until `undo`."""
        before = self.ask("GET", path).json()
        self.undo.callback(self.ask, "PUT", path, json=before)
        self.ask("PUT", path, json={**before, **fields})

    def client(self, name: str = "gateway-login", **fields: Any) -> None:
        """Changes a client. Keycloak deletes the secret of a client that is made public."""
        (found,) = self.ask("GET", f"clients?clientId={name}").json()
        secret = {"secret": self.keycloak.clients[name]}
        self.undo.callback(self.ask, "PUT", f"clients/{found['id']}", json={**found, **secret})
        self.ask("PUT", f"clients/{found['id']}", json={**found, **secret, **fields})

    def sso(self, **fields: Any) -> None:
        """Lets users sign in on Keycloak's own page, by a client without the password grant."""
        self.own["sign_in"] = "sso"
        self.client(**{"directAccessGrantsEnabled": False, **fields})

    def deny_flow(self) -> None:
        """Binds a direct grant flow that denies access."""
        alias = f"deny-{token_hex(4)}"
        flow = {"alias": alias, "providerId": "basic-flow", "topLevel": True, "builtIn": False}
        made = self.ask("POST", "authentication/flows", json=flow).headers["Location"].rpartition("/")[2]
        self.undo.callback(self.ask, "DELETE", f"authentication/flows/{made}")
        at = f"authentication/flows/{alias}/executions"
        self.ask("POST", f"{at}/execution", json={"provider": "deny-access-authenticator"})
        (execution,) = self.ask("GET", at).json()
        self.ask("PUT", at, json={**execution, "requirement": "REQUIRED"})
        self.change("", directGrantFlow=alias)

    def roles(self, *, add: str = "", remove: str = "") -> None:
        """Changes the service account's roles of `realm-management`."""
        admin, realm = self.keycloak.admin, self.keycloak.bare_realm
        (management,) = self.ask("GET", "clients?clientId=realm-management").json()
        at = f"users/{admin.user_id('service-account-gateway-admin', realm)}/role-mappings/clients/{management['id']}"
        role = self.ask("GET", f"clients/{management['id']}/roles/{add or remove}").json()
        do, back = ("POST", "DELETE") if add else ("DELETE", "POST")
        self.undo.callback(self.ask, back, at, json=[role])
        self.ask(do, at, json=[role])

    def brute_force(self, **fields: Any) -> None:
        """Changes the realm, which the service account may read."""
        self.roles(add="view-realm")
        self.change("", **fields)

    def attribute(self, **fields: Any) -> None:
        """Declares the attribute of the second factor in another way."""
        profile = self.ask("GET", "users/profile").json()
        others = [one for one in profile["attributes"] if one["name"] != ATTRIBUTE]
        self.change("users/profile", attributes=[*others, {**WANTED, **fields}] if fields else others)

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Calls the admin API of the realm."""
        return self.keycloak.admin.request(method, path, self.keycloak.bare_realm, **more)


@pytest.fixture(scope="module")
def prepared(keycloak: Keycloak) -> Iterator[Keycloak]:
    """Yields the Keycloak whose second realm declares the attribute meanwhile."""
    at, realm = "users/profile", keycloak.bare_realm
    before = keycloak.admin.request("GET", at, realm).json()
    attributes = [*before["attributes"], dict(WANTED)]
    keycloak.admin.request("PUT", at, realm, json={**before, "attributes": attributes})
    yield keycloak
    keycloak.admin.request("PUT", at, realm, json=before)


@asynccontextmanager
async def tls_server() -> AsyncIterator[int]:
    """Yields the port of a server with a certificate of an unknown authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def end(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    port = free_port()
    async with await asyncio.start_server(end, "127.0.0.1", port, ssl=context):
        yield port


@pytest.fixture
async def set_up(tmp_path: Path, prepared: Keycloak) -> AsyncIterator[SetUp]:
    """Yields a set-up without fault; ends with the repaired realm."""
    settings = folder(tmp_path, keycloak=prepared, mail=MailServer(free_port()), app="http://127.0.0.1:1")
    settings.tenant["tenantSettings"]["keyCloak"]["realm"] = prepared.bare_realm
    with ExitStack() as undo:
        async with tls_server() as port:
            yield SetUp(settings, prepared, port, undo)


async def told(set_up: SetUp) -> str:
    """Returns what readiness tells of Keycloak: its reason, or its warnings."""
    configuration, connections = set_up.settings.load(), KeycloakClients()
    endpoint = TokenEndpoint(connections, SystemClock())
    checks = RealmChecks(endpoint, Users(connections), UserProfiles(connections), lambda: configuration)
    try:
        await checks.look()  # without the time limit of a probe, so that a slow machine does not matter
        report = await Readiness({"keycloak": checks.check}, limit=30).verdict()
    finally:
        await connections.close()
    return report.reasons.get("keycloak") or "; ".join(report.warnings.get("keycloak", ()))


Fault = Callable[[SetUp], None]
KEYCLOAK: dict[str, tuple[Fault, str]] = {
    "realm-name": (lambda s: s.access.update(realm="nowhere"), "Realm does not exist; correct keyCloak.realm"),
    "path-auth-missing": (
        lambda s: s.url(s.keycloak.base_url.removesuffix("auth/")),
        "404 ; keyCloak.auth-server-url may lack the path of this Keycloak, for example /auth/",
    ),
    "path-auth-superfluous": (
        lambda s: s.url(s.keycloak.base_url + "auth/"),
        "if this Keycloak has no path /auth, remove it from keyCloak.auth-server-url",
    ),
    "host-unknown": (lambda s: s.url("http://keycloak.invalid/auth/"), "at keycloak.invalid: .*auth-server-url"),
    "port-closed": (lambda s: s.url("http://127.0.0.1:1/auth/"), "Connection refused; check keyCloak.auth-server-url"),
    "https-to-http": (
        lambda s: s.url(s.keycloak.base_url.replace("http:", "https:")),
        "no TLS; check keyCloak.auth-server-url",
    ),
    "http-to-https": (
        lambda s: s.url(f"http://127.0.0.1:{s.tls_port}/auth/"),
        "check keyCloak.auth-server-url, the server may expect TLS",
    ),
    "certificate-untrusted": (
        lambda s: s.url(f"https://127.0.0.1:{s.tls_port}/auth/"),
        "its certificate is not trusted: .*; see tls.keycloak.ca_file",
    ),
    "issuer-differs": (
        lambda s: s.change("", attributes={"frontendUrl": "https://sso.example.com/auth"}),
        "its issuer is https://sso.example.com/auth/realms/.*the settings expect http://127.*gateway.keycloak.issuer",
    ),
    "realm-disabled": (lambda s: s.change("", enabled=False), "access_denied Realm not enabled; enable the realm"),
    "client-unknown": (lambda s: s.own.update(client_id="other"), "correct gateway.keycloak.client_id, or enable"),
    "client-disabled": (lambda s: s.client(enabled=False), "correct gateway.keycloak.client_id, or enable the client"),
    "client-secret": (lambda s: s.own.update(client_secret="x"), "correct gateway.keycloak.client_secret"),
    "client-public": (lambda s: s.client(publicClient=True), "turn on Client authentication of this client"),
    "client-consent": (lambda s: s.client(consentRequired=True), "turn off Consent required of this client"),
    "direct-grants-off": (
        lambda s: s.client(directAccessGrantsEnabled=False),
        "client gateway-login: unauthorized_client .*; turn on Direct access grants of this client",
    ),
    "standard-flow-off": (
        lambda s: s.sso(standardFlowEnabled=False),
        "client gateway-login does not sign users in .*turn on its Standard flow",
    ),
    "redirect-uri-missing": (
        lambda s: s.sso(redirectUris=["https://cc.example.com/*"]),
        "add http://127.0.0.1:[0-9]+/-/oidc/callback to its Valid redirect URIs",
    ),
    "client-of-single-sign-on-disabled": (
        lambda s: s.sso(enabled=False),
        "correct gateway.keycloak.client_id, or enable the client",
    ),
    "deny-flow-without-override": (lambda s: s.deny_flow(), "Advanced, Authentication flow overrides"),
    "administration-client-unknown": (
        lambda s: s.own["service_account"].update(client_id="other"),
        "signing in as client other: invalid_client .*correct gateway.keycloak.service_account.client_id",
    ),
    "administration-secret": (
        lambda s: s.own["service_account"].update(client_secret="x"),
        "signing in as client gateway-admin: .*; correct gateway.keycloak.service_account.client_secret",
    ),
    "service-account-off": (
        lambda s: s.client("gateway-admin", serviceAccountsEnabled=False),
        "turn on Service account roles of this client",
    ),
    "manage-users-missing": (lambda s: s.roles(remove="manage-users"), "role manage-users of realm-management"),
    "attribute-undeclared": (lambda s: s.attribute(), "efcx2fa is not declared.*Realm settings, User profile"),
    "attribute-editable-by-users": (
        lambda s: s.attribute(permissions={"view": ["admin"], "edit": ["admin", "user"]}),
        "users may change the attribute efcx2fa; .*who can edit: admin only",
    ),
    "attribute-single-valued": (lambda s: s.attribute(multivalued=False), "is not multivalued.*multivalued on"),
    "quick-login-check": (
        lambda s: s.brute_force(quickLoginCheckMilliSeconds=1200),
        "within 1200 ms lock a user at Keycloak.*lower Quick login check milliseconds",
    ),
    "failure-factor": (lambda s: s.brute_force(failureFactor=20), "20 wrong passwords lock.*raise Max login failures"),
    "failure-reset-time": (lambda s: s.brute_force(maxDeltaTimeSeconds=43201), "for 43201 s.*lower Failure reset time"),
    "permanent-lockout": (lambda s: s.brute_force(permanentLockout=True), "for good; choose temporary lockouts"),
}


@pytest.mark.row("GW-20")
@pytest.mark.keycloak
@pytest.mark.parametrize(("fault", "reason"), KEYCLOAK.values(), ids=KEYCLOAK.keys())
async def test_readiness_names_a_wrong_set_up_of_keycloak_and_its_fix(set_up: SetUp, fault: Fault, reason: str) -> None:
    fault(set_up)
    assert re.search(reason, await told(set_up))


@pytest.mark.keycloak
async def test_readiness_tells_nothing_of_a_right_set_up(set_up: SetUp) -> None:
    set_up.brute_force(quickLoginCheckMilliSeconds=1199, failureFactor=21, maxDeltaTimeSeconds=43200)
    assert await told(set_up) == ""


@dataclass(frozen=True)
class StoreFault:
    """A wrong set-up of the store: the user's rights, or a part of the URL that is replaced; and the reason."""

    reason: str
    rights: str = "~efcx:* &efcx:* +@all"
    replaced: tuple[str, str] = ("", "")
    policy: str = "noeviction"


STORE = {
    "port-closed": StoreFault("127.0.0.1:1: Connection refused; check store.url", replaced=(r":\d+/", ":1/")),
    "host-unknown": StoreFault("redis.invalid:.*check store.url", replaced=("127.0.0.1", "redis.invalid")),
    "rediss-to-plain": StoreFault("check store.url, whether the server speaks TLS", replaced=("redis:", "rediss:")),
    "password": StoreFault("correct user and password in store.url", replaced=(r":\w+@", ":wrong@")),
    "database": StoreFault("DB index is out of range", replaced=(r"/0$", "/99")),
    "prefix": StoreFault("give its user the rights.*for the keys and channels of store.prefix", "~other:* &* +@all"),
    "scripts-forbidden": StoreFault("evalsha.*give its user the rights", "~efcx:* &efcx:* +@all -@scripting"),
    "messages-forbidden": StoreFault("publish.*give its user the rights", "~efcx:* &efcx:* +@all -@pubsub"),
    "eviction": StoreFault("set maxmemory-policy noeviction", policy="allkeys-lru"),
    "nothing": StoreFault("^$"),
}


@pytest.mark.row("GW-20")
@pytest.mark.redis
@pytest.mark.parametrize("fault", STORE.values(), ids=STORE.keys())
async def test_readiness_names_a_wrong_set_up_of_the_store_and_its_fix(redis_url: str, fault: StoreFault) -> None:
    name, password = f"user{token_hex(4)}", token_hex(16)
    async with Redis.from_url(redis_url) as raw:
        await raw.execute_command("ACL", "SETUSER", name, "on", f">{password}", *fault.rights.split())  # type: ignore[no-untyped-call]  # untyped in redis-py
        await raw.config_set("maxmemory-policy", fault.policy)
        url = re.sub(*fault.replaced, redis_url.replace("://", f"://{name}:{password}@")) if fault.replaced[0] else ""
        url = url or redis_url.replace("://", f"://{name}:{password}@")
        store = RedisStore(url=url, prefix="efcx:", timeout=1.0, tls=TlsSettings())
        try:
            report = await Readiness({"store": store.check}).verdict()
        finally:
            await store.close()
            await raw.config_set("maxmemory-policy", "noeviction")
            await raw.execute_command("ACL", "DELUSER", name)  # type: ignore[no-untyped-call]  # untyped in redis-py
    reason = report.reasons.get("store") or "; ".join(report.warnings.get("store", ()))
    assert re.search(fault.reason, reason)
    assert password not in reason


MESSAGE = Message("anna@example.com", "Subject", "text", "<p>text</p>", "en", "ABCD2345")
MAIL: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "port-closed": ({}, {"port": 1}, "127.0.0.1:1: Connection refused; check host, port and security of the relay"),
    "password": (
        {"tls": "starttls", "username": "otp", "password": "right"},
        {"security": MailSecurity.STARTTLS, "username": "otp", "password": Secret("wrong")},
        "rejected the user name or password .the relay answered 535 .*; correct both in the relay",
    ),
    "sender": ({}, {}, "the relay rejected the sender: 550 5.7.1 not yours; correct `from` of the channel"),
    "tls-to-plain": ({}, {"security": MailSecurity.TLS}, "no TLS; set `security: starttls`"),
    "starttls-missing": ({}, {"security": MailSecurity.STARTTLS}, "STARTTLS"),
    "certificate-untrusted": (
        {"tls": "starttls"},
        {"security": MailSecurity.STARTTLS},
        "its certificate is not trusted: .*; see tls.smtp.ca_file",
    ),
}


@pytest.mark.parametrize(("server", "relay", "reason"), MAIL.values(), ids=MAIL.keys())
async def test_after_a_mail_readiness_names_a_wrong_set_up_of_its_channel_and_the_fix(
    tmp_path: Path, start_mail_server: StartMailServer, server: dict[str, Any], relay: dict[str, Any], reason: str
) -> None:
    running, tls = await start_mail_server(**server), TlsSettings()
    if running.authority and "certificate" not in reason:
        running.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        tls = TlsSettings(ca_file=str(tmp_path / "ca.pem"))
    running.switches.refuse_sender = "550 5.7.1 not yours" if "sender" in reason else ""
    to = replace(Relay("127.0.0.1", running.port, MailSecurity.NONE, tls=tls), **relay)
    channel = Channel("otp@example.com", ChannelType.EMAIL, ChannelKind.SMTP, "otp@example.com", relays=(to,))
    mailer = Mailer(SystemClock(), SystemRandom())
    await mailer.send(channel, MESSAGE)
    report = await Readiness({"mail": mailer.check}).verdict()
    await mailer.close()
    assert report.ready
    assert re.search(reason, report.warnings["mail"][0])


async def test_the_start_names_a_key_ring_that_is_not_the_stores_and_its_fix() -> None:
    store = MemoryStore(SystemClock())
    first, other = (KeyRing((Key(name, SystemRandom().token_bytes(32)),)) for name in ("a1", "b2"))
    await key_ring_check.check(store, first)
    with pytest.raises(errors.Misconfigured, match="put that key ring back"):
        await key_ring_check.check(store, other)

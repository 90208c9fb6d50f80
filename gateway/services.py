"""Builds what the features share, and closes it in the right order.

`open_services` is the only place that makes stores, Keycloak clients and mailers; the app, the command line and the
demo use it. What depends on tenant, channel or policy is never built in: those are arguments of each call.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from gateway.crypto.key_ring import KeyRing, Sealer, Signer
from gateway.delivery.http_calls import HttpCalls
from gateway.delivery.sinch import SinchApi
from gateway.delivery.smtp import Mailer
from gateway.delivery.web_services import WebServiceCalls
from gateway.domain.channel import Channel
from gateway.domain.configuration import Configuration
from gateway.domain.errors import GatewayError
from gateway.domain.ports import Clock, Random, SystemClock, SystemRandom
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Tenant
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.grant_queue import GrantQueue
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.keycloak.token_endpoint import TokenEndpoint
from gateway.keycloak.users import UserProfiles, Users
from gateway.observe.audit import Audit
from gateway.observe.metrics import Metrics
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages
from gateway.rendering.mails import Mails
from gateway.rendering.templates import build_environments
from gateway.rendering.text_messages import TextMessages
from gateway.second_factor.challenges import Challenges
from gateway.second_factor.contacts import Contacts
from gateway.second_factor.enrolments import Enrolments
from gateway.second_factor.factor_uses import FactorUses, Uses
from gateway.second_factor.factors import admin_code, message_code, otp_manager, rsa, sinch, table
from gateway.second_factor.factors.admin_code import AdminCode, AdminCodeFactor
from gateway.second_factor.factors.email import EmailFactor
from gateway.second_factor.factors.external import ExternalAppFactor, ExternalEmailFactor, ExternalSmsFactor
from gateway.second_factor.factors.otp_manager import OtpManagerEmailFactor, OtpManagerFactor, OtpManagerSmsFactor
from gateway.second_factor.factors.protocol import DeliveryContext, Factor
from gateway.second_factor.factors.rsa import RsaFactor
from gateway.second_factor.factors.sinch import SinchEmailFactor, SinchFactor
from gateway.second_factor.factors.sms import SmsFactor
from gateway.second_factor.rate_limits import RateLimiter
from gateway.second_factor.send_rate import SendRate
from gateway.second_factor.trusted_browsers import BrowserTags, TrustedBrowser, TrustedBrowsers
from gateway.second_factor.used_codes import UsedCodes
from gateway.sessions.sessions import Sessions
from gateway.store.factory import open_store
from gateway.store.locks import StoreLock
from gateway.store.protocol import Store
from gateway.store.records import Records
from gateway.store.replica_events import ReplicaEvents
from gateway.store.single_use import SingleUse
from gateway.web import csrf
from gateway.web.assets import Assets
from gateway.web.csrf import Csrf
from gateway.web.error_responses import ErrorResponses
from gateway.web.pages import Pages

T = TypeVar("T")
LAST_WAIT = 5.0
"""Seconds that background tasks have to end when the services are closed."""


@dataclass(frozen=True)
class Services:
    """What the features share.

    The fields are what a process opens. The properties are made of them at their first use and kept.
    """

    configuration: Callable[[], Configuration]
    key_ring: KeyRing
    clock: Clock
    random: Random
    audit: Audit
    tasks: BackgroundTasks
    store: Store
    lock: StoreLock
    single_use: SingleUse
    replica_events: ReplicaEvents
    keycloak_clients: KeycloakClients
    token_endpoint: TokenEndpoint
    grant_queue: GrantQueue
    logout_retries: LogoutRetries
    users: Users
    profiles: UserProfiles
    mailer: Mailer
    http_calls: HttpCalls
    mails: Mails
    pages: Pages
    metrics: Metrics = field(default_factory=Metrics)

    def sealer(self, purpose: str) -> Sealer:
        """A sealer for one purpose."""
        return Sealer(self.key_ring, purpose, self.random)

    def signer(self, purpose: str) -> Signer:
        """A signer for one purpose."""
        return Signer(self.key_ring, purpose)

    def records(self, name: str, of: type[T], schema: int = 1) -> Records[T]:
        """Records of one kind."""
        return Records(store=self.store, sealer=self.sealer(name), clock=self.clock, name=name, of=of, schema=schema)

    def delivery(self, tenant: Tenant, channel: Channel | None, reference: str, language: str = "") -> DeliveryContext:
        """The circumstances of a message that no browser asked for, in the first language unless one is named."""
        return DeliveryContext(
            tenant=tenant,
            channel=channel,
            digits=tenant.policy.otp_length,
            expiry=tenant.policy.otp_expiry,
            language=language or self.configuration().gateway.languages[0],
            host=tenant.host,
            browser="",
            reference=reference,
            now=self.clock.now(),
            random=self.random,
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Take part in what the replicas tell each other, as a process that serves must."""
        with suppress(GatewayError):  # a store that is down now begins later: that refuses more, never less
            await self.used_codes.store_began()
        async with self.replica_events.running():
            yield

    @cached_property
    def csrf(self) -> Csrf:
        return Csrf(self.signer(csrf.PURPOSE))

    @cached_property
    def error_responses(self) -> ErrorResponses:
        return ErrorResponses(self.pages)

    @cached_property
    def send_rate(self) -> SendRate:
        return SendRate(self.store, self.clock)

    @cached_property
    def rate_limiter(self) -> RateLimiter:
        return RateLimiter(self.store, self.clock)

    @cached_property
    def email(self) -> EmailFactor:
        return EmailFactor(mailer=self.mailer, mails=self.mails, signer=self.signer(message_code.PURPOSE))

    @cached_property
    def rsa(self) -> RsaFactor:
        return RsaFactor(self.http_calls, self.signer(rsa.PURPOSE))

    @cached_property
    def otp_manager(self) -> tuple[OtpManagerFactor, ...]:
        signer = self.signer(otp_manager.PURPOSE)
        return OtpManagerEmailFactor(self.http_calls, signer), OtpManagerSmsFactor(self.http_calls, signer)

    @cached_property
    def sms(self) -> SmsFactor:
        return SmsFactor(
            calls=self.http_calls,
            texts=TextMessages(self.pages.languages),
            signer=self.signer(message_code.PURPOSE),
            clock=self.clock,
            metrics=self.metrics,
        )

    @cached_property
    def sinch(self) -> tuple[SinchFactor, SinchEmailFactor]:
        api, mail = SinchApi(self.http_calls, self.clock), self.signer(message_code.PURPOSE)
        return (
            SinchFactor(api=api, lock=self.lock, signer=self.signer(sinch.PURPOSE)),
            SinchEmailFactor(mailer=self.mailer, mails=self.mails, signer=mail),
        )

    @cached_property
    def user_names(self) -> Signer:
        """Signs user names, whose digests name their limits."""
        return self.signer("user-names")

    @cached_property
    def enrolments(self) -> Enrolments:
        return Enrolments(
            profile=self.profiles,
            store=self.store,
            sets=self.sealer("enrolments"),
            guards=self.sealer("guards"),
            lock=self.lock,
            clock=self.clock,
            audit=self.audit,
        )

    @cached_property
    def admin_codes(self) -> AdminCodeFactor:
        records = self.records(admin_code.RECORD, AdminCode)
        return AdminCodeFactor(records, self.signer(admin_code.PURPOSE), self.clock, self.random)

    @cached_property
    def used_codes(self) -> UsedCodes:
        return UsedCodes(self.single_use, self.store, self.enrolments, self.clock)

    @cached_property
    def trusted_browsers(self) -> TrustedBrowsers:
        by_user = self.records("trusted-browsers-of", BrowserTags)
        return TrustedBrowsers(self.records("trusted-browser", TrustedBrowser), by_user, self.clock)

    @cached_property
    def factor_uses(self) -> FactorUses:
        return FactorUses(self.records("factor-uses", Uses), self.clock, self.tasks)

    @cached_property
    def contacts(self) -> Contacts:
        return Contacts(self._web_services, self.users)

    @cached_property
    def _web_services(self) -> WebServiceCalls:
        return WebServiceCalls(self.http_calls)

    @cached_property
    def _external(self) -> tuple[Factor, ...]:
        kinds = (ExternalEmailFactor, ExternalSmsFactor, ExternalAppFactor)
        signer = self.signer(message_code.PURPOSE)
        return tuple(kind(self._web_services, signer) for kind in kinds)

    @cached_property
    def challenges(self) -> Challenges:
        return Challenges(
            factors=table.build(
                self.email, self.sms, self.admin_codes, self.rsa, *self.otp_manager, *self.sinch, *self._external
            ),
            attempts=self.rate_limiter,
            used_codes=self.used_codes,
            store=self.store,
            addresses=self.signer("addresses"),
            clock=self.clock,
            random=self.random,
        )

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(
            store=self.store,
            sealer=self.sealer("session"),
            clock=self.clock,
            lock=self.lock,
            replica_events=self.replica_events,
            token_endpoint=self.token_endpoint,
            logout_retries=self.logout_retries,
            configuration=self.configuration,
            audit=self.audit,
            tasks=self.tasks,
            copies_count=self.configuration().gateway.store.session_copies,
        )


@asynccontextmanager
async def open_services(
    configuration: Callable[[], Configuration],
    key_ring: KeyRing,
    *,
    clock: Clock | None = None,
    random: Random | None = None,
    audit: Audit | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[Services]:
    """The services of one process, closed with the context, `audit` last. `configuration` gives the one in force.

    Nothing is connected before the first call. Raises `errors.Misconfigured` when the settings name no store.
    """
    clock, random = clock or SystemClock(), random or SystemRandom()
    settings = configuration().gateway
    async with AsyncExitStack() as stack:
        audit = audit or Audit(clock, Path(settings.audit_file) if settings.audit_file else None)
        stack.callback(audit.close)
        keycloak_clients, mailer, http_calls = KeycloakClients(), Mailer(clock, random), HttpCalls()
        stack.push_async_callback(keycloak_clients.close)
        stack.push_async_callback(mailer.close)
        stack.push_async_callback(http_calls.close)
        store = open_store(settings.store, clock)
        stack.push_async_callback(store.close)
        tasks = BackgroundTasks()
        stack.push_async_callback(tasks.close, LAST_WAIT)
        lock, token_endpoint = StoreLock(store, clock, random), TokenEndpoint(keycloak_clients, clock)
        languages = load_languages(data_root() / "locales", settings.languages)
        environments = build_environments(data_root(), languages)
        assets = Assets(data_root() / "static", settings.prefix)
        yield Services(
            configuration=configuration,
            key_ring=key_ring,
            clock=clock,
            random=random,
            audit=audit,
            tasks=tasks,
            store=store,
            lock=lock,
            single_use=SingleUse(store, clock),
            replica_events=ReplicaEvents(store=store, random=random),
            keycloak_clients=keycloak_clients,
            token_endpoint=token_endpoint,
            grant_queue=GrantQueue(lock, clock, tasks, settings.limits),
            logout_retries=LogoutRetries(token_endpoint, tasks),
            users=Users(keycloak_clients),
            profiles=UserProfiles(keycloak_clients),
            mailer=mailer,
            http_calls=http_calls,
            mails=Mails(environments, languages),
            pages=Pages(environments, languages, assets, random, settings.prefix),
            metrics=metrics or Metrics(),
        )

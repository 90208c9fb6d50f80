"""Answers as EFCX's otp-manager, for EFCX's own login: `otp/generate` and `otp/verify`, on a listener of its own.

It is off unless the operator configures it. The address has a secret of 128 bits or more, and only listed clients may
use it: anything else is a bare 404. Codes go to contacts that Keycloak knows only: a user's EFCX registration, finished
or not, or their verified profile address. The factors and channels are those of the gateway, and so are the limits of
sends and attempts. They count for the contact, because a request names no user. Expiry and attempts are as asked, and
never more than the tenant's policy.

Every key in the store is under the tenant `otp-manager/<tenant>`, which no tenant can be named. So nothing here touches
a login of the gateway, and a code opens nothing here: EFCX decides what it is worth.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import structlog
from aiohttp import web

from gateway.domain.challenge import Binding, Challenge, Draft
from gateway.domain.channel import Channel, ChannelKind
from gateway.domain.configuration import OtpManagerSettings
from gateway.domain.enrolment import Enrolment
from gateway.domain.errors import GatewayError
from gateway.domain.policy import FACTOR_OF_CHANNEL, AttemptsScope, FactorKind, Method, OnMaximum, SharedAddress
from gateway.domain.problem import Problem
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.observe.audit import AuditEvent, RequestAudit
from gateway.observe.redaction import mask_address
from gateway.second_factor.challenges import ChallengeContext, Denied, Verified
from gateway.second_factor.factors import table
from gateway.services import Services
from gateway.store.records import Records
from gateway.web.client_address import is_trusted_peer
from gateway.web.middleware import without_banner
from gateway.web.request_context import new_reference

LARGEST = 16 * 1024
"""Bytes of a request."""
REGISTERED = "customerChannelIdentifier"
"""The attribute in which EFCX keeps the contact of a user, before it asks for the first code."""
KEPT = 3600.0
"""Seconds for which an expired code is still known as one."""
_TEXT = 254
_WORDS = {
    Problem.CODE_EXPIRED: (400, "OTP_EXPIRED"),
    Problem.LIMIT_EXCEEDED: (429, "OTP_MAX_ATTEMPTS"),
    Problem.TOO_MANY_CODES: (429, "OTP_MAX_ATTEMPTS"),
    Problem.LOCKED: (429, "OTP_MAX_ATTEMPTS"),
    Problem.CHECK_FAILED: (503, "OTP_UNAVAILABLE"),
    Problem.SEND_FAILED: (503, "OTP_UNAVAILABLE"),
    Problem.WAIT: (429, "OTP_COOLDOWN"),
    Problem.QUEUED: (429, "OTP_COOLDOWN"),
    Problem.MAX_SENDS: (429, "OTP_COOLDOWN"),
}
"""Statuses and words for what the gateway does not accept. All others are an invalid code."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SentCode:
    """The newest code to a contact, for an app: its challenge, and the rules with which it was sent."""

    challenge: Challenge
    expiry: int
    attempts: int


class Refused(Exception):
    """The request cannot be carried out; `word` is its `message`."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(word)
        self.status = status
        self.word = word


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request is about: the tenant, the channel, and the contact as EFCX writes it."""

    tenant: Tenant
    channel: Channel
    contact: str
    app: str
    purpose: str

    @property
    def kind(self) -> FactorKind:
        """The factor that serves the channel."""
        return FACTOR_OF_CHANNEL[self.channel.type]

    @property
    def namespace(self) -> str:
        """The name in place of the tenant's in every key of the store."""
        return f"otp-manager/{self.tenant.id}"

    def tenant_with(self, expiry: int, attempts: int) -> Tenant:
        """The tenant under the name of this server, with a policy of this one method."""
        policy = replace(
            self.tenant.policy,
            enabled=True,
            methods=(Method(self.kind, self.channel.service_identifier),),
            fallback=None,
            otp_expiry=expiry,
            otp_max_attempts=attempts,
            attempts_scope=AttemptsScope.CODE,
            on_max_verify=OnMaximum.NEW_CODE,
            on_max_sends=OnMaximum.STOP,
            shared_address=SharedAddress.SEPARATE,
        )
        return replace(self.tenant, id=self.namespace, policy=policy)


@dataclass(frozen=True)
class OtpManagerServer:
    """See the module's text."""

    services: Services
    settings: OtpManagerSettings

    @cached_property
    def codes(self) -> Records[SentCode]:
        return self.services.records("otp-manager-code", SentCode)

    def application(self) -> web.Application:
        """The application of the listener."""
        app = web.Application(client_max_size=LARGEST)
        app.on_response_prepare.append(without_banner)
        app.add_routes([web.route("*", "/{path:.*}", self.handle)])
        return app

    async def handle(self, request: web.Request) -> web.Response:
        """Answers one request."""
        act = self._act(request)
        if act is None:
            return web.Response(status=404)
        try:
            body = await _body(request)
            asked = self._asked(request.headers.get("tenantid", ""), body)
            audit = RequestAudit(
                self.services.audit, asked.tenant.id, request.remote or "", "", new_reference(self.services.random)
            )
            word = await (self.generate(asked, body, audit) if act == "generate" else self.verify(asked, body, audit))
        except Refused as refused:
            return _answer(refused.status, refused.word)
        except GatewayError as error:
            log.warning("otp_manager_request_failed", what=error.what, why=error.detail)
            return _answer(503, "OTP_UNAVAILABLE")
        return _answer(200, word)

    def _act(self, request: web.Request) -> str | None:
        """What is asked for; None for a wrong secret, an unknown client, or anything else."""
        parts = request.raw_path.encode().split(b"/")
        secret, acts = self.settings.secret.value.encode(), {b"generate": "generate", b"verify": "verify"}
        is_right = hmac.compare_digest(parts[1] if len(parts) == 4 else b"", secret)
        may_ask = is_trusted_peer(request.remote, self.settings.clients)
        if not is_right or not may_ask or request.method != "POST" or parts[2] != b"otp":
            return None
        return acts.get(parts[3])

    def _asked(self, tenant_id: str, body: Mapping[str, Any]) -> Asked:
        configuration = self.services.configuration()
        tenant = configuration.tenant(tenant_id)
        if tenant is None or not tenant.active:
            raise Refused(400, "TENANT_NOT_FOUND")
        channel = configuration.channels.get(_text(body, "channelServiceIdentifier"))
        if channel is None or channel.kind is ChannelKind.OTP_MANAGER or not self._sends(channel):
            raise Refused(400, "CHANNEL_NOT_FOUND")
        app, purpose = _text(body, "appName"), _text(body, "purpose")
        return Asked(tenant, channel, _text(body, "customerChannelIdentifier"), app, purpose)

    def _sends(self, channel: Channel) -> bool:
        return FACTOR_OF_CHANNEL[channel.type] in table.SENT

    async def generate(self, asked: Asked, body: Mapping[str, Any], audit: RequestAudit) -> str:
        """Sends a code to a contact that Keycloak knows."""
        if body.get("channelType") != asked.channel.type.value:
            raise Refused(400, "CHANNEL_NOT_FOUND")
        policy, challenges = asked.tenant.policy, self.services.challenges
        expiry = min(_number(body, "otpExpiry"), policy.otp_expiry)
        attempts = min(_number(body, "otpMaxAttempts"), policy.otp_max_attempts)
        tenant = asked.tenant_with(expiry, attempts)
        delivery = self.services.delivery(tenant, asked.channel, audit.reference, tenant.branding.language)
        drafted = await challenges.factor(delivery, asked.kind).enrol(User("", ""), asked.contact, delivery)
        username = await self._username(asked) if isinstance(drafted, Draft) else None
        if not isinstance(drafted, Draft) or username is None:
            raise Refused(403, "CONTACT_NOT_ALLOWED")
        before = await self.codes.read(tenant.id, self._key(asked))
        login, number = self.services.random.token_bytes(9).hex(), 0
        if before:  # the maximum of sends counts on until a code was right, or an hour passed
            login, number = before.challenge.bound_to.login, before.challenge.number + 1
        to = drafted.as_enrolment()
        user = User(self._key(asked), username)
        context = self._context(tenant, user, Binding(login), to)
        held = await self.services.send_rate.take(asked.channel, f"{tenant.id}/{user.id}")
        if held is not None:
            raise Refused(429, "OTP_COOLDOWN")
        sent = await challenges.send(context, delivery, number, to)
        facts = {"factor": asked.kind.value, "channel": asked.channel.service_identifier, "through": "otp-manager"}
        if not isinstance(sent, Challenge):
            await self.services.send_rate.not_used(asked.channel, f"{tenant.id}/{user.id}")
            audit.write(AuditEvent.CODE_NOT_SENT, None, **facts, problem=sent.problem.value)
            raise _refused(sent.problem)
        life = (sent.expires_at or delivery.now) + KEPT
        await self.codes.write(tenant.id, self._key(asked), SentCode(sent, expiry, attempts), life)
        audit.write(AuditEvent.CODE_SENT, None, **facts, to=mask_address(to.address))
        return "OTP_SENT"

    async def verify(self, asked: Asked, body: Mapping[str, Any], audit: RequestAudit) -> str:
        """Verifies a code, once: each request is an owner of its own."""
        found = await self.codes.read(asked.namespace, self._key(asked))
        if found is None:
            raise Refused(400, "OTP_INVALID")
        tenant = asked.tenant_with(found.expiry, found.attempts)
        request = int.from_bytes(self.services.random.token_bytes(6))
        challenge = replace(found.challenge, bound_to=replace(found.challenge.bound_to, round=request))
        to = Enrolment(asked.kind, challenge.sent_to)
        context = self._context(tenant, User(self._key(asked), ""), challenge.bound_to, to)
        delivery = self.services.delivery(tenant, asked.channel, audit.reference, tenant.branding.language)
        answer = await self.services.challenges.answer(
            context, lambda _kind: delivery, challenge, str(body.get("otpCode", ""))
        )
        facts = {"factor": asked.kind.value, "through": "otp-manager"}
        match answer:
            case Verified():
                await self.codes.remove(tenant.id, self._key(asked))
                audit.write(AuditEvent.CODE_ACCEPTED, None, **facts)
                return "OTP_VERIFIED"
            case Denied(problem_detail=detail):
                audit.write(AuditEvent.CODE_REJECTED, None, **facts, problem=detail.problem.value)
                raise _refused(detail.problem)
        raise Refused(503, "OTP_UNAVAILABLE")  # a service that asks for more than EFCX can

    async def _username(self, asked: Asked) -> str | None:
        """The name of the only user with this contact, the contact itself for several users, None without any."""
        users, access, contact = self.services.users, asked.tenant.keycloak, asked.contact
        if not set(contact).isdisjoint(' "\\:'):  # words of Keycloak's search
            return None
        found = {a.user.id: a for a in await users.with_attribute(access, REGISTERED, contact, 0, 3)}
        known = [a for a in found.values() if contact in a.attributes.get(REGISTERED, ()) and a.enabled]
        if not known and "@" in contact:
            account = await users.find(access, contact)
            is_verified = account is not None and account.enabled and account.user.email_verified
            if account and is_verified and account.user.email.casefold() == contact.casefold():
                known = [account]
        if not known:
            return None
        return known[0].user.username if len(known) == 1 else contact

    def _key(self, asked: Asked) -> str:
        """The name of the contact for an app and channel in the store."""
        parts = (asked.contact.casefold(), asked.channel.service_identifier, asked.app, asked.purpose)
        return self.services.challenges.name_of_address(asked.namespace, json.dumps(parts))

    def _context(self, tenant: Tenant, user: User, binding: Binding, to: Enrolment) -> ChallengeContext:
        limits = self.services.configuration().gateway.limits
        return ChallengeContext(tenant, tenant.policy, limits, user, binding, app="", methods=(to,))


async def _body(request: web.Request) -> Mapping[str, Any]:
    try:
        found = json.loads(await request.read())
    except (ValueError, RecursionError, web.HTTPRequestEntityTooLarge):
        found = None
    if not isinstance(found, dict):
        raise Refused(400, "BAD_REQUEST")
    return found


def _text(body: Mapping[str, Any], key: str) -> str:
    found = body.get(key)
    if not isinstance(found, str) or not 0 < len(found) <= _TEXT:
        raise Refused(400, "BAD_REQUEST")
    return found


def _number(body: Mapping[str, Any], key: str) -> int:
    found = body.get(key)
    if type(found) is not int or found < 1:
        raise Refused(400, "BAD_REQUEST")
    return found


def _refused(problem: Problem) -> Refused:
    return Refused(*_WORDS.get(problem, (400, "OTP_INVALID")))


def _answer(status: int, word: str) -> web.Response:
    return web.json_response({"message": word}, status=status, headers={"Cache-Control": "no-store"})

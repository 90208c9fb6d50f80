"""Explains a sign-in: which rule decides for a user, an address of an app and a time.

Every verdict is made by the function that makes it at run time: the check of the request, its route, the roles of the
app, the requirement of a factor, and the limits. Nothing is changed, counted or sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from gateway.administration.administrator_acts import AdministratorActs
from gateway.administration.user_recovery import without_secrets
from gateway.administration.user_report import UserReport
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.errors import Misconfigured
from gateway.domain.problem import Problem
from gateway.domain.tenant import EVERYONE, Route, RouteFactor, Tenant
from gateway.domain.user import Account
from gateway.observe.redaction import mask_address
from gateway.operations import user_requests
from gateway.proxy import routing
from gateway.second_factor import rate_limits, requirement
from gateway.second_factor.enrolments import Tampered
from gateway.second_factor.rate_limits import Limited, LimitSubject, RateLimiter
from gateway.second_factor.requirement import (
    EnrolFactor,
    NotRequired,
    Requirement,
    SignInRefused,
    UserFactors,
    VerifyFactor,
)
from gateway.web.request_check import InvalidRequest, RequestHead, check, refusal


@dataclass(frozen=True, slots=True)
class FixedClock:
    """The clock of the time that is explained."""

    at: float

    def now(self) -> float:
        """That time."""
        return self.at


@dataclass(frozen=True, slots=True)
class Explanation(AdministratorActs):
    """The act `explain`."""

    async def explain(
        self,
        *,
        tenant_id: str = "",
        host: str = "",
        username: str = "",
        path: str = "",
        by: str = "",
        address: str = "",
        at: str = "",
    ) -> dict[str, Any]:
        """What a user meets who opens `path` of a tenant (by id or host) from the client `address` at the time `at`.

        `at` is in seconds since the epoch, "" for now. Raises `errors.Misconfigured` for an unknown tenant or user.
        """
        tenant = self._of_host(host) if host else self._tenant(tenant_id)
        path, now = path or tenant.home, float(at) if at else self.services.clock.now()
        account = await self._account(tenant, username)
        found = self._route(tenant, path)
        said: dict[str, Any] = {"tenant": tenant.id, "active": tenant.active, "path": path, "username": username}
        said |= {"user_id": account.user.id, "username": account.user.username, **_account(account), **_route(found)}
        if isinstance(found, Problem) or found.public:
            return said
        said |= await self._app(tenant, account, found.route)
        return said | await self._factor(tenant, account, found.route, address, now)

    def _of_host(self, host: str) -> Tenant:
        tenant = self.services.configuration().tenants_by_host.get(host.lower())
        if tenant is None:
            raise Misconfigured(f"no tenant has the host {host}; requests to it are answered with 421")
        return tenant

    def _route(self, tenant: Tenant, path: str) -> routing.RouteMatch | Problem:
        prefix = self.services.configuration().gateway.prefix
        checked = check(RequestHead("GET", path, (1, 1), (("Host", urlsplit(tenant.public_url).netloc),)))
        if isinstance(checked, InvalidRequest):
            return checked.problem
        match = routing.find(checked, tenant, prefix)
        refused = refusal(checked, match.route) if isinstance(match, routing.RouteMatch) else None
        return refused.problem if refused else match

    async def _app(self, tenant: Tenant, account: Account, route: Route) -> dict[str, Any]:
        """Whether the user's roles admit them to the app. Client roles and groups are known from a token only."""
        allow = route.allow
        if allow is EVERYONE:
            return {"app": "allowed", "app_rule": "every user of the tenant"}
        authority = await self.services.users.authority(tenant.keycloak, account.user.id)
        roles = authority.roles if authority else frozenset[str]()
        if allow.admits(roles):
            return {"app": "allowed", "app_rule": f"realm role {', '.join(sorted(roles & allow.roles))}"}
        others = sorted({*(role for role in allow.roles if ":" in role), *allow.groups})
        if others:
            return {"app": "unknown", "app_rule": f"allowed if the user's token has {' or '.join(others)}"}
        return {"app": "denied", "app_rule": f"no realm role of allow: {', '.join(sorted(allow.roles))}"}

    async def _factor(self, tenant: Tenant, account: Account, route: Route, address: str, now: float) -> dict[str, Any]:
        """Which factor the policy asks, and the lock that prevents it."""
        services, policy = self.services, tenant.policy
        kept = await services.enrolments.read(tenant, account.user.id, account) if policy.enabled else EnrolmentSet()
        if isinstance(kept, Tampered):
            return {"decision": "stopped", "rule": Problem.ENROLMENT_UNREADABLE.value, **kept.details}
        contacts = requirement.contacts_of(account.user, tenant.phone_numbers)
        asks, shown = route.second_factor is RouteFactor.REQUIRED, without_secrets(kept)
        facts: dict[str, Any] = {
            "second_factor": "on" if policy.enabled else "off",
            "route_asks": asks,
            "enrolment": policy.enrolment.value,
            "factors": shown["factors"],
            "backup_codes": shown["backup_codes"],
            "contacts": [
                {"factor": one.factor.value, "address": mask_address(one.address), "verified": one.verified}
                for one in contacts
            ],
        }
        if policy.enabled and asks and policy.contact_service:
            rule = f"the web service {policy.contact_service} names the user's addresses; it was not asked"
            return facts | {"decision": "unknown", "rule": rule}

        def decided(*, trusted: bool = False, verified: bool = False, provider: bool = False) -> Requirement:
            user = UserFactors(kept, contacts, trusted, verified, provider)
            return requirement.decide(policy, user, route_asks=asks)

        usual = decided()
        facts |= _decision(usual)
        may_trust = not address or tenant.may_trust_from(address)
        others = {
            "in_a_trusted_browser": decided(trusted=may_trust),
            "after_a_factor_in_this_session": decided(verified=True),
        }
        by = tenant.keycloak.sso.second_factor_by if tenant.keycloak.sso else None
        if by and (by.acr or by.amr):
            others["after_a_factor_at_keycloak"] = decided(provider=True)
        facts |= {name: _decision(one) for name, one in others.items() if one != usual}
        if policy.trust_browser_days and not may_trust:
            facts["no_trust_from"] = address
        if lock := await self._lock(tenant, account, route, now):
            facts |= {"locked_by": lock.limit.setting or lock.limit.name, "locked_until": lock.until}
        return facts

    async def _lock(self, tenant: Tenant, account: Account, route: Route, now: float) -> Limited | None:
        """The first lock of the user's codes that holds at that time."""
        if not tenant.policy.enabled:
            return None
        limiter, limits = (
            RateLimiter(self.services.store, FixedClock(now)),
            self.services.configuration().gateway.limits,
        )
        for factor in (*(method.factor for method in tenant.policy.offered), None):
            subject = LimitSubject(tenant.id, account.user.id, "", factor, app=route.path)
            held = await limiter.look((rate_limits.for_user(tenant.policy, limits, subject),))
            if isinstance(held, Limited):
                return held
        return None


ACTS: Mapping[str, type[AdministratorActs]] = MappingProxyType(
    {**user_requests.ACTS, "explain": Explanation, "report": UserReport, "sessions": UserReport, "sign_out": UserReport}
)
"""The acts of the command line."""


def _account(account: Account) -> dict[str, Any]:
    """What stops the user before a factor is asked."""
    stops = [] if account.enabled else ["the account is disabled in Keycloak"]
    return {"account": stops + [f"Keycloak demands {action}" for action in account.required_actions]}


def _route(found: routing.RouteMatch | Problem) -> dict[str, Any]:
    if isinstance(found, Problem):
        return {"route": "", "answer": found.value}
    route = {"route": found.route.path, "app_address": found.route.to}
    return route | ({"answer": "forwarded without sign-in (public_paths)"} if found.public else {})


def _decision(required: Requirement) -> dict[str, Any]:
    match required:
        case NotRequired(rule):
            return {"decision": "no factor is asked", "rule": rule.value}
        case VerifyFactor(rule, methods):
            return {"decision": f"a code is asked: {', '.join(m.factor.value for m in methods)}", "rule": rule.value}
        case EnrolFactor(rule, factors):
            return {"decision": f"the user sets up: {', '.join(f.value for f in factors)}", "rule": rule.value}
        case SignInRefused(rule, problem, path):
            leads = f", to the path {path}" if path else ""
            return {"decision": f"the sign-in is stopped: {problem.value}{leads}", "rule": rule.value}

"""Reads a request to the login pages: the browser's cookies, its session, and the origin of the form.

`LoginRequest` is all that a step or effect knows of the request, as plain values. Nothing in `login/` below `handlers`
sees aiohttp.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs

from gateway.domain.configuration import Configuration
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import Policy
from gateway.domain.ports import Random
from gateway.domain.session import Session
from gateway.domain.tenant import RouteFactor, Tenant
from gateway.domain.user import Account
from gateway.login.record import ADMINISTER, Login, Purpose
from gateway.login.state_machine import Step
from gateway.observe.audit import AuditEvent, RequestAudit
from gateway.second_factor.trusted_browsers import Holder, TrustCookie, TrustedBrowsers, TrustVerdict
from gateway.web import cookies, pages_host, return_to
from gateway.web.cookies import Cookie
from gateway.web.csrf import LOGIN, account_act, of_own_page
from gateway.web.endpoint import OwnRequest
from gateway.web.request_context import CONFIGURATION, LANGUAGE, browser_name, wants_json

FORM_BYTES = 16
"""Random bytes of a form's id."""
_VERSION = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """One request to the login pages.

    `tag` and `secret` are the parts of the login cookie. Without that cookie the tag is new and `secret` is None; after
    an accepted proof `secret` is the new one that the answer sets. `session` is the live session of this browser.
    `browser` is a text such as "Chrome on Windows"; `browser_id` the value of the browser cookie, which names the users
    that finished a login here and is never a proof. `app` is the prefix of the route the browser wants, `route_asks`
    whether that route asks for a factor, `to` the checked target, `posted` whether it is a POST, `as_data` whether a
    program asks for JSON, `csrf` the token for the login forms of this browser, `form` the random id of the form that
    the answer shows, `trust` its trust cookie. `just_proved`: this answers the form that carried an accepted proof.
    """

    configuration: Configuration
    tenant: Tenant
    audit: RequestAudit = field(repr=False)
    tag: str
    client: str
    host: str
    browser: str
    language: str
    reference: str
    to: str
    csrf: str
    app: str
    route_asks: bool
    posted: bool = False
    as_data: bool = False
    secret: str | None = field(default=None, repr=False)
    form: str = ""
    just_proved: bool = False
    session: Session | None = None
    browser_id: str | None = None
    browser_is_new: bool = False
    trust: TrustCookie | None = None

    def head(self, step: Step, login: Login | None) -> dict[str, Any]:
        """The fields that every view of a step has (`StepView`)."""
        if login is None:
            return {
                "step": step.value,
                "purpose": Purpose.SIGN_IN.value,
                "csrf": self.csrf,
                "to": self.to,
                "form": self.form,
            }
        factor = login.act.factor if login.act else login.wanted
        return {
            "step": step.value,
            "purpose": login.purpose.value,
            "csrf": self.csrf,
            "to": self.to,
            "form": self.form,
            "login": login.id if login.user else "",
            "round": login.verification.round,
            "act": login.act.kind.value if login.act else ADMINISTER if login.administers else "",
            "act_on": factor.value if factor else "",
            "act_about": login.act.about if login.act else "",
            "username": login.user.display_name if login.user else "",
        }

    async def is_trusted(
        self, browsers: TrustedBrowsers, policy: Policy, account: Account, enrolments: EnrolmentSet
    ) -> bool:
        """Whether this browser may skip the factor for this account today; a rejected trust cookie is audited."""
        if self.trust is None or not self.tenant.may_trust_from(self.client):
            return False
        holder = Holder(account.user.id, account.credential_date, enrolments.trust_epoch)
        verdict = await browsers.judge(self.tenant.id, self.trust, holder, policy)
        if verdict not in (TrustVerdict.TRUSTED, TrustVerdict.NONE):
            self.audit.write(AuditEvent.TRUST_REJECTED, account.user, verdict=verdict.value)
        return verdict is TrustVerdict.TRUSTED


def read_request(own: OwnRequest, session: Session | None, to: str | None, random: Random) -> LoginRequest:
    """Returns the request as the login may know it; `to` is checked here."""
    http, tenant, login = own.http, own.tenant, own.browser
    known, trust = (cookies.browser_secret(own.cookies.get(cookie)) for cookie in (Cookie.BROWSER, Cookie.TRUST))
    tag = login.tag if login else cookies.new_browser_secret(random).tag
    read = LoginRequest(
        configuration=http[CONFIGURATION],
        tenant=tenant,
        audit=own.audit,
        tag=tag,
        client=own.audit.client,
        host=http.host.rpartition(":")[0] or http.host,
        browser=browser_name(http.headers.get(hdrs.USER_AGENT, "")),
        language=http[LANGUAGE].code,
        reference=own.audit.reference,
        to="",
        csrf=own.token(tag, LOGIN),
        app="",
        route_asks=True,
        posted=http.method == "POST",
        as_data=wants_json(http),
        secret=login.secret if login else None,
        form=random.token_bytes(FORM_BYTES).hex(),
        session=session,
        browser_id=(known or cookies.new_browser_secret(random)).value,
        browser_is_new=known is None,
        trust=TrustCookie(trust.tag, trust.secret) if trust else None,
    )
    return with_target(read, to or "", own.prefix)


def with_target(request: LoginRequest, to: str, prefix: str) -> LoginRequest:
    """The same request with the target `to`, which is checked here."""
    target = return_to.check(to, request.tenant, prefix)
    handover = pages_host.read(target, request.tenant, prefix)
    route = request.tenant.route_of(urlsplit(handover.to if handover else target).path)
    asks = route is None or route.second_factor is RouteFactor.REQUIRED
    return replace(request, to=target, app=route.path if route else "", route_asks=asks)


def of_login_page(own: OwnRequest, request: LoginRequest, *, begins: bool = False) -> bool:
    """Whether this form belongs to one of our login pages in this browser.

    `begins`: the form may begin a login; then it may carry the token of another cookie of this browser (`web.csrf`).
    """
    if request.secret is None:
        return False
    if own.is_own_form(request.tag, LOGIN):
        return True
    token = own.fields.get("csrf")
    return (
        begins and of_own_page(own.http.headers, own.tenant) and own.csrf.tag_of(own.tenant, token, LOGIN) is not None
    )


def of_account_page(own: OwnRequest, session: Session) -> bool:
    """Whether this form is a button of the account page of this very session, for the act that it names."""
    fields, version = own.fields, own.fields.get("version", "")
    if not _VERSION.fullmatch(version):
        return False
    act = account_act(fields.get("act", ""), fields.get("factor", ""), int(version), fields.get("target", ""))
    return own.is_own_form(session.id, *act)

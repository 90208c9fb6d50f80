"""The stand-in's own sign-in page: the authorization endpoint, its form, and the codes it gives.

As Keycloak's 26.7: an unknown client or redirect address is a page with 400, all else returns the browser with `state`
and `iss`. A sign-in leaves a cookie by which the next one asks for nothing, unless `prompt=login` or `max_age` does.
"""

import html
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from aiohttp import web

from gateway.demo.identity_provider.realm import NOT_SET_UP, CodeGiven, Realm, StandInClient, StandInSession

FORM, SESSION = "AUTH_SESSION_ID", "KEYCLOAK_IDENTITY"
CODE_LIFE = 60.0
_RE_AUTHENTICATED = "You are already authenticated as different user in this session. Please sign out first."


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the authorization endpoint. `session` is the one of the browser's cookie, which it confirms."""

    client: StandInClient
    query: Mapping[str, str]
    issuer: str
    session: StandInSession | None = None

    @property
    def scope(self) -> str:
        """The scope asked for."""
        return self.query.get("scope", "")


@dataclass
class SignInPage:
    """The sign-in page of one realm."""

    realm: Realm
    asked: dict[str, Asked] = field(default_factory=dict)

    def open(self, request: web.Request, issuer: str) -> web.Response:
        """The form, or an answer at once."""
        query, realm = request.query, self.realm
        client = realm.client(query.get("client_id"))
        if client is None or query.get("redirect_uri") not in client.redirect_uris:
            parameter = "redirect_uri" if client else "client_id"
            return page(f"Invalid parameter: {parameter}", 400)
        asked = Asked(client, dict(query), issuer, realm.sessions.get(request.cookies.get(SESSION, "")))
        if query.get("response_type") != "code":
            return _returned(asked, error="unsupported_response_type")
        if client.pkce and query.get("code_challenge_method") != "S256":
            return _returned(
                asked, error="invalid_request", error_description="Missing parameter: code_challenge_method"
            )
        again = query.get("prompt") == "login" or self._older(asked)
        if asked.session and (not again or realm.behaviour.silent_sign_in):
            return self._signed_in(asked, asked.session, acr="0")
        if query.get("prompt") == "none":
            return _returned(asked, error="login_required")
        if realm.behaviour.sign_in_error:
            return _returned(asked, error=realm.behaviour.sign_in_error)
        key = secrets.token_urlsafe(16)
        self.asked[key] = asked
        answer = self._form("")
        answer.set_cookie(FORM, key, path=f"/auth/realms/{realm.name}/", httponly=True)
        return answer

    def send(self, request: web.Request, form: Mapping[str, str]) -> web.Response:
        """A user name and a password."""
        realm, key = self.realm, request.cookies.get(FORM, "")
        asked = self.asked.get(key)
        if asked is None:
            return page("Restart login cookie not found. It may have expired; it may have been deleted.", 400)
        name = form.get("username", "")
        text, user = realm.refusal(name, form.get("password", "")), realm.named(name)
        if text == NOT_SET_UP:
            return web.Response(
                status=302, headers={"Location": f"/auth/realms/{realm.name}/login-actions/required-action"}
            )
        if text is not None or user is None:
            return self._form("Invalid username or password.")
        if asked.session and asked.session.user is not user:
            return page(_RE_AUTHENTICATED, 400)
        del self.asked[key]
        session = asked.session or realm.begin(user, asked.client, asked.scope)
        session.signed_in_at = realm.clock.now()
        return self._signed_in(asked, session, acr="1")

    def _older(self, asked: Asked) -> bool:
        """Whether `max_age` asks for a newer sign-in than that of the browser's session."""
        most, session = asked.query.get("max_age"), asked.session
        return bool(most and session and self.realm.clock.now() - session.signed_in_at >= float(most))

    def _form(self, problem: str) -> web.Response:
        action = f"/auth/realms/{self.realm.name}/login-actions/authenticate?{urlencode({'session_code': 'x'})}"
        return page(
            f'{html.escape(problem)}<form action="{html.escape(action)}" method="post">'
            '<input name="username"><input name="password" type="password"><button>Sign In</button></form>'
        )

    def _signed_in(self, asked: Asked, session: StandInSession, *, acr: str) -> web.Response:
        code = secrets.token_urlsafe(24)
        session.client, session.scope = asked.client, asked.scope  # as asked for last
        given = CodeGiven(
            session,
            asked.client,
            redirect_uri=asked.query["redirect_uri"],
            challenge=asked.query.get("code_challenge", ""),
            nonce=asked.query.get("nonce", ""),
            acr=acr,
            until=self.realm.clock.now() + CODE_LIFE,
        )
        self.realm.codes[code] = given
        answer = _returned(asked, session_state=session.id, code=code)
        answer.set_cookie(SESSION, session.id, path=f"/auth/realms/{self.realm.name}/", httponly=True)
        return answer


def page(text: str, status: int = 200) -> web.Response:
    """A page."""
    return web.Response(status=status, text=f"<!doctype html><title>Sign in</title>{text}", content_type="text/html")


def _returned(asked: Asked, **answer: str) -> web.Response:
    """Back to the client, with `state` and `iss` (RFC 9207)."""
    query = {**answer, "state": asked.query.get("state", ""), "iss": asked.issuer}
    return web.Response(status=302, headers={"Location": f"{asked.query['redirect_uri']}?{urlencode(query)}"})

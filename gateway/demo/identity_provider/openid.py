"""The realm's public endpoints of the stand-in: discovery, keys, sign-in page, token, logout, revoke, userinfo."""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from urllib.parse import unquote_plus

from aiohttp import web
from authlib.oauth2.rfc6749 import OAuth2Error
from joserfc import jwt
from joserfc.errors import JoseError

from gateway.demo.identity_provider.authorization import SignInPage
from gateway.demo.identity_provider.grants import TokenServer, authenticated, wrong_password
from gateway.demo.identity_provider.realm import INVALID_CREDENTIALS, Fault, Realm

PREFIX = "/auth/realms/{realm}"
_NEVER = 3600.0


class OpenId:
    """Handlers for every realm."""

    def __init__(self, realms: Mapping[str, Realm]) -> None:
        self._realms = realms
        self._pages = {name: SignInPage(realm) for name, realm in realms.items()}
        self._servers = {name: TokenServer(realm) for name, realm in realms.items()}

    def routes(self) -> list[web.RouteDef]:
        """The table of routes."""
        protocol = f"{PREFIX}/protocol/openid-connect"
        return [
            web.get(f"{PREFIX}/.well-known/openid-configuration", self.discovery),
            web.get(f"{protocol}/certs", self.keys),
            web.get(f"{protocol}/auth", self.sign_in),
            web.post(f"{PREFIX}/login-actions/authenticate", self.authenticate),
            web.post(f"{protocol}/token", self.token),
            web.post(f"{protocol}/logout", self.logout),
            web.post(f"{protocol}/revoke", self.revoke),
            web.get(f"{protocol}/userinfo", self.userinfo),
        ]

    def realm(self, request: web.Request) -> Realm:
        """The realm of the path; 404 as Keycloak says it."""
        return named_realm(self._realms, request)

    async def discovery(self, request: web.Request) -> web.Response:
        """The realm's own document."""
        issuer = issuer_of(self.realm(request), request)
        protocol = f"{issuer}/protocol/openid-connect"
        found = {
            "issuer": issuer,
            "authorization_endpoint": f"{protocol}/auth",
            "token_endpoint": f"{protocol}/token",
            "userinfo_endpoint": f"{protocol}/userinfo",
            "end_session_endpoint": f"{protocol}/logout",
            "revocation_endpoint": f"{protocol}/revoke",
            "jwks_uri": f"{protocol}/certs",
            "grant_types_supported": ["authorization_code", "password", "refresh_token", "client_credentials"],
            "authorization_response_iss_parameter_supported": True,
        }
        return web.json_response(found)

    async def keys(self, request: web.Request) -> web.Response:
        """The JWKS."""
        return web.json_response({"keys": self.realm(request).public_keys}, headers={"Cache-Control": "no-cache"})

    async def sign_in(self, request: web.Request) -> web.Response:
        """The authorization endpoint."""
        realm = self.realm(request)
        return self._pages[realm.name].open(request, issuer_of(realm, request))

    async def authenticate(self, request: web.Request) -> web.Response:
        """The form of the sign-in page."""
        return self._pages[self.realm(request).name].send(request, await _form(request))

    async def token(self, request: web.Request) -> web.Response:
        """Every grant. One user's parallel password grants are refused, as brute-force protection does."""
        realm = self.realm(request)
        if realm.behaviour.token_fault is not None:
            return await fail(realm.behaviour.token_fault)
        form = await _form(request)
        issuer = issuer_of(realm, request)
        server = self._servers[realm.name]
        user = realm.named(form.get("username", "")) if form.get("grant_type") == "password" else None
        if user is None:
            if form.get("grant_type") == "refresh_token":
                await asyncio.sleep(realm.behaviour.refresh_delay)
            return server.answer(form, issuer)
        if realm.behaviour.refuse_parallel and user.id in realm.grants_under_way:
            return _error(wrong_password(realm, INVALID_CREDENTIALS))
        realm.grants_under_way.add(user.id)
        try:
            if realm.behaviour.gate is not None:
                await realm.behaviour.gate.acquire()
            return server.answer(form, issuer)
        finally:
            realm.grants_under_way.discard(user.id)

    async def logout(self, request: web.Request) -> web.Response:
        """End the session of a refresh token; one that is over is fine too."""
        realm = self.realm(request)
        form = await _form(request)
        try:
            authenticated(realm, form)
        except OAuth2Error as error:
            return _error(error)
        session = realm.session_of(form.get("refresh_token", ""))
        if not isinstance(session, str):
            realm.end(session)
        elif form.get("refresh_token") not in realm.ended:
            return web.json_response(
                {"error": "invalid_grant", "error_description": "Invalid refresh token"}, status=400
            )
        return web.Response(status=204)

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke a refresh token: its session is gone."""
        realm = self.realm(request)
        form = await _form(request)
        try:
            authenticated(realm, form)
        except OAuth2Error as error:
            return _error(error)
        session = realm.session_of(form.get("token", ""))
        if not isinstance(session, str):
            realm.end(session)
        return web.Response(status=200)

    async def userinfo(self, request: web.Request) -> web.Response:
        """Whose the bearer token is, while its session lives."""
        realm = self.realm(request)
        claims = bearer_claims(realm, request)
        user = realm.user(str(claims.get("sub"))) if claims else None
        if claims is None or user is None or claims.get("sid") not in realm.sessions:
            return web.Response(status=401)
        return web.json_response({"sub": user.id, "preferred_username": user.username, "email": user.email})


def named_realm(realms: Mapping[str, Realm], request: web.Request) -> Realm:
    """The realm of the path; 404 as Keycloak says it."""
    realm = realms.get(request.match_info["realm"])
    if realm is None:
        raise web.HTTPNotFound(text='{"error":"Realm does not exist"}', content_type="application/json")
    return realm


def issuer_of(realm: Realm, request: web.Request) -> str:
    """As with `hostname-strict=false`: what the request asked for."""
    return realm.behaviour.issuer or f"{request.scheme}://{request.host}/auth/realms/{realm.name}"


def bearer_claims(realm: Realm, request: web.Request) -> dict[str, object] | None:
    """The claims of the bearer token, if this realm signed it and it is live."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        return None
    try:
        claims = jwt.decode(token, realm.verification_keys, algorithms=["RS256"]).claims
        jwt.JWTClaimsRegistry(now=int(realm.clock.now()), exp={"essential": True}).validate(claims)
    except (JoseError, ValueError):
        return None
    return claims if claims.get("typ") == "Bearer" else None


async def fail(fault: Fault) -> web.Response:
    """A bad day."""
    if fault is Fault.SILENT:
        await asyncio.sleep(_NEVER)
    if fault is Fault.ERROR:
        return web.json_response({"error": "unknown_error"}, status=500)
    if fault is Fault.HTML_ERROR:
        return web.Response(status=502, text="<html>Bad gateway</html>", content_type="text/html")
    if fault is Fault.HTML_DENIED:
        return web.Response(status=401, text="<html>Access denied</html>", content_type="text/html")
    if fault is Fault.REDIRECT:
        return web.Response(status=302, headers={"Location": "https://elsewhere.invalid/"})
    return web.Response(text="all is well", content_type="text/plain")


async def _form(request: web.Request) -> dict[str, str]:
    """The form, with client credentials from a Basic header put into it."""
    form = {name: str(value) for name, value in (await request.post()).items()}
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return form
        form |= {"client_id": unquote_plus(client_id), "client_secret": unquote_plus(secret)}
    return form


def _error(error: OAuth2Error) -> web.Response:
    status, body, _ = error()
    return web.json_response(dict(body), status=status, headers={"Cache-Control": "no-store"})

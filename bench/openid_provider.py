"""An OpenID provider that signs in one user at once, for peers that need a sign-in by redirects."""

import secrets
import time
from urllib.parse import urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "bench", "not-secret"


def provider() -> web.Application:
    """Its application."""
    key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
    nonces: dict[str, str] = {}

    async def discovery(request: web.Request) -> web.Response:
        base = _base(request)
        return web.json_response(
            {
                "issuer": base,
                "authorization_endpoint": f"{base}/auth",
                "token_endpoint": f"{base}/token",
                "userinfo_endpoint": f"{base}/userinfo",
                "jwks_uri": f"{base}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def authorize(request: web.Request) -> web.Response:
        code = secrets.token_urlsafe()
        nonces[code] = request.query.get("nonce", "")
        found = urlencode({"code": code, "state": request.query["state"]})
        return web.Response(status=302, headers={"Location": f"{request.query['redirect_uri']}?{found}"})

    async def token(request: web.Request) -> web.Response:
        form, now = await request.post(), int(time.time())
        claims = {"iss": _base(request), "sub": "1", "aud": CLIENT, "iat": now, "exp": now + 86_400}
        claims |= {"email": "ben@example.com", "email_verified": True, "nonce": nonces.pop(str(form["code"]))}
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, claims, key)
        return web.json_response(
            {"access_token": signed, "id_token": signed, "token_type": "Bearer", "expires_in": 86_400}
        )

    async def userinfo(_request: web.Request) -> web.Response:
        return web.json_response({"sub": "1", "email": "ben@example.com", "email_verified": True})

    async def keys(_request: web.Request) -> web.Response:
        return web.json_response({"keys": [key.as_dict(private=False)]})

    app = web.Application()
    app.add_routes(
        [
            web.get("/.well-known/openid-configuration", discovery),
            web.get("/auth", authorize),
            web.post("/token", token),
            web.get("/userinfo", userinfo),
            web.get("/keys", keys),
        ]
    )
    return app


def _base(request: web.Request) -> str:
    return f"http://{request.host}"

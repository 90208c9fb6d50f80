"""Forward-auth as one would write it with aiohttp and redis-py: the session of a cookie, read and opened each time.

    python -m bench.naive_auth PORT REDIS COOKIE TOKEN

It writes one session for the value of the cookie COOKIE, with the access token TOKEN.
"""

import asyncio
import hashlib
import json
import os
import re
import sys

from aiohttp import web
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis


class ForwardAuth:
    """Answers whether a request has a session, and whose it is."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._key = AESGCM(os.urandom(32))

    async def write(self, cookie: str, token: str) -> None:
        """Write a session."""
        nonce, session = os.urandom(12), {"user": "ben", "email": "ben@example.com", "roles": ["agent"], "token": token}
        await self._redis.set(_digest(cookie), nonce + self._key.encrypt(nonce, json.dumps(session).encode(), None))

    async def answer(self, request: web.Request) -> web.Response:
        """200 with the user, or 401."""
        found = re.search(r"gateway-session=([^;]+)", request.headers.get("Cookie", ""))
        sealed = await self._redis.get(_digest(found[1])) if found else None
        if not isinstance(sealed, bytes):
            return web.Response(status=401)
        session = json.loads(self._key.decrypt(sealed[:12], sealed[12:], None))
        return web.Response(headers={"Authorization": f"Bearer {session['token']}", "X-User": session["user"]})


def _digest(cookie: str) -> str:
    return f"naive:{hashlib.sha256(cookie.encode()).hexdigest()}"


async def serve(port: int, redis: str, cookie: str, token: str) -> None:
    """Serve until the process ends."""
    auth = ForwardAuth(Redis.from_url(redis))
    await auth.write(cookie, token)
    app = web.Application()
    app.router.add_get("/-/auth", auth.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1]), *sys.argv[2:5]))

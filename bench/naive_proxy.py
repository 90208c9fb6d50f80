"""A proxy as one would write it with aiohttp in half an hour: no sign-in, no checks.

    python -m bench.naive_proxy PORT FILES APP

FILES is the address of the files, APP that of the app with `/ws` and `/upload`.
"""

import asyncio
import sys
from collections.abc import Mapping

import aiohttp
from aiohttp import web

HOP = frozenset({"host", "connection", "keep-alive", "transfer-encoding", "upgrade", "content-length"})


def kept(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The fields that a proxy passes on."""
    return [(name, value) for name, value in headers.items() if name.lower() not in HOP]


class Proxy:
    """Passes requests on."""

    def __init__(self, client: aiohttp.ClientSession, files: str, app: str) -> None:
        self.client = client
        self.files = files
        self.app = app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass on one request."""
        to = (self.app if request.path.startswith(("/ws/", "/upload/")) else self.files) + request.path_qs
        headers = kept(request.headers)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.websocket(request, to)
        body = request.content if request.can_read_body else None
        if request.content_length is not None:
            headers.append(("Content-Length", str(request.content_length)))
        async with self.client.request(request.method, to, headers=headers, data=body, allow_redirects=False) as found:
            answer = web.StreamResponse(status=found.status, headers=dict(kept(found.headers)))
            answer.content_length = found.content_length
            await answer.prepare(request)
            async for part in found.content.iter_any():
                await answer.write(part)
            return answer

    async def websocket(self, request: web.Request, to: str) -> web.StreamResponse:
        """Pass on one WebSocket, message by message."""
        browser = web.WebSocketResponse(compress=False, max_msg_size=0)
        await browser.prepare(request)
        async with self.client.ws_connect(to, compress=0, max_msg_size=0) as app:

            async def back() -> None:
                async for message in app:
                    await browser.send_bytes(message.data)
                await browser.close()

            returning = asyncio.create_task(back())
            async for message in browser:
                await app.send_bytes(message.data)
            returning.cancel()
        return browser


async def serve(port: int, files: str, app: str) -> None:
    """Serve until the process ends."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as client:
        server = web.Application(client_max_size=0)
        server.router.add_route("*", "/{path:.*}", Proxy(client, files, app).handle)
        runner = web.AppRunner(server, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))

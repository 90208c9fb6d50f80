"""Runs the Autobahn|Testsuite against a WebSocket server, directly and through the gateway.

    python -m tests.proxy.autobahn PYTHON2 [CASES]

PYTHON2 is a Python 2.7 with pip, in which the suite still runs; it is installed below `build/`. CASES are patterns of
the suite, such as `1.*,5.*`; default all. The verdicts through the gateway must be those without it.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import uvloop
from aiohttp import WSMsgType, web

from tests.fixtures.ports import free_port
from tests.fixtures.proxy_server import gateway, tenant

FOLDER = Path("build/autobahn")
SUITE = "autobahntestsuite==0.8.2"
CLIENT = """
import sys
from autobahntestsuite import fuzzing, wstest
Factory = fuzzing.FuzzingClientFactory
begin = Factory.setSessionParameters
def with_cookie(self, *defaults, **options):
    if options:
        options["headers"] = {"Cookie": str(self.spec["servers"][self.currServer]["cookie"])}
    begin(self, *defaults, **options)
Factory.setSessionParameters = with_cookie
sys.argv = ["wstest", "-m", "fuzzingclient", "-s", sys.argv[1]]
wstest.run()
"""
"""The suite's client, which also sends the cookie of each server of its settings."""
_Verdicts = dict[str, tuple[str, str]]


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Echoes the messages of one WebSocket."""
    socket = web.WebSocketResponse(max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


async def verdicts(python: str, cases: list[str]) -> dict[str, _Verdicts]:
    """Returns what the suite says of each case, of the server `direct` and of the server `gateway`."""
    app = web.Application()
    app.router.add_get("/agent-manager/ws", echo)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    server, public = free_port(), free_port()
    await web.TCPSite(runner, "127.0.0.1", server).start()
    one = tenant(f"http://127.0.0.1:{server}", public_url=f"http://127.0.0.1:{public}")
    async with gateway(one, port=public) as around:
        origin = f"http://127.0.0.1:{public}"
        servers = [
            {"agent": name, "url": f"ws://127.0.0.1:{port}/agent-manager/ws", "origin": origin, "cookie": around.cookie}
            for name, port in (("direct", server), ("gateway", public))
        ]
        spec: dict[str, object] = {"outdir": str(FOLDER / "reports"), "servers": servers, "cases": cases}
        spec |= {"exclude-cases": [], "exclude-agent-cases": {}}
        (FOLDER / "spec.json").write_text(json.dumps(spec))
        environment = {**os.environ, "PYTHONPATH": str(FOLDER / "packages")}
        client = await asyncio.create_subprocess_exec(
            python, "-c", CLIENT, str(FOLDER / "spec.json"), env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        if await client.wait():
            sys.exit("the suite's client failed")
    await runner.cleanup()
    found = json.loads((FOLDER / "reports/index.json").read_text())
    return {
        agent: {case: (one["behavior"], one["behaviorClose"]) for case, one in of_agent.items()}
        for agent, of_agent in found.items()
    }


def install(python: str) -> None:
    """Installs the suite for `python`, once."""
    packages = FOLDER / "packages"
    if not packages.exists():
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(packages), SUITE]
        subprocess.run(pip, check=True)
        (packages / "zope/__init__.py").touch()  # pip leaves it out of a folder of its own


def main(python: str, cases: str = "*") -> int:
    """Compares both verdicts of each case; returns the exit code."""
    install(python)
    found = uvloop.run(verdicts(python, cases.split(",")))
    direct, through = found["direct"], found["gateway"]
    different = [case for case in direct if through.get(case) != direct[case]]
    for case in different:
        print(f"{case}: directly {direct[case]}, through the gateway {through.get(case)}")
    print(f"{len(direct)} cases, {len(different)} with another verdict; reports are in {FOLDER}/reports")
    return 1 if different or not direct else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

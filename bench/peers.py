"""Other proxies with a sign-in, where they are installed. Each keeps its session in Redis."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_urlsafe

from aiohttp import ClientSession, CookieJar

from bench.designs import Design, filled
from bench.installation import Installation
from bench.openid_provider import CLIENT, SECRET, provider
from bench.processes import MEASURED, listens, started
from gateway.demo.dependencies import serving
from tests.fixtures.ports import free_port

MODULES = Path("/usr/lib/apache2/modules")
APACHE = """
ServerRoot {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
LogLevel error
ServerName localhost
Listen 127.0.0.1:{port}
{modules}
{user}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 600
StartServers 1
ServerLimit 1
ThreadsPerChild 300
ThreadLimit 300
MaxRequestWorkers 300
ProxyPreserveHost On
OIDCProviderMetadataURL {provider}/.well-known/openid-configuration
OIDCClientID {client}
OIDCClientSecret {secret}
OIDCRedirectURI http://localhost:{port}/redirect_uri
OIDCCryptoPassphrase bench-bench-bench-bench
OIDCCacheType redis
OIDCRedisCacheServer 127.0.0.1:{redis}
<Location />
  AuthType openid-connect
  Require valid-user
</Location>
ProxyPass /redirect_uri !
ProxyPass /ws/ ws://127.0.0.1:{app}/ws/
ProxyPass /upload/ http://127.0.0.1:{app}/upload/
ProxyPass / http://127.0.0.1:{files}/
"""


async def redirected(base: str) -> str:
    """The cookies of a browser that opened the app and followed the redirects of a sign-in."""
    async with ClientSession(base, cookie_jar=CookieJar(unsafe=True)) as client:
        async with client.get("/", headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{base}: {answer.status} {await answer.text()}")
        return filled("; ".join(f"{one.key}={one.value}" for one in client.cookie_jar))


@asynccontextmanager
async def oauth2_proxy(around: Installation, title: str) -> AsyncIterator[Design]:
    """oauth2-proxy as a reverse proxy, with the fewest fields in its requests and no logs of requests."""
    port, redis = free_port(), await around.store()
    upstreams = (
        f"http://127.0.0.1:{around.files}/",
        *(f"http://127.0.0.1:{around.app}/{path}/" for path in ("ws", "upload")),
    )
    async with serving(provider()) as issuer:
        command = (
            "oauth2-proxy",
            "--provider=oidc",
            f"--oidc-issuer-url={issuer}",
            f"--client-id={CLIENT}",
            f"--client-secret={SECRET}",
            f"--cookie-secret={token_urlsafe(24)}",
            "--cookie-secure=false",
            "--email-domain=*",
            f"--http-address=127.0.0.1:{port}",
            f"--redirect-url=http://localhost:{port}/oauth2/callback",
            "--session-store-type=redis",
            f"--redis-connection-url={redis}",
            *(f"--upstream={upstream}" for upstream in upstreams),
            "--skip-provider-button=true",
            "--pass-authorization-header=true",
            *(f"--{log}-logging=false" for log in ("request", "auth", "standard")),
        )
        async with started(command, around.folder / "oauth2-proxy.log", listens(port), core=MEASURED) as running:
            yield Design("oauth2-proxy", title, port, running, await redirected(f"http://localhost:{port}"))


@asynccontextmanager
async def apache(around: Installation, title: str) -> AsyncIterator[Design]:
    """Apache with mod_auth_openidc and mod_proxy."""
    port, folder = free_port(), around.folder / "apache"
    folder.mkdir(exist_ok=True)
    await around.store()
    async with serving(provider()) as issuer:
        modules = (
            f"LoadModule {name}_module {MODULES}/mod_{name}.so"
            for name in (
                *("mpm_event", "authn_core", "authz_core", "authz_user", "headers"),
                *("proxy", "proxy_http", "proxy_wstunnel", "auth_openidc"),
            )
        )
        text = APACHE.format(
            folder=folder,
            port=port,
            modules="\n".join(modules),
            user="" if os.geteuid() else "User www-data\nGroup www-data",
            provider=issuer,
            client=CLIENT,
            secret=SECRET,
            redis=around.redis_port,
            app=around.app,
            files=around.files,
        )
        (folder / "apache.conf").write_text(text)
        command = ("apache2", "-DFOREGROUND", "-f", str(folder / "apache.conf"))
        async with started(command, folder / "log", listens(port), core=MEASURED) as running:
            yield Design("apache", title, port, running, await redirected(f"http://localhost:{port}"))


def without_apache() -> str:
    """What is missing for Apache."""
    there = shutil.which("apache2") and (MODULES / "mod_auth_openidc.so").exists()
    return "" if there else "apache2 or its mod_auth_openidc is not installed"

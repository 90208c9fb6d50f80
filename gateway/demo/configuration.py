"""The configuration of the demo: that of EFCX tenants, with the addresses of the demo's own dependencies.

The demo writes it as files and reads and checks them as `serve` does, so that it shows what `serve` would do.
"""

import copy
import json
import secrets
import socket
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.demo import sample_apps, web_services
from gateway.demo.dependencies import SERVICE, SIGN_IN, Dependencies
from gateway.demo.inbox import LOOPBACK
from gateway.demo.sample_users import NUMBERS_OF
from gateway.demo.tenants import DemoTenant
from gateway.domain.configuration import Configuration, StoreSettings
from gateway.domain.errors import Misconfigured
from gateway.domain.secret import Secret
from gateway.settings.load import load

CHANNEL, SMS_CHANNEL, SERVICES_CHANNEL = "otp@example.com", "sms", "services"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. `upstream` puts the login in front of an app of one's own, at `/`."""

    port: int = 8080
    upstream: str | None = None
    store: str | None = None
    remote_upstream: bool = False


def configure(options: Options, around: Dependencies) -> Configuration:
    """The demo's configuration, read and checked as any other; raises `Misconfigured` with all faults."""
    with tempfile.TemporaryDirectory(prefix="efcx-gateway-demo-") as name:
        folder = Path(name)
        (folder / "tenants").mkdir()
        (folder / "gateway.yaml").write_text(json.dumps(gateway_file(options, around)))
        for tenant in around.tenants:
            (folder / "tenants" / f"{tenant.id}.json").write_text(json.dumps(tenant_file(options, around, tenant)))
        loaded = load(folder / "gateway.yaml", environment={})
    if loaded.configuration is None:
        raise Misconfigured("the demo's configuration", "; ".join(str(fault) for fault in loaded.errors))
    configuration = loaded.configuration
    if options.store is None:
        return configuration
    # A prefix of its own for each run: the keys are new, so nothing that another run left could be opened.
    store = StoreSettings(url=Secret(options.store), prefix=f"demo:{secrets.token_hex(4)}:")
    return replace(configuration, gateway=replace(configuration.gateway, store=store))


def gateway_file(options: Options, around: Dependencies) -> dict[str, Any]:
    """`gateway.yaml` as data (JSON is YAML)."""
    relay = {"host": LOOPBACK, "port": around.inbox.port, "security": "none"}
    return {
        "listen": f"{LOOPBACK}:{options.port}",
        "operations": f"{LOOPBACK}:{_free_port()}",
        "channels": [
            {
                "serviceIdentifier": CHANNEL,
                "type": "EMAIL",
                "kind": "smtp",
                "from": CHANNEL,
                "relays": [relay],
            },
            {
                "serviceIdentifier": SMS_CHANNEL,
                "type": "SMS",
                "kind": "sms-http",
                "sms_http": {
                    "url": f"{around.sms_gateway}/",
                    "headers": [{"name": "Content-Type", "value": "application/json"}],
                    "body": '{"to": "{number}", "text": "{text}"}',
                    "success": {"json": {"status": "queued"}},
                },
            },
            {
                "serviceIdentifier": SERVICES_CHANNEL,
                "type": "EXTERNAL",
                "kind": "web-services",
                "web_services": {
                    "live": "production",
                    "code_timeout_ms": 300_000,
                    "code_digits": web_services.DIGITS,
                    **{
                        key: {"production": f"{around.web_services}/{service}", "customer_parameter": "customer"}
                        for key, service in (
                            ("check", web_services.CHECK),
                            ("send", web_services.SEND),
                            ("code", web_services.CODE),
                        )
                    },
                },
            },
        ],
        "defaults": {"phone_numbers": {"region": NUMBERS_OF}},
    }


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def tenant_file(options: Options, around: Dependencies, tenant: DemoTenant) -> dict[str, Any]:
    """The tenant as EFCX would write it, with what is known now that everything around it runs."""
    routes: list[dict[str, Any]] = [
        {"path": sample.prefix, "to": around.apps[sample.prefix], "strip_prefix": True, "name": sample.name}
        for sample in sample_apps.SAMPLES
    ]
    if options.upstream is not None:
        routes = [{"path": "/", "to": options.upstream.rstrip("/"), "name": "Your app"}]
    file = copy.deepcopy(dict(tenant.file))
    file["tenantSettings"]["keyCloak"] = {
        "realm": tenant.id,
        "auth-server-url": f"{around.provider}/auth/",
        "CLIENT_ID": SIGN_IN,
        "credentials": {"secret": around.secrets[SIGN_IN]},
        "Otp_Manager_Url": f"{around.provider}/",
    }
    file["gateway"] |= {
        "public_url": origin(options, tenant),
        "hosts": [LOOPBACK] if tenant.is_default else [],
        "home": "/" if options.upstream is not None else "/unified-admin/",
        "keycloak": {"service_account": {"client_id": SERVICE, "client_secret": around.secrets[SERVICE]}},
        "routes": routes,
    }
    return file


def origin(options: Options, tenant: DemoTenant) -> str:
    """The address of a tenant."""
    return f"http://{tenant.host}:{options.port}"

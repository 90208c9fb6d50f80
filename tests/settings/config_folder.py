"""A folder of settings that a test can change: the shipped sample, or a small valid one."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

from gateway.settings.features import FEATURES, Features
from gateway.settings.load import Loaded, load
from gateway.settings.source.diagnostics import Diagnostic, Level

SHIPPED = Path(__file__).parents[2] / "config"
CREATE = Path(__file__).with_name("efcx_create.json")
UPDATE = Path(__file__).with_name("efcx_update.json")

GATEWAY: dict[str, Any] = {
    "channels": [
        {
            "serviceIdentifier": "otp@example.com",
            "type": "EMAIL",
            "kind": "smtp",
            "relays": [{"host": "smtp.example.com"}],
        }
    ],
    "defaults": {"routes": [{"path": "/app", "to": "http://app:3000"}], "help": {"text": "Ask."}},
}
TENANT: dict[str, Any] = {
    "tenantName": "One",
    "tenantId": "one",
    "status": "active",
    "tenantSettings": {
        "fqdn": "one.example.com",
        "keyCloak": {
            "realm": "one",
            "auth-server-url": "http://keycloak:8080/auth/",
            "CLIENT_ID": "cim",
            "credentials": {"secret": "made up"},
            "Otp_Manager_Url": "http://otp:3000/",
        },
        "twoFAConfigs": {
            "is2FAEnabled": True,
            "channelType": "EMAIL",
            "channelServiceIdentifier": "otp@example.com",
            "otpExpiry": 120,
            "otpMaxAttempts": 5,
        },
    },
}


class ConfigFolder:
    """`gateway.yaml` and `tenants/one.json`, as data until `load` writes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gateway: Any = copy.deepcopy(GATEWAY)
        self.tenants: dict[str, Any] = {"one.json": copy.deepcopy(TENANT)}
        self.environment: dict[str, str] = {}
        self.features: Features = FEATURES

    @property
    def one(self) -> dict[str, Any]:
        """Returns the tenant object of `one.json`."""
        found: dict[str, Any] = self.tenants["one.json"]
        return found

    @property
    def two_factor(self) -> dict[str, Any]:
        """Returns its `twoFAConfigs`."""
        found: dict[str, Any] = self.one["tenantSettings"]["twoFAConfigs"]
        return found

    @property
    def keycloak(self) -> dict[str, Any]:
        """Returns its `keyCloak`."""
        found: dict[str, Any] = self.one["tenantSettings"]["keyCloak"]
        return found

    @property
    def own(self) -> dict[str, Any]:
        """Returns its `gateway:` section."""
        found: dict[str, Any] = self.one.setdefault("gateway", {})
        return found

    def another(self, name: str) -> dict[str, Any]:
        """Adds a second valid tenant, on a separate realm and host."""
        tenant = copy.deepcopy(TENANT)
        tenant["tenantId"] = name
        tenant["tenantSettings"]["fqdn"] = f"{name}.example.com"
        tenant["tenantSettings"]["keyCloak"]["realm"] = name
        self.tenants[f"{name}.json"] = tenant
        return tenant

    def write(self) -> Path:
        """Writes all files; returns the path of `gateway.yaml`."""
        folder = self.path / "tenants"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.tenants.items():
            _write(folder / name, content)
        _write(self.path / "gateway.yaml", self.gateway)
        return self.path / "gateway.yaml"

    def load(self) -> Loaded:
        """Writes, then loads."""
        return load(self.write(), environment=self.environment, features=self.features)

    def diagnostics(self, path: str) -> list[Diagnostic]:
        """Returns the diagnostics at exactly `path`."""
        return [diagnostic for diagnostic in self.load().diagnostics if diagnostic.path == path]

    def diagnostic(self, path: str) -> Diagnostic:
        """Returns the one diagnostic at `path`."""
        found = self.diagnostics(path)
        assert len(found) == 1, [str(f) for f in self.load().diagnostics]
        return found[0]


def to_mend(loaded: Loaded) -> list[Diagnostic]:
    """Returns the diagnostics, except the hint to each tenant whose apps share a host with the login pages."""
    return [
        diagnostic
        for diagnostic in loaded.diagnostics
        if not (diagnostic.level is Level.HINT and "imitate the login page" in diagnostic.text)
    ]


def _write(file: Path, content: Any) -> None:
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")


def shipped(path: Path) -> Path:
    """Copies the shipped sample without its tenants; returns the path of its `gateway.yaml`."""
    shutil.copytree(SHIPPED, path, ignore=shutil.ignore_patterns("secrets", "*.key"))
    for file in (path / "tenants").iterdir():
        file.unlink()
    return path / "gateway.yaml"

"""The tenants of the demo: one for each way of working that a visitor may want to try.

`tenants/*.yaml` are EFCX's tenant objects as a real folder would hold them, without what is known only once the demo
runs (addresses, secrets, routes), and with a section `demo:` of what `/-/demo` says of them. Beside each is its logo.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML

from gateway.demo.loopback import DEFAULT
from gateway.domain.policy import FactorKind


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """One tenant: its host name, what to try there, what the registered agent has, and its object."""

    id: str
    host: str
    title: str
    story: str
    registered: tuple[FactorKind, ...]
    backup_codes: int
    logo: str
    file: Mapping[str, Any]

    @property
    def is_default(self) -> bool:
        """Whether `localhost` and 127.0.0.1 are its hosts."""
        return self.host == DEFAULT

    def address(self, username: str) -> str:
        """The profile address of a user; each tenant has its own."""
        return f"{username}@{'' if self.is_default else f'{self.id}.'}example.com"


def tenants() -> tuple[DemoTenant, ...]:
    """All, the default one first."""
    folder = files("gateway.demo") / "tenants"
    found = [
        _tenant(one.read_text(encoding="utf-8"), (folder / one.name.replace(".yaml", ".svg")).read_text())
        for one in folder.iterdir()
        if one.name.endswith(".yaml")
    ]
    return tuple(sorted(found, key=lambda tenant: (not tenant.is_default, tenant.id)))


def _tenant(text: str, logo: str) -> DemoTenant:
    file: dict[str, Any] = YAML(typ="safe").load(text)
    about = file.pop("demo")
    return DemoTenant(
        id=file["tenantId"],
        host=about["host"],
        title=about["title"],
        story=about["story"],
        registered=tuple(FactorKind(word) for word in about["registered"]),
        backup_codes=about.get("backup_codes", 0),
        logo=logo,
        file=file,
    )

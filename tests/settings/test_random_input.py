"""Tests with random files: loading gives a configuration or errors, and never turns 2FA off."""

import copy
import json
import random
from typing import Any

import pytest

from gateway.settings.load import load
from tests.fixtures.config_folder import CREATE, SHIPPED, ConfigFolder

JUNK: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    "",
    "x",
    "\u0000",
    "é" * 300,
    [],
    [[]],
    {},
    {"x": None},
    {"": {}},
    [1, "a"],
]
GATEWAY = {
    "listen": "127.0.0.1:8080",
    "trusted_proxies": ["10.0.0.0/8"],
    "store": {"url": "memory://", "prefix": "a:", "timeout": 1},
    "keys": {"file": "k"},
    "tls": {"smtp": {"ca_file": None}},
    "limits": {"failure_steps": [[10, 300]], "sends_per_user": 3},
    "languages": ["en"],
}
SECTION = {
    "public_url": "https://efcx.example.com",
    "hosts": ["b.example.com"],
    "home": "/app/",
    "help": {"text": "x", "url": "/x"},
    "branding": {"colour": "#000000", "logo": "/l", "language": "en"},
    "keycloak": {"client_id": "a", "client_secret": "b", "service_account": {"client_id": "c", "client_secret": "d"}},
    "routes": [{"path": "/app", "to": "http://a", "identity": ["bearer"], "timeouts": {"connect": 1}, "max_body": 1}],
    "public_paths": ["/app/x"],
    "origins": ["https://o.example.com"],
    "token_cookie": {"name": "t", "same_site": "lax"},
    "session": {"idle": 60},
    "time_zone": "Europe/Berlin",
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        found += [p for key, inner in value.items() for p in places(inner, (*path, key))]
    if isinstance(value, list):
        found += [p for index, inner in enumerate(value) for p in places(inner, (*path, index))]
    return found


def corrupt(value: Any, rng: random.Random) -> Any:
    corrupted = copy.deepcopy(value)
    path = rng.choice(places(corrupted))
    section = corrupted
    for part in path[:-1]:
        section = section[part]
    way = rng.randrange(3)
    if way == 0:
        del section[path[-1]]
    elif way == 1 and isinstance(section, dict):
        section[f"{path[-1]}_"] = section.pop(path[-1])
    else:
        section[path[-1]] = copy.deepcopy(rng.choice(JUNK))
    return corrupted


@pytest.mark.attack("E4")
@pytest.mark.attack("F10")
@pytest.mark.parametrize("seed", range(4))
def test_random_edits_give_a_configuration_or_errors(folder: ConfigFolder, seed: int) -> None:
    rng = random.Random(seed)
    tenant = {**json.loads(CREATE.read_bytes()), "gateway": SECTION}
    everything = {**folder.gateway, **GATEWAY}
    for _ in range(60):
        switch = ("tenantSettings", "twoFAConfigs", "is2FAEnabled")
        folder.gateway = corrupt(everything, rng) if rng.random() < 0.3 else everything
        folder.tenants = {"one.json": corrupt(corrupt(tenant, rng), rng)}
        loaded = folder.load()
        assert (loaded.configuration is None) is bool(loaded.errors)
        assert all(diagnostic.line >= 1 and diagnostic.text for diagnostic in loaded.diagnostics)
        if loaded.configuration and not loaded.configuration.tenants[0].policy.enabled:
            said = folder.tenants["one.json"]
            for part in switch:
                said = said[part]
            assert said is False


@pytest.mark.parametrize("key", ["defaults", "channels", "limits", "store", "tls", "keys", "tenants"])
@pytest.mark.parametrize("junk", [[1, "a"], {"x": []}, "x", 1])
def test_a_section_of_another_type_is_an_error(folder: ConfigFolder, key: str, junk: object) -> None:
    folder.gateway[key] = junk
    assert folder.load().diagnostics


@pytest.mark.attack("E4")
@pytest.mark.slow
def test_random_bytes_give_a_configuration_or_errors(folder: ConfigFolder) -> None:
    rng = random.Random(1)
    sample = (SHIPPED / "tenants" / "expertflow.yaml").read_bytes()
    file = folder.write()
    target = folder.path / "tenants" / "one.json"
    target.unlink()
    target = target.with_suffix(".yaml")
    for _ in range(200):
        raw = bytearray(sample)
        for _ in range(rng.randrange(1, 6)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        target.write_bytes(raw)
        loaded = load(file, environment={})
        assert (loaded.configuration is None) is bool(loaded.errors)

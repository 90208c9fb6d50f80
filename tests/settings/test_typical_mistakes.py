"""Tests of the messages for typical mistakes: each names file, line and key, and what to write instead."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.settings.load import load
from gateway.settings.source.diagnostics import Diagnostic, Level
from tests.fixtures.config_folder import SHIPPED

GATEWAY, TENANT = "gateway.yaml", "tenants/expertflow.yaml"
RELAY = """      - host: smtp.example.com
        port: 587
        security: starttls                # or tls, or none
"""
TWO_FACTOR = "tenantSettings.twoFAConfigs"


@dataclass(frozen=True)
class Mistake:
    """`written` replaces `right` in a file; the fault is at `key`, in the line of `at` (default: of `written`)."""

    file: str
    right: str
    written: str
    key: str
    advice: str
    at: str = ""
    level: Level = Level.ERROR


MISTAKES = {
    "a section is indented one blank less": Mistake(
        TENANT, "  twoFAConfigs:\n", " twoFAConfigs:\n", "", "indent it as the lines around it"
    ),
    "a tab is used for indentation": Mistake(
        TENANT, "    realm: expertflow", "\trealm: expertflow", "", "use blanks, not tabs"
    ),
    "a colon is missing": Mistake(
        GATEWAY, "listen: 0.0.0.0:8080 ", "listen 0.0.0.0:8080 ", "", "key: value", at="operations:"
    ),
    "a text with a colon has no quotes": Mistake(
        TENANT, 'text: "Ask the service desk."', "text: Help: ask the desk", "", "in quotes"
    ),
    "a key is given twice": Mistake(
        TENANT,
        "    realm: expertflow\n",
        "    realm: expertflow\n    realm: other\n",
        "tenantSettings.keyCloak.realm",
        "first in line 13; keep one of them",
        at="realm: other",
    ),
    "a key is misspelt": Mistake(
        TENANT, "otpMaxAttempts: 5", "otpMaxAttemps: 5", f"{TWO_FACTOR}.otpMaxAttemps", "did you mean otpMaxAttempts?"
    ),
    "a key of the gateway is outside of its section": Mistake(
        TENANT,
        "tenantId: expertflow",
        "tenantId: expertflow\npublic_url: https://a.example.com",
        "public_url",
        "gateway.public_url",
        at="public_url: https://a",
    ),
    "a number is a word": Mistake(
        TENANT,
        "otpMaxAttempts: 5",
        "otpMaxAttempts: five",
        f"{TWO_FACTOR}.otpMaxAttempts",
        "must be a whole number, not 'five'",
    ),
    "a number is in quotes": Mistake(
        GATEWAY, "port: 587", 'port: "587"', "channels[0].relays[0].port", "write 587 without quotes"
    ),
    "a time has a unit": Mistake(
        TENANT, "otpExpiry: 120 ", "otpExpiry: 2m ", f"{TWO_FACTOR}.otpExpiry", "must be a whole number, not '2m'"
    ),
    "a time is in minutes": Mistake(
        TENANT,
        "gateway:\n",
        "gateway:\n  session: {idle: 30}\n",
        "gateway.session.idle",
        "must be at least 60 (lifetime after the last request, in seconds)",
        at="session:",
    ),
    "the life of a code is in minutes": Mistake(
        TENANT, "otpExpiry: 120 ", "otpExpiry: 2 ", f"{TWO_FACTOR}.otpExpiry", "2 s are tight", level=Level.HINT
    ),
    "a code has no life": Mistake(
        TENANT, "otpExpiry: 120 ", "otpExpiry: 0 ", f"{TWO_FACTOR}.otpExpiry", "must be at least 1"
    ),
    "a truth value is a word of YAML 1.1": Mistake(
        TENANT,
        "is2FAEnabled: true",
        "is2FAEnabled: yes",
        f"{TWO_FACTOR}.is2FAEnabled",
        "must be true or false, not 'yes'",
    ),
    "the switch of the second factor is missing": Mistake(
        TENANT,
        "    is2FAEnabled: true ",
        "    # is2FAEnabled: true ",
        TWO_FACTOR + ".is2FAEnabled",
        "is missing: whether the gateway requires a second factor",
        at="twoFAConfigs:",
    ),
    "the preset is unknown": Mistake(
        TENANT,
        "preset: efcx ",
        "preset: expertflow ",
        f"{TWO_FACTOR}.preset",
        "allowed: efcx, cloudcx, sinch or genesys",
    ),
    "the channel is not configured": Mistake(
        TENANT,
        "    channelServiceIdentifier: otp@example.com",
        "    channelServiceIdentifier: otp@example.org",
        f"{TWO_FACTOR}.channelServiceIdentifier",
        "configured for EMAIL: otp@example.com",
    ),
    "the type of channel is no method of a tenant": Mistake(
        TENANT,
        "    channelType: EMAIL",
        "    channelType: EXTERNAL",
        f"{TWO_FACTOR}.channelType",
        "codeGeneration: EXTERNAL",
    ),
    "the number of days is not offered": Mistake(
        TENANT,
        "# trustBrowserDays: 14 ",
        "trustBrowserDays: 7 ",
        f"{TWO_FACTOR}.trustBrowserDays",
        "allowed: 0, 14, 30, 60 or 90",
    ),
    "EFCX's otp-manager is not named": Mistake(
        TENANT,
        "    Otp_Manager_Url: http",
        "    # Otp_Manager_Url: http",
        "tenantSettings.keyCloak.Otp_Manager_Url",
        "as http://ef-cx-otp-manager-svc:3000/",
        at="keyCloak:",
    ),
    "a host name has a scheme": Mistake(
        TENANT,
        "fqdn: efcx.example.com",
        "fqdn: https://efcx.example.com",
        "tenantSettings.fqdn",
        "must be a host name alone, as efcx.example.com",
    ),
    "an address has no scheme": Mistake(
        TENANT,
        "auth-server-url: http://keycloak",
        "auth-server-url: keycloak",
        "tenantSettings.keyCloak.auth-server-url",
        "must be a URL as http://keycloak:8080/auth/",
    ),
    "the address of an app has no scheme": Mistake(
        GATEWAY,
        '"http://ef-cx-unified-admin-svc:3000"',
        "ef-cx-unified-admin-svc:3000",
        "defaults.routes[0].to",
        "must be a URL as http://ef-cx-unified-admin-svc:3000",
    ),
    "the public address has a path": Mistake(
        TENANT,
        "public_url: https://efcx.example.com ",
        "public_url: https://efcx.example.com/login ",
        "gateway.public_url",
        "without a path",
    ),
    "two routes have one path": Mistake(
        GATEWAY,
        "path: /agent-manager,",
        "path: /unified-admin,",
        "defaults.routes[1].path",
        "/unified-admin is listed twice; every route needs a path of its own",
        at='path: /unified-admin, to: "http://ef-cx-agent',
    ),
    "the home is on no route": Mistake(
        GATEWAY, "home: /unified-admin/", "home: /admin/", "defaults.home", "routes: /unified-admin, /agent-manager"
    ),
    "a colour has no quotes": Mistake(
        TENANT,
        'colour: "#0b5cad"',
        "colour: #0b5cad",
        "gateway.branding.colour",
        "is empty; it must be text (put it in quotes)",
    ),
    "a colour is a word": Mistake(
        TENANT, 'colour: "#0b5cad"', "colour: blue", "gateway.branding.colour", 'must be a colour as "#0b5cad"'
    ),
    "a language is not offered": Mistake(
        TENANT, 'colour: "#0b5cad"', "language: fr", "gateway.branding.language", "allowed: en, ar or ur"
    ),
    "a time zone is an offset": Mistake(
        TENANT,
        "gateway:\n",
        'gateway:\n  time_zone: "+05:00"\n',
        "gateway.time_zone",
        "must be a time zone of the IANA database, as Asia/Karachi",
        at="time_zone:",
    ),
    "a network has bits of a host": Mistake(
        GATEWAY, "trusted_proxies: [] ", "trusted_proxies: [10.1.2.3/8] ", "trusted_proxies[0]", "write 10.0.0.0/8"
    ),
    "a proxy is a name": Mistake(
        GATEWAY,
        "trusted_proxies: [] ",
        "trusted_proxies: [proxy.example.com] ",
        "trusted_proxies[0]",
        "must be an address or a network as 10.0.0.0/8",
    ),
    "a port is no address": Mistake(
        GATEWAY, "listen: 0.0.0.0:8080 ", "listen: 8080 ", "listen", "address and port for browsers"
    ),
    "a channel has no mail server": Mistake(
        GATEWAY, RELAY, "", "channels[0].relays", "is empty; it must be a list (SMTP servers)", at="relays:"
    ),
    "the port of a mail server does not fit": Mistake(
        GATEWAY,
        "port: 587",
        "port: 465",
        "channels[0].relays[0].security",
        "write tls, or port: 587",
        at="security: starttls",
        level=Level.WARNING,
    ),
    "a mail password has no user name": Mistake(
        GATEWAY,
        "# password: {file: secrets/smtp-password} ",
        "password: {env: PATH} ",
        "channels[0].relays[0]",
        "give both or none",
        at="- host: smtp",
    ),
    "a secret file is missing": Mistake(
        TENANT,
        'secret: "replace-me" ',
        "secret: {file: secrets/cim} ",
        "tenantSettings.keyCloak.credentials.secret",
        "secrets/cim cannot be read: No such file or directory",
    ),
    "an environment variable is not set": Mistake(
        TENANT,
        'secret: "replace-me" ',
        "secret: {env: CIM_SECRET} ",
        "tenantSettings.keyCloak.credentials.secret",
        "the environment variable CIM_SECRET is not set",
    ),
    "a secret is a number": Mistake(
        TENANT,
        'secret: "replace-me" ',
        "secret: 12345 ",
        "tenantSettings.keyCloak.credentials.secret",
        "a number needs quotes",
    ),
    "a variable in a secret was not replaced": Mistake(
        TENANT,
        'secret: "replace-me" ',
        'secret: "${CIM_SECRET}" ',
        "tenantSettings.keyCloak.credentials.secret",
        "{env: NAME}",
        level=Level.WARNING,
    ),
    "Redis has no key ring": Mistake(
        GATEWAY,
        "url: memory://",
        "url: rediss://redis.example.com",
        "keys",
        "efcx-gateway keys new writes one",
        at="# yaml-",
    ),
    "the key ring is another file": Mistake(
        GATEWAY,
        "# keys: {file: secrets/ring.key}",
        "keys: {file: tenants/expertflow.yaml}",
        "keys.file",
        "is damaged, or no key ring",
        level=Level.WARNING,
    ),
    "a certificate authority is not PEM": Mistake(
        GATEWAY,
        "# tls:\n",
        "tls: {ca_file: tenants/expertflow.yaml}\n",
        "tls.ca_file",
        "it needs PEM (-----BEGIN CERTIFICATE-----)",
    ),
    "the folder of the tenants is elsewhere": Mistake(
        GATEWAY,
        "listen: 0.0.0.0:8080 ",
        "tenants: clients\nlisten: 0.0.0.0:8080 ",
        "tenants",
        "cannot be read",
        at="tenants: c",
    ),
}


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A copy of the shipped sample that only its owner may read."""
    folder = tmp_path / "config"
    shutil.copytree(SHIPPED, folder)
    for name in (GATEWAY, TENANT):
        (folder / name).chmod(0o600)
    return folder


def faults(folder: Path) -> tuple[Diagnostic, ...]:
    """Returns the faults that the unchanged sample does not have."""
    usual = {(d.path, d.text) for d in load(SHIPPED / GATEWAY, environment={}).diagnostics}
    found = load(folder / GATEWAY, environment={"PATH": "made up"}).diagnostics
    return tuple(d for d in found if (d.path, d.text) not in usual)


@pytest.mark.row("GW-14")
@pytest.mark.parametrize("name", MISTAKES)
def test_a_typical_mistake_is_named_with_file_line_key_and_advice(name: str, sample: Path) -> None:
    mistake = MISTAKES[name]
    file = sample / mistake.file
    text = file.read_text(encoding="utf-8")
    assert text.count(mistake.right) == 1
    text = text.replace(mistake.right, mistake.written)
    file.write_text(text, encoding="utf-8")
    line = text[: text.index(mistake.at or mistake.written)].count("\n") + 1
    found = faults(sample)
    told = [d for d in found if (d.path, d.level) == (mistake.key, mistake.level) and mistake.advice in d.text]
    assert [(Path(d.file).name, d.line) for d in told] == [(Path(mistake.file).name, line)], [str(d) for d in found]


@pytest.mark.row("GW-14")
def test_a_tenant_file_that_is_there_twice_is_named_with_both_files(sample: Path) -> None:
    shutil.copy(sample / TENANT, sample / "tenants" / "old.yaml")
    found = {d.path: d for d in faults(sample) if d.level is Level.ERROR}
    assert set(found) == {"tenantId", "tenantSettings.fqdn", "tenantSettings.keyCloak.realm"}
    assert "is taken by" in found["tenantId"].text
    assert found["tenantId"].file.endswith("old.yaml")
    assert "expertflow.yaml" in found["tenantId"].text

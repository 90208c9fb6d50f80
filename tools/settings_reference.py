"""Writes the settings reference, `docs/settings.md`.

    python -m tools.settings_reference > docs/settings.md

The tool makes it from the types that check the settings files: one table for each section, one row for each key with
its type, its default and its docstring. It marks what this version does not carry out yet (`features`), because
`check-config` rejects such a setting.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.domain.policy import FACTOR_OF_CHANNEL
from gateway.settings.features import FEATURES
from gateway.settings.files.gateway_file import GatewayFile
from gateway.settings.files.tenant_file import TenantFile
from gateway.settings.files.two_factor import FIELDS
from gateway.settings.presets import DEFAULT, PRESETS
from tools.json_schemas import schema_of

_HEAD = f"""# Settings

Every key of `config/gateway.yaml` and of the tenant files, with its default. This page is made from the program
(`python -m tools.settings_reference > docs/settings.md`) and a test compares the two. [operations.md](operations.md)
explains how the files work together, and [efcx-keys.md](efcx-keys.md) what the gateway does with EFCX's own keys.
`efcx-gateway check-config` names every mistake with its file and line.

A *secret* is text, or `{{env: NAME}}`, or `{{file: path}}`. File names are relative to the folder of `gateway.yaml`.
Times are in seconds. A key marked "required" has no default. A key of `twoFAConfigs` that is not set has the default of
the preset, which is `{DEFAULT}` unless the file names another one; [operations.md](operations.md#limits) compares the
presets. The gateway rejects everything marked *Not built yet*.
"""
_NO_ANCHOR = re.compile(r"[^a-z0-9_-]")
_SECRET, _TLS = "SecretSource", "TlsSettings"
_TWO_FACTOR = "tenantSettings.twoFAConfigs"
_HOMES: Mapping[str, str] = {
    "GatewaySection": "gateway",
    "MethodSection": f"{_TWO_FACTOR}.methods[]",
    "WebService": "channels[].web_services.check",
}
"""The path of the one table for a section that several keys share."""
_LINKS: Mapping[str, str] = {
    "GatewaySection": "[section](#gateway)",
    "MethodSection": "[section](#tenantsettingstwofaconfigsmethods)",
    "WebService": "[section](#channelsweb_servicescheck)",
    _SECRET: "secret",
    _TLS: "[TLS section](#tls-sections)",
}


def reference() -> str:
    """The whole page."""
    parts = [
        _HEAD,
        *_file("`gateway.yaml`", GatewayFile),
        *_file("Tenant files", TenantFile),
        "## TLS sections\n",
        *_shared(),
    ]
    return "\n".join(parts)


def _file(title: str, kind: type[Any]) -> Iterator[str]:
    schema = schema_of(kind)
    yield f"## {title}\n"
    yield from _section(schema, schema["$defs"], "")


def _shared() -> Iterator[str]:
    schema = schema_of(GatewayFile)
    yield from _section(schema["$defs"][_TLS], schema["$defs"], "")


def _section(section: Mapping[str, Any], defs: Mapping[str, Any], path: str) -> Iterator[str]:
    """One table, then those of the sections below it."""
    if path:
        yield f"### `{path}`\n"
    yield f"{' '.join(section['description'].split())}\n"
    yield "| key | what | default | meaning |\n|---|---|---|---|"
    below: list[tuple[str, str]] = []
    for key, about in section["properties"].items():
        name, listed = _refers_to(about, defs)
        inner = f"{path}.{key}".lstrip(".") + ("[]" if listed else "")
        if name and name not in (_SECRET, _TLS) and _HOMES.get(name, inner) == inner:
            below.append((name, inner))
        default = "required" if key in section.get("required", ()) else _default(about, key, path)
        yield f"| `{key}` | {_what(about, defs, inner)} | {default} | {_meaning(about, defs, name, key, path)} |"
    yield ""
    for name, inner in below:
        yield from _section(defs[name], defs, inner)


def _refers_to(about: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[str, bool]:
    """The section that a key holds ("" for none), and whether it is a list of them."""
    choices = about.get("anyOf", [about])
    for one in choices:
        listed = one.get("type") == "array"
        ref = (one["items"] if listed else one).get("$ref", "").rpartition("/")[2]
        if ref and "properties" in (_plain(defs[ref])):
            return ref, listed
    return "", False


def _plain(section: Mapping[str, Any]) -> Mapping[str, Any]:
    """A section's own schema: a secret is text or a section."""
    return next((one for one in section.get("anyOf", ()) if "properties" in one), section)


def _what(about: Mapping[str, Any], defs: Mapping[str, Any], inner: str) -> str:
    """What may stand there, in words."""
    name, listed = _refers_to(about, defs)
    if name:
        link = _LINKS.get(name, f"[section](#{_NO_ANCHOR.sub('', inner.lower())})")
        return f"list of [sections]{link[link.index('(') :]}" if listed else link
    choices = about.get("anyOf", [about])
    # "null" is worth a word only where it says something else than leaving the key out.
    kinds = [_kind(one, defs) for one in choices if one.get("type") != "null" or about.get("default") is not None]
    return " or ".join(dict.fromkeys(kinds))


def _kind(one: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    if "$ref" in one:
        one = defs[one["$ref"].rpartition("/")[2]]
    if "enum" in one:
        return ", ".join(f"`{word}`" for word in one["enum"])
    match one.get("type"):
        case "array":
            inside = _kind(one.get("items", {}), defs)
            return "list" if not inside else f"list of {inside}"
        case "object":
            return "names with text"
        case "boolean":
            return "`true`, `false`"
        case "integer" | "number" as kind:
            return ("whole number" if kind == "integer" else "number") + _bounds(one)
        case "null":
            return "`null`"
        case "string":
            return "text"
    return ""


def _bounds(one: Mapping[str, Any]) -> str:
    least, most = one.get("minimum"), one.get("maximum")
    if least is None and one.get("exclusiveMinimum") is not None:
        return f" above {one['exclusiveMinimum']:g}" + (f", at most {most:g}" if most is not None else "")
    if least is not None and most is not None:
        return f", {least:g} to {most:.0f}"
    return f", at least {least:g}" if least is not None else ""


def _default(about: Mapping[str, Any], key: str, path: str) -> str:
    if path == _TWO_FACTOR and key not in ("preset", "is2FAEnabled"):
        return _of_preset(key)
    value = about.get("default")
    if isinstance(value, dict):
        value = value.get("value")  # a secret's; any other section's defaults are its keys'
    if value is None or value in ("", []):
        return "–"
    return f"`{value if isinstance(value, str) else json.dumps(_whole(value), ensure_ascii=False)}`"


def _whole(value: Any) -> Any:
    """Numbers as people write them: 5, not 5.0."""
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _of_preset(key: str) -> str:
    """What the default preset has for a key of `twoFAConfigs`."""
    preset = PRESETS[DEFAULT]
    if key in preset.required:
        return "required with 2FA on"
    if key in preset.absent:
        return f"not in preset {DEFAULT}"
    value = getattr(preset.policy, FIELDS.get(key, ""), None)
    if value is None:
        return "–"
    return f"`{json.dumps(getattr(value, 'value', value))}`".replace('"', "")


def _meaning(about: Mapping[str, Any], defs: Mapping[str, Any], name: str, key: str, path: str) -> str:
    text = about.get("description") or _plain(defs[name])["description"]
    text = " ".join(text.split()).replace("|", "\\|")
    missing = _not_yet(key, path)
    return f"{text} {missing}" if missing else text


def _not_yet(key: str, path: str) -> str:
    """What `check-config` refuses here because nothing carries it out yet."""
    features: dict[tuple[str, str], tuple[str, ...]] = {
        (_TWO_FACTOR, "preset"): FEATURES.presets,
        (_TWO_FACTOR, "channelType"): tuple(
            kind.value for kind, factor in FACTOR_OF_CHANNEL.items() if factor in FEATURES.factors
        ),
        ("gateway.keycloak", "sign_in"): tuple(way.value for way in FEATURES.sign_in),
    }
    if ready := features.get((path, key)):
        return f"*Built: {', '.join(f'`{word}`' for word in ready)}.*"
    later = sorted(json.dumps(value).strip('"') for value in FEATURES.later.get(key, ()))
    if later and path == _TWO_FACTOR:
        return f"*Not built yet: {', '.join(f'`{word}`' for word in later)}.*"
    return ""


if __name__ == "__main__":
    sys.stdout.write(reference())

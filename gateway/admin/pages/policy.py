"""The tenant's second factor as a form: it knows the presets, shows the difference in the file, and then saves it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aiohttp import web

from gateway.admin import tenant_objects
from gateway.admin.callers import Caller
from gateway.admin.denials import Denial, Reason
from gateway.admin.pages.console import AdminRequest, Console
from gateway.admin.tenants import TenantObject, Tenants
from gateway.domain.policy import EnrolmentRule, Registration
from gateway.domain.texts import marked as _
from gateway.settings.files.two_factor import FIELDS
from gateway.settings.presets import DEFAULT, PRESETS
from gateway.web.endpoint import Redirect, Reply

ON_OFF = ("true", "false")
WHOLE = _("Enter a whole number.")


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of `twoFAConfigs`: its label, and the words to choose from; none for a whole number."""

    key: str
    label: str
    words: tuple[str, ...] = ()


SETTINGS = (
    Setting("is2FAEnabled", _("Two-step sign-in"), ON_OFF),
    Setting("preset", _("Preset"), tuple(PRESETS)),
    Setting("enrolment", _("Users need a method"), tuple(one.value for one in EnrolmentRule)),
    Setting("registration", _("Proof for a first method"), tuple(one.value for one in Registration)),
    Setting("otpExpiry", _("Lifetime of a code, in seconds")),
    Setting("otpMaxAttempts", _("Wrong codes until a new one is needed")),
    Setting("resendCooldown", _("Seconds between two codes")),
    Setting("maxSends", _("Codes sent in one sign-in")),
    Setting("trustBrowserDays", _("Days for which a browser may be trusted"), ("0", "14", "30", "60", "90")),
    Setting("backupCodes", _("Backup codes of a user")),
    Setting("adminCodes", _("Administrators may issue codes"), ON_OFF),
)


@dataclass(frozen=True, slots=True)
class FieldView:
    """A field: what the file has ("" for nothing), what counts without it, and why the entry was rejected."""

    setting: Setting
    value: str
    default: str
    wrong: str


@dataclass(frozen=True, slots=True)
class PolicyPages:
    """The page `/-/admin/settings`."""

    tenants: Tenants

    def routes(self, console: Console) -> list[web.RouteDef]:
        """The routes."""
        return [console.ask("/settings", self.ask), console.act("/settings", self.save)]

    async def ask(self, request: AdminRequest) -> Reply:
        """The form."""
        found = await self.tenants.read(request.own.tenant.id, _caller(request))
        if isinstance(found, Denial):
            return _unavailable(request)
        now = _in_file(found)
        done = "saved" if request.own.http.query.get("done") == "saved" else ""
        return _form(request, found, {**_texts(now), **request.typed}, {}, done=done)

    async def save(self, request: AdminRequest) -> Reply:
        """Shows the difference; with `step=save` stores it."""
        typed, tenant_id = request.own.fields, request.own.tenant.id
        found = await self.tenants.read(tenant_id, _caller(request))
        if isinstance(found, Denial):
            return _unavailable(request)
        now = _in_file(found)
        patch, wrong = _changes(now, typed)
        if wrong or typed.get("step") == "edit":
            return _form(request, found, typed, wrong)
        if not patch:
            return _form(request, found, typed, {}, done="same")
        if typed.get("step") != "save":
            kept = {one.key: typed.get(one.key, "") for one in SETTINGS}
            lines = tuple(_difference(now, patch))
            return request.page("policy_difference", "settings", lines=lines, kept=kept, etag=found.etag)
        whole = {"tenantSettings": {"twoFAConfigs": patch}}
        denied = await self.tenants.change(tenant_id, whole, _caller(request), request.own.audit, typed.get("etag", ""))
        if not isinstance(denied, Denial):
            return Reply(Redirect(f"{request.url('/settings')}?done=saved"))
        if denied.reason is Reason.CHANGED:
            return _form(request, found, _texts(now), {}, done="changed", status=409)
        prefix = f"{'.'.join(map(str, tenant_objects.TWO_FACTOR))}."
        faults = {one.path.removeprefix(prefix): one.detail for one in denied.faults}
        return _form(request, found, typed, faults or {"": denied.detail or denied.reason.title})


def _caller(request: AdminRequest) -> Caller:
    return Caller(f"administration pages: {request.by}", request.own.tenant.id)


def _unavailable(request: AdminRequest) -> Reply:
    return request.page("policy_unavailable", "settings")


def _in_file(found: TenantObject) -> dict[str, Any]:
    """The keys of `twoFAConfigs` in the file."""
    now: Any = found.data
    for key in tenant_objects.TWO_FACTOR:
        now = now.get(key) or {}
    return dict(now)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.value if isinstance(value, Enum) else value)


def _texts(now: Mapping[str, Any]) -> dict[str, str]:
    return {one.key: _text(now[one.key]) if now.get(one.key) is not None else "" for one in SETTINGS}


def _changes(now: Mapping[str, Any], typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys that the form changes (None removes one), and the fields whose text cannot be read."""
    patch: dict[str, Any] = {}
    wrong = {}
    for one in SETTINGS:
        text, before = typed.get(one.key, "").strip(), _texts(now)[one.key]
        if text == before:
            continue
        if not text:
            patch[one.key] = None
        elif one.words == ON_OFF:
            patch[one.key] = text == "true"
        elif one.words and one.key != "trustBrowserDays":
            patch[one.key] = text
        elif text.isascii() and text.isdecimal() and len(text) < 10:
            patch[one.key] = int(text)
        else:
            wrong[one.key] = WHOLE
    return patch, wrong


def _difference(now: Mapping[str, Any], patch: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the tenant file that go and come."""
    for key, value in patch.items():
        if now.get(key) is not None:
            yield f"- {key}: {_text(now[key])}"
        if value is not None:
            yield f"+ {key}: {_text(value)}"


def _form(
    request: AdminRequest,
    found: TenantObject,
    typed: Mapping[str, str],
    wrong: Mapping[str, str],
    *,
    done: str = "",
    status: int = 0,
) -> Reply:
    preset = PRESETS.get(typed.get("preset") or str(_in_file(found).get("preset") or DEFAULT), PRESETS[DEFAULT])
    fields = [
        FieldView(
            one,
            typed.get(one.key, ""),
            _text(getattr(preset.policy, FIELDS[one.key])) if one.key in FIELDS else "",
            wrong.get(one.key, ""),
        )
        for one in SETTINGS
    ]
    known = {one.key for one in SETTINGS}
    others = [detail if not key else f"{key}: {detail}" for key, detail in wrong.items() if key not in known]
    return request.page(
        "policy", "settings", status or (422 if wrong else 200), fields=fields, others=others, done=done
    )

"""Tests of the tenant API: EFCX's payloads, both authorities, and what never changes."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.tenant_objects import MASK
from gateway.settings import replica_folders
from tests.fixtures.api_site import TENANT, ApiSite, replicas_of
from tests.fixtures.config_folder import CREATE, UPDATE

ONE = f"/tenants/{TENANT}"


def two_factor(**keys: Any) -> dict[str, Any]:
    return {"tenantSettings": {"twoFAConfigs": keys}}


def payload(**tenant: Any) -> dict[str, Any]:
    """EFCX's whole payload for another tenant id, host and realm."""
    data = json.loads(CREATE.read_text())
    data["tenantSettings"] |= {"fqdn": "second.example.com"}
    data["tenantSettings"]["keyCloak"] |= {"realm": "second"}
    return {**data, "tenantId": "second", "tenantName": "second", **tenant}


def expiry(site: ApiSite) -> int:
    tenant = site.live.current().tenant(TENANT)
    assert tenant
    return tenant.policy.otp_expiry


@pytest.mark.row("GW-15")
@pytest.mark.row("EF-02")
async def test_a_program_of_the_tenant_changes_a_key_and_it_is_in_force(api_site: ApiSite) -> None:
    answer = await api_site.call("PATCH", ONE, two_factor(otpExpiry=90))
    assert (answer.status, expiry(api_site)) == (200, 90), answer
    assert answer.body["tenantSettings"]["twoFAConfigs"]["otpExpiry"] == 90
    (event,) = api_site.audit.of("tenant_changed")
    assert event["by"] == "client automation"
    assert event["changes"] == ["tenantSettings.twoFAConfigs.otpExpiry 120 → 90"]


@pytest.mark.row("EF-06")
@pytest.mark.row("GW-15")
async def test_efcxs_partial_payload_changes_its_keys_and_no_other(api_site: ApiSite) -> None:
    before, update = json.loads(api_site.file.read_text()), json.loads(UPDATE.read_text())
    answer = await api_site.operate("PATCH", ONE, update)
    assert answer.status == 200, answer
    after = json.loads(api_site.file.read_text())
    two_factor, keycloak = (update["tenantSettings"][key] for key in ("twoFAConfigs", "keyCloak"))
    before["tenantSettings"]["twoFAConfigs"] |= two_factor
    before["tenantSettings"]["keyCloak"] |= keycloak
    assert after == before


@pytest.mark.row("GW-15")
async def test_the_operator_creates_efcxs_whole_payload_lists_reads_and_deletes_it(api_site: ApiSite) -> None:
    routes = api_site.settings.tenant["gateway"]["routes"]
    answer = await api_site.operate("POST", "/tenants", payload(gateway={"routes": routes}))
    assert answer.status == 201, answer
    listed = await api_site.operate("GET", "/tenants")
    assert [one["tenantId"] for one in listed.body["tenants"]] == [TENANT, "second"]
    again = await api_site.operate("POST", "/tenants", payload(gateway={"routes": routes}))
    assert (again.status, again.code) == (409, "exists")
    read = await api_site.operate("GET", "/tenants/second")
    assert read.body["tenantSettings"]["dialer"] == payload()["tenantSettings"]["dialer"]
    assert read.headers["ETag"] == answer.headers["ETag"]
    assert (await api_site.operate("DELETE", "/tenants/second")).status == 204
    assert (await api_site.operate("GET", "/tenants/second")).code == "not-found"
    assert api_site.live.current().tenant("second") is None
    assert [len(api_site.audit.of(f"tenant_{act}")) for act in ("created", "deleted")] == [1, 1]


@pytest.mark.row("GW-15")
async def test_no_caller_reads_a_secret(api_site: ApiSite) -> None:
    secrets = [text for text in json.dumps(api_site.settings.tenant).split('"') if "secret" in text]
    assert secrets
    for answer in (await api_site.operate("GET", ONE), await api_site.call("GET", ONE)):
        text = json.dumps(answer.body)
        assert answer.status == 200
        for client in api_site.settings.tenant["gateway"]["keycloak"].values():
            secret = client if isinstance(client, str) else client["client_secret"]
            assert secret == "gateway-login" or secret not in text
    assert answer.body.keys() == {"tenantId", "tenantName", "status", "tenantSettings"}
    assert answer.body["tenantSettings"].keys() == {"fqdn", "twoFAConfigs"}


@pytest.mark.row("GW-15")
async def test_a_masked_secret_that_is_sent_back_is_refused(api_site: ApiSite) -> None:
    read = await api_site.operate("GET", ONE)
    assert read.body["tenantSettings"]["keyCloak"]["credentials"]["secret"] == MASK
    answer = await api_site.operate("PATCH", ONE, read.body)
    assert (answer.status, answer.code) == (422, "invalid")
    assert "tenantSettings.keyCloak.credentials.secret" in [one["path"] for one in answer.body["errors"]]


@pytest.mark.row("GW-15")
@pytest.mark.row("SI-14")
async def test_every_fault_is_listed_and_the_configuration_in_force_stays(api_site: ApiSite) -> None:
    before, raw = api_site.live.current(), api_site.file.read_bytes()
    answer = await api_site.call("PATCH", ONE, two_factor(otpExpiry=0, otpMaxAttempts="x", channelType="FAX"))
    assert (answer.status, answer.code) == (422, "invalid")
    at = "tenantSettings.twoFAConfigs"
    paths = {one["path"] for one in answer.body["errors"]}
    assert paths == {f"{at}.otpExpiry", f"{at}.otpMaxAttempts", f"{at}.channelType"}
    assert (api_site.live.current(), api_site.file.read_bytes()) == (before, raw)


@pytest.mark.row("GW-15")
async def test_if_match_refuses_a_change_of_a_file_that_the_caller_did_not_read(api_site: ApiSite) -> None:
    tag = (await api_site.call("GET", ONE)).headers["ETag"]
    first = await api_site.call("PATCH", ONE, two_factor(otpExpiry=90), If_Match=tag)
    second = await api_site.call("PATCH", ONE, two_factor(otpExpiry=91), If_Match=tag)
    assert (first.status, second.status, second.code) == (200, 412, "changed")
    assert expiry(api_site) == 90


@pytest.mark.row("GW-15")
async def test_parallel_changes_are_all_kept(api_site: ApiSite) -> None:
    token = await api_site.token()
    keys: list[dict[str, Any]] = [{"otpExpiry": 91}, {"otpMaxAttempts": 7}, {"backupCodes": 9}, {"maxSends": 4}]
    answers = await asyncio.gather(*(api_site.call("PATCH", ONE, two_factor(**one), token=token) for one in keys))
    assert [answer.status for answer in answers] == [200] * 4
    stored = json.loads(api_site.file.read_text())["tenantSettings"]["twoFAConfigs"]
    assert all(stored.items() >= one.items() for one in keys)


@pytest.mark.row("GW-15")
async def test_a_read_only_file_is_a_conflict(api_site: ApiSite) -> None:
    api_site.file.chmod(0o440)
    answer = await api_site.call("PATCH", ONE, two_factor(otpExpiry=90))
    assert (answer.status, answer.code) == (409, "read-only")


@pytest.mark.row("GW-15")
@pytest.mark.attack("F1")
@pytest.mark.parametrize(
    "patch",
    [
        {"tenantSettings": {"keyCloak": {"Otp_Manager_Url": "http://evil.example.com/"}}},
        {"tenantSettings": {"keyCloak": {"auth-server-url": "http://evil.example.com/"}}},
        {"tenantSettings": {"fqdn": "other.example.com"}},
        {"gateway": {"api": {"clients": ["other"]}}},
        {"gateway": {"hosts": ["other.example.com"]}},
        {"tenantSettings": {"twoFAConfigs": None}},
        {"status": "inActive"},
        {"tenantSettings": {"twoFAConfigs": {"is2FAEnabled": False}}},
        {"tenantSettings": {"twoFAConfigs": {"enrolment": "optional"}}},
    ],
    ids=str,
)
async def test_a_program_of_the_tenant_changes_nothing_of_the_operator(
    api_site: ApiSite, patch: dict[str, Any]
) -> None:
    raw = api_site.file.read_bytes()
    answer = await api_site.call("PATCH", ONE, patch)
    assert (answer.status, answer.code) == (403, "forbidden"), answer
    (event,) = api_site.audit.of("api_denied")
    assert (event["by"], event["operation"]) == ("client automation", "changeTenant")
    assert event["reference"] == answer.body["reference"]
    assert api_site.file.read_bytes() == raw


@pytest.mark.row("GW-15")
@pytest.mark.attack("F1")
async def test_the_operators_maxima_hold_for_the_values_that_rise(api_site: ApiSite) -> None:
    api_site.settings.tenant["gateway"]["api"]["limits"] = {"maxima": {"otpExpiry": 100, "backupCodes": 5}}
    api_site.settings.write()
    await api_site.live.look()
    for keys, status in (
        ({"otpExpiry": 101}, 403),
        ({"backupCodes": 6}, 403),
        ({"otpExpiry": 100, "backupCodes": 5}, 200),
    ):
        assert (await api_site.call("PATCH", ONE, two_factor(**keys))).status == status


@pytest.mark.row("GW-15")
@pytest.mark.attack("F1")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/tenants", None),
        ("POST", "/tenants", payload()),
        ("GET", "/tenants/second", None),
        ("PATCH", "/tenants/second", two_factor(otpExpiry=90)),
        ("DELETE", ONE, None),
        ("DELETE", "/tenants/second", None),
    ],
)
async def test_a_program_of_one_tenant_reaches_no_other_and_no_act_of_the_operator(
    api_site: ApiSite, method: str, path: str, body: Any
) -> None:
    before = {file.name: file.read_bytes() for file in api_site.file.parent.iterdir()}
    answer = await api_site.call(method, path, body)
    assert (answer.status, answer.code) == (403, "forbidden")
    assert len(api_site.audit.of("api_denied")) == 1
    assert {file.name: file.read_bytes() for file in api_site.file.parent.iterdir()} == before


@pytest.mark.row("GW-15")
@pytest.mark.parametrize("tenant_id", ["../../up", "a/b", ".hidden", "", "x" * 64, "\u0000", 7, None])
async def test_a_tenant_id_is_never_a_path(api_site: ApiSite, tenant_id: object) -> None:
    before = sorted(api_site.settings.path.parent.rglob("*"))
    answer = await api_site.operate("POST", "/tenants", payload(tenantId=tenant_id))
    assert (answer.status, answer.code) == (422, "invalid")
    assert sorted(api_site.settings.path.parent.rglob("*")) == before


@pytest.mark.row("GW-15")
async def test_a_weaker_policy_is_named_in_the_audit_of_its_change(api_site: ApiSite) -> None:
    assert (await api_site.operate("PATCH", ONE, two_factor(is2FAEnabled=False))).status == 200
    (event,) = api_site.audit.of("tenant_changed")
    assert event["weaker"] == [f"{TENANT}: is2FAEnabled true → false"]


@pytest.mark.row("GW-15")
async def test_a_replica_with_a_folder_of_its_own_makes_each_change_a_conflict(
    api_site: ApiSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_folders, "WAIT", 0.5)
    (tmp_path / "other").mkdir()
    other, raw = replicas_of(api_site.services, tmp_path / "other"), api_site.file.read_bytes()
    await other.report()
    answer = await api_site.call("PATCH", ONE, two_factor(otpExpiry=90))
    assert (answer.status, answer.code) == (409, "folders-differ")
    assert api_site.file.read_bytes() == raw
    assert [file.name for file in api_site.file.parent.iterdir()] == [api_site.file.name]

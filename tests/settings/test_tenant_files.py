"""Tests of changes of tenant files: valid, atomic, and refused where the file cannot be replaced."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.settings.load import load
from gateway.settings.tenant_files import (
    ChangedMeanwhile,
    InvalidSettings,
    NotWritable,
    TenantFile,
    TenantFiles,
    commit,
    stage,
)
from tests.fixtures.config_folder import TENANT, ConfigFolder


def files_of(folder: ConfigFolder) -> TenantFiles:
    return TenantFiles(folder.write(), environment={})


def found(files: TenantFiles, tenant_id: str = "one") -> TenantFile:
    one = files.find(tenant_id)
    assert one
    return one


def two_factor(**keys: Any) -> dict[str, Any]:
    return {"tenantSettings": {"twoFAConfigs": keys}}


@pytest.mark.row("GW-15")
def test_a_change_is_loaded_as_it_will_be_and_then_put_in_place(folder: ConfigFolder) -> None:
    files = files_of(folder)
    before = found(files)
    planned = files.change(before, two_factor(otpExpiry=300))
    assert found(files).raw == before.raw
    commit(planned, stage(planned))
    assert load(files.file, environment={}).fingerprint == planned.configuration.fingerprint
    assert found(files).data["tenantSettings"]["twoFAConfigs"]["otpExpiry"] == 300
    assert found(files).path.stat().st_mode & 0o777 == 0o600
    assert not list(files.folder.glob(".*"))


@pytest.mark.row("GW-15")
@pytest.mark.row("SI-14")
def test_a_change_with_faults_names_all_of_them_with_their_path(folder: ConfigFolder) -> None:
    files = files_of(folder)
    with pytest.raises(InvalidSettings) as caught:
        files.change(found(files), two_factor(otpExpiry=0, otpMaxAttempts="many", nonsense=1))
    at = "tenantSettings.twoFAConfigs"
    assert sorted(one.path for one in caught.value.own) == [f"{at}.nonsense", f"{at}.otpExpiry", f"{at}.otpMaxAttempts"]


@pytest.mark.row("GW-15")
def test_a_fault_in_the_file_of_another_tenant_is_listed_apart(folder: ConfigFolder) -> None:
    folder.another("two")["status"] = 1
    files = files_of(folder)
    with pytest.raises(InvalidSettings) as caught:
        files.change(found(files), two_factor(otpExpiry=300))
    assert (len(caught.value.own), len(caught.value.elsewhere)) == (0, 1)


@pytest.mark.row("GW-15")
def test_a_new_tenant_gets_a_file_of_its_own_and_a_deleted_one_has_none(folder: ConfigFolder) -> None:
    files = files_of(folder)
    data = json.loads(json.dumps(TENANT).replace('"one', '"two'))
    planned = files.create(data)
    assert [tenant.id for tenant in planned.configuration.tenants] == ["one", "two"]
    commit(planned, stage(planned))
    assert found(files, "two").data == data
    planned = files.delete(found(files, "two"))
    commit(planned, stage(planned))
    assert files.find("two") is None


@pytest.mark.row("GW-15")
def test_a_tenant_is_found_in_a_file_with_another_name(folder: ConfigFolder) -> None:
    folder.tenants["other.json"] = folder.tenants.pop("one.json")
    assert found(files_of(folder)).path.name == "other.json"


@pytest.mark.row("GW-15")
def test_a_file_edited_since_it_was_read_is_not_overwritten(folder: ConfigFolder) -> None:
    files = files_of(folder)
    planned = files.change(found(files), two_factor(otpExpiry=300))
    staged = stage(planned)
    folder.two_factor["otpExpiry"] = 90
    folder.write()
    with pytest.raises(ChangedMeanwhile):
        commit(planned, staged)
    assert found(files).data["tenantSettings"]["twoFAConfigs"]["otpExpiry"] == 90
    assert not list(files.folder.glob(".*"))


@pytest.mark.row("GW-15")
def test_a_read_only_file_and_a_link_are_refused(folder: ConfigFolder) -> None:
    files = files_of(folder)
    planned = files.change(found(files), two_factor(otpExpiry=300))
    planned.path.chmod(0o440)
    with pytest.raises(NotWritable):
        stage(planned)
    planned.path.rename(folder.path / "one.json")
    planned.path.symlink_to(Path("..") / "one.json")
    with pytest.raises(NotWritable):
        stage(planned)
    assert not list(files.folder.glob(".*"))

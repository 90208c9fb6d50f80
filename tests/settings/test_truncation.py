"""Tests that a truncated file never turns the second factor off."""

import os
import threading
from pathlib import Path

import pytest

from gateway.settings.load import load
from gateway.settings.source.yaml_source import UnreadableFile, read
from tests.fixtures.config_folder import CREATE, ConfigFolder, shipped

# twoFAConfigs is last, so that every truncation of it is tried with everything before it.
LAST = b"""\
tenantName: expertflow
tenantId: expertflow
status: active
gateway: {routes: [{path: /app, to: "http://app:3000"}]}
tenantSettings:
  fqdn: efcx.example.com
  keyCloak: {realm: expertflow, auth-server-url: "http://k/auth/", resource: cim, credentials: {secret: x},
    Otp_Manager_Url: "http://otp:3000/"}
  twoFAConfigs:
    otpExpiry: 60
    otpMaxAttempts: 5
    channelType: EMAIL
    channelServiceIdentifier: otp@example.com
    is2FAEnabled: true
"""


def _readable(raw: bytes, name: str) -> bool:
    """Returns the truncated texts that are still a document; `test_load` shows that the others are refused."""
    try:
        read(raw, name)
    except UnreadableFile:
        return False
    return True


@pytest.mark.attack("F10")
@pytest.mark.row("EF-05")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "whole"),
    [pytest.param("a.yaml", LAST, id="yaml"), pytest.param("a.json", CREATE.read_bytes(), id="json")],
)
def test_a_tenant_file_truncated_at_any_byte_never_turns_2fa_off(folder: ConfigFolder, name: str, whole: bytes) -> None:
    folder.tenants = {name: whole}
    file = folder.write()
    target = folder.path / "tenants" / name
    accepted = 0
    for length in range(len(whole) + 1):
        if not _readable(whole[:length], name):
            continue
        target.write_bytes(whole[:length])
        configuration = load(file, environment={}).configuration
        if configuration is not None:
            accepted += 1
            assert all(t.policy.enabled and t.policy.methods for t in configuration.tenants), length
    assert accepted > 0


@pytest.mark.attack("F10")
@pytest.mark.row("EF-05")
@pytest.mark.parametrize(
    "end", [b"is2FAEnabled:", b"is2FAEnabled: t", b"is2FAEnabled: tru", b"is2FAEna", b"is2FAEnabled"]
)
def test_a_tenant_file_truncated_in_the_2fa_switch_is_refused(tmp_path: Path, end: bytes) -> None:
    file = shipped(tmp_path / "config")
    (tmp_path / "config" / "tenants" / "a.yaml").write_bytes(LAST[: LAST.index(b"is2FAEnabled")] + end)
    assert load(file, environment={}).configuration is None


@pytest.mark.attack("F10")
@pytest.mark.timeout(60)
def test_a_tenant_file_is_read_once_so_that_the_checked_text_is_the_used_text(folder: ConfigFolder) -> None:
    file = folder.write()
    target = folder.path / "tenants" / "one.json"
    whole = target.read_bytes()
    target.unlink()
    os.mkfifo(target)  # the pipe gives its content once; a second read waits until this test times out
    threading.Thread(target=target.write_bytes, args=(whole,), daemon=True).start()
    configuration = load(file, environment={}).configuration
    assert configuration
    assert configuration.tenants[0].policy.enabled

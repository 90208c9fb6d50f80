"""Tests of the key ring file."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.configuration import Address, GatewaySettings, StoreSettings
from gateway.domain.errors import Misconfigured
from gateway.domain.secret import Secret
from gateway.settings import key_ring
from tests.fixtures.clock import FakeClock, SeededRandom

MEMORY = GatewaySettings(Address("", 0), Address("", 0), StoreSettings(Secret("memory://")))
REDIS = replace(MEMORY, store=StoreSettings(Secret("redis://r")), keys_file="")


def test_a_key_ring_is_read_as_it_was_written(tmp_path: Path, clock: FakeClock, random: SeededRandom) -> None:
    file = tmp_path / "ring.key"
    made = key_ring.create(file, clock, random)
    assert key_ring.read(file) == made
    assert made.keys[0].created_at == clock.now()


def test_only_the_owner_may_read_the_key_ring_file(tmp_path: Path, clock: FakeClock, random: SeededRandom) -> None:
    key_ring.create(tmp_path / "ring.key", clock, random)
    assert stat.S_IMODE((tmp_path / "ring.key").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["ring.key"]


def test_a_missing_folder_of_the_key_ring_is_created_for_its_owner_alone(
    tmp_path: Path, clock: FakeClock, random: SeededRandom
) -> None:
    file = tmp_path / "secrets" / "ring.key"
    key_ring.create(file, clock, random)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o604, 0o660, 0o666, 0o700 | 0o010])
def test_a_key_ring_file_readable_by_others_is_refused(
    tmp_path: Path, clock: FakeClock, random: SeededRandom, mode: int
) -> None:
    file = tmp_path / "ring.key"
    key_ring.create(file, clock, random)
    file.chmod(mode)
    with pytest.raises(Misconfigured, match="chmod 600"):
        key_ring.read(file)


def test_a_key_ring_file_is_never_overwritten(tmp_path: Path, clock: FakeClock, random: SeededRandom) -> None:
    file = tmp_path / "ring.key"
    before = key_ring.create(file, clock, random)
    with pytest.raises(Misconfigured, match="never overwritten"):
        key_ring.create(file, clock, random)
    assert key_ring.read(file) == before


def test_a_new_key_is_added_before_the_others(tmp_path: Path, clock: FakeClock, random: SeededRandom) -> None:
    file = tmp_path / "ring.key"
    first = key_ring.create(file, clock, random)
    clock.advance(60)
    ring = key_ring.add(file, clock, random)
    assert ring.keys[1:] == first.keys
    assert key_ring.read(file) == ring
    assert ring.fingerprint != first.fingerprint
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"format": "another", "keys": []}',
        json.dumps({"format": key_ring.FORMAT, "keys": []}),
        json.dumps({"format": key_ring.FORMAT, "keys": [{"id": "00000000", "created_at": 1, "key": "AAAA"}]}),
        json.dumps({"format": key_ring.FORMAT, "keys": [{"id": "xyz", "created_at": 1, "key": "A" * 43 + "="}]}),
        json.dumps(
            {"format": key_ring.FORMAT, "keys": [{"id": "00000000", "created_at": 1, "key": "A" * 43 + "="}] * 2}
        ),
    ],
)
def test_a_damaged_key_ring_is_refused_and_the_error_never_quotes_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "ring.key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(Misconfigured, match="damaged") as caught:
        key_ring.read(file)
    assert "AAAA" not in str(caught.value)


def test_the_error_for_a_missing_key_ring_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="keys new"):
        key_ring.read(tmp_path / "ring.key")


def test_with_the_memory_store_a_key_ring_is_made_once(tmp_path: Path, clock: FakeClock, random: SeededRandom) -> None:
    configuration = tmp_path / "gateway.yaml"
    made, file = key_ring.for_start(MEMORY, configuration, clock, random)
    assert file == tmp_path / "ring.key"
    assert key_ring.for_start(MEMORY, configuration, clock, random) == (made, None)


def test_with_redis_no_key_ring_is_ever_made(tmp_path: Path, clock: FakeClock, random: SeededRandom) -> None:
    settings = replace(REDIS, keys_file=str(tmp_path / "ring.key"))
    with pytest.raises(Misconfigured, match="is not there"):
        key_ring.for_start(settings, tmp_path / "gateway.yaml", clock, random)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_in_the_error(
    tmp_path: Path, clock: FakeClock, random: SeededRandom
) -> None:
    (tmp_path / "nowhere").write_text("no folder")
    with pytest.raises(Misconfigured, match="cannot be written"):
        key_ring.create(tmp_path / "nowhere" / "ring.key", clock, random)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o640])
def test_a_key_ring_file_readable_by_the_process_s_own_group_is_accepted(
    tmp_path: Path, clock: FakeClock, random: SeededRandom, mode: int
) -> None:
    file = tmp_path / "ring.key"
    made = key_ring.create(file, clock, random)
    file.chmod(mode)
    assert key_ring.read(file) == made


def test_a_key_ring_file_readable_by_another_group_is_refused(
    tmp_path: Path, clock: FakeClock, random: SeededRandom, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ring.key"
    key_ring.create(file, clock, random)
    file.chmod(0o440)
    monkeypatch.setattr(os, "getegid", lambda: file.stat().st_gid + 1)
    monkeypatch.setattr(os, "getgroups", list)
    with pytest.raises(Misconfigured, match="chmod 600"):
        key_ring.read(file)


def test_a_key_ring_file_on_a_read_only_mount_may_have_any_mode(
    tmp_path: Path, clock: FakeClock, random: SeededRandom, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ring.key"
    made = key_ring.create(file, clock, random)
    file.chmod(0o444)
    real = os.fstatvfs

    def read_only(descriptor: int) -> os.statvfs_result:
        found = list(real(descriptor))
        found[8] |= os.ST_RDONLY
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "fstatvfs", read_only)
    assert key_ring.read(file) == made


def test_a_key_ring_can_be_in_an_environment_variable(tmp_path: Path, clock: FakeClock, random: SeededRandom) -> None:
    file = tmp_path / "ring.key"
    made = key_ring.create(file, clock, random)
    settings = replace(REDIS, keys_variable="GATEWAY_RING")
    environment = {"GATEWAY_RING": file.read_text()}
    assert key_ring.for_start(settings, tmp_path / "gateway.yaml", clock, random, environment) == (made, None)
    for missing in ({}, {"GATEWAY_RING": ""}):
        with pytest.raises(Misconfigured, match="GATEWAY_RING: is not set"):
            key_ring.for_start(settings, tmp_path / "gateway.yaml", clock, random, missing)
    with pytest.raises(Misconfigured, match="is damaged"):
        key_ring.for_start(settings, tmp_path / "gateway.yaml", clock, random, {"GATEWAY_RING": "{}"})


@pytest.mark.parametrize("store", [MEMORY, REDIS])
def test_a_missing_key_ring_is_not_made_beside_an_existing_one_and_the_error_names_that_one(
    tmp_path: Path, clock: FakeClock, random: SeededRandom, store: GatewaySettings
) -> None:
    key_ring.create(tmp_path / "ring.key", clock, random)
    settings = replace(store, keys_file=str(tmp_path / "secrets.key"))
    with pytest.raises(Misconfigured, match=rf"put their key ring there: {tmp_path}/ring\.key"):
        key_ring.for_start(settings, tmp_path / "gateway.yaml", clock, random)
    assert [file.name for file in tmp_path.iterdir()] == ["ring.key"]


def test_for_a_missing_variable_the_error_names_an_existing_key_ring_file(
    tmp_path: Path, clock: FakeClock, random: SeededRandom
) -> None:
    key_ring.create(tmp_path / "ring.key", clock, random)
    settings = replace(REDIS, keys_variable="GATEWAY_RING")
    with pytest.raises(Misconfigured, match=rf"GATEWAY_RING: is not set.*content of {tmp_path}/ring\.key"):
        key_ring.for_start(settings, tmp_path / "gateway.yaml", clock, random, {})

"""Tests of changed settings: applied completely or not at all, within a second; otherwise the last valid ones stay."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.domain.configuration import Configuration
from gateway.settings.live import Live
from gateway.settings.load import load
from gateway.settings.source.diagnostics import Diagnostic
from tests.fixtures.config_folder import ConfigFolder

SOON = 5.0
"""Seconds after which a test fails; the limit is one second, but the machine is shared."""


class Reports:
    """Records the reports of `Live`; a test can wait for the next one."""

    def __init__(self) -> None:
        self.changes: list[tuple[Configuration, Configuration]] = []
        self.rejections: list[tuple[Diagnostic, ...]] = []
        self.restored = 0
        self._news = asyncio.Event()

    def changed(self, old: Configuration, new: Configuration) -> None:
        self.changes.append((old, new))
        self._news.set()

    def rejected(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.rejections.append(diagnostics)
        self._news.set()

    def was_restored(self) -> None:
        self.restored += 1

    def of(self, live: Live) -> Live:
        """`live`, which tells it from now on."""
        live.on_change, live.on_rejected, live.on_restored = self.changed, self.rejected, self.was_restored
        return live

    async def next(self) -> None:
        async with asyncio.timeout(SOON):
            await self._news.wait()
        self._news.clear()


def live_of(folder: ConfigFolder, reports: Reports) -> Live:
    file = folder.write()
    loaded = load(file, environment={})
    return reports.of(Live(file, loaded))


@asynccontextmanager
async def watching(live: Live) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(live.watch(stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(SOON):
            await task


def expiry(live: Live) -> int:
    return live.current().tenants[0].policy.otp_expiry


@pytest.mark.row("GW-14")
async def test_a_changed_file_takes_effect_within_a_second(folder: ConfigFolder) -> None:
    reports = Reports()
    live = live_of(folder, reports)
    async with watching(live):
        folder.two_factor["otpExpiry"] = 300
        folder.write()
        await reports.next()
    assert expiry(live) == 300
    (old, new), *_ = reports.changes
    assert old.tenants[0].policy.otp_expiry == 120
    assert new is live.current()


@pytest.mark.row("GW-14")
async def test_after_an_invalid_edit_the_last_valid_configuration_stays_in_force(folder: ConfigFolder) -> None:
    reports = Reports()
    live = live_of(folder, reports)
    before = live.current()
    async with watching(live):
        folder.two_factor["otpExpiry"] = "soon"
        folder.write()
        await reports.next()
    assert live.current() is before
    assert reports.rejections[0][0].path.endswith("otpExpiry")


@pytest.mark.row("GW-14")
async def test_a_new_tenant_file_is_noticed(folder: ConfigFolder) -> None:
    reports = Reports()
    live = live_of(folder, reports)
    async with watching(live):
        folder.another("two")
        folder.write()
        await reports.next()
    assert [t.id for t in live.current().tenants] == ["one", "two"]


@pytest.mark.row("GW-14")
async def test_a_symbolic_link_swapped_as_kubernetes_does_is_noticed(folder: ConfigFolder, tmp_path: Path) -> None:
    reports = Reports()
    for number, seconds in (("1", 120), ("2", 240)):
        folder.path = tmp_path / f"data-{number}"
        folder.two_factor["otpExpiry"] = seconds
        folder.write()
    mounted = tmp_path / "mounted"
    (mounted / "tenants").mkdir(parents=True)
    os.symlink(tmp_path / "data-1", mounted / "..data")
    os.symlink("..data/gateway.yaml", mounted / "gateway.yaml")
    os.symlink("../..data/tenants/one.json", mounted / "tenants" / "one.json")
    file = mounted / "gateway.yaml"
    live = reports.of(Live(file, load(file, environment={})))
    async with watching(live):
        os.symlink(tmp_path / "data-2", mounted / "..new")
        os.replace(mounted / "..new", mounted / "..data")
        await reports.next()
    assert expiry(live) == 240


@pytest.mark.row("GW-14")
async def test_a_changed_secret_file_is_noticed(folder: ConfigFolder) -> None:
    secrets = folder.path / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "cim").write_text("first")
    folder.keycloak["credentials"] = {"secret": {"file": "secrets/cim"}}
    reports = Reports()
    live = live_of(folder, reports)
    async with watching(live):
        (secrets / "cim").write_text("second")
        await reports.next()
    assert live.current().tenants[0].keycloak.sign_in.secret.value == "second"


async def test_a_reverted_invalid_edit_is_no_change_and_is_reported_as_restored(folder: ConfigFolder) -> None:
    reports = Reports()
    live = live_of(folder, reports)
    before = live.current()
    good = dict(folder.two_factor)
    folder.two_factor["otpExpiry"] = 0
    folder.write()
    assert await live.look() is False
    folder.two_factor.update(good)
    folder.write()
    assert await live.look() is False
    assert live.current() is before
    assert (len(reports.rejections), reports.changes, reports.restored) == (1, [], 1)


async def test_rewriting_a_file_with_the_same_bytes_is_no_change(folder: ConfigFolder) -> None:
    reports = Reports()
    live = live_of(folder, reports)
    folder.write()
    assert await live.look() is False
    assert reports.changes == []


async def test_an_invalid_edit_is_reported_once(folder: ConfigFolder) -> None:
    reports = Reports()
    live = live_of(folder, reports)
    folder.tenants["one.json"] = b"{"
    for _ in range(3):
        folder.write()
        await live.look()
    assert len(reports.rejections) == 1


@pytest.mark.attack("E4")
async def test_after_files_are_removed_the_last_valid_configuration_stays_in_force(folder: ConfigFolder) -> None:
    reports = Reports()
    live = live_of(folder, reports)
    (folder.path / "gateway.yaml").unlink()
    assert await live.look() is False
    assert live.current().tenants[0].id == "one"
    folder.two_factor["otpExpiry"] = 200
    folder.write()
    assert await live.look() is True
    assert expiry(live) == 200

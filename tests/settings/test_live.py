"""Facts about changed settings: whole or not at all, within a second, the last good ones stay."""

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
from tests.settings.config_folder import ConfigFolder

SOON = 5.0
"""Seconds after which a test gives up; the promise is one second, the machine is shared."""


class Heard:
    """What `Live` told, and a way to wait for the next."""

    def __init__(self) -> None:
        self.changes: list[tuple[Configuration, Configuration]] = []
        self.rejections: list[tuple[Diagnostic, ...]] = []
        self._news = asyncio.Event()

    def changed(self, old: Configuration, new: Configuration) -> None:
        self.changes.append((old, new))
        self._news.set()

    def rejected(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.rejections.append(diagnostics)
        self._news.set()

    def of(self, live: Live) -> Live:
        """`live`, which tells it from now on."""
        live.on_change, live.on_rejected = self.changed, self.rejected
        return live

    async def next(self) -> None:
        async with asyncio.timeout(SOON):
            await self._news.wait()
        self._news.clear()


def live_of(folder: ConfigFolder, heard: Heard) -> Live:
    file = folder.write()
    loaded = load(file, environment={})
    return heard.of(Live(file, loaded))


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
async def test_a_changed_file_is_in_force_within_a_second(folder: ConfigFolder) -> None:
    heard = Heard()
    live = live_of(folder, heard)
    async with watching(live):
        folder.two_factor["otpExpiry"] = 300
        folder.write()
        await heard.next()
    assert expiry(live) == 300
    (old, new), *_ = heard.changes
    assert old.tenants[0].policy.otp_expiry == 120
    assert new is live.current()


@pytest.mark.row("GW-14")
async def test_a_bad_edit_leaves_the_last_good_configuration_in_force(folder: ConfigFolder) -> None:
    heard = Heard()
    live = live_of(folder, heard)
    before = live.current()
    async with watching(live):
        folder.two_factor["otpExpiry"] = "soon"
        folder.write()
        await heard.next()
    assert live.current() is before
    assert heard.rejections[0][0].path.endswith("otpExpiry")


@pytest.mark.row("GW-14")
async def test_a_new_tenant_file_is_seen(folder: ConfigFolder) -> None:
    heard = Heard()
    live = live_of(folder, heard)
    async with watching(live):
        folder.another("two")
        folder.write()
        await heard.next()
    assert [t.id for t in live.current().tenants] == ["one", "two"]


@pytest.mark.row("GW-14")
async def test_a_swapped_link_as_kubernetes_makes_it_is_seen(folder: ConfigFolder, tmp_path: Path) -> None:
    heard = Heard()
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
    live = heard.of(Live(file, load(file, environment={})))
    async with watching(live):
        os.symlink(tmp_path / "data-2", mounted / "..new")
        os.replace(mounted / "..new", mounted / "..data")
        await heard.next()
    assert expiry(live) == 240


@pytest.mark.row("GW-14")
async def test_a_changed_secret_file_is_seen(folder: ConfigFolder) -> None:
    secrets = folder.path / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "cim").write_text("first")
    folder.keycloak["credentials"] = {"secret": {"file": "secrets/cim"}}
    heard = Heard()
    live = live_of(folder, heard)
    async with watching(live):
        (secrets / "cim").write_text("second")
        await heard.next()
    assert live.current().tenants[0].keycloak.sign_in.secret.reveal() == "second"


async def test_a_bad_edit_taken_back_is_no_change(folder: ConfigFolder) -> None:
    heard = Heard()
    live = live_of(folder, heard)
    before = live.current()
    good = dict(folder.two_factor)
    folder.two_factor["otpExpiry"] = 0
    folder.write()
    assert await live.look() is False
    folder.two_factor.update(good)
    folder.write()
    assert await live.look() is False
    assert live.current() is before
    assert (len(heard.rejections), heard.changes) == (1, [])


async def test_a_file_written_again_with_the_same_bytes_is_no_change(folder: ConfigFolder) -> None:
    heard = Heard()
    live = live_of(folder, heard)
    folder.write()
    assert await live.look() is False
    assert heard.changes == []


async def test_a_bad_edit_is_told_once(folder: ConfigFolder) -> None:
    heard = Heard()
    live = live_of(folder, heard)
    folder.tenants["one.json"] = b"{"
    for _ in range(3):
        folder.write()
        await live.look()
    assert len(heard.rejections) == 1


@pytest.mark.attack("E4")
async def test_files_taken_away_leave_the_last_good_configuration_in_force(folder: ConfigFolder) -> None:
    heard = Heard()
    live = live_of(folder, heard)
    (folder.path / "gateway.yaml").unlink()
    assert await live.look() is False
    assert live.current().tenants[0].id == "one"
    folder.two_factor["otpExpiry"] = 200
    folder.write()
    assert await live.look() is True
    assert expiry(live) == 200

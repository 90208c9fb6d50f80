"""Tests of the question whether all replicas read their tenant files in one folder."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.domain.ports import SystemRandom
from gateway.domain.tasks import BackgroundTasks
from gateway.settings import replica_folders
from gateway.settings.replica_folders import COUNTS, FoldersDiffer, ReplicaFolders
from gateway.store.memory import MemoryStore
from gateway.store.replica_events import ReplicaEvents
from tests.fixtures.clock import FakeClock

Start = Callable[[Path], Awaitable[ReplicaFolders]]
NAME = ".one.json.new"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def start(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Starts a replica with a folder; all share one store."""
    monkeypatch.setattr(replica_folders, "WAIT", 0.3)
    store = MemoryStore(clock)
    async with AsyncExitStack() as stack:

        async def start(folder: Path) -> ReplicaFolders:
            folder.mkdir(exist_ok=True)
            events, tasks = ReplicaEvents(store=store, random=SystemRandom()), BackgroundTasks()
            await stack.enter_async_context(events.running())
            await events.ready()
            one = ReplicaFolders(
                lambda: folder, store=store, events=events, clock=clock, random=SystemRandom(), tasks=tasks
            )
            await one.report()
            return one

        yield start


@pytest.mark.row("GW-15")
async def test_replicas_with_one_folder_all_see_the_staged_file(start: Start, tmp_path: Path) -> None:
    first, _ = await start(tmp_path / "shared"), await start(tmp_path / "shared")
    (tmp_path / "shared" / NAME).touch()
    await first.compare(NAME)


@pytest.mark.row("GW-15")
async def test_a_replica_with_a_folder_of_its_own_refuses_the_change(start: Start, tmp_path: Path) -> None:
    first, _ = await start(tmp_path / "first"), await start(tmp_path / "second")
    (tmp_path / "first" / NAME).touch()
    with pytest.raises(FoldersDiffer, match="different folders"):
        await first.compare(NAME)


@pytest.mark.row("GW-15")
async def test_a_replica_that_does_not_answer_refuses_the_change_until_its_report_is_old(
    start: Start, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, silent = await start(tmp_path / "shared"), await start(tmp_path / "shared")
    (tmp_path / "shared" / NAME).touch()
    monkeypatch.setattr(silent, "_sees", None)  # its answer fails
    with pytest.raises(FoldersDiffer, match="1 of the replicas did not tell"):
        await first.compare(NAME)
    clock.advance(COUNTS + 1)
    await first.compare(NAME)


@pytest.mark.row("GW-15")
async def test_a_replica_that_ended_is_not_asked(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, gone = await start(tmp_path / "first"), await start(tmp_path / "second")
    (tmp_path / "first" / NAME).touch()
    await gone.report(ended=True)
    monkeypatch.setattr(gone, "_sees", None)  # its answer fails
    await first.compare(NAME)

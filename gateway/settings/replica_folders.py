"""Finds out whether all replicas read the tenant files in one folder, before one of them is changed.

Each replica reports in the store that it runs. Before a change, the writer asks all of them whether they see its staged
file. A replica that does not answer counts as one with another folder: the change is refused.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway.domain import errors
from gateway.domain.ports import Clock, Random
from gateway.domain.tasks import BackgroundTasks
from gateway.store.protocol import Store
from gateway.store.replica_events import EventFields, ReplicaEvents

REPORT = 10.0
"""Seconds between two reports of a replica."""
COUNTS = 60.0
"""Seconds for which a report counts, unless the replica ended since."""
WAIT = 2.0
"""Seconds that the replicas have to answer."""
_POLL = 0.02
_KEPT = 2000
_REPORTS, _QUESTION = "replica-folders", "tenant-folder"


class FoldersDiffer(Exception):
    """Raised if a replica does not see the folder of this one, or if that is unknown."""


class ReplicaFolders:
    """The folder of this replica, compared with those of all others. `folder` is read at each use."""

    def __init__(
        self,
        folder: Callable[[], Path],
        *,
        store: Store,
        events: ReplicaEvents,
        clock: Clock,
        random: Random,
        tasks: BackgroundTasks,
    ) -> None:
        self._folder, self._store, self._events, self._clock = folder, store, events, clock
        self._random, self._tasks = random, tasks
        self._me = random.token_bytes(8).hex()
        events.on(_QUESTION, self._asked)

    async def follow(self) -> None:
        """Report that this replica runs, until the task is cancelled; then that it ended."""
        try:
            while True:
                with suppress(errors.Unreachable):
                    await self.report()
                await asyncio.sleep(REPORT)
        finally:
            with suppress(errors.Unreachable):
                await self.report(ended=True)

    async def report(self, *, ended: bool = False) -> None:
        """Report that this replica runs, or that it ended; raises `errors.Unreachable`."""
        line = json.dumps([self._me, self._clock.now(), ended]).encode()
        await self._store.append(_REPORTS, line, _KEPT, 2 * COUNTS)

    async def compare(self, name: str) -> None:
        """Return once every replica that runs sees the file `name` in its folder.

        Raises `FoldersDiffer`, also if a replica does not answer; `errors.Unreachable` if the store does not respond.
        """
        question = self._random.token_bytes(8).hex()
        await self._events.tell(_QUESTION, name=name, question=question)
        ends = time.monotonic() + WAIT
        running = await self._running()
        while True:
            answers = dict(json.loads(one) for one in await self._store.last(_answers(question), _KEPT))
            if not all(answers.values()):
                raise FoldersDiffer("the replicas read their tenant files in different folders")
            silent = running - answers.keys()
            if not silent:
                return
            if time.monotonic() >= ends:
                raise FoldersDiffer(f"{len(silent)} of the replicas did not tell which folder it reads; try again")
            await asyncio.sleep(_POLL)

    async def _running(self) -> set[str]:
        """The replicas that reported lately, this one included."""
        running, ended = {self._me}, set[str]()
        for line in await self._store.last(_REPORTS, _KEPT):  # the newest first
            replica, at, over = json.loads(line)
            if over:
                ended.add(replica)
            elif replica not in ended and at >= self._clock.now() - COUNTS:
                running.add(replica)
        return running

    def _asked(self, fields: EventFields) -> None:
        self._tasks.start(self._answer(fields["name"], fields["question"]), "answer about the tenant files")

    async def _answer(self, name: str, question: str) -> None:
        sees = await asyncio.to_thread(self._sees, name)
        with suppress(errors.Unreachable):
            await self._store.append(_answers(question), json.dumps([self._me, sees]).encode(), _KEPT, COUNTS)

    def _sees(self, name: str) -> bool:
        return "/" not in name and (self._folder() / name).exists()


def _answers(question: str) -> str:
    return f"{_REPORTS}:{question}"

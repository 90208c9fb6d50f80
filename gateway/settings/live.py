"""The configuration in force, and its reload.

The gateway watches the folders of the settings, not the files: Kubernetes swaps a ConfigMap by a link beside them. It
reads and checks a change as a whole and uses it within a second; with an error anywhere the last good configuration
stays. Files that changed while they were read are read again: a configuration is never mixed of two states. A
`Configuration` never changes, so a request may keep the one with which it began.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from watchfiles import awatch

from gateway.domain.configuration import Configuration
from gateway.settings.load import Loaded, load
from gateway.settings.source.diagnostics import Diagnostic
from gateway.settings.source.secret_refs import FileState, state_of

_Signature = tuple[FileState, ...]
_SETTLED = 100  # milliseconds without a further event before the files are read
_AT_MOST = 300  # milliseconds after which the files are read while events continue
_TRIES = 5
"""Readings of files that change meanwhile, before the gateway waits for the next look."""
_LOOK_ANYWAY = 800  # milliseconds between reads on a file system without events


class Live:
    """Holds the configuration in force, which a request reads by `current`.

    `on_change` gets the old and the new configuration, `on_rejected` the errors because of which there is none.
    `on_restored` is called when, after a rejection, the files have the configuration in force again.
    """

    def __init__(self, file: Path, loaded: Loaded) -> None:
        """`loaded` must hold a configuration."""
        if loaded.configuration is None:
            raise ValueError("there must be a first configuration")
        self._file = file
        self._current = loaded.configuration
        self._files = loaded.files
        self._fingerprint = loaded.fingerprint
        self._seen: _Signature = ()
        self._looking = asyncio.Lock()
        self.on_change: Callable[[Configuration, Configuration], None] = lambda _old, _new: None
        self.on_rejected: Callable[[tuple[Diagnostic, ...]], None] = lambda _diagnostics: None
        self.on_restored: Callable[[], None] = lambda: None

    def current(self) -> Configuration:
        """The configuration in force."""
        return self._current

    async def watch(self, stop: asyncio.Event) -> None:
        """Follows the files until `stop` is set."""
        while not stop.is_set():
            folders = self._folders()
            async for _ in awatch(
                *folders,
                watch_filter=None,
                step=_SETTLED,
                debounce=_AT_MOST,
                rust_timeout=_LOOK_ANYWAY,
                yield_on_timeout=True,
                recursive=False,
                stop_event=stop,
            ):
                await self.look()
                if self._folders() != folders:
                    break

    async def look(self) -> bool:
        """Reads the files if they look different from last time; returns whether the configuration changed."""
        async with self._looking:
            return await self._look()

    async def _look(self) -> bool:
        seen = await asyncio.to_thread(_signature, self._files)
        if seen == self._seen:
            return False
        for _ in range(_TRIES):
            loaded = await asyncio.to_thread(load, self._file)
            if loaded.settled:
                break
        else:
            return False  # the files change all the time: the next look begins anew
        self._seen = seen
        if loaded.fingerprint == self._fingerprint:
            return False
        self._fingerprint = loaded.fingerprint
        self._files = tuple(dict.fromkeys((*loaded.files, *self._files))) if loaded.errors else loaded.files
        if loaded.configuration is None:
            self.on_rejected(loaded.errors)
            return False
        if loaded.fingerprint == self._current.fingerprint:  # a bad edit was reverted
            self.on_restored()
            return False
        old, self._current = self._current, loaded.configuration
        self.on_change(old, self._current)
        return True

    def _folders(self) -> tuple[Path, ...]:
        folders = {path if path.is_dir() else path.parent for path in self._files}
        return tuple(sorted(folder for folder in folders if folder.is_dir()))


def _signature(files: tuple[Path, ...]) -> _Signature:
    return tuple(state_of(path) for path in files)

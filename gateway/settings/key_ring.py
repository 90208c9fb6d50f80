"""The file of the key ring, which seals enrolments and sessions.

The file is JSON with mode 0600, which the gateway enforces: `{"format": …, "keys": [{"id", "created_at", "key"}, …]}`,
newest key first, `key` being 32 bytes in base64. It is written whole or not at all. Enrolments outlive the process and
the store, so the gateway makes no key ring where one may exist elsewhere: only the in-memory store makes its own, once.
"""

import base64
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

from gateway.crypto.key_ring import ID_BYTES, KEY_BYTES, Key, KeyRing
from gateway.domain.configuration import GatewaySettings
from gateway.domain.errors import Misconfigured
from gateway.domain.ports import Clock, Random

FORMAT = "efcx-gateway key ring 1"
OWN_NAME = "ring.key"
_LARGEST = 256 * 1024


def read(file: Path) -> KeyRing:
    """Reads the key ring in `file`; raises `Misconfigured`, which names the file and what to do."""
    what = f"key ring {file}"
    try:
        with file.open("rb") as opened:
            _check_mode(os.fstat(opened.fileno()), what)
            raw = opened.read(_LARGEST)
    except FileNotFoundError as error:
        raise Misconfigured(what, f"is not there; write one with: efcx-gateway keys new {file}") from error
    except OSError as error:
        raise Misconfigured(what, f"cannot be read: {error.strerror}") from error
    try:
        return _parse(raw)
    except (ValueError, KeyError, TypeError) as error:
        raise Misconfigured(what, "is damaged, or no key ring; put it back from its backup") from error


def create(file: Path, clock: Clock, random: Random) -> KeyRing:
    """Writes a key ring with one new key; raises `Misconfigured` when there is a file already."""
    ring = KeyRing((_new_key(clock, random),))
    _write(file, ring, replace_it=False)
    return ring


def add(file: Path, clock: Clock, random: Random) -> KeyRing:
    """Adds a new key, which seals from now on; the others still open what they sealed."""
    ring = read(file)
    fresh = _new_key(clock, random)
    while any(key.id == fresh.id for key in ring.keys):
        fresh = _new_key(clock, random)
    ring = replace(ring, keys=(fresh, *ring.keys))
    _write(file, ring, replace_it=True)
    return ring


def for_start(
    settings: GatewaySettings, configuration_file: Path, clock: Clock, random: Random
) -> tuple[KeyRing, Path | None]:
    """The key ring to serve with, and its file if the gateway just made it.

    With Redis a missing file is `Misconfigured`: another replica has the real one. With memory it is made once.
    """
    file = Path(settings.keys_file) if settings.keys_file else configuration_file.parent / OWN_NAME
    if settings.store.in_memory and not file.exists():
        return create(file, clock, random), file
    return read(file), None


def _check_mode(found: os.stat_result, what: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Misconfigured(what, "is not a file")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise Misconfigured(what, f"may be read by others (mode {mode:04o}); run: chmod 600 on it")


def _parse(raw: bytes) -> KeyRing:
    held = json.loads(raw)
    if held["format"] != FORMAT:
        raise ValueError("another format")
    keys = tuple(_key(entry) for entry in held["keys"])
    if len({key.id for key in keys}) != len(keys):
        raise ValueError("an id twice")
    return KeyRing(keys)


def _key(entry: dict[str, object]) -> Key:
    value = base64.b64decode(str(entry["key"]), validate=True)
    ident = str(entry["id"])
    if len(value) != KEY_BYTES or len(bytes.fromhex(ident)) != ID_BYTES or ident != ident.lower():
        raise ValueError("a key of another length")
    return Key(ident, value, float(str(entry["created_at"])))


def _new_key(clock: Clock, random: Random) -> Key:
    return Key(random.token_bytes(ID_BYTES).hex(), random.token_bytes(KEY_BYTES), clock.now())


def _write(file: Path, ring: KeyRing, *, replace_it: bool) -> None:
    held = {
        "format": FORMAT,
        "keys": [
            {"id": k.id, "created_at": k.created_at, "key": base64.b64encode(k.value).decode()} for k in ring.keys
        ],
    }
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    what = f"key ring {file}"
    try:
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            json.dump(held, opened, indent=1)
            opened.write("\n")
            opened.flush()
            os.fsync(opened.fileno())
        if replace_it:
            fresh.replace(file)
        else:
            os.link(fresh, file)  # unlike a rename this fails when the file is there
            fresh.unlink()
    except FileExistsError as error:
        fresh.unlink(missing_ok=True)
        raise Misconfigured(what, "is there already; it is never overwritten, its keys may be in use") from error
    except OSError as error:
        raise Misconfigured(what, f"cannot be written: {error.strerror}") from error

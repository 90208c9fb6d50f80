"""The file of the key ring, which seals enrolments and sessions.

The file is JSON: `{"format": …, "keys": [{"id", "created_at", "key"}, …]}`, newest key first, `key` being 32 bytes in
base64. The gateway rejects a file that other users of the host may read. An orchestrator may mount it read-only, with
any mode, or give its text in an environment variable. A file is written whole or not at all, with mode 0600. Enrolments
outlive the process and the store, so the gateway makes no key ring where one may exist elsewhere: only the in-memory
store makes its own, once.
"""

import base64
import json
import os
import stat
from collections.abc import Mapping
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
            read_only = bool(os.fstatvfs(opened.fileno()).f_flag & os.ST_RDONLY)
            _check_mode(os.fstat(opened.fileno()), what, read_only=read_only)
            raw = opened.read(_LARGEST)
    except FileNotFoundError as error:
        raise Misconfigured(what, _missing(file)) from error
    except PermissionError as error:
        why = f"cannot be read by user {os.geteuid()}; give it to this user, or in Kubernetes set fsGroup"
        raise Misconfigured(what, f"{why} and defaultMode: 0440") from error
    except OSError as error:
        raise Misconfigured(what, f"cannot be read: {error.strerror}") from error
    return _parsed(raw, what)


def from_environment(name: str, environment: Mapping[str, str]) -> KeyRing:
    """Reads the key ring in a variable, which has the content of a key ring file; raises `Misconfigured`."""
    what = f"key ring in the environment variable {name}"
    text = environment.get(name, "")
    if not text:
        raise Misconfigured(what, "is not set; its value is the content of a file that efcx-gateway keys new wrote")
    return _parsed(text.encode("utf-8", "surrogateescape"), what)


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
    settings: GatewaySettings,
    configuration_file: Path,
    clock: Clock,
    random: Random,
    environment: Mapping[str, str] = os.environ,
) -> tuple[KeyRing, Path | None]:
    """The key ring to serve with, and its file if the gateway just made it.

    With Redis a missing file is `Misconfigured`: another replica has the real one. With memory it is made once, unless
    another key ring is beside the settings: that one sealed the enrolments.
    """
    if name := settings.keys_variable:
        if not environment.get(name) and (other := beside(configuration_file)):
            why = f"is not set; if users are enrolled, give it the content of {other[0]}, which sealed their enrolments"
            raise Misconfigured(f"key ring in the environment variable {name}", why)
        return from_environment(name, environment), None
    file = Path(settings.keys_file) if settings.keys_file else configuration_file.parent / OWN_NAME
    if file.exists():
        return read(file), None
    if other := beside(configuration_file, file):
        raise Misconfigured(f"key ring {file}", _missing(file, f": {other[0]}, which a gateway with memory:// made"))
    if settings.store.in_memory:
        return create(file, clock, random), file
    return read(file), None


def beside(configuration_file: Path, file: Path | None = None) -> tuple[Path, KeyRing] | None:
    """The key ring that the gateway made beside its settings, if it is there and is another file than `file`."""
    own = configuration_file.parent / OWN_NAME
    if file is not None and own.resolve() == file.resolve():
        return None
    try:
        return own, read(own)
    except Misconfigured:
        return None


def _missing(file: Path, where: str = ", from its backup or from another replica") -> str:
    return (
        f"is not there. If users are enrolled, put their key ring there{where}. "
        f"A new one opens none of their enrolments; for a new installation: efcx-gateway keys new {file}"
    )


def _check_mode(found: os.stat_result, what: str, *, read_only: bool) -> None:
    """Accept a file of the process's user or group alone, and any file on a read-only mount, as of a Compose secret."""
    if not stat.S_ISREG(found.st_mode):
        raise Misconfigured(what, "is not a file")
    mode = stat.S_IMODE(found.st_mode)
    allowed = 0o640 if found.st_gid in (os.getegid(), *os.getgroups()) else 0o600
    if mode & 0o077 & ~allowed and not read_only:
        raise Misconfigured(what, f"may be read by others (mode {mode:04o}); run: chmod 600 on it")


def _parsed(raw: bytes, what: str) -> KeyRing:
    try:
        return _parse(raw)
    except (ValueError, KeyError, TypeError) as error:
        why = "is damaged, or no key ring; name one that efcx-gateway keys new wrote, or put it back from its backup"
        raise Misconfigured(what, why) from error


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
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(what, f"its folder cannot be written: {error.strerror}") from error
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

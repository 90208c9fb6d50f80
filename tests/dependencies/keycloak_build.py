"""Builds the Keycloak of the tests from Maven Central, once, in a cache outside of the tree.

`prepare()` makes an unpacked and built distribution, and a database with the realms of `realm.py`. Each start copies
the database, so it takes seconds instead of a minute. A change of version, realms or Java builds both again.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.dependencies import process, realm
from tests.dependencies.run import locked
from tests.ports import free_port

VERSION = "26.7.3"
ARTEFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
HOW_TO_GET_IT = "install a JDK of version 17 or newer, Maven and unzip (Debian: default-jre-headless maven unzip)"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
# A small Java that starts quickly: a test server runs for minutes.
_LEAN = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xss512k -XX:MaxMetaspaceSize=256m -Xms64m -Xmx256m"
_DATABASE = "jdbc:h2:file:{folder}/keycloakdb;NON_KEYWORDS=VALUE"

Tell = Callable[[str], None]


class Unavailable(RuntimeError):
    """This machine lacks a required program."""


@dataclass(frozen=True)
class Template:
    """Everything that a start needs: the distribution, the database to copy, Java's class archive, and the secrets."""

    distribution: Path
    database: Path
    archive: Path
    java: Path
    passwords: Mapping[str, str]
    clients: Mapping[str, str]
    administrator: str
    administrator_password: str


def cache() -> Path:
    """Returns the cache folder of this version, outside of the tree."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "efcx-gateway" / f"keycloak-{VERSION}"


def prepare(tell: Tell) -> Template:
    """Makes the missing parts of the template and returns it.

    :param tell: gets a line before everything that takes more than a moment.
    :raises Unavailable: no Java, Maven or unzip on this machine, or the artefact cannot be fetched.
    """
    java = _java()
    with locked(cache() / "lock"):
        distribution = _distribution(java, tell)
        folder = cache() / f"realms-{_fingerprint(java)}"
        if not (folder / "complete").exists():
            _fill(folder, distribution, java, tell)
    known = json.loads((folder / "secrets.json").read_text())
    return Template(
        distribution=distribution,
        database=folder / "h2",
        archive=folder / "classes.jsa",
        java=java,
        passwords=known["passwords"],
        clients=known["clients"],
        administrator=known["administrator"],
        administrator_password=known["administrator_password"],
    )


def launch(template: Template, database: Path, port: int, management: int, log: Path, *, owner: int) -> int:
    """Starts Keycloak on this database folder and returns the keeper's process id (see `process`)."""
    flags = f"{_LEAN} -XX:SharedArchiveFile={template.archive} -Xshare:auto -Xlog:disable -Xlog:all=error:stderr"
    return _launch(template.distribution, template.java, flags, database, (port, management), log, owner=owner)


def is_ready(port: int, management: int) -> bool:
    """Returns whether health reports ready and the realm's document exists.

    The port opens before the bootstrap ends.
    """
    with contextlib.suppress(httpx2.HTTPError), httpx2.Client(trust_env=False, timeout=5) as http:
        if http.get(f"http://127.0.0.1:{management}/auth/health/ready").status_code != httpx2.codes.OK:
            return False
        known = f"http://127.0.0.1:{port}/auth/realms/{realm.REALM}/.well-known/openid-configuration"
        return http.get(known).status_code == httpx2.codes.OK
    return False


def _java() -> Path:
    newest = sorted(Path("/usr/lib/jvm").glob("temurin-25*/bin/java"))
    if newest:
        return newest[-1]
    home = os.environ.get("JAVA_HOME")
    found = f"{home}/bin/java" if home and Path(home, "bin/java").exists() else shutil.which("java")
    if not found:
        raise Unavailable("no Java")
    return Path(found).resolve()


def _fingerprint(java: Path) -> str:
    wanted = realm.realms(dict.fromkeys(realm.USERS, ""), dict.fromkeys(realm.CLIENTS, ""))
    parts = json.dumps([wanted, str(java), VERSION, _LEAN, _DATABASE])
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def _distribution(java: Path, tell: Tell) -> Path:
    target = cache() / f"keycloak-{VERSION}"
    if (target / "built").exists():
        return target
    for program in ("mvn", "unzip"):
        if not shutil.which(program):
            raise Unavailable(f"no {program}")
    shutil.rmtree(target, ignore_errors=True)
    archive = cache() / f"keycloak-quarkus-dist-{VERSION}.zip"
    if not archive.exists():
        tell(f"fetching Keycloak {VERSION} from Maven Central (177 MB, once)")
        _run(["mvn", "-B", "-q", _COPY, f"-Dartifact={ARTEFACT}", f"-DoutputDirectory={cache()}"], "fetching it failed")
    tell("unpacking and building Keycloak (about a minute, once)")
    _run(["unzip", "-q", "-o", str(archive), "-d", str(cache())], "unpacking it failed")
    build = [str(target / "bin/kc.sh"), "build", "--db=dev-file", "--health-enabled=true", "--http-relative-path=/auth"]
    _run(build, "building it failed", _environment(java, _LEAN))
    archive.unlink()
    (target / "built").touch()
    return target


def _fill(folder: Path, distribution: Path, java: Path, tell: Tell) -> None:
    """Makes a database with both realms, its secrets, and Java's archive of the classes that a start loads."""
    tell("making Keycloak's realms for the tests (about half a minute, once)")
    for old in cache().glob("realms-*"):
        shutil.rmtree(old)
    folder.mkdir(mode=0o700)
    known: dict[str, Any] = {
        "passwords": {name: f"{secrets.token_urlsafe(12)}Aa1!" for name in realm.USERS},
        "clients": {name: secrets.token_urlsafe(24) for name in realm.CLIENTS},
        "administrator": "root",
        "administrator_password": secrets.token_urlsafe(24),
    }
    file = folder / "secrets.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(known))
    log = folder / "log"
    port, management = free_port(), free_port()
    flags = f"{_LEAN} -XX:ArchiveClassesAtExit={folder / 'classes.jsa'}"
    with _import_files(distribution, known):
        keeper = _launch(
            distribution,
            java,
            flags,
            folder / "h2",
            (port, management),
            log,
            owner=os.getpid(),
            more=["--import-realm"],
            administrator=(known["administrator"], known["administrator_password"]),
        )
        process.wait_ready(
            lambda: is_ready(port, management),
            keeper,
            log,
            seconds=240,
            tell=lambda gone: tell(f"  … {gone:.0f} s"),
        )
        process.stop(keeper)
    if not (folder / "h2" / "keycloakdb.mv.db").exists():
        raise process.Stopped(f"left no database\n{process.tail(log)}")
    (folder / "complete").touch()


@contextlib.contextmanager
def _import_files(distribution: Path, known: Mapping[str, Any]) -> Iterator[None]:
    folder = distribution / "data" / "import"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    try:
        for one in realm.realms(known["passwords"], known["clients"]):
            (folder / f"{one['realm']}-realm.json").write_text(json.dumps(one))
        yield
    finally:
        shutil.rmtree(folder)  # the files hold the passwords


def _launch(
    distribution: Path,
    java: Path,
    flags: str,
    database: Path,
    ports: tuple[int, int],
    log: Path,
    *,
    owner: int,
    more: list[str] | None = None,
    administrator: tuple[str, str] | None = None,
) -> int:
    env = _environment(java, flags)
    if administrator:
        env["KC_BOOTSTRAP_ADMIN_USERNAME"], env["KC_BOOTSTRAP_ADMIN_PASSWORD"] = administrator
    port, management = ports
    command = [
        str(distribution / "bin/kc.sh"),
        "start",
        "--optimized",
        "--http-enabled=true",
        "--hostname-strict=false",
        "--http-host=127.0.0.1",
        f"--http-port={port}",
        f"--http-management-port={management}",
        "--cache=local",  # has an effect only as an option of `start`
        f"--db-url={_DATABASE.format(folder=database)}",
        *(more or []),
    ]
    return process.start(command, log, owner=owner, env=env)


def _environment(java: Path, flags: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KC_", "JAVA"))}
    return kept | {"JAVA_HOME": str(java.parent.parent), "JAVA_OPTS": flags}


def _run(command: list[str], failed: str, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Unavailable(f"{failed}: {(done.stdout + done.stderr)[-800:]}")


if __name__ == "__main__":  # `make test` does this first, so that its lines are seen
    try:
        prepare(lambda line: print(line, flush=True))
    except Unavailable as why:
        print(f"no Keycloak for the tests ({why}): {HOW_TO_GET_IT}", file=sys.stderr)

"""Compares the documentation with the code wherever that is possible.

`python -m tests.test_docs` writes the generated parts again: `docs/settings.md` and the table of audit events.
"""

import ast
import asyncio
import importlib.util
import json
import re
import secrets
import sys
import textwrap
from collections.abc import Iterator
from enum import Enum
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
import trustme
import typer
from aiohttp import web
from ruamel.yaml import YAML

from gateway.app import build
from gateway.cli.main import app
from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing
from gateway.demo.pages import DemoPages
from gateway.domain import policy
from gateway.domain.configuration import OperatorLimits
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.domain.problem import Problem
from gateway.keycloak.user_profile_schema import ATTRIBUTE, WANTED
from gateway.login import record, state_machine
from gateway.observe import audit, metrics
from gateway.observe.audit import AuditEvent
from gateway.operations import listener, user_import
from gateway.operations.readiness import Readiness
from gateway.proxy import forward_auth
from gateway.proxy.connection_limits import READ, ConnectionLimits
from gateway.proxy.handler import server_options
from gateway.proxy.websocket import PER_SESSION
from gateway.services import open_services
from gateway.settings import key_ring
from gateway.settings.features import FEATURES
from gateway.settings.files.gateway_file import GatewayFile
from gateway.settings.files.tenant_file import TenantFile
from gateway.settings.load import load
from gateway.settings.presets import PRESETS, Preset
from gateway.web.cookies import LANGUAGE, Cookie
from gateway.web.forms import MAX_BODY
from tests.fixtures.config_folder import to_mend
from tools.json_schemas import schema_of
from tools.settings_reference import reference

ROOT = Path(__file__).parents[1]
PRESET_GUIDES = sorted(set((ROOT / "docs" / "presets").glob("*.md")) - {ROOT / "docs" / "presets" / "README.md"})
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SETTINGS, OPERATIONS, SECURITY = (ROOT / "docs" / f"{name}.md" for name in ("settings", "operations", "security"))
EFCX = ROOT / "tests" / "fixtures" / "efcx_create.json"

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_BEGIN, _END = "<!-- made by python -m tests.test_docs -->", "<!-- end -->"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def fences(page: Path, language: str) -> list[str]:
    """Returns the code blocks of a page in one language."""
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [textwrap.dedent(text) for named, text in found if named == language]


def quoted(page: Path) -> list[str]:
    """Returns the texts in backticks of a page."""
    return _CODE.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))


def lines_of_code(page: Path) -> list[str]:
    """Returns everything that a reader may copy: lines of blocks, and texts in backticks."""
    return [
        line for _, text in _FENCE.findall(page.read_text(encoding="utf-8")) for line in text.splitlines()
    ] + quoted(page)


def anchor(heading: str) -> str:
    """Returns the name by which viewers link to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Returns every heading and every explicit anchor of a page."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    named = re.findall(r'^<a id="([\w-]+)"></a>$', text, re.M)
    return {*named, *(anchor(re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", found)) for found in headings)}


def setting_paths() -> set[str]:
    """Returns every key of the settings files as `a.b.c`, without the marks of lists."""

    def walk(section: dict[str, Any], defs: dict[str, Any], path: str, depth: int) -> Iterator[str]:
        for key, about in section.get("properties", {}).items():
            yield f"{path}{key}"
            choices = [about, *about.get("anyOf", ())]
            for one in [*choices, *(c["items"] for c in choices if "items" in c)]:
                if "$ref" in one and depth < 8:
                    yield from walk(defs[one["$ref"].rpartition("/")[2]], defs, f"{path}{key}.", depth + 1)

    found: set[str] = set()
    for kind in (GatewayFile, TenantFile):
        schema = schema_of(kind)
        found |= set(walk(schema, schema["$defs"], "", 0))
    return found


def keys_of(value: object, path: str = "") -> Iterator[str]:
    """Returns every key of plain data as `a.b.c`, without the marks of lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{path}{key}"
            yield from keys_of(inner, f"{path}{key}.")
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, path)


PATHS = setting_paths()
KNOWN = PATHS | set(keys_of(json.loads(EFCX.read_text(encoding="utf-8"))))
"""The keys of the gateway, and the keys of EFCX that are only kept."""
USER_ATTRIBUTES = {"phoneNumber", "customerChannelIdentifier", "twoFAChannel", "is2FARegistered", "otpSecret"}
"""The names that EFCX gives to attributes of users in Keycloak."""
SUFFIXES = {".".join(path.split(".")[n:]) for path in KNOWN for n in range(path.count(".") + 1)}
ENUMS: list[type[Enum]] = [one for one in vars(policy).values() if isinstance(one, type) and issubclass(one, Enum)]
WORDS = {word.value for one in ENUMS for word in one} | set(user_import.ATTRIBUTES) | {"authCode_nbest1"}
"""The values of settings of the second factor, the attributes in which EFCX keeps its own registrations, and a name of
Genesys."""


def event_texts() -> dict[str, str]:
    """Returns each audit event's name and meaning, from the docstrings of its module."""
    [catalogue] = [
        node
        for node in ast.parse(Path(audit.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == AuditEvent.__name__
    ]
    body, found = catalogue.body, {}
    for node, after in pairwise(body):
        if isinstance(node, ast.Assign) and isinstance(after, ast.Expr) and isinstance(node.targets[0], ast.Name):
            text = ast.literal_eval(after.value)
            found[AuditEvent[node.targets[0].id].value] = " ".join(text.split()).removesuffix(".")
    return found


def event_table() -> str:
    """Returns the audit events as a table."""
    rows = [f"| `{name}` | {audit.level_of(AuditEvent(name))} | {text} |" for name, text in event_texts().items()]
    return "\n".join([_BEGIN, "| event | level | means |", "|---|---|---|", *rows, _END])


def with_event_table(text: str) -> str:
    """Returns the page with the current table."""
    before, _, rest = text.partition(_BEGIN)
    return before + event_table() + rest.partition(_END)[2]


def served_paths() -> list[re.Pattern[str]]:
    """Returns the paths that the gateway, its operations listener and the demo answer."""
    configuration = load(ROOT / "config" / "gateway.yaml", environment={}).configuration
    assert configuration

    async def built() -> web.Application:
        async with open_services(lambda: configuration, KeyRing((Key("00000000", bytes(KEY_BYTES), 0.0),))) as services:
            return build(services)

    gateway = asyncio.run(built())
    operations = listener.build(Readiness({}), metrics.Metrics().text)
    apps: list[web.Application] = [gateway, operations]
    patterns = [resource.canonical for one in apps for resource in one.router.resources()]
    demo = DemoPages(  # only its paths are read
        sites=(),
        apps=(),
        inbox=None,  # type: ignore[arg-type]
        prefix="/-/",
        clock=SystemClock(),
        admin_codes=None,  # type: ignore[arg-type]
    )
    patterns += [route.path for route in demo.routes()]
    patterns.append(f"{configuration.gateway.prefix}{forward_auth.PATH}")
    apps_own = "/{path}"  # all other paths belong to an app
    return [re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))) for path in patterns if path != apps_own]


def test_the_settings_reference_is_up_to_date() -> None:
    assert SETTINGS.read_text(encoding="utf-8") == reference(), "python -m tests.test_docs writes it anew"


def test_the_table_of_audit_events_is_up_to_date() -> None:
    assert set(event_texts()) == {event.value for event in AuditEvent}
    assert event_table() in OPERATIONS.read_text(encoding="utf-8"), "python -m tests.test_docs writes it anew"


@each_page
def test_every_link_has_an_existing_target(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    lost = []
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, part = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (part and part not in anchors(file)):
            lost.append(target)
    assert lost == []


@each_page
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for line in lines_of_code(page) for name in re.findall(r"\bmake ([a-z][a-z-]*)", line)}
    assert named - targets == set()


def test_the_readme_starts_with_the_two_commands() -> None:
    [first, *_] = fences(ROOT / "README.md", "console")
    assert re.findall(r"^\$ (\S+ \S+)", first, re.MULTILINE) == ["make demo", "make test"]


@each_page
def test_every_command_and_option_exists(page: Path) -> None:
    for line in lines_of_code(page):
        for call in re.findall(r"(?:efcx-gateway|python -m gateway) ([^|#&;`>]*)", line):
            command: Any = typer.main.get_command(app)  # typer includes a copy of click, without types
            for word in call.split():
                if word.startswith("--"):
                    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
                    assert word.partition("=")[0] in options, f"no option {word}: {line}"
                elif hasattr(command, "commands"):
                    assert word in command.commands, f"no command {word}: {line}"
                    command = command.commands[word]


def test_the_page_of_the_command_line_lists_every_command() -> None:
    page = ROOT / "docs" / "command-line.md"
    listed = re.findall(
        r"^\| `efcx-gateway ([a-z -]+?)(?: [A-Z]+)?` \|", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted(commands(typer.main.get_command(app)))


def test_the_page_of_the_command_line_names_every_option() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    root = typer.main.get_command(app)
    found = {option for names in ("", *commands(root)) for option in options(command_at(root, names.split()))}
    assert len(found) > 20
    assert [one for one in sorted(found) if not re.search(rf"{one}(?![\w-])", page)] == []


def command_at(command: Any, names: list[str]) -> Any:
    """Returns the command with these words."""
    for name in names:
        command = command.commands[name]
    return command


def options(command: Any) -> Iterator[str]:
    """Yields the long options of a command."""
    for parameter in command.params:
        yield from (option for option in parameter.opts + parameter.secondary_opts if option.startswith("--"))


def commands(command: Any, *names: str) -> Iterator[str]:
    """Yields the words of each command below `command`."""
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(names)
        return
    for name, one in below.items():
        yield from commands(one, *names, name)


@each_page
def test_every_setting_exists(page: Path) -> None:
    unknown = []
    for code in quoted(page):
        name = code.partition(":")[0].replace("[]", "")
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_][\w-]*)*", name):
            continue
        dotted, camel = "." in name, re.fullmatch(r"[a-z]+[0-9]*[A-Z]\w*", name)
        assigned = re.match(r"[a-z_]+: \S", code)
        if not (dotted or camel or assigned) or name in SUFFIXES | WORDS | USER_ATTRIBUTES:
            continue
        if dotted and (is_event(name) or is_module(name) or is_file(name) or is_known_name(code)):
            continue
        unknown.append(code)
    assert unknown == []


def is_event(name: str) -> bool:
    """Returns whether this is an audit event."""
    return name in {event.value for event in AuditEvent}


def is_module(name: str) -> bool:
    """Returns whether this is a module of the gateway, or a function of one by its short name."""
    if name.startswith(("gateway.", "tests.")):
        return importlib.util.find_spec(name) is not None
    module, _, function = name.partition(".")
    files = (ROOT / "gateway").rglob(f"{module}.py")
    return any(
        re.search(rf"^ *(?:async )?def {function}\(", f.read_text(encoding="utf-8"), re.MULTILINE) for f in files
    )


def is_file(name: str) -> bool:
    """Returns whether some file of the tree, or of an installation, has this name."""
    ends = (".yaml", ".json", ".toml", ".lock", ".md", ".py", ".js", ".key", ".pem", ".txt")
    return name.endswith(ends) and (
        name in ("ring.key", "ca.pem") or any(ROOT.glob(f"*/**/{name}")) or (ROOT / name).exists()
    )


def is_known_name(name: str) -> bool:
    """Returns whether this is a name with dots of another program."""
    return name in {"auth.example.com", "efcx.example.com", "uma.authorization"}


@each_page
def test_every_key_of_a_yaml_sample_exists(page: Path) -> None:
    for text in fences(page, "yaml"):
        assert re.match(r"# config/(gateway\.yaml|tenants/[\w.-]+)", text), "its first line names its file"
        found = set(keys_of(YAML(typ="safe").load(StringIO(text))))
        sources = {path for path in found if path.rpartition(".")[0] in found and path.endswith((".env", ".file"))}
        names = {path for path in found if path.rpartition(".")[0].endswith((".paths", ".accepted", ".maxima"))}
        responses = {path for path in found if ".success.json." in path}
        assert found - PATHS - sources - names - responses == set()


@pytest.mark.parametrize("page", [OPERATIONS, *PRESET_GUIDES], ids=lambda page: page.stem)
def test_the_samples_of_a_guide_are_a_valid_configuration(page: Path, tmp_path: Path) -> None:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "secrets").mkdir()
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "secrets" / "ca.pem"))
    (tmp_path / "secrets" / "smtp-password").write_text(secrets.token_urlsafe())
    (tmp_path / "secrets" / "smtp-password").chmod(0o600)
    key_ring.create(tmp_path / "secrets" / "ring.key", SystemClock(), SystemRandom())
    for text in fences(page, "yaml"):
        name = text.partition("\n")[0].removeprefix("# config/")
        (tmp_path / name).write_text(text, encoding="utf-8")
    named = ("KEYCLOAK_CLIENT_SECRET", "KEYCLOAK_ADMIN_SECRET", "OTP_MANAGER_SECRET", "RSA_CLIENT_KEY", "SINCH_SECRET")
    environment = {**dict.fromkeys(named, secrets.token_hex(32)), "GATEWAY_STORE_URL": "redis://127.0.0.1:6379/0"}
    assert to_mend(load(tmp_path / "gateway.yaml", environment=environment)) == []


@pytest.mark.parametrize("page", PRESET_GUIDES, ids=lambda page: page.stem)
def test_the_guide_of_a_preset_uses_it(page: Path) -> None:
    [used] = {found for text in fences(page, "yaml") for found in re.findall(r"(?m)^ +preset: (\w+)", text)}
    assert used == page.stem


def test_every_built_preset_has_a_guide_in_the_index() -> None:
    index = (ROOT / "docs" / "presets" / "README.md").read_text(encoding="utf-8")
    guides = {page.stem for page in PRESET_GUIDES}
    assert guides <= set(FEATURES.presets)
    assert all(f"[{name}.md]({name}.md)" in index for name in guides)


@each_page
def test_every_documented_address_of_the_gateway_exists(page: Path) -> None:
    served = served_paths()
    text = page.read_text(encoding="utf-8")
    named = {found.rstrip(".,)") for found in re.findall(r"(?<![\w.])(/(?:-|health)/[a-z][\w./{}-]*|/metrics)", text)}
    assert {path for path in named if not any(one.fullmatch(path) for one in served)} == set()


@each_page
def test_every_test_file_named_in_the_docs_exists(page: Path) -> None:
    lost = []
    for code in quoted(page):
        file, _, name = code.partition("::")
        if not re.fullmatch(r"tests/[\w/]+\.py", file):
            continue
        path = ROOT / file
        if not path.exists() or (name and not re.search(rf"def {name}\(", path.read_text(encoding="utf-8"))):
            lost.append(code)
    assert lost == []


@each_page
def test_every_file_named_in_the_docs_exists(page: Path) -> None:
    tops = "gateway|config|docs|templates|static|locales|tests"
    named = {code for code in quoted(page) if re.fullmatch(rf"(?:{tops})/[\w/.-]+\.\w+", code)}
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_limit_is_in_the_operations_guide_with_its_default() -> None:
    rows = re.findall(r"^\|.*\| `limits\.(\w+)` \| ([^|]+) \|", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    presets_in_code = {
        name: json.loads(json.dumps(getattr(OperatorLimits(), name))) for name in OperatorLimits.__dataclass_fields__
    }
    assert {name: json.loads(value.strip().strip("`")) for name, value in rows} == presets_in_code


def test_the_operations_guide_has_the_limits_of_each_preset() -> None:
    rows = re.findall(
        r"^\| [^|]+ \| `(\w+)`" + r" \| ([^|]+)" * len(PRESETS) + r" \|", OPERATIONS.read_text(encoding="utf-8"), re.M
    )
    assert len(rows) >= 10
    for name, *shown in rows:
        found = [own_value(PRESETS[preset], name) for preset in PRESETS]
        assert [text.strip("`") for text in shown] == found, name


def own_value(preset: Preset, key: str) -> str:
    """Returns the value of a key of `twoFAConfigs` in a preset, as the table shows it."""
    if key in preset.required:
        return "must be given"
    value = getattr(preset.policy, re.sub(r"(?<=[a-z])([A-Z])", r"_\1", key).lower())
    return "none" if value is None else str(value.value if isinstance(value, Enum) else value)


def test_the_operations_guide_has_the_limits_of_connections() -> None:
    table = OPERATIONS.read_text(encoding="utf-8").partition("Connections have fixed limits")[2].partition("\n\n##")[0]
    limits = ConnectionLimits()
    for number, unit in (
        (limits.head, "seconds from its first byte"),
        (limits.body_rate / 1024, "KiB a second"),
        (limits.head_bytes / 1024, "KiB in all"),
        (MAX_BODY / 1024, "KiB |"),
        (limits.answer_bytes / 1024, "KiB and one piece"),
        (limits.least_taken / 1024, f"KiB taken in {limits.stall:g} seconds"),
        (server_options()["keepalive_timeout"], "seconds"),
    ):
        assert f"| {number:g} {unit}" in table
    assert limits.body_grace == 10
    assert f"reading pauses at {limits.ahead // 1024} KiB" in table
    assert f"| {(limits.ahead + READ) // 1024} KiB; reading pauses" in table
    assert f"| {limits.per_address:,} |" in table
    assert f"| {PER_SESSION} |" in table


def test_every_part_of_the_login_machine_is_in_the_architecture_guide() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    events = {event.__name__ for event in get_args(record.Event)}
    words = {word.value for of in (state_machine.Step, state_machine.Effect, record.Purpose) for word in of}
    assert {name for name in events | words if f"`{name}`" not in text} == set()


def test_the_texts_quoted_in_the_docs_are_those_of_the_pages() -> None:
    table = (
        (ROOT / "docs" / "users.md").read_text(encoding="utf-8").partition("| what you see |")[2].partition("\n\n")[0]
    )
    named = {said for row in table.splitlines()[2:] for said in re.findall(r'"([^"]+)"', row.split("|")[1])}
    sentences = {part for text in (p.shown_as for p in Problem) for part in (text.title, text.next.removesuffix("."))}
    assert named
    assert named - sentences == set()


def test_every_problem_in_the_operations_guide_has_its_code_and_status() -> None:
    rows = re.findall(r"\b(\d{3}) `([a-z]+(?:-[a-z]+)+)`", OPERATIONS.read_text(encoding="utf-8"))
    assert rows
    assert {code: int(status) for status, code in rows} == {code: Problem(code).shown_as.status for _, code in rows}


def test_every_cookie_is_in_the_security_guide() -> None:
    text = SECURITY.read_text(encoding="utf-8")
    used = {cookie.value for cookie in Cookie} | {LANGUAGE}
    assert {f"`{name}`" for name in used if f"`{name}`" not in text} == set()


def test_every_metric_in_the_operations_guide_exists() -> None:
    counted = metrics.Metrics()
    counted.count(AuditEvent.SESSION_OPENED, "expertflow")
    counted.text_sent("expertflow", "sms", 1, 0.05)
    named = set(re.findall(r"`(efcx_gateway_\w+)", OPERATIONS.read_text(encoding="utf-8")))
    assert named
    assert {name for name in named if f"\n{name}{{" not in counted.text().decode()} == set()


def test_every_log_event_in_the_operations_guide_is_written_by_the_code() -> None:
    table = OPERATIONS.read_text(encoding="utf-8").partition("| log event |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in _CODE.findall(row.split("|")[1])}
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "gateway").rglob("*.py"))
    assert named
    assert {name for name in named if f'"{name}"' not in source} == set()


def test_every_log_event_written_by_the_code_is_in_the_operations_guide() -> None:
    table = OPERATIONS.read_text(encoding="utf-8").partition("| log event |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in _CODE.findall(row.split("|")[1])}
    files = [file for file in (ROOT / "gateway").rglob("*.py") if "demo" not in file.parts]
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    written = set(re.findall(r"\b_?log\.(?:info|warning|error|exception)\(\s*\"([^\"]+)\"", source))
    assert len(written) > 20
    assert written - named == set()


def test_the_documented_declaration_of_the_attribute_is_the_one_that_the_gateway_checks() -> None:
    assert WANTED in [json.loads(text) for text in fences(OPERATIONS, "json")]
    assert ATTRIBUTE in OPERATIONS.read_text(encoding="utf-8")


if __name__ == "__main__":
    SETTINGS.write_text(reference(), encoding="utf-8")
    OPERATIONS.write_text(with_event_table(OPERATIONS.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)


def test_each_function_that_the_walks_of_the_architecture_page_name_is_in_its_file() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py):(\w+)`", page)
    assert len(named) > 50
    for path, name in named:
        tree = ast.parse((ROOT / "gateway" / path).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assigned = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        assert name in functions | assigned, f"{path}:{name}"

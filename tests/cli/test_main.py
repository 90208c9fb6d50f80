"""Tests of the command line."""

import json
import os
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.fixtures.config_folder import SHIPPED, ConfigFolder

runner = CliRunner()
ROOT = SHIPPED.parent


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    return ConfigFolder(tmp_path / "config")


def run(*words: str | Path) -> tuple[int, str]:
    result = runner.invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


@pytest.mark.row("GW-14")
def test_check_config_accepts_the_shipped_sample() -> None:
    code, said = run("check-config", "--config", SHIPPED / "gateway.yaml")
    assert (code, said.splitlines()[-1]) == (0, "ok: 1 tenant; 3 warnings, 3 hints")


@pytest.mark.row("GW-14")
def test_check_config_prints_every_error_and_fails(folder: ConfigFolder) -> None:
    folder.two_factor.update(otpExpiry=0, channelType="WHATSAPP")
    folder.own["token_cookie"] = {"http_only": False}
    code, said = run("check-config", "--config", folder.write())
    assert code == 1
    assert "one.json:20: tenantSettings.twoFAConfigs.otpExpiry: must be at least 1" in said
    assert said.endswith("not usable: 2 errors, 1 warning, 2 hints\n")


def test_check_config_passes_with_warnings_and_counts_them(folder: ConfigFolder) -> None:
    folder.one["status"] = "inActive"
    code, said = run("check-config", "--config", folder.write())
    assert code == 0
    assert said.endswith("ok: 1 tenant; 1 warning, 2 hints\n")


@pytest.mark.row("GW-14")
def test_check_config_prints_json(folder: ConfigFolder) -> None:
    folder.two_factor["otpExpiry"] = 0
    code, said = run("check-config", "--config", folder.write(), "--json")
    reported = json.loads(said)
    assert (code, reported["ok"]) == (1, False)
    assert [fault for fault in reported["faults"] if fault["level"] != "hint"] == [
        {
            "file": str(folder.path / "tenants" / "one.json"),
            "line": 20,
            "path": "tenantSettings.twoFAConfigs.otpExpiry",
            "level": "error",
            "text": "must be at least 1 (lifetime of a code, in seconds)",
        }
    ]


def test_keys_new_creates_a_key_ring_and_then_adds_keys_to_it(tmp_path: Path) -> None:
    file = tmp_path / "ring.key"
    code, said = run("keys", "new", file)
    assert (code, "back it up" in said) == (0, True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run("keys", "new", file)[0] == 0
    code, said = run("keys", "list", file, "--json")
    listed = json.loads(said)
    assert (code, len(listed["keys"]), len(listed["fingerprint"])) == (0, 2, 12)


def test_keys_new_warns_of_a_key_ring_that_the_gateway_made_itself(tmp_path: Path) -> None:
    run("keys", "new", tmp_path / "ring.key")
    done = command("keys", "new", str(tmp_path / "another.key"), "--config", str(tmp_path / "gateway.yaml"))
    assert done.returncode == 0
    assert f"warning: {tmp_path / 'ring.key'} is a key ring too" in done.stderr


def test_keys_list_never_shows_a_key(tmp_path: Path) -> None:
    file = tmp_path / "ring.key"
    run("keys", "new", file)
    (held,) = json.loads(file.read_text())["keys"]
    said = run("keys", "list", file)[1]
    assert held["id"] in said
    assert held["key"] not in said


def test_keys_new_writes_the_file_that_the_settings_name(folder: ConfigFolder) -> None:
    folder.gateway["keys"] = {"file": "named.key"}
    assert run("keys", "new", "--config", folder.write())[0] == 0
    assert (folder.path / "named.key").is_file()


def test_a_missing_key_ring_is_reported_in_one_line_without_a_traceback(tmp_path: Path) -> None:
    done = command("keys", "list", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert done.stderr.startswith("efcx-gateway: key ring ")
    assert len(done.stderr.splitlines()) == 1


def test_python_m_gateway_runs_the_command() -> None:
    done = command("--help")
    assert done.returncode == 0
    for word in ("serve", "demo", "check-config", "keys"):
        assert word in done.stdout


def test_the_command_prints_its_version() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"{version('efcx-gateway')}\n")


def test_the_help_option_imports_no_command() -> None:
    code = "import sys, gateway.cli.main; sys.exit('aiohttp' in sys.modules or 'gateway.demo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


@pytest.mark.parametrize("library", ["redis", "keycloak", "babel.messages", "httpx2", "gateway.otp_manager_server"])
def test_serve_imports_a_large_library_only_where_the_settings_need_it(library: str) -> None:
    code = f"import sys, gateway.cli.serve; sys.exit({library!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


@pytest.mark.attack("F28")
def test_serve_never_imports_the_demo() -> None:
    code = "import sys, gateway.cli.serve; sys.exit(any(name.startswith('gateway.demo') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def command(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=60,
    )


def test_a_demo_without_its_packages_prints_one_line_with_the_install_command() -> None:
    without = "import sys; sys.modules['aiosmtpd'] = None; sys.argv = ['x', 'demo']"
    program = f"{without}; from gateway.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'efcx-gateway[demo]'" in done.stderr
    assert "Traceback" not in done.stderr

"""Tests of the contents of wheel and image."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ("templates", "static", "locales", "config/schema")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel built from a copy of the tree."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("gateway", "templates", "static", "locales", "config"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.mo", "secrets"))
    (tree / "config" / "secrets").mkdir()
    for own in ("ring.key", "secrets/smtp-password", "tenants/mine.yaml", "audit.log"):  # files of an installation
        (tree / "config" / own).write_text("an installation's own")
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "-w", str(tree / "dist"), str(tree)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = (tree / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA)
def test_a_wheel_contains_every_data_file(wheel: list[str], name: str) -> None:
    data_files = [file for file in (ROOT / name).rglob("*") if file.is_file() and file.suffix != ".mo"]
    wanted = {f"gateway/_data/{file.relative_to(ROOT)}" for file in data_files if "secrets" not in file.parts}
    assert wanted <= set(wheel)


@pytest.mark.slow
def test_a_wheel_contains_no_settings_of_the_build_folder(wheel: list[str]) -> None:
    named = [name for name in wheel if "/config/" in name]
    assert all(name.startswith("gateway/_data/config/schema/") for name in named)


def test_an_image_contains_no_settings_no_key_and_no_log_of_the_build_folder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert [line for line in ignored if line.startswith("!config")] == ["!config/schema"]
    assert {"*", "**/*.key", "**/*.pem", "**/*.log"} <= set(ignored)


def test_an_image_is_built_from_packages_with_hashes_only() -> None:
    installs = re.findall(r"pip (?:install|wheel) [^\n]*", (ROOT / "Dockerfile").read_text())
    assert installs
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
    pinned = set((ROOT / "requirements.lock").read_text().split())
    assert set((ROOT / "requirements.build.lock").read_text().split()) <= pinned


@pytest.mark.slow
def test_a_wheel_contains_compiled_translations(wheel: list[str]) -> None:
    sources = {name for name in wheel if name.endswith(".po")}
    assert {name.removesuffix(".po") + ".mo" for name in sources} <= set(wheel)


@pytest.mark.slow
def test_a_wheel_contains_the_licence_and_the_py_typed_marker(wheel: list[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert "gateway/py.typed" in wheel

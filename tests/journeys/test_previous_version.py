"""Tests of extracting the previous version from the history, and of the skip where the history lacks it."""

import subprocess
from pathlib import Path

import pytest

from tests.journeys.previous_version import take, without_hooks_variables

ABSENT = "0" * 40


def git(at: Path, *words: str) -> str:
    """Runs git and returns its output."""
    own = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(at), *own, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=without_hooks_variables())
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Returns two commits; `version` names the version of each."""
    made = tmp_path / "repository"
    made.mkdir()
    git(made, "init", "--quiet")
    for number in ("one", "two"):
        (made / "version").write_text(number)
        git(made, "add", "version")
        git(made, "commit", "--quiet", "--message", number)
    return made


@pytest.fixture
def shallow(repository: Path, tmp_path: Path) -> Path:
    """Returns a clone with the newest commit only."""
    clone = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", str(clone))
    return clone


def test_the_files_are_those_of_the_previous_versions_commit(repository: Path, tmp_path: Path) -> None:
    first = git(repository, "rev-parse", "HEAD~")
    assert (take(tmp_path / "taken", commit=first, repository=repository).tree / "version").read_text() == "one"


def test_the_repository_stays_unchanged(repository: Path, tmp_path: Path) -> None:
    def state() -> list[str]:
        return [git(repository, *words) for words in (("status", "--porcelain"), ("worktree", "list"), ("show-ref",))]

    before = state()
    take(tmp_path / "taken", commit=git(repository, "rev-parse", "HEAD~"), repository=repository)
    assert state() == before


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_shallow_clone_skips_the_test_and_names_the_command_that_completes_it(
    ci: str, repository: Path, shallow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    first = git(repository, "rev-parse", "HEAD~")
    with pytest.raises(pytest.skip.Exception, match=r"UPGRADE NOT TESTED: .*git fetch --unshallow"):
        take(tmp_path / "taken", commit=first, repository=shallow)


def test_without_git_the_test_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="UPGRADE NOT TESTED: no git"):
        take(tmp_path / "taken")


def test_without_a_repository_the_test_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="UPGRADE NOT TESTED: git reads no history"):
        take(tmp_path / "taken", repository=tmp_path)


def test_a_commit_missing_from_the_complete_history_fails_in_ci(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=f"commit {ABSENT}"):
        take(tmp_path / "taken", commit=ABSENT, repository=repository)


def test_a_commit_missing_from_the_complete_history_skips_elsewhere(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"commit {ABSENT}.*UPGRADE NOT TESTED"):
        take(tmp_path / "taken", commit=ABSENT, repository=repository)

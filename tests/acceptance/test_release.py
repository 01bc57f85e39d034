"""The archives of a release: the same sources give the same bytes, and a registry takes them."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from orchestrator.core.expression_variables import RUNTIME
from tests.support.environments import clean_environment, run, uv
from tests.support.stack import ROOT

#: What a checkout has besides its sources.
MADE = (
    ".*", "__pycache__", "node_modules", "build", "dist", "site", "pages", "*.egg-info",
    "schema.d.ts",
)  # fmt: skip
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def checkout(folder: Path, *, age: int) -> Path:
    """A copy of the sources with times of its own, and with pages of the console."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*MADE))
    shutil.copy(ROOT / ".gitignore", folder)
    pages = folder / "api" / "console" / "pages"
    pages.mkdir(parents=True)
    (pages / "index.html").write_text("<!doctype html>")
    for path in folder.rglob("*"):
        os.utime(path, (age, age))
        path.chmod(path.stat().st_mode | (0o020 if age % 2 else 0))
    return folder


def build(sources: Path, out: Path) -> dict[str, Path]:
    """The wheel and the sdist of these sources, by their file names."""
    environment = {**clean_environment(), "SOURCE_DATE_EPOCH": "1700000000"}
    run(
        [sys.executable, "-m", "uv", "build", "--quiet", "--out-dir", str(out), str(sources)],
        env=environment,
    )
    return {path.name: path for path in out.iterdir() if path.suffix in (".whl", ".gz")}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("release")
    return build(checkout(folder / "sources", age=1_600_000_000), folder / "dist")


def test_a_second_build_gives_the_same_bytes(archives: dict[str, Path], tmp_path: Path) -> None:
    """Elsewhere, later, with other permissions; the wheel comes by way of the sdist."""
    again = build(checkout(tmp_path / "others", age=1_650_000_001), tmp_path / "dist")
    assert {name: digest(path) for name, path in again.items()} == {
        name: digest(path) for name, path in archives.items()
    }


def test_a_registry_takes_both_archives(archives: dict[str, Path]) -> None:
    version = PROJECT["version"]
    assert set(archives) == {
        f"celery_orchestrator-{version}-py3-none-any.whl",
        f"celery_orchestrator-{version}.tar.gz",
    }
    # In an environment of its own: it needs two dozen libraries that nothing else does.
    twine = ("tool", "run", "--from", "twine>=6", "twine")
    checked = uv(*twine, "--no-color", "check", "--strict", *map(str, archives.values()))
    assert checked.count("PASSED") == 2, checked


def test_both_archives_have_what_they_must(archives: dict[str, Path]) -> None:
    wheel, sdist = sorted(archives.values(), key=lambda path: path.suffix, reverse=True)
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert "orchestrator/_bundled/api/console/pages/index.html" in packed
    assert "orchestrator/database/schema/migrations/versions/0001_initial_schema.sql" in packed
    assert "orchestrator/py.typed" in packed
    assert not [name for name in packed if name.startswith(("tests/", "docs/", "workers/"))]
    with tarfile.open(sdist) as archive:
        top = f"celery_orchestrator-{PROJECT['version']}"
        sources = set(archive.getnames())
    assert {f"{top}/{name}" for name in ("LICENSE", "README.md", "tests/conftest.py")} <= sources
    assert not [name for name in sources if "node_modules" in name or "/.venv" in name]


def test_the_version_stands_in_one_place_and_wherever_it_is_repeated() -> None:
    version = PROJECT["version"]
    assert RUNTIME["version"] == version
    images = [
        line.rpartition(":")[2].strip()
        for path in (ROOT / "deploy" / "kubernetes").glob("*.yaml")
        for line in path.read_text().splitlines()
        if "image: celery-orchestrator:" in line
    ]
    assert set(images) == {version}

"""The build of the console's pages: with and without Node, into sdist and wheel, and their size."""

import gzip
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.support.environments import uv
from tests.support.stack import ROOT

PAGES = ROOT / "api" / "console" / "pages"

#: The most bytes, as they travel: the first view, each further one, the editor.
FIRST, FURTHER, EDITOR = 215_000, 40_000, 170_000


def load():
    """The module console/build_pages.py, which no package contains."""
    path = ROOT / "console" / "build_pages.py"
    spec = importlib.util.spec_from_file_location("build_pages", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def build_pages(monkeypatch):
    module = load()
    monkeypatch.setattr(module, "is_built", lambda: False)
    monkeypatch.delenv("ORCHESTRATOR_CONSOLE", raising=False)
    return module


@pytest.mark.parametrize(("setting", "code"), [("", 0), ("required", 1)])
def test_a_failed_build_is_one_line_unless_it_is_required(
    build_pages, monkeypatch, capsys, setting, code
):
    monkeypatch.setenv("ORCHESTRATOR_CONSOLE", setting)
    monkeypatch.setattr(build_pages, "npm_of_machine", lambda: [sys.executable, "-c", "exit(1)"])
    assert build_pages.main() == code
    told = capsys.readouterr().err
    assert told.startswith("no console: ")
    assert len(told.splitlines()) == 1


def test_a_node_that_can_not_be_installed_leaves_a_product_without_a_console(tmp_path):
    """In a process of its own, whose pip reaches no index and whose path has no Node."""
    copy = tmp_path / "console" / "build_pages.py"
    copy.parent.mkdir()
    copy.write_bytes((ROOT / "console" / "build_pages.py").read_bytes())
    (copy.parent / "package.json").write_text("{}")
    environment = {
        "PATH": "",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    done = subprocess.run(
        [sys.executable, str(copy)], env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("no console: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "api").exists()


def test_pages_are_built_anew_only_when_their_sources_changed(tmp_path, monkeypatch):
    build_pages = load()
    sources, pages = tmp_path / "console", tmp_path / "pages"
    (sources / "src").mkdir(parents=True)
    pages.mkdir()
    for name in ("index.html", "openapi.json", "package.json", "package-lock.json"):
        (sources / name).write_text("{}")
    (sources / "public").mkdir()
    (sources / "vite.config.ts").write_text("")
    (sources / "tsconfig.json").write_text("{}")
    (sources / "src" / "main.tsx").write_text("1")
    monkeypatch.setattr(build_pages, "HERE", sources)
    monkeypatch.setattr(build_pages, "PAGES", pages)
    monkeypatch.setattr(build_pages, "_BUILT_FROM", pages / "built-from")
    assert not build_pages.is_built()
    (pages / "index.html").write_text("")
    (pages / "built-from").write_text(build_pages.digest())
    assert build_pages.is_built()
    (sources / "src" / "main.tsx").write_text("2")
    assert not build_pages.is_built()


def test_the_lock_names_no_host():
    lock = (ROOT / "console" / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    assert "://" not in lock.replace("https://opencollective.com", "").replace(
        "https://github.com/sponsors", ""
    ).replace("https://github.com/", "").replace("https://tidelift.com", "")


def chunks():
    """The manifest of the build; skips where there is none."""
    file = PAGES / "manifest.json"
    if not file.is_file():
        pytest.skip("the console's pages are not built (make console)")
    return json.loads(file.read_text(encoding="utf-8"))


def size(name: str) -> int:
    return len(gzip.compress((PAGES / name).read_bytes(), mtime=0))


def files_of(manifest, key: str, known: frozenset[str] = frozenset()) -> set[str]:
    """The files that a chunk loads, without those that are loaded already."""
    found: set[str] = set()
    todo = [key]
    seen = set()
    while todo:
        chunk = manifest[todo.pop()]
        if chunk["file"] in seen:
            continue
        seen.add(chunk["file"])
        found |= {chunk["file"], *chunk.get("css", ())}
        todo += chunk.get("imports", ())
    return found - known


def test_every_view_keeps_within_its_bytes():
    manifest = chunks()
    first = frozenset(files_of(manifest, "index.html"))
    sizes = {"first view": sum(map(size, first))}
    for key, chunk in manifest.items():
        if chunk.get("isDynamicEntry"):
            sizes[key] = sum(map(size, files_of(manifest, key, first)))
    assert sizes["first view"] <= FIRST, sizes
    views = {key: n for key, n in sizes.items() if key.endswith("View.tsx")}
    assert len(views) >= 9
    assert max(views.values()) <= FURTHER, views
    (editor,) = (n for key, n in sizes.items() if key.endswith("DocumentTab.tsx"))
    assert editor <= EDITOR, editor


def test_no_page_names_another_host():
    chunks()
    text = (PAGES / "index.html").read_text(encoding="utf-8")
    assert "http:" not in text
    assert "https:" not in text
    assert "//" not in text.replace("</", "")


@pytest.mark.slow
def test_an_sdist_has_the_pages_and_makes_a_wheel_without_node(tmp_path):
    uv("build", "--quiet", "--sdist", "--out-dir", str(tmp_path), str(ROOT))
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("api/console/pages/index.html") for name in archive.getnames())
        assert not any("node_modules" in name for name in archive.getnames())
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    (tmp_path / "wheel").mkdir()
    # Nothing can be built anew there: what Node would run is not there.
    (source / "console" / "package.json").unlink()
    (source / "console" / "package.json").touch()
    (source / "api" / "console" / "pages" / "built-from").write_text(digest_of(source))
    uv("build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "wheel"), str(source))
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name, n in Counter(names).items() if n > 1] == []
    pages = "orchestrator/_bundled/api/console/pages"
    assert f"{pages}/index.html" in names
    assert f"{pages}/licences.md" in names
    assert not any(name.startswith("console/") for name in names)


def digest_of(source: Path) -> str:
    module = load()
    module.HERE = source / "console"
    return module.digest()

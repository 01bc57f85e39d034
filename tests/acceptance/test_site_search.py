"""Questions that users have, put to the built site's search: the page that answers is among the
first three results. A page loads nothing from another origin."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.site_search import SiteSearch
from tests.support.dev import ROOT

QUESTIONS = {
    "How do I test a workflow?": "guides/testing",
    "testing with pytest": "guides/testing",
    "mock a task in tests": "guides/testing",
    "Does it work with Django?": "guides/django",
    "django transaction on_commit": "guides/django",
    "start a workflow from a Django view": "guides/django",
    "FastAPI": "guides/fastapi",
    "How can I use it from FastAPI with async?": "guides/fastapi",
    "asyncio client": "guides/fastapi",
    "Is gevent supported?": "operations/workers",
    "eventlet pool": "guides/gevent",
    "Amazon SQS": "operations/sqs",
    "Can SQS be the broker?": "operations/sqs",
    "How do I pass positional arguments?": "guides/arguments",
    "task with *args": "guides/arguments",
    "keyword arguments of a task": "guides/arguments",
    "large payloads": "guides/large_payloads",
    "What is the largest input?": "guides/large_payloads",
    "pass large files between steps": "guides/large_payloads",
    "Is the data encrypted?": "guides/encryption",
    "encryption at rest": "guides/encryption",
    "TLS to Postgres and Redis": "guides/encryption",
    "human approval": "guides/human_approval",
    "wait for a person to approve": "guides/human_approval",
    "approval with a deadline": "guides/human_approval",
    "limit concurrency per customer": "guides/concurrency",
    "rate limit by tenant": "guides/concurrency",
    "migrate from chain": "guides/from_chain_and_chord",
    "What replaces a chord?": "guides/from_chain_and_chord",
    "workflows in code": "guides/workflows_in_code",
    "celery canvas group": "guides/from_chain_and_chord",
    "deploy a new version while instances are running": "guides/versions",
    "What happens to running instances of an older version?": "guides/versions",
    "roll back a workflow version": "guides/versions",
    "Kubernetes": "guides/kubernetes",
    "helm chart": "guides/kubernetes",
    "How do I call an HTTP API?": "guides/http_apis",
    "REST call with bearer authentication and retry": "guides/http_apis",
    "macOS": "guides/macos",
    "Does it run on ARM (Apple silicon)?": "guides/macos",
    "idempotent tasks": "guides/idempotent_tasks",
    "Can a task run twice?": "guides/idempotent_tasks",
    "backup and restore": "guides/backup",
    "How do I back up the database?": "guides/backup",
    "disaster recovery": "guides/backup",
}
#: What a browser would fetch by itself when it opens a page, a script or a style of the site.
FETCHED = re.compile(
    r"""(?:<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=|<link\b(?![^>]*\brel="canonical")[^>]*\bhref=)["']?(?:https?:)?//"""
    r"""|\bimport\s*\(?\s*["'](?:https?:)?//|@import[^;]*(?:https?:)?//|url\(["']?(?:https?:)?//"""
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "--quiet", str(ROOT / "docs"), str(folder)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def search(site: Path) -> SiteSearch:
    return SiteSearch(site)


@pytest.mark.parametrize(("question", "page"), QUESTIONS.items())
def test_a_question_finds_its_answer(search: SiteSearch, question: str, page: str) -> None:
    found = search.search(question)
    assert page in [one.page for one in found[:3]], found[:6]


def test_a_word_that_stands_nowhere_finds_nothing(search: SiteSearch) -> None:
    assert search.search("kubernetes xylophone") == []


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    files = [file for kind in ("html", "js", "css") for file in site.rglob(f"*.{kind}")]
    assert len(files) > 60
    found = {str(file.relative_to(site)): FETCHED.findall(file.read_text()) for file in files}
    assert {name: what for name, what in found.items() if what} == {}


def test_every_diagram_is_drawn(site: Path) -> None:
    sources = [file.read_text() for file in (ROOT / "docs").rglob("*.md")]
    written = sum(text.count("\n```mermaid\n") for text in sources)
    drawn = sum(
        page.read_text().count('src="data:image/svg+xml;base64,') for page in site.rglob("*.html")
    )
    assert written == drawn > 5

"""Serving of the console's pages, with and without a build."""

import gzip
import os

import pytest

from api.console import pages
from tests.support import console_api
from tests.support.api import Api

INDEX = (
    '<meta name="console" content="%CONSOLE_BASE%" nonce="%CONSOLE_NONCE%">'
    '<script src="./assets/index-abc.js"></script>'
)


@pytest.fixture
def built(tmp_path, monkeypatch):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index-abc.js").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setattr(pages, "PAGES", tmp_path)
    return tmp_path


@pytest.fixture
def client():
    api = Api.on("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1/0")
    yield api.client
    api.close()


def test_types_are_made_from_the_api_as_it_is():
    assert console_api.FILE.read_text(encoding="utf-8") == console_api.text(), (
        "run: python -m tests.support.console_api"
    )


@pytest.mark.parametrize("address", ["/console/", "/console/instances", "/console/instances/a%20b"])
def test_every_address_of_the_console_answers_with_the_page(client, built, address):
    (built / "index.html").write_text(INDEX)
    answer = client.get(address)
    assert answer.status_code == 200
    assert 'content="/console"' in answer.text
    assert 'src="/console/assets/index-abc.js"' in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_nonce_is_new_and_the_policy_has_it(client, built):
    (built / "index.html").write_text(INDEX)
    policies = {client.get("/console/").headers["Content-Security-Policy"] for _ in range(3)}
    assert len(policies) == 3
    answer = client.get("/console/")
    nonce = answer.text.split('nonce="')[1].split('"')[0]
    policy = answer.headers["Content-Security-Policy"]
    assert f"'nonce-{nonce}'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy


def test_assets_never_change_and_a_missing_one_is_not_cached(client, built):
    answer = client.get("/console/assets/index-abc.js")
    assert "immutable" in answer.headers["Cache-Control"]
    missing = client.get("/console/assets/index-old.js")
    assert missing.status_code == 404
    assert missing.headers["Cache-Control"] == "no-store"


def test_assets_travel_compressed(client, built):
    plain = client.get("/console/assets/index-abc.js")
    packed = client.get("/console/assets/index-abc.js", headers={"Accept-Encoding": "gzip"})
    assert (plain.headers.get("Content-Encoding"), plain.data) == (None, b"1")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == b"1"
    assert packed.headers["Vary"] == "Accept-Encoding"


def test_a_later_build_is_served_without_a_restart(client, built):
    (built / "index.html").write_text(INDEX)
    assert "index-abc" in client.get("/console/").text
    (built / "index.html").write_text(INDEX.replace("index-abc", "index-def"))
    os.utime(built / "index.html", ns=(1, 1))
    assert "index-def" in client.get("/console/").text


@pytest.mark.parametrize("name", ["../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt"])
def test_no_file_beside_the_assets_is_served(client, built, name):
    assert client.get(f"/console/assets/{name}").data != b"secret"


def test_without_a_build_the_page_says_so(client, built):
    answer = client.get("/console/")
    assert answer.status_code == 503
    assert "This installation has no console" in answer.text


def test_a_browser_is_led_to_the_console_and_a_program_is_not(client):
    browser = client.get("/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (browser.status_code, browser.headers["Location"]) == (302, "/console/")
    assert client.get("/").status_code == 404

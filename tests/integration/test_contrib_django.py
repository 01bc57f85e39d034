"""`orchestrator.contrib.django` in a small project: each part by its effect, in processes of the
project's own, because Django is configured once a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestrator.start_requests.outbox_mover import OutboxMover
from tests.support.api import Api, document
from tests.support.outbox_logins import outbox_login

pytest.importorskip("django")

ROOT = Path(__file__).parents[2]
SETTINGS = """
import json, os
from urllib.parse import urlsplit
SECRET_KEY = "test"
INSTALLED_APPS = [
    "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin",
    "django.contrib.messages", "django.contrib.sessions", "orchestrator.contrib.django", "shop",
]
_url = urlsplit(os.environ["SHOP_DATABASE_URL"])
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": _url.path[1:], "USER": _url.username,
    "PASSWORD": _url.password or "", "HOST": _url.hostname, "PORT": _url.port,
}}
SILENCED_SYSTEM_CHECKS = ["admin.E403", "admin.E408", "admin.E409", "admin.E410"]
ORCHESTRATOR = json.loads(os.environ["SHOP_ORCHESTRATOR"])
"""
MODELS = """
from django.db import models

class Order(models.Model):
    instance = models.UUIDField(null=True)
"""
BEGIN = """
import django; django.setup()
from django.db import connection, transaction
from orchestrator.contrib.django import start_in, start_on_commit
from shop.models import Order
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def login(api: Api) -> Iterator[str]:
    api.deploy(document("order"))
    with outbox_login(api.database) as url:
        yield url


@pytest.fixture
def project(tmp_path: Path, login: str, served: str) -> Run:
    """Runs Python in the project: code, or `manage.py` with arguments."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "settings.py").write_text(SETTINGS)
    (tmp_path / "shop" / "models.py").write_text(MODELS)

    def run(*arguments: str, url: str = login, **members: Any) -> Any:
        first = ("-m", "django") if len(arguments) > 1 or "\n" not in arguments[0] else ("-c",)
        given = {"API_URL": served, "NAMESPACE": "shop", **members}
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")},
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "SHOP_DATABASE_URL": url,
            "SHOP_ORCHESTRATOR": json.dumps(given),
        }
        return subprocess.run(
            [sys.executable, *first, *arguments],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def done(run: Run, code: str, **members: Any) -> str:
    """What the code prints."""
    result = run(BEGIN + code, **members)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_start_in_follows_the_transaction_and_wakes_the_beats(api, project):
    code = """
import psycopg2, os, select
listener = psycopg2.connect(os.environ["SHOP_DATABASE_URL"]); listener.autocommit = True
listener.cursor().execute("listen orchestrator_timers")
try:
    with transaction.atomic():
        start_in("order", {"n": 1})
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
with transaction.atomic():
    id = start_in("order", {"n": 2}, business_id="o-2")
    with connection.cursor() as cursor:
        cursor.execute("select 1")
select.select([listener], [], [], 10); listener.poll()
assert len(listener.notifies) == 1, listener.notifies
print(id)
"""
    id = done(project, code)
    mover: OutboxMover = api.client.application.extensions["orchestrator"].outbox
    assert mover.move().instances == [id]
    found = api.get(f"/v1/instances/{id}").json
    assert (found["input"], found["business_id"]) == ({"n": 2}, "o-2")


def test_start_on_commit_starts_after_the_commit_only(api, project):
    code = """
try:
    with transaction.atomic():
        start_on_commit("order", business_id="lost")
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
with transaction.atomic():
    start_on_commit("shop/nothing")          # refused: logged, and the next one is called
    start_on_commit("order", {"n": 1}, business_id="kept")
"""
    done(project, code)
    assert [each["business_id"] for each in api.get("/v1/instances").json["items"]] == ["kept"]


def test_the_admin_links_to_the_console(project, served):
    code = """
from django.contrib import admin
from orchestrator.contrib.django.admin import InstanceLink

class OrderAdmin(InstanceLink, admin.ModelAdmin):
    list_display = ("id", "workflow_link")

made = OrderAdmin(Order, admin.site)
assert not made.check(), made.check()
print(made.workflow_link(Order(instance="0199")), made.workflow_link(Order()))
"""
    address = f"{served}/console/instances/0199"
    assert done(project, code) == f'<a href="{address}">0199</a> -'
    other = done(project, code, PUBLIC_URL="https://flows.example/x")
    assert 'href="https://flows.example/x/console/instances/0199"' in other


def test_the_command_line_has_the_projects_settings(api, project):
    started = api.start("order", business_id="o-1")
    listed = project("orchestrator", "list", "-o", "jsonl")
    assert listed.returncode == 0, listed.stderr
    assert started in listed.stdout, (listed.stdout, listed.stderr)
    assert project("orchestrator", "show", "no-such-one").returncode == 3


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"API_ULR": "x"}, "E002) ORCHESTRATOR has an unknown setting 'API_ULR', did you mean"),
        ({"PUBLIC_URL": "nonsense"}, "E003) "),
        ({"DATABASE": "other"}, "E004) ORCHESTRATOR['DATABASE'] names no database: 'other'"),
    ],
)
def test_wrong_settings_are_found_by_the_checks(project, members, found):
    checked = project("check", "--force-color", **members)
    assert checked.returncode == 1
    assert found in checked.stderr
    assert "Traceback" not in checked.stderr


def test_the_database_is_checked_where_it_is_asked_for(api, project, login):
    def check(url: str = login, **members: Any) -> str:
        checked = project("check", "--database", "default", url=url, **members)
        assert checked.returncode == 0, checked.stderr
        return str(checked.stderr)

    assert "orchestrator.W" not in check()
    with outbox_login(api.database, None) as other:
        name = urlsplit(other).username
        assert f"orchestrator db grants {name} --namespace shop" in check(other)
        assert "orchestrator.W" not in check(other, DATABASE=None)
    elsewhere = urlsplit(login)._replace(path="/postgres").geturl()
    assert "does not have the orchestrator's tables" in check(elsewhere)

"""The list of dependencies."""

from __future__ import annotations

import json
import subprocess

from tests.support import supply_chain


def test_the_list_names_what_the_product_needs_with_versions():
    found = supply_chain.closure(supply_chain.PRODUCT, frozenset({"server"}))
    listed = supply_chain.bill(found)
    assert (listed["bomFormat"], listed["specVersion"]) == ("CycloneDX", "1.5")
    names = {each["name"] for each in listed["components"]}
    assert {"celery", "kombu", "psycopg2-binary", "flask"} & names >= {"celery", "kombu", "flask"}
    assert "pytest" not in names
    assert all(each["purl"].endswith(f"@{each['version']}") for each in listed["components"])
    assert listed["metadata"]["component"]["name"] == supply_chain.PRODUCT


def test_without_pip_audit_it_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    assert supply_chain.audit({}, tmp_path) == 0
    assert "not audited" in capsys.readouterr().out


def test_where_the_database_has_no_package_it_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: object())
    found = supply_chain.closure(supply_chain.PRODUCT, frozenset())
    unknown = "x  Dependency not found on PyPI and could not be audited: x\n" * (len(found) - 1)
    done = subprocess.CompletedProcess([], 0, unknown, "")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: done)
    assert supply_chain.audit(found, tmp_path) == 0
    assert "not audited" in capsys.readouterr().out.splitlines()[-1]


def test_the_packages_in_the_console_are_listed():
    lock = {
        "packages": {
            "": {"name": "console"},
            "node_modules/react": {"version": "19.0.0"},
            "node_modules/a/node_modules/@b/c": {"version": "1.2.3"},
            "node_modules/vite": {"version": "1.0.0", "dev": True},
        }
    }
    listed = supply_chain.console_components(lock)
    assert [each["purl"] for each in listed] == ["pkg:npm/%40b/c@1.2.3", "pkg:npm/react@19.0.0"]


def test_what_npm_says_decides(capsys):
    counts = {"metadata": {"vulnerabilities": {"total": 1}}}
    vulnerable = {**counts, "vulnerabilities": {"a": {"range": "<2", "severity": "high"}}}
    assert supply_chain.npm_verdict(1, json.dumps(vulnerable)) == 1
    assert "a <2: high" in capsys.readouterr().out
    assert supply_chain.npm_verdict(0, json.dumps(counts)) == 0
    assert supply_chain.npm_verdict(1, json.dumps({"message": "405"})) == 0
    assert "not audited" in capsys.readouterr().out.splitlines()[-1]

"""The list of dependencies."""

from __future__ import annotations

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

"""The page of the settings says what the settings are."""

import dataclasses
import re
from pathlib import Path

from orchestrator import settings
from orchestrator.settings import Settings
from tests.support.configuration import PAGE, page


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.support.configuration"


def test_it_has_every_setting_and_no_secret_default():
    text = page()
    for field in dataclasses.fields(Settings):
        assert f"`ORCHESTRATOR_{field.name.upper()}`" in text


def test_every_setting_is_read_by_the_product():
    """One that nobody reads would be a promise that is not kept."""
    root = Path(settings.__file__).parents[1]
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for package in ("orchestrator", "api", "workers")
        for path in (root / package).rglob("*.py")
        if path.name != "settings.py"
    )
    names = [field.name for field in dataclasses.fields(Settings)]
    # `database_direct_url` is read by way of `direct_url`.
    unread = [name for name in names if not re.search(rf"\b{name}\b", source)]
    assert not set(unread) - {"database_direct_url"}

"""The page of the API says what the API says of itself, and its examples fit."""

from __future__ import annotations

import pytest

from tests.support.api import Api
from tests.support.api_examples import OPEN, Examples
from tests.support.api_page import PAGE, body_of, fits, operations_of, page


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.support.api_page"


@pytest.mark.slow
def test_every_example_fits_its_schema():
    api = Api.on("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1/0")
    spec = api.description.spec
    api.close()
    examples = Examples(spec, lambda schema, value: fits(spec, schema, value))
    for path, method, operation in operations_of(spec):
        body = body_of(operation)
        if body is not None:
            value = OPEN.get(path) or examples.of(body)
            assert fits(spec, body, value), (method, path, value)
        for status, answer in operation["responses"].items():
            for content in answer.get("content", {}).values():
                if "schema" in content:
                    value = examples.of(content["schema"])
                    assert fits(spec, content["schema"], value), (method, path, status, value)

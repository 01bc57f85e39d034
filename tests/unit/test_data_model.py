"""The page of the data model says what the tables are."""

from tests.support.data_model import PAGE, page


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.support.data_model"

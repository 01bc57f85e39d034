"""Places for requests that last."""

from __future__ import annotations

from api.shared.request_places import RequestPlaces


def test_an_owner_has_its_share_and_no_more():
    places = RequestPlaces(3, 2)
    assert [places.take("a") for _ in range(3)] == [True, True, False]
    assert [places.take("b"), places.take("b")] == [True, False], "the third place, and no fourth"
    places.free("a")
    assert places.take("b")


def test_without_a_share_one_owner_may_have_all():
    places = RequestPlaces(2)
    assert [places.take("a") for _ in range(3)] == [True, True, False]

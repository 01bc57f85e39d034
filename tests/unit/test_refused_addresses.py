"""What the refusal of an address says, and to whom."""

from __future__ import annotations

import pytest

from orchestrator.outbound.address_guard import Guard
from orchestrator.outbound.errors import Refused


def test_a_refusal_names_no_resolved_address(caplog: pytest.LogCaptureFixture) -> None:
    """Who writes documents must not learn how names of the private network resolve."""
    guard = Guard(lookup=lambda *_: ["10.1.2.3"])
    with pytest.raises(Refused) as caught:
        guard.targets("intern.example", 80, 1.0)
    assert "10.1.2.3" not in str(caught.value)
    assert "intern.example" in str(caught.value)
    assert [vars(each)["address"] for each in caplog.records] == ["10.1.2.3"]

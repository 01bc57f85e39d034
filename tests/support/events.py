"""CloudEvents for tests."""

from __future__ import annotations

from typing import Any

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def event(id: Any = "1", type: Any = "t", **more: Any) -> dict[str, Any]:
    """A CloudEvent of the source ``/s``."""
    return {"specversion": "1.0", "id": id, "source": "/s", "type": type, **more}

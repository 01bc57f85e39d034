"""The part of an event that its receiver asked for."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.model import Json


def content_for(read: str, event: Mapping[str, Json]) -> Json:
    """Return what a listener, a schedule or a subscription gets of an event. `read`: ``data``, the
    whole event (``envelope``), or the data without decoding (``raw``) (dsl-reference.md,
    Listen)."""
    if read == "envelope":
        return dict(event)
    if read == "raw" and "data_base64" in event:
        return event["data_base64"]
    return event.get("data")

"""Examples for the page of the API: values that fit a schema, as a shop would have them."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

ID = "019ab1c2-3d4e-7f50-8a6b-7c8d9e0f1a2b"
_TIME = "2026-11-22T09:30:00Z"
_DOCUMENT = {
    "document": {"dsl": "1.0.3", "namespace": "shop", "name": "order", "version": "1.0.0"},
    "do": [{"reserve": {"call": "shop.tasks.reserve_stock", "with": {"item": "${ .item }"}}}],
}
_EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/till/7",
    "type": "com.example.order.paid",
    "data": {"order": "o-1"},
}
_FILTER = {"type": "com.example.order.paid"}

#: What is shown for a member of this name, where the schema allows it.
NAMED: dict[str, Any] = {
    "name": "order",
    "namespace": "shop",
    "workflow": "order",
    "version": "1.0.0",
    "source": "/till/7",
    "input": {"id": "o-1", "item": "lamp", "quantity": 2},
    "output": {"charge": "ch-7"},
    "error": {"type": "https://shop.example/errors/card-declined", "status": 402},
    "business_id": "order-4242",
    "labels": {"customer": "c-77"},
    "document": _DOCUMENT,
    "event": _EVENT,
    "filter": _FILTER,
    "reference": "/do/0/reserve",
    "task": "shop.tasks.reserve_stock",
    "queue": "celery",
    "worker": "worker@host-1",
    "reason": "the card was charged twice",
    "url": "https://shop.example/hooks/orders",
    "namespaces": ["shop"],
    "role": "operator",
    "actor": "ops",
    "next": None,
    "cursor": None,
    "media_type": "application/yaml",
    "prefix": "5f2c81d09ae4",
    "digest": "3b0c44298fc1c149",
    "address": "10.0.0.7",
    "status": "running",
    "kind": "call",
    "type": "task.completed",
}
_FORMATS = {"date-time": _TIME, "uuid": ID}
#: What stands for the bodies of requests that the description leaves open.
OPEN = {"/v1/workflows": _DOCUMENT, "/v1/events": _EVENT, "/v1/instances/{id}/events": _EVENT}


class Examples:
    """Makes values that fit the schemas of a description."""

    def __init__(self, spec: Schema, fits: Any) -> None:
        self._spec = spec
        self._fits = fits

    def of(self, schema: Schema, name: str = "", seen: tuple[str, ...] = ()) -> Any:
        """One value; members that schemas nest in themselves are left out."""
        if "$ref" in schema:
            key = schema["$ref"].rpartition("/")[2]
            return self.of(self._spec["components"]["schemas"][key], name, (*seen, key))
        if name in NAMED and self._fits(schema, NAMED[name]):
            return NAMED[name]
        for choice in ("oneOf", "anyOf", "allOf"):
            if choice in schema:
                return self.of(schema[choice][0], name, seen)
        if "enum" in schema:
            return schema["enum"][0]
        if "default" in schema and schema["default"] is not None:
            return schema["default"]
        return self._of_type(schema, name, seen)

    def _of_type(self, schema: Schema, name: str, seen: tuple[str, ...]) -> Any:
        types = schema.get("type", "any")
        type = types if isinstance(types, str) else types[0]
        if type == "object":
            return self._object(schema, seen)
        if type == "array":
            return [self.of(schema.get("items", {}), name.removesuffix("s"), seen)]
        if type == "string":
            return _FORMATS.get(schema.get("format", ""), name or "text")
        if type in {"integer", "number"}:
            return max(schema.get("minimum", 1), 1)
        return {"boolean": True, "null": None}.get(type, {})

    def _object(self, schema: Schema, seen: tuple[str, ...]) -> Any:
        members = schema.get("properties", {})
        return {
            name: self.of(member, name, seen)
            for name, member in members.items()
            if _nested(member) not in seen
        }


def _nested(member: Schema) -> str:
    """The name of the schema that a member has, or a list of it has; empty: none."""
    while "items" in member:
        member = member["items"]
    name: str = member.get("$ref", "").rpartition("/")[2]
    return name

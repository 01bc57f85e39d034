"""Finds and checks the documents of a test: files, texts, objects, or what the builder made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator import json_codec
from orchestrator.document import load
from orchestrator.document.model import Workflow
from orchestrator.testing.errors import UnknownWorkflow

Document = Any
"""A path, the text of a document, a dict, a workflow of `orchestrator.dsl`."""


@lru_cache(maxsize=512)
def workflow_of_text(text: str, media_type: str) -> Workflow:
    """Return the workflow of a document's text; each text is checked once a process.

    Raises:
        DocumentError: it is no document, or an invalid one; the text says what, where and why.
    """
    return Workflow(load(text, media_type).document)


def workflow_of(document: Document, folders: Iterable[Path]) -> Workflow:
    """Return a document as a workflow. A relative path is searched in these folders.

    Raises:
        DocumentError: it is an invalid document.
        UnknownWorkflow: there is no such file.
    """
    if isinstance(document, Workflow):
        return document
    if isinstance(document, Mapping):
        return workflow_of_text(json_codec.dumps(dict(document)), "application/json")
    if isinstance(document, str) and "\n" in document:
        return workflow_of_text(document, "application/yaml")
    if isinstance(document, str | Path):
        return _workflow_of_file(_found(Path(document), list(folders)))
    to_yaml = getattr(document, "to_yaml", None)
    if to_yaml is not None:
        return workflow_of_text(str(to_yaml()), "application/yaml")
    raise TypeError(f"a document is a path, a text or an object, not {type(document).__name__}")


def is_file_name(document: Document) -> bool:
    """Whether a text names a file, and not a workflow (``shop/order``)."""
    return isinstance(document, str) and document.endswith((".yaml", ".yml", ".json"))


def _workflow_of_file(path: Path) -> Workflow:
    media = "application/json" if path.suffix == ".json" else "application/yaml"
    return workflow_of_text(path.read_text("utf-8"), media)


def _found(path: Path, folders: list[Path]) -> Path:
    places = [path] if path.is_absolute() else [folder / path for folder in folders]
    for place in places:
        if place.is_file():
            return place
    searched = ", ".join(str(place.parent) for place in places)
    raise UnknownWorkflow(f"there is no file {path.name!r} in {searched}")

"""What the tests of installations share. The projects' own tests are theirs to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.environments import build_wheel, make_environment, requirement

collect_ignore = ["django_shop", "flask_shop", "fastapi_shop"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel, as it would be published."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment of ours: the API, the beat, the command line."""
    folder = tmp_path_factory.mktemp("server")
    return make_environment(folder, requirement(wheel, "server", "binary", "metrics", "secrets"))

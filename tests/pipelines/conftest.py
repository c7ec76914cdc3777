"""An app for pipelines, in memory."""

import pytest

from streamjobs import App


@pytest.fixture
def app() -> App:
    return App("pipelines")

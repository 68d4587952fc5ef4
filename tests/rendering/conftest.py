"""Waits for colours, on a busy machine too."""

from collections.abc import Iterator

import pytest

from chat.rendering.colours import colours


@pytest.fixture(autouse=True)
def _patient_with_colours() -> Iterator[None]:
    before, colours.wait_seconds = colours.wait_seconds, 60.0
    yield
    colours.wait_seconds = before

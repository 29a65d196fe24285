"""The site of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import gossipgroups as gg
from tests.tooz.site import Site


@pytest.fixture
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        seed = gg.get_coordinator("gossip:///tooz?preset=local&bind=127.0.0.1:0", "seed")
        stack.enter_context(seed)
        yield Site(stack, seed)

from __future__ import annotations

import gc

import pytest

from orchestrator.trees import without_collector


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_as_it_was_whatever_happens(*, before: bool) -> None:
    was = gc.isenabled()
    try:
        (gc.enable if before else gc.disable)()
        with without_collector(), without_collector():
            assert not gc.isenabled()
        assert gc.isenabled() is before
        with pytest.raises(ZeroDivisionError), without_collector():
            raise ZeroDivisionError
        assert gc.isenabled() is before
    finally:
        (gc.enable if was else gc.disable)()

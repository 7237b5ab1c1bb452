from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.merge.spending import GROWTH, Looks

FIRSTS, PAIRS = st.integers(3, 40), st.integers(1, 5000)


def test_looks_of_the_quick_profile_are_at_5_7_10_14_19_26_pairs() -> None:
    looks, at = Looks(first=5), [5]
    for _ in range(5):
        at.append(looks.after(at[-1]))
    assert at == [5, 7, 10, 14, 19, 26]
    assert [looks.ordinal(n) for n in (1, 5, 6, 7, 8, 26, 27)] == [1, 1, 2, 2, 3, 6, 7]
    assert [looks.share(n) for n in (5, 7, 10)] == pytest.approx([1 / 2, 1 / 6, 1 / 12])


@given(FIRSTS)
def test_the_shares_of_all_looks_add_up_to_no_more_than_one(first: int) -> None:
    looks, at, total = Looks(first=first), first, 0.0
    for _ in range(60):
        total += looks.share(at)
        at = looks.after(at)
    assert 0.98 < total < 1


@given(FIRSTS, PAIRS)
def test_the_next_look_is_later_and_the_one_of_the_next_share(first: int, pairs: int) -> None:
    looks = Looks(first=first)
    after = looks.after(pairs)
    assert after > pairs
    assert after <= max(first, GROWTH * pairs + 1)
    assert looks.ordinal(after) - looks.ordinal(pairs) in (0, 1)
    assert looks.ordinal(after + 1) == looks.ordinal(after) + 1  # `after` is the last of its look


@given(FIRSTS, PAIRS, PAIRS)
def test_more_pairs_never_have_a_larger_share(first: int, one: int, other: int) -> None:
    looks = Looks(first=first)
    assert looks.share(max(one, other)) <= looks.share(min(one, other))

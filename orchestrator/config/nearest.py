"""Did you mean …? The nearest match of a word the user wrote, and how choices are listed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LISTED = 20


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option that looks most like `word` (case apart); None where none does."""
    by_lower: dict[str, str] = {}
    for option in options:
        by_lower.setdefault(option.lower(), option)
    wanted = word.lower()
    close = difflib.get_close_matches(wanted, by_lower, n=1, cutoff=0.6)
    if not close and len(wanted) >= 3:
        close = sorted((o for o in by_lower if wanted in o or (len(o) >= 3 and o in wanted)), key=len)[:1]
    return by_lower[close[0]] if close else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """`; did you mean `x`?`, or nothing: for the end of a sentence."""
    match = nearest(word, options)
    return f"; did you mean `{match}`?" if match is not None else ""


def listed(options: Iterable[object]) -> str:
    """`a, b, c`, cut short where there are many."""
    texts = [str(option) for option in options]
    more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    return ", ".join(texts[:_LISTED]) + more

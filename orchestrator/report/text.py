"""Text that came out of a container, made safe to show: no control characters, bounded, one line where asked.

Escaping for HTML, Markdown, CSV or a terminal's markup is the business of whoever writes that format.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

# Cursor movements and colours of a terminal; what is left of a broken one falls to the category test below.
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_SPACES = re.compile(r"\s+")
_REPLACEMENT = "\ufffd"


def clean(value: object) -> str:
    """`value` as text whose control, bidirectional and unpaired surrogate characters are replaced by U+FFFD."""
    text = _ANSI.sub("", "" if value is None else str(value)).replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in "\n\t" or not _is_hidden(c) else _REPLACEMENT for c in text)


def one_line(value: object, limit: int = 300) -> str:
    """`clean` on one line of at most `limit` characters; a cut is shown by an ellipsis."""
    text = _SPACES.sub(" ", clean(value)).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def tail(value: object, limit: int) -> str:
    """The last `limit` characters of `clean`, saying so where something was cut."""
    text = clean(value).rstrip()
    if len(text) <= limit:
        return text
    return f"… (the last {limit:,} of {len(text):,} characters)\n{text[-limit:]}"


def compact(value: Any, limit: int = 400) -> str:
    """A nested value on one line: plain text stays plain, everything else becomes JSON."""
    if isinstance(value, str):
        return one_line(value, limit)
    return one_line(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str), limit)


def joined(words: list[str], last: str = "and") -> str:
    """"a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def _is_hidden(char: str) -> bool:
    # Cf holds the bidirectional overrides, which can reverse what a reader sees of the rest of a line.
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")

"""The conformance document as a page: sums, operators that are not wholly there, tests that went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.conformance.outcomes import TestStatus
from orchestrator.conformance.results import score
from orchestrator.report.markdown import escape

MAX_LISTED = 400
_WORDS = {
    TestStatus.PASSED: "passed", TestStatus.FAILED: "failed", TestStatus.UNSUPPORTED: "unsupported",
    TestStatus.FALLBACK: "not native", TestStatus.CRASHED: "crashed", TestStatus.TIMED_OUT: "timed out",
    TestStatus.OUT_OF_MEMORY: "out of memory", TestStatus.NOT_RUN: "not run",
}
_WRONG = (TestStatus.CRASHED, TestStatus.TIMED_OUT, TestStatus.OUT_OF_MEMORY, TestStatus.FALLBACK, TestStatus.FAILED,
          TestStatus.NOT_RUN)


def render(document: Mapping[str, Any]) -> str:
    """One page per backend."""
    limits, suite = document["limits"], document["suite"]
    lines = [
        f"# {escape(str(document['title']))} and the ONNX project's tests", "",
        f"**{escape(score(document))}.**", "",
        f"{escape(str(document['title']))} {escape(str(document['version'] or 'of an unknown version'))}, {document['date']}, "
        f"`{document['command']}`; onnx {escape(str(suite['onnx']))}"
        f"{'' if suite['pattern'] is None else ', only tests that fit ' + escape(str(suite['pattern']))}; "
        f"{document['isolation']['kind']}, at most {limits['test_s']:g} s and {limits['memory_mb']:,} MB a test, "
        f"{limits['threads']} thread{'' if limits['threads'] == 1 else 's'}; it took {document['took_s']:,.0f} s.", "",
    ]
    if document["failure"]:
        lines += [f"**Nothing could be tried:** {escape(str(document['failure']))}", ""]
    beyond = sum(document["beyond"].values())
    lines += [
        f"{document['asked']:,} of {suite['tests']:,} tests can be put to a backend here; the other {beyond:,} need what the "
        "harness does not carry (sequences, optionals, text, types that NumPy has not) and count neither way.", "",
        *_sums("Kind of test", document["kinds"]), "",
        "A test counts for an operator where its main graph is made of that operator alone; bodies of functions written out "
        "(`_expanded`) and larger models count in the sums above only.", "",
        *_domains(document["domains"]), "",
        *_sums("Version of ai.onnx", document["opsets"].get("ai.onnx", {})), "",
        "## Operators", "", *_operators(document["operators"]), "",
        "## Tests that went wrong", "", *_tests(document["tests"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _sums(head: str, groups: Mapping[str, Mapping[str, int]]) -> list[str]:
    used = [status for status in TestStatus if any(counts.get(status.value) for counts in groups.values())]
    rows = [[escape(name), str(sum(counts.values())), *(str(counts.get(status.value, 0)) for status in used)]
            for name, counts in sorted(groups.items(), key=lambda item: (not item[0].isdigit(), item[0].zfill(4)))]
    total = [sum(counts.get(status.value, 0) for counts in groups.values()) for status in used]
    rows.append(["**all**", str(sum(total)), *map(str, total)])
    return _table([head, "Tests", *(_WORDS[status] for status in used)], rows)


def _domains(domains: Mapping[str, Mapping[str, int]]) -> list[str]:
    rows = [
        [escape(name), *(str(found[key]) for key in ("all", "some", "none", "not_asked"))] for name, found in domains.items()
    ]
    return _table(["Domain", "Operators with every test passed", "With some", "With none", "Not asked"], rows)


def _operators(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    def named(verdict: str) -> list[str]:
        return [row["name"] if row["domain"] == "ai.onnx" else f"{row['domain']}::{row['name']}"
                for row in rows if row["verdict"] == verdict]

    whole, untried = named("all"), named("not_asked")
    lines = [f"Every test passed ({len(whole)}): {escape(', '.join(whole)) or 'none'}.", ""]
    if untried:
        lines += [f"No test could be put ({len(untried)}): {escape(', '.join(untried))}.", ""]
    rest = [row for row in rows if row["verdict"] in ("some", "none")]
    if not rest:
        return lines
    used = [status for status in TestStatus if any(row["counts"].get(status.value) for row in rest)]
    return lines + _table(
        ["Operator", "Tests", *(_WORDS[status] for status in used)],
        [[escape(row["name"] if row["domain"] == "ai.onnx" else f"{row['domain']}::{row['name']}"), str(row["asked"]),
          *(str(row["counts"].get(status.value, "")) for status in used)] for row in rest],
    )


def _tests(tests: Mapping[str, Any]) -> list[str]:
    found = [(name, told) for name, told in tests.items() if isinstance(told, Mapping)]
    order = {status.value: place for place, status in enumerate(_WRONG)}
    wrong = sorted(((name, told) for name, told in found if told["status"] in order), key=lambda item: order[item[1]["status"]])
    if not wrong:
        return ["None."]
    rows = [[escape(name), _WORDS[TestStatus(told["status"])], *(escape(str(told.get(key) or "")) for key in ("phase", "reason"))]
            for name, told in wrong[:MAX_LISTED]]
    rest = len(wrong) - len(rows)
    return [*_table(["Test", "", "While", "Why"], rows), *(["", f"And {rest:,} more, in the JSON file."] if rest else [])]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]

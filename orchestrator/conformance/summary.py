"""Outcomes → the conformance document (`infermatrix.conformance/1`): sums per kind, domain, opset and operator (pure)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.conformance.outcomes import Outcome, TestStatus
from orchestrator.conformance.results import VERDICTS
from orchestrator.conformance.suite import Test

MAX_REASON = 300


def summarise(tests: Sequence[Test], outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """The part of the document that says how the tests ended.

    `counts` are of the tests that could be put to a backend; `beyond` counts the others, by reason. A test counts for an
    operator where its main graph is made of that one alone.
    """
    asked = [test for test in tests if test.beyond is None]
    by_operator = _operators(tests, outcomes)
    return {
        "counts": _counts(asked, outcomes), "asked": len(asked),
        "beyond": dict(sorted(Counter(_short_beyond(test.beyond) for test in tests if test.beyond).items())),
        "kinds": _grouped(asked, outcomes, lambda test: test.kind),
        "domains": _domains(by_operator),
        "opsets": {
            domain: _grouped([t for t in asked if domain in t.opset], outcomes, lambda test, domain=domain: test.opset[domain])
            for domain in sorted({domain for test in asked for domain in test.opset})
        },
        "operators": by_operator,
        "executed_on": dict(Counter(name for test in asked for name in outcomes[test.name].executed_on).most_common()),
        "no_evidence": sum(
            outcomes[t.name].status is TestStatus.PASSED and outcomes[t.name].native is None for t in asked),
        "tests": {test.name: _told(test, outcomes) for test in tests},
    }


def _counts(tests: Iterable[Test], outcomes: Mapping[str, Outcome]) -> dict[str, int]:
    found = Counter(outcomes[test.name].status for test in tests)
    return {status.value: found[status] for status in TestStatus if found[status]}


def _grouped(tests: Sequence[Test], outcomes: Mapping[str, Outcome], key: Any) -> dict[str, dict[str, int]]:
    groups: dict[Any, list[Test]] = defaultdict(list)
    for test in tests:
        groups[key(test)].append(test)
    return {str(name): _counts(groups[name], outcomes) for name in sorted(groups)}


def _operators(tests: Sequence[Test], outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[Test]] = defaultdict(list)
    for test in tests:
        if test.subject is not None:
            groups[test.subject.domain, test.subject.name].append(test)
    rows = []
    for (domain, name), group in sorted(groups.items()):
        asked = [test for test in group if test.beyond is None]
        counts = _counts(asked, outcomes)
        rows.append({
            "domain": domain, "name": name, "since": sorted({t.subject.since for t in asked if t.subject}),
            "verdict": _verdict(counts), "asked": len(asked), "beyond": len(group) - len(asked), "counts": counts,
        })
    return rows


def _verdict(counts: Mapping[str, int]) -> str:
    passed, total = counts.get("passed", 0), sum(counts.values())
    return "not_asked" if not total else "all" if passed == total else "some" if passed else "none"


def _domains(operators: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in operators:
        found[row["domain"]][row["verdict"]] += 1
        for status, count in row["counts"].items():
            found[row["domain"]][f"tests_{status}"] += count
    return {
        domain: {**{verdict: counter[verdict] for verdict in VERDICTS},
                 **{key: counter[key] for key in sorted(counter) if key.startswith("tests_")}}
        for domain, counter in sorted(found.items())
    }


def _short_beyond(reason: str | None) -> str:
    """Without the name of the tensor, so that equal reasons add up."""
    words = (reason or "").split(" ")
    return " ".join([words[0], *words[2:]]) if words[0] in ("input", "output") else (reason or "")


def _shortened(reason: str | None) -> str | None:
    """Both ends: frameworks put the cause at either."""
    if reason is None or len(reason) <= MAX_REASON:
        return reason or None
    half = MAX_REASON // 2
    return f"{reason[:half]} … {reason[3 - half:]}"


def _told(test: Test, outcomes: Mapping[str, Outcome]) -> dict[str, Any] | str:
    """One line a test; what passed without a remark is one word."""
    if test.beyond is not None:
        return {"status": "beyond", "reason": test.beyond}
    outcome = outcomes[test.name]
    if outcome.status is TestStatus.PASSED and outcome.native:
        return "passed"
    said = {"status": outcome.status.value, "phase": outcome.phase, "reason": _shortened(outcome.reason)}
    return {key: value for key, value in said.items() if value is not None}

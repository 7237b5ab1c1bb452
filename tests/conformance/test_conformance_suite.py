"""The suite as the installed onnx package has it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import pytest

from orchestrator.conformance.suite import Suite, ensure_suite
from orchestrator.errors import ConfigError, ResultError

# Tests of this version of onnx, whatever else is added: 2,033 in onnx 1.23.
AT_LEAST = 1_500


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """Written once: it takes some seconds."""
    return ensure_suite(tmp_path_factory.mktemp("cache"), lambda _text: None)


def test_it_holds_every_kind_of_test(suite: Suite) -> None:
    assert len(suite.tests) > AT_LEAST
    assert {test.kind for test in suite.tests} == {"node", "simple", "pytorch-operator", "pytorch-converted", "real"}
    assert len({test.name for test in suite.tests}) == len(suite.tests)


def test_a_second_one_is_not_written(suite: Suite) -> None:
    told: list[str] = []
    again = ensure_suite(suite.folder.parents[1], told.append)
    assert not told
    assert again == suite


def test_every_test_has_its_files_or_a_reason(suite: Suite) -> None:
    for test in suite.tests:
        assert (test.beyond is None) == (suite.folder / test.name / "model.onnx").is_file()
        assert (test.beyond is None) == (suite.folder / test.name / "outputs_0.npz").is_file()
    reasons = {test.name: test.beyond for test in suite.tests if test.beyond}
    assert reasons["node/test_sequence_insert_at_back"] == "input sequence is a sequence"
    assert reasons["node/test_cast_FLOAT_to_BFLOAT16"] == "an output is of type bfloat16, which NumPy has not"


def test_a_test_is_about_the_operator_of_its_main_graph(suite: Suite) -> None:
    subjects = {test.name: test.subject for test in suite.tests}
    add = subjects["node/test_add"]
    assert add is not None
    assert (add.domain, add.name) == ("ai.onnx", "Add")
    assert 1 < add.since <= onnx.defs.onnx_opset_version()
    assert subjects["node/test_gelu_default_1_expanded"] is None
    assert subjects["real/test_resnet50"] is None


def test_what_is_written_is_what_the_reference_evaluator_answers(suite: Suite) -> None:
    index = {entry["name"]: entry for entry in json.loads((suite.folder / "tests.json").read_text())["tests"]}
    for name in ("node/test_add", "node/test_conv_with_strides_padding", "node/test_scan9_sum", "simple/test_shrink"):
        entry = index[name]
        with np.load(suite.folder / name / "inputs_0.npz") as given, np.load(suite.folder / name / "outputs_0.npz") as wanted:
            feeds = {tensor: given[str(place)] for place, tensor in enumerate(entry["input_order"])}
            answers = onnx.reference.ReferenceEvaluator(str(suite.folder / name / "model.onnx")).run(None, feeds)
            for place, answer in enumerate(answers):
                np.testing.assert_allclose(answer, wanted[str(place)], rtol=entry["rtol"], atol=entry["atol"])


def test_random_operators_are_held_to_shapes_only(suite: Suite) -> None:
    index = {entry["name"]: entry["compare"] for entry in json.loads((suite.folder / "tests.json").read_text())["tests"]}
    assert index["node/test_bernoulli"] == "shapes"
    assert index["node/test_training_dropout"] == "shapes"
    assert index["node/test_training_dropout_zero_ratio"] == "values"
    assert index["node/test_dropout_default"] == "values"


def test_a_pattern_chooses_tests_and_one_that_fits_none_is_refused(suite: Suite) -> None:
    assert {test.name for test in suite.matching("node/test_add")} >= {"node/test_add", "node/test_add_bcast"}
    assert all(test.kind == "real" for test in suite.matching("real/"))
    with pytest.raises(ConfigError, match="no test"):
        suite.matching("node/test_of_nothing")


def test_a_damaged_suite_is_an_error_with_a_way_out(tmp_path: Path, suite: Suite) -> None:
    (tmp_path / "tests.json").write_text("{}")
    from orchestrator.conformance.suite import read_suite

    with pytest.raises(ResultError, match="cannot be read"):
        read_suite(tmp_path)
    assert suite.tests

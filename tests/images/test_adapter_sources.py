from __future__ import annotations

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.images.adaptersources import adapter_sources, code_digest
from orchestrator.images.runnerfiles import runner_files
from orchestrator.model import BaseVariant, EnvSpec

RUNNERS = Path(__file__).parents[2] / "runners"


def written(folder: Path, **sources: str) -> Path:
    for name, text in sources.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_what_an_adapter_imports_of_its_neighbours_belongs_to_it(tmp_path: Path) -> None:
    mine = "from .base import Adapter\n\n\ndef convert():\n    from .mine_convert import run\n    from .shared import x\n"
    folder = written(
        tmp_path, mine=mine, base="", shared="from . import deeper", deeper="", alone="",
        mine_convert="from .mine import Adapter", mine_other="")
    assert adapter_sources(folder, "mine") == {"mine", "mine_convert", "base", "shared", "deeper"}


def test_several_environments_may_be_looked_into_at_the_same_time() -> None:
    def elsewhere(*_: object) -> None:
        time.sleep(0.0005)  # another thread goes on in the middle of what this one parses

    names = sorted(path.stem for path in (RUNNERS / "adapters").glob("t*.py"))
    thresholds = gc.get_threshold()
    gc.callbacks.append(elsewhere)
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda name: adapter_sources(RUNNERS / "adapters", name), names * 3))
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(elsewhere)
    assert all(name in sources for name, sources in zip(names * 3, found, strict=True))


def test_a_longer_name_is_another_backend(tmp_path: Path) -> None:
    folder = written(tmp_path, mine="", mine_too="from .mine import Adapter")
    assert adapter_sources(folder, "mine") == {"mine"}
    assert adapter_sources(folder, "mine_too") == {"mine", "mine_too"}


def test_nothing_is_asked_of_a_file_that_is_not_there_or_is_no_python(tmp_path: Path) -> None:
    assert adapter_sources(written(tmp_path, broken="def"), "broken") == {"broken"}
    assert adapter_sources(tmp_path, "missing") == frozenset()


def test_an_environment_gets_every_module_that_its_adapter_imports() -> None:
    env = EnvSpec(name="ncnn/converter", folder=RUNNERS, base=BaseVariant.SLIM)
    files = runner_files(RUNNERS, env)
    own = {name for name in files if name.startswith("adapters/")}
    assert own == {f"adapters/{name}.py" for name in ("__init__", "base", "ncnn", "ncnn_convert", "ncnn_graph")}


def test_code_is_the_adapter_and_all_that_it_imports_of_the_runner(tmp_path: Path) -> None:
    adapters = tmp_path / "adapters"
    adapters.mkdir()
    written(adapters, mine="from layouts import Layout\nfrom .base import Adapter\n", base="", other="")
    written(tmp_path, layouts="import deeper\n", deeper="", convert="from adapters.base import Converted\n", measure="")
    env = EnvSpec(name="mine", folder=tmp_path, base=BaseVariant.SLIM)
    before = code_digest(tmp_path, "mine", env, "convert.py")
    counting = {}
    for path in sorted(tmp_path.rglob("*.py")):
        text = path.read_text()
        path.write_text(f"{text}# edited\n")
        counting[path.stem] = code_digest(tmp_path, "mine", env, "convert.py") != before
        path.write_text(text)
    assert {name for name, counts in counting.items() if counts} == {"mine", "base", "layouts", "deeper", "convert"}
    assert code_digest(tmp_path, "mine", env, "convert.py") == before


def test_code_of_a_users_own_backend_is_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "adapters").mkdir()
    (tmp_path / "own").mkdir()
    written(tmp_path / "adapters", base="", mine="")
    written(tmp_path / "own", adapter="from adapters.base import Adapter\n")
    env = EnvSpec(name="mine", folder=tmp_path, base=BaseVariant.SLIM, extra_files=(tmp_path / "own" / "adapter.py",))
    digests = [code_digest(tmp_path, "mine", env)]
    for path in ("own/adapter.py", "adapters/base.py", "adapters/mine.py"):
        (tmp_path / path).write_text("from adapters.base import Adapter  # edited\n")
        digests.append(code_digest(tmp_path, "mine", env))
    assert len(set(digests)) == 3
    assert digests[-1] == digests[-2]

"""Several environments at once; one that fails is told as its error and stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from orchestrator.errors import BuildError
from orchestrator.model import EnvSpec, ReadyEnv


def make_each(
    envs: Iterable[EnvSpec], make: Callable[[EnvSpec], ReadyEnv], *, parallel: int
) -> dict[EnvSpec, ReadyEnv | BuildError]:
    """What `make` gives per environment, at most `parallel` at a time; its BuildError where it raises one."""

    def attempt(env: EnvSpec) -> ReadyEnv | BuildError:
        try:
            return make(env)
        except BuildError as error:
            return error

    wanted = list(dict.fromkeys(envs))
    pool = ThreadPoolExecutor(max_workers=max(1, parallel))
    try:
        return dict(zip(wanted, pool.map(attempt, wanted), strict=True))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C must not wait for a build to end

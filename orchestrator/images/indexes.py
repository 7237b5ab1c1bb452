"""Package indexes beside the user's own: a vendor's, which may not be reachable from here, or a mirror of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial

import requests

from orchestrator.errors import BuildError, UnavailableError
from orchestrator.images.pip import run_pip, run_pip_script

VARIABLE = "INFERMATRIX_EXTRA_INDEX_URLS"  # in the place of every backend's own: a mirror serves for all
_ANSWER_S = 10.0
_RETRIES = 2  # pip's own five take it half a minute for each package


def extra_indexes(declared: Sequence[str], environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """What `extra_index_urls` names, or what the user's variable names instead (addresses between spaces; empty: none)."""
    given = environ.get(VARIABLE)
    return tuple(declared) if given is None or not declared else tuple(given.split())


def run_pip_anywhere(arguments: Sequence[str], declared: Sequence[str], *, what: str, script: str | None = None) -> None:
    """pip with the user's own index, and only where that has not everything with the extra ones as well.

    `script`: what is run instead of pip's own command; it drives pip and takes its options.

    Asking an index that cannot be reached costs pip seconds for every package.

    Raises:
        UnavailableError: an extra index does not answer; says how to name another.
        BuildError: anything else, in pip's own words.
    """
    run = run_pip if script is None else partial(run_pip_script, script)
    try:
        run(arguments, what=what)
    except BuildError as error:
        extra = extra_indexes(declared)
        if not extra:
            raise
        try:
            run([*arguments, f"--retries={_RETRIES}", *(f"--extra-index-url={url}" for url in extra)], what=what)
        except BuildError:
            silent = next(((url, why) for url in extra if (why := _silence(url)) is not None), None)
            if silent is None:
                raise
            url, why = silent
            raise UnavailableError(
                f"{error.message}; and the package index {url}, which may have it, does not answer ({why}): "
                f"name a mirror of it in {VARIABLE}",
                hint="That variable takes the place of `extra_index_urls` in every backend.yaml that has some.") from error


def _silence(url: str) -> str | None:
    """Why an index cannot be asked; None where anything answers, be it with an error."""
    try:
        requests.head(url, timeout=_ANSWER_S, allow_redirects=False)
    except requests.exceptions.Timeout:
        return f"nothing within {_ANSWER_S:g} s"
    except requests.exceptions.SSLError:
        return "its certificate is not trusted here"
    except requests.exceptions.ConnectionError:
        return "no connection"
    except requests.exceptions.RequestException as error:
        return type(error).__name__
    return None

"""Source distributions: found and fetched with the host's pip, which runs none of their code here.

`pip download` would: it asks a package's own code what it requires. What is fetched is built inside the environment.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orchestrator.errors import BuildError
from orchestrator.images.indexes import run_pip_anywhere
from orchestrator.images.lockfile import Pin

ENDINGS = ("*.tar.gz", "*.zip")

# A command of pip's own: its options, index, proxy and certificate settings and errors are those of `pip download`.
_FETCH = r"""
import os, sys
from pip._internal.cli.cmdoptions import make_target_python
from pip._internal.commands.download import DownloadCommand
from pip._internal.exceptions import DistributionNotFound
from pip._vendor.packaging.requirements import Requirement

class Fetch(DownloadCommand):
    def run(self, options, args):
        session = self.get_default_session(options)
        finder = self._build_package_finder(options=options, session=session, target_python=make_target_python(options))
        for text in args:
            wanted = Requirement(text)
            best = finder.find_best_candidate(wanted.name, wanted.specifier).best_candidate
            if best is None:
                raise DistributionNotFound("No source distribution found for " + text)
            answer = session.get(best.link.url_without_fragment, headers={"Accept-Encoding": "identity"}, stream=True)
            if answer.status_code != 200:
                raise DistributionNotFound("%s answered %d for %s" % (best.link.netloc, answer.status_code, text))
            with open(os.path.join(options.download_dir, os.path.basename(best.link.filename)), "wb") as file:
                for block in answer.iter_content(1 << 16):
                    file.write(block)
        return 0

sys.exit(Fetch("download", "Download source distributions.").main(sys.argv[1:]))
"""


def sdist_pin(requirement: str, *, python: str, extra_index_urls: Sequence[str]) -> Pin:
    """The pin of one `name==version`. Raises BuildError where no index has its source."""
    parsed = Requirement(requirement)
    with tempfile.TemporaryDirectory(prefix="infermatrix-sdist-") as name:
        download([requirement], python=python, folder=Path(name), extra_index_urls=extra_index_urls,
                 what=f"fetch the source of {requirement}")
        found = archives(Path(name))
        if len(found) != 1:
            raise BuildError(f"the source of {requirement} is no .tar.gz or .zip", hint="Take another version, or a wheel.")
        return Pin(name=canonicalize_name(parsed.name), version=str(parsed.specifier).removeprefix("=="),
                   sha256=(hashlib.sha256(found[0].read_bytes()).hexdigest(),), sdist=True)


def download(requirements: Sequence[str], *, python: str, folder: Path, extra_index_urls: Sequence[str], what: str) -> None:
    """Source archives of `name==version`s into the folder, unchecked; a vendor's index only where the user's has not all."""
    arguments = ["--quiet", "--no-binary=:all:", "--python-version", python, "--dest", str(folder)]
    run_pip_anywhere([*arguments, *requirements], extra_index_urls, what=what, script=_FETCH)


def archives(folder: Path) -> list[Path]:
    """The source archives in a folder."""
    return sorted(path for ending in ENDINGS for path in folder.glob(ending))

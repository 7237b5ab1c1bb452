"""What the converter writes beside a TorchScript module or an exported program, and the adapter reads."""
from __future__ import annotations

import json
import zipfile
from typing import Any, Dict

ABOUT = "infermatrix.json"  # inside the artifact: {"batch": the fixed batch size, or null}


def about(path: str) -> Dict[str, Any]:
    """The artifact's own file, read without PyTorch: both formats are zip archives with a folder `extra`. Empty where none is."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("/extra/" + ABOUT):
                found: Dict[str, Any] = json.loads(archive.read(name) or b"{}")
                return found
    return {}

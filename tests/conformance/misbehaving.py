"""An adapter that does what its model's file says, for tests of the machinery around it. Runs inside the runner."""
import os
import signal
import time
from pathlib import Path

from adapters.base import Adapter as BaseAdapter
from adapters.base import Evidence, Fallback, Unsupported

LOADED = []  # every fault that this process was given so far
ARTIFACT_FORMATS = {".made": "made"}


class Adapter(BaseAdapter):
    def load(self, path, params):
        del params
        self.fault = Path(path).read_text().strip()
        LOADED.append(self.fault)
        if self.fault == "unsupported":
            raise Unsupported("operator Odd is none that it has")
        if self.fault == "falls_back":
            raise Fallback("it would run elsewhere")
        if self.fault == "only_once" and len(LOADED) > 1:
            raise RuntimeError("this library can be set up once per process")
        if self.fault == "segfault":
            print("something is wrong in the library", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.fault == "exits":
            raise SystemExit(3)

    def predict(self, inputs):
        x = inputs["x"]
        if self.fault == "hangs":
            time.sleep(600)
        if self.fault == "eats":
            self.kept = [bytearray(b"1" * (64 << 20)) for _ in range(1000)]
        if self.fault == "changes_its_input":
            x *= 1
            x += 1
            return [(x - 1) * 2]
        if self.fault == "wrong":
            return [x * 2 + 0.01]
        if self.fault == "shape":
            return [(x * 2).reshape(-1, 1)]
        if self.fault == "type":
            return [(x * 2).astype("float64")]
        if self.fault == "list":
            return [[1.0, 2.0]]
        return [x * 2]

    def evidence(self):
        if self.fault == "mute":
            raise RuntimeError("it cannot say")
        if self.fault == "reference":
            return Evidence(device="cpu", executed_on=["planted"], detail={"reference_operators": ["Odd"]})
        return Evidence(device="cpu", executed_on=["planted"], fallback="elsewhere" if self.fault == "elsewhere" else None)

    def versions(self):
        return {"planted": "1.2.3"}


def convert(path, out_dir, params):
    del params
    fault = Path(path).read_text().strip()
    if fault == "inconvertible":
        raise Unsupported("operator Odd is none that the converter has")
    if fault == "converter_dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "converter_lies":
        return "nothing.made"
    (Path(out_dir) / "model.made").write_text(fault)
    return "model.made"

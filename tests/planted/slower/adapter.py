"""ONNX Runtime, each inference stretched by a planted percentage: the harness must find it."""
import time

from adapters import onnxruntime as real


class Adapter(real.Adapter):
    def load(self, path, params):
        self._stretch = params.settings["percent"] / 100.0
        super().load(path, params)

    def predict(self, inputs):
        clock = time.perf_counter_ns
        begin = clock()
        outputs = super().predict(inputs)
        end = clock()
        until = end + (end - begin) * self._stretch
        while clock() < until:
            pass
        return outputs

"""The setting must be there when gRPC is loaded, which reads it just then."""

import subprocess
import sys

WATCH = """
import importlib.abc, os, sys

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "grpc._cython":
            print(os.environ.get("GRPC_EXPERIMENTS"))

sys.meta_path.insert(0, Watch())
import services.__main__
"""


def test_it_is_set_before_grpc_is_loaded() -> None:
    found = subprocess.run([sys.executable, "-c", WATCH], capture_output=True, text=True, check=True)
    assert "-event_engine_listener" in found.stdout

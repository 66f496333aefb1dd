import subprocess
import sys

import pytest

import partita
from core import errors


def test_every_name_of_the_package_is_there() -> None:
    for name in partita.__all__:
        assert getattr(partita, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = partita.nothing


def test_errors_are_those_of_core() -> None:
    for name in errors.ERROR_TYPES:
        assert getattr(partita, name) is errors.ERROR_TYPES[name]


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [("partita", ["grpc", "numpy"]), ("partita.cli.app", ["grpc", "numpy", "networkx", "onnx", "matplotlib", "pulp"])],
)
def test_heavy_modules_are_not_imported_before_they_are_needed(module, unwanted) -> None:
    program = f"import sys, {module}; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

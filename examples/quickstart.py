"""Load, profile, plan, deploy, infer: ``python examples/quickstart.py [HOST:PORT]`` against a running cluster.

Finds text in a photographed page with PP-OCRv4 detection, which the package rapidocr-onnxruntime brings along.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from skimage import data

import partita

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
package = Path(find_spec("rapidocr_onnxruntime").submodule_search_locations[0])

# A 640x640 image with values from -1 to 1, as the model wants it: float32, 1x3x640x640.
image = np.full((1, 3, 640, 640), 1.0, np.float32)
image[:, :, :191, :384] = data.page() / 127.5 - 1

with partita.connect(address) as client:
    model = client.load(
        package / "models/ch_PP-OCRv4_det_infer.onnx",
        input_shapes={"x": (1, 3, 640, 640)},
        samples=[{"x": image}],
        progress=print,
    )
    client.profile(model, progress=print)
    plan = client.plan(model, noise_limit=0.01, progress=print)
    deployment = client.deploy(plan, progress=print)
    outputs, report = deployment.infer_with_report({"x": image})
    for name, array in outputs.items():
        print(f"{name}: {array.shape}, {np.mean(array > 0.3):.1%} of the pixels are text")
    print(f"predicted {plan.predicted.latency_seconds:.3f} s, took {report.seconds:.3f} s on these servers:")
    for run in report.runs:
        print(f"  component {run.component} on {run.server}: {run.compute_seconds:.3f} s")

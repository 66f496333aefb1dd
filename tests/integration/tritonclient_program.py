"""A program for Triton, as anyone might have it: ADDRESS MODEL INPUT.npy → OUTPUTS.npz, and what it saw as JSON."""

import json
import sys

import numpy as np
import tritonclient.grpc as triton

address, model, input_file, output_file = sys.argv[1:]
client = triton.InferenceServerClient(address)
metadata = client.get_model_metadata(model, as_json=True)
array = np.load(input_file)
tensor = triton.InferInput(metadata["inputs"][0]["name"], array.shape, metadata["inputs"][0]["datatype"])
tensor.set_data_from_numpy(array)
answer = client.infer(model, [tensor], request_id="7", client_timeout=60)
np.savez(output_file, **{output["name"]: answer.as_numpy(output["name"]) for output in metadata["outputs"]})
wanted = metadata["outputs"][-1]["name"]
one = client.infer(model, [tensor], outputs=[triton.InferRequestedOutput(wanted)], client_timeout=60)
refusals = []
for name, version in (("nothing", ""), (model, "99")):
    try:
        client.infer(name, [tensor], model_version=version, client_timeout=60)
    except triton.InferenceServerException as error:
        refusals.append([error.status(), error.message()])
seen = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "server": client.get_server_metadata(as_json=True),
    "model_ready": [client.is_model_ready(model), client.is_model_ready(model, "99"), client.is_model_ready("nothing")],
    "metadata": metadata,
    "answer": {"id": answer.get_response().id, "version": answer.get_response().model_version},
    "one": [output.name for output in one.get_response().outputs],
    "refusals": refusals,
}
client.close()
sys.stdout.write(json.dumps(seen))

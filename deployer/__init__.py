"""From an ONNX file to a deployment that answers: load, profile, plan and deploy, over ports to the other services."""

"""One example for every command, shown at the end of its ``--help``."""

import typer

EXAMPLES = {
    "up": "partita up --data partita-data",
    "serve": "partita serve node --server=edge --role=edge --registry=control.lan:50053 --model-pool=control.lan:50052",
    "servers": "partita servers",
    "model add": "partita model add detector.onnx --input-shape images=1x3x640x640 --sample street.npz",
    "model ls": "partita model ls",
    "model show": "partita model show detector --layers",
    "profile": "partita profile detector --quantizable 8",
    "plan": "partita plan detector --noise-limit 0.05 --rule '/model.0/*=device' --picture plan.png",
    "plans ls": "partita plans ls --model detector",
    "plans show": "partita plans show 215cc4be8a95 --problem problem.json",
    "plans diff": "partita plans diff 215cc4be8a95 30c23b0375c3",
    "deploy": "partita deploy 215cc4be8a95 --name app",
    "deployments": "partita deployments",
    "undeploy": "partita undeploy app",
    "infer": "partita infer app street.jpg photos/ --save found",
    "trace": "partita trace",
    "optimize": "partita optimize problem.json --pareto 20 --picture front.png",
    "doctor": "partita doctor --address control.lan:50051",
    "lab up": "partita lab up thesis",
    "lab down": "partita lab down",
    "lab set": "partita lab set device:edge bandwidth=2MB/s delay=20ms",
    "lab show": "partita lab show",
    "lab check": "partita lab check mine.yaml --json",
    "lab print": "partita lab print thesis > mine.yaml",
    "bench planning": "partita bench planning --quick",
    "bench prediction": "partita bench prediction --quick",
    "bench noise": "partita bench noise --quick",
    "bench batching": "partita bench batching --json",
    "bench cutting": "partita bench cutting",
    "bench pipeline": "partita bench pipeline --picture pipeline.png",
    "bench seeing": "partita bench seeing --quick --json",
    "bench transport": "partita bench transport --json",
    "bench quantization": "partita bench quantization --quick",
    "bench soak": "partita bench soak --seconds 600 --json",
    "bench thesis": "partita bench thesis --quick --output report",
}
"""Command → how it may be called."""


def show_examples(app: typer.Typer, before: str = "") -> None:
    """Give each command of ``app`` its example; ``before`` is how the app's own name begins."""
    for command in app.registered_commands:
        name = before + (command.name or command.callback.__name__ if command.callback else "")
        if name in EXAMPLES:
            command.epilog = f"Example: {EXAMPLES[name]}"
    for group in app.registered_groups:
        if group.typer_instance is not None:
            show_examples(group.typer_instance, f"{before}{group.name} ")

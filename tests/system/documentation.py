"""What README and docs assume to be there, and a shell that does what they say."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

import partita
from core.documents import dumps
from partita.cli.main import main
from tests.unit.documents import ROOT
from tests.unit.optimizer.builders import chain
from tests.unit.vision_models import SIDE, finder, picture

MACHINE = re.compile(r"\b[\w.]+\.lan:\d+|\b198\.18\.0\.2:\d+|\b0\.0\.0\.0:\d+")
"""Addresses of machines that the documents make up."""

SIDES = "640x640"
"""Of the models' inputs in the documents; here they are smaller."""

IDS = ("OTHER-ID", "PLAN-ID", "REQUEST")
"""What stands for the last plan but one, the last plan, and the last request of partita trace."""

CLUSTER = ("127.0.0.1:50051", "198.18.0.2:50051", "control.lan:50052", "control.lan:50053")
"""Those of clusters in whose place the test has its own."""


def lay_out(folder: Path) -> None:
    """Put the files there that the documents name: models, photos, a video, samples, a problem."""
    for name in ("detector", "yolo11n"):
        model = finder("detect")
        model.graph.node[0].name, model.graph.node[-1].name = "/model.0/conv/Conv", "/model.23/Concat"
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    street = picture((2 * SIDE, SIDE), ("red", (32, 16, 48, 32)), ("green", (80, 32, 96, 48)))
    street.save(folder / "street.jpg", quality=95)
    (folder / "photos").mkdir()
    for index in range(4):
        street.rotate(90 * index, expand=True).save(folder / "photos" / f"{index}.jpg", quality=95)
    levels = np.asarray(street.resize((SIDE, SIDE)), np.float32) / 255
    np.savez(folder / "street.npz", images=np.ascontiguousarray(levels.transpose(2, 0, 1)[None]))
    with sv.VideoSink(str(folder / "street.mp4"), sv.VideoInfo(SIDE, SIDE, 10, 4)) as sink:
        for _ in range(4):
            sink.write_frame(np.ascontiguousarray(np.asarray(street.resize((SIDE, SIDE)))[:, :, ::-1]))
    (folder / "PROBLEM.json").write_text(dumps(chain({"device": [4.0, 4.0], "edge": [1.0, 1.0]})))


class Shell:
    """Does what a document says, on this machine, with a small model, and with the newest plans for ids left open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, read: Callable[[], str]) -> None:
        self._patch = monkeypatch
        self._read = read
        self._running: list[subprocess.Popen[str]] = []
        self.addresses: dict[str, str] = {}
        self.cluster = ""
        self.plans: list[str] = []
        self.request = ""

    def begin(self) -> None:
        """Begin a document, in a terminal of its own."""
        if self.cluster:
            self._patch.setenv("PARTITA_ADDRESS", self.cluster)

    def do(self, line: str) -> None:
        """Run one line of a shell block."""
        command, _, target = line.partition(" > ")
        words = shlex.split(self._real(command))
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self._patch.setenv(name, value)
        elif words[:3] == ["python", "-m", "services"]:
            self._serve(line, [sys.executable, *words[1:]])
        elif words[1:] == ["up"]:
            if not self.cluster:
                self._patch.setenv("PARTITA_ADDRESS", "127.0.0.1:0")
                self.cluster = self._serve(line, [sys.executable, "-m", "partita.cli.main", "up"])
                self.addresses |= dict.fromkeys(CLUSTER, self.cluster)
                self.begin()
        elif words[1:2] == ["serve"]:
            self._serve(line, [sys.executable, "-m", "partita.cli.main", *words[1:]])
        else:
            assert Path(words[0]).name == "partita", f"{line}: what is {words[0]}?"
            told = self.partita(words[1:])
            if target:
                Path(target).write_text(told)

    def partita(self, words: list[str]) -> str:
        """Run the command line in this process, which spares a second each; what it prints."""
        self._patch.setattr(sys, "argv", ["partita", *words])
        self._read()
        with pytest.raises(SystemExit) as ending:
            main()
        told = self._read()
        assert not ending.value.code, f"partita {shlex.join(words)} ended with {ending.value.code}: {told}"
        self.plans += re.findall(r"^plan (\w{12}) for", told, re.MULTILINE)
        self.request = next(iter(re.findall(r"^request (\S+) to", told, re.MULTILINE)), self.request)
        return told

    def python(self, text: str) -> None:
        """Run a Python block."""
        exec(compile(self._real(text), "documented", "exec"), {"__name__": "documented"})  # noqa: S102 - it is ours

    def stop(self, left: int = 0) -> None:
        """End what was started and still runs, but for the first ``left``."""
        for process in self._running[left:]:
            process.terminate()
            process.communicate(timeout=60)
        del self._running[left:]

    def _real(self, text: str) -> str:
        text = text.replace(SIDES, f"{SIDE}x{SIDE}")
        ids = (self.plans[-2:-1], self.plans[-1:], [self.request])
        for name, values in zip(IDS, ids, strict=True):
            if re.search(rf"\b{name}\b", text):
                text = re.sub(rf"\b{name}\b", values[0], text)
        return MACHINE.sub(lambda found: self.addresses.get(found[0], found[0]), text)

    def _serve(self, line: str, command: list[str]) -> str:
        """Start what runs until it is stopped, at a free port, and learn where."""
        names = [name for word in command for name in re.findall(r"^--(?:listen|advertise)=(\S+:\d+)", word)]
        command = ["--listen=127.0.0.1:0" if word.startswith("--listen=") else word for word in command]
        command = [word for word in command if not word.startswith("--advertise=")]
        environment = {**os.environ, "PYTHONPATH": str(Path(partita.__file__).parents[1])}
        log = Path(f"{len(self._running)}.log").open("w")  # noqa: SIM115 - as long as the process
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        log.close()
        self._running.append(process)
        assert process.stdout is not None
        address = None
        for told in process.stdout:
            if (address := re.search(r"127\.0\.0\.1:\d+", told)) is not None:
                break
        assert address is not None, f"{line}: {Path(log.name).read_text()}"
        self.addresses |= dict.fromkeys(names, address[0])
        return address[0]


def script_exists(line: str) -> bool:
    """Whether the script, or the target of the Makefile, that a line names is there."""
    words = [word for word in shlex.split(line) if "=" not in word]
    if words[0] == "make":
        return re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE) is not None
    return (ROOT / words[0]).exists()

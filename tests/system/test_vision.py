"""Pictures and videos through a divided model, from the command line and from a program for Triton."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision as sv
from typer.testing import CliRunner

from partita import aio
from partita.cli.app import app
from partita.vision import Vision, described, read_image
from tests.integration.test_open_inference import triton_program
from tests.system.conftest import SERVERS, small_cluster
from tests.unit.vision_models import SIDE, WholeModel, finder, picture

COLOURS = (("red", (8, 16, 16, 24)), ("green", (40, 0, 48, 8)))


def command(address: str, *arguments: object) -> str:
    """What the command line prints, run in this process: another one would spend seconds on imports alone."""
    done = CliRunner().invoke(app, list(map(str, arguments)), env={"PARTITA_ADDRESS": address})
    assert done.exit_code == 0, done.output
    return done.stdout


async def deployed(client: aio.Client) -> aio.Deployment:
    """The segmenter of red and green squares, its first layer on the device and its last on the edge."""
    model = finder("segment")
    loaded = await client.load(model.SerializeToString(), "finder")
    assert loaded.metadata["task"] == "segment"
    rules = {model.graph.node[0].name: ["device"], model.graph.node[-1].name: ["edge"]}
    plan = await client.plan(loaded, noise_limit=0.0, quantizable_count=1, noise_samples=2, layer_rules=rules)
    return await client.deploy(plan)


async def test_pictures_and_videos_are_seen_by_a_divided_model_as_by_the_whole(tmp_path: Path) -> None:
    streets = tmp_path / "streets"
    streets.mkdir()
    for count in range(3):
        picture((2 * SIDE, 2 * SIDE), *((name, tuple(2 * edge for edge in box)) for name, box in COLOURS[:count])).save(
            streets / f"{count}.png"
        )
    video = tmp_path / "street.mp4"
    with sv.VideoSink(str(video), sv.VideoInfo(SIDE, SIDE, 10, 8)) as sink:
        for index in range(8):
            frame = picture((SIDE, SIDE), ("green", (8 * index, 8, 8 * index + 8, 16)))
            sink.write_frame(np.ascontiguousarray(np.asarray(frame)[:, :, ::-1]))
    whole = WholeModel(finder("segment"))
    async with small_cluster(tmp_path, SERVERS[:2]) as (cluster, client):
        deployment = await deployed(client)
        assert len({component.server for component in deployment.info.detail.division.components}) >= 2
        assert deployment.info.metadata["names"] == "{0: 'red', 1: 'green'}"
        program = triton_program(deployment.info.front_end_address, "finder", pixels(streets / "2.png"), tmp_path)
        asking = asyncio.create_task(program)
        infer, drawn = (command, cluster.address, "infer", "finder"), ("--save", tmp_path / "drawn", "--json")
        found = await asyncio.to_thread(*infer, streets, *drawn)
        frames = await asyncio.to_thread(*infer, "--video", video, *drawn)
        told = await asyncio.to_thread(*infer, streets / "2.png")
        seen, outputs = await asking
    assert "red" in told
    assert "green" in told
    _check_images(json.loads(found), whole, streets, tmp_path / "drawn")
    _check_frames(json.loads(frames), tmp_path / "drawn" / "street.mp4")
    assert seen["model_ready"] == [True, False, False]
    exact = whole.infer({"images": pixels(streets / "2.png")}, 0)
    for name, array in exact.items():
        np.testing.assert_allclose(outputs[name], array, atol=1e-4)


def pixels(path: Path) -> np.ndarray:
    """An image of twice the input's size as the model's input."""
    half = np.asarray(read_image(path).resize((SIDE, SIDE)), np.float32) / 255
    return np.ascontiguousarray(half.transpose(2, 0, 1)[None])


def _check_images(answer: dict[str, Any], whole: WholeModel, streets: Path, drawn: Path) -> None:
    vision = Vision(whole)
    assert answer["task"] == "segment"
    assert [Path(result["file"]).name for result in answer["images"]] == ["0.png", "1.png", "2.png"]
    for count, result in enumerate(answer["images"]):
        original = streets / f"{count}.png"
        expected = described(vision.model, vision.find(read_image(original)))
        assert sorted(item["name"] for item in result["found"]) == sorted(name for name, _ in COLOURS[:count])
        assert [item["name"] for item in result["found"]] == [item["name"] for item in expected]
        for item, other in zip(result["found"], expected, strict=True):
            assert item["score"] == pytest.approx(other["score"], abs=1e-4)
            assert item["box"] == pytest.approx(other["box"], abs=1e-2)
        changed = np.asarray(read_image(drawn / original.name)) != np.asarray(read_image(original))
        assert changed.any() == (count > 0)


def _check_frames(answer: dict[str, Any], drawn: Path) -> None:
    assert answer["frame_count"] == 8
    assert answer["frames_per_second"] > 0
    for index, items in enumerate(answer["frames"]):
        assert [item["name"] for item in items] == ["green"]
        assert items[0]["box"] == pytest.approx([8 * index, 8, 8 * index + 8, 16], abs=0.1)
    assert sv.VideoInfo.from_video_path(str(drawn)).total_frames == 8

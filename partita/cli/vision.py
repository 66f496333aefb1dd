"""``partita infer`` on pictures: what is found, told and drawn."""

import mimetypes
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from core.errors import FailedPreconditionError, InvalidArgumentError
from partita import units
from partita.cli.output import out, print_json, progress_bar, table

if TYPE_CHECKING:
    from partita.client import Client
    from partita.vision import Vision

KEPT_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
"""Annotated pictures have the kind of the original where it is one of these; else they become PNG files."""

FRAMES_PER_SECOND = 25.0
"""Of an annotated video where the original does not say how fast it is."""


@dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line.

    Attributes:
        task, names: instead of the model's metadata; ``names`` is a file with a class name a line.
        score, overlap: thresholds; ``None`` for the task's usual ones.
        in_flight: requests under way at once.
        timeout: deadline of each request in seconds.
        save: folder for annotated pictures.
        as_json: print boxes, classes and scores as JSON.
    """

    task: str | None
    names: Path | None
    score: float | None
    overlap: float | None
    in_flight: int
    timeout: float
    save: Path | None
    as_json: bool


def is_picture(text: str) -> bool:
    """Whether an argument names an image or a folder, rather than arrays."""
    kind, _ = mimetypes.guess_type(text, strict=False)
    return Path(text).is_dir() or (kind or "").startswith("image/")


def find_in_images(client: "Client", deployment: str, inputs: Sequence[str], wishes: Wishes) -> None:
    """Tell, and draw where a folder is given, what is in image files and the images of folders."""
    vision = _vision(client, deployment, wishes)
    from partita.vision import described, image_paths, read_image

    paths = [path for text in inputs for path in image_paths(text)]
    targets = targets_in(wishes.save, paths)
    results: list[dict[str, Any]] = []
    start = time.perf_counter()
    with progress_bar("infer") as progress:
        stream = vision.stream(map(read_image, paths), wishes.in_flight, wishes.timeout)
        for path, (image, found) in zip(paths, stream, strict=True):
            if path in targets:
                vision.annotate(image, found).save(targets[path])
            results.append({"file": str(path), "found": described(vision.model, found)})
            progress(len(results) / len(paths), str(path))
    seconds = time.perf_counter() - start
    if wishes.as_json:
        print_json({"task": vision.model.task, "images": results, "seconds": seconds})
        return
    shown = table("image", "found") if len(results) > 1 else table("found", ">score", ">box")
    for result in results:
        if len(results) > 1:
            shown.add_row(escape(result["file"]), escape(summary(result["found"])))
            continue
        for item in result["found"]:
            box = ", ".join(f"{edge:.0f}" for edge in item.get("box", ()))
            shown.add_row(escape(item["name"]), f"{item['score']:.2f}", box or "–")
    out.print(shown if shown.row_count else "nothing found")
    out.print(
        f"\n{len(results)} image{'s' if len(results) > 1 else ''} in {units.seconds(seconds)}"
        + (f"; drawn in {escape(str(wishes.save))}" if targets else "")
    )


def find_in_video(client: "Client", deployment: str, video: Path, wishes: Wishes) -> None:
    """Tell, and draw where a folder is given, what is in the frames of a video, and how many went through a second."""
    vision = _vision(client, deployment, wishes)
    import numpy as np
    import supervision as sv

    from partita.vision import described, frames, video_info

    info = video_info(video)
    target = targets_in(wishes.save, [video], ".mp4").get(video)
    info.fps = info.fps or FRAMES_PER_SECOND
    results: list[list[dict[str, Any]]] = []
    kinds: Counter[str] = Counter()
    start = time.perf_counter()
    with progress_bar("infer") as progress, sv.VideoSink(str(target), info) if target else nullcontext() as sink:
        for image, found in vision.stream(frames(video), wishes.in_flight, wishes.timeout):
            items = described(vision.model, found)
            kinds.update(item["name"] for item in items)
            results.append(items if wishes.as_json else [])
            if sink is not None:
                drawn = np.asarray(vision.annotate(image, found))
                sink.write_frame(np.ascontiguousarray(drawn[:, :, ::-1]))
            fraction = len(results) / max(info.total_frames or 0, len(results) + 1)
            progress(fraction, f"{len(results) / (time.perf_counter() - start):.1f} frames/s")
    seconds = time.perf_counter() - start
    rate = len(results) / seconds
    if wishes.as_json:
        figures = {"video": str(video), "frame_count": len(results), "seconds": seconds, "frames_per_second": rate}
        print_json({"task": vision.model.task, **figures, "frames": results})
        return
    shown = table("found", ">in all frames")
    for name, count in kinds.most_common():
        shown.add_row(escape(name), str(count))
    out.print(shown if kinds else "nothing found")
    out.print(
        f"\n{len(results)} frames in {units.seconds(seconds)}, {rate:.1f} frames per second, "
        f"{wishes.in_flight} requests in flight" + (f"; drawn in {escape(str(target))}" if target else "")
    )


def summary(items: Sequence[Mapping[str, Any]]) -> str:
    """What was found in one image in words, such as ``3 person, 1 car``."""
    counts = Counter(str(item["name"]) for item in items)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "–"


def targets_in(folder: Path | None, paths: Sequence[Path], suffix: str = "") -> dict[Path, Path]:
    """Where the annotated picture of each file goes: into ``folder``, which is made, under a name of its own.

    Args:
        suffix: of the names; default: the file's own.

    Raises:
        InvalidArgumentError: a file would be written over itself.
    """
    if folder is None:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    taken: dict[Path, Path] = {}
    for path in paths:
        kind = suffix or (path.suffix.lower() if path.suffix.lower() in KEPT_SUFFIXES else ".png")
        target, count = folder / f"{path.stem}{kind}", 1
        while target in taken.values():
            count += 1
            target = folder / f"{path.stem}-{count}{kind}"
        if target.resolve() in {other.resolve() for other in paths}:
            raise InvalidArgumentError(f"{target} would be written over; save into another folder than {folder}")
        taken[path] = target
    return taken


def require_vision() -> None:
    """See that pictures can be worked on.

    Raises:
        FailedPreconditionError: something that takes is not installed.
    """
    try:
        import partita.vision  # noqa: F401
    except ImportError as error:
        raise FailedPreconditionError(
            f"pictures need {error.name}, which is not installed; pip install 'partita[vision]'"
        ) from None


def _vision(client: "Client", deployment: str, wishes: Wishes) -> "Vision":
    require_vision()
    from partita.vision import Thresholds, Vision
    from partita.vision.text import TEXT_THRESHOLDS

    names = wishes.names.read_text(encoding="utf-8").splitlines() if wishes.names else None
    target = Vision(client.deployment(deployment), task=wishes.task, names=names)
    usual = TEXT_THRESHOLDS if target.model.task == "text" else Thresholds()
    score = usual.score if wishes.score is None else wishes.score
    overlap = usual.overlap if wishes.overlap is None else wishes.overlap
    target.thresholds = Thresholds(score, overlap, usual.count)
    return target

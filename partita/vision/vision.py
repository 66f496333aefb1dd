"""Images through a deployed model, one at a time or as a stream."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol

from PIL import Image

from core.tensors import Array, TensorSpec
from partita.vision.found import Found, annotated
from partita.vision.model import InputLayout, VisionModel, vision_model
from partita.vision.postprocessing import read
from partita.vision.preprocessing import prepare
from partita.vision.thresholds import Thresholds

IN_FLIGHT = 4
"""How many requests of a stream are under way by default."""

TIMEOUT_SECONDS = 60.0
"""Default deadline of a request."""


class Info(Protocol):
    """What must be known of a deployment: ``partita.results.DeploymentInfo``, for one."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What a request takes."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What an answer gives."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the model's file says of itself."""


class Deployment(Protocol):
    """What runs the model: ``partita.Deployment``, for one. Threads share it."""

    @property
    def info(self) -> Info:
        """What it is."""

    def infer(self, inputs: Mapping[str, Array], timeout_seconds: float) -> Mapping[str, Array]:
        """Run the model once."""


class Vision:
    """A deployed vision model: from images to what is in them."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        task: str | None = None,
        names: Mapping[int, str] | Sequence[str] | None = None,
        layout: InputLayout | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:
        """Know a deployment's model by its metadata, or by ``task``, ``names`` and ``layout``.

        Args:
            task: ``classify``, ``detect``, ``segment`` or ``text``.
            names: class names.
            layout: how an image becomes the model's input.
            thresholds: what counts as found; the task's usual ones where they are left out.

        Raises:
            InvalidArgumentError: the task is not known, or not one of ours.
            InvalidModelError: the model does not take one image.
        """
        self._deployment = deployment
        info = deployment.info
        self.model: VisionModel = vision_model(
            info.inputs, info.outputs, info.metadata, task=task, names=names, layout=layout
        )
        self.thresholds = thresholds

    def find(self, image: Image.Image, timeout_seconds: float = TIMEOUT_SECONDS) -> Found:
        """What is in an image; coordinates are the image's own pixels.

        Raises:
            PartitaError: why the request failed.
            InvalidModelError: the outputs are not those of the task.
        """
        inputs, letterbox = prepare(self.model, image)
        outputs = self._deployment.infer(inputs, timeout_seconds)
        return read(self.model, outputs, letterbox, self.thresholds)

    def stream(
        self, images: Iterable[Image.Image], in_flight: int = IN_FLIGHT, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> Iterator[tuple[Image.Image, Found]]:
        """What is in each image, in their order, with up to ``in_flight`` requests under way at once.

        Images are taken as answers are, at most twice as many ahead, so that a long video is never held as a whole.

        Raises:
            PartitaError: why the first request that failed did so; those behind it are left.
        """
        source = iter(images)
        under_way: deque[tuple[Image.Image, Future[Found]]] = deque()
        with ThreadPoolExecutor(in_flight, "vision") as threads:

            def send(count: int) -> None:
                for image in islice(source, count):
                    under_way.append((image, threads.submit(self.find, image, timeout_seconds)))

            try:
                send(2 * in_flight)
                while under_way:
                    image, request = under_way.popleft()
                    found = request.result()
                    send(1)
                    yield image, found
            finally:
                for _, request in under_way:
                    request.cancel()

    def annotate(self, image: Image.Image, found: Found) -> Image.Image:
        """A copy of the image with what was found drawn into it."""
        return annotated(self.model, image, found)

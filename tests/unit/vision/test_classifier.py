"""A trained classifier, PP-OCR's of whether a line of text is upside down, on lines of a photographed page."""

from types import SimpleNamespace

import onnxruntime as ort
from PIL import Image
from skimage import data

from core.tensors import Array, TensorSpec
from examples.text_detection import model_path
from partita.vision import InputLayout, Vision

WIDTH, HEIGHT = 192, 48
LINE_HEIGHT = 18
SURE = 0.9


class Classifier:
    def __init__(self) -> None:
        path = model_path().with_name("ch_ppocr_mobile_v2.0_cls_infer.onnx")
        self._session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._output = self._session.get_outputs()[0].name
        inputs = (TensorSpec("x", "float32", (1, 3, HEIGHT, WIDTH)),)
        self.info = SimpleNamespace(inputs=inputs, outputs=(TensorSpec(self._output, "float32", (1, 2)),), metadata={})

    def infer(self, inputs: dict[str, Array], timeout_seconds: float) -> dict[str, Array]:
        return {self._output: self._session.run([self._output], inputs)[0]}


def test_lines_of_text_are_known_to_be_upright_or_upside_down_where_it_is_sure() -> None:
    layout = InputLayout("BGR", mean=127.5, deviation=127.5)
    vision = Vision(Classifier(), task="classify", names=["upright", "upside down"], layout=layout)
    page = Image.fromarray(data.page()).convert("RGB")
    sure = {"upright": 0, "upside down": 0}
    for top in range(10, page.height - LINE_HEIGHT, LINE_HEIGHT):
        line = page.crop((20, top, 20 + LINE_HEIGHT * WIDTH // HEIGHT, top + LINE_HEIGHT)).resize((WIDTH, HEIGHT))
        for truth, image in (("upright", line), ("upside down", line.rotate(180))):
            found = vision.find(image)
            best = found.confidence.argmax()
            if found.confidence[best] > SURE:
                assert vision.model.name(int(found.class_id[best])) == truth
                sure[truth] += 1
    assert min(sure.values()) >= 4

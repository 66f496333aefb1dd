"""Files that the command line takes as inputs of models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InvalidArgumentError
from partita.cli.vision import is_picture, require_vision

if TYPE_CHECKING:
    from core.tensors import Array


def read_inputs(texts: Sequence[str]) -> "dict[str, Array]":
    """Arrays from ``FILE.npz`` (all it holds, by name) and ``NAME=FILE.npy``.

    Raises:
        InvalidArgumentError: a file is of another kind, or a name comes twice.
        OSError: a file cannot be read.
    """
    import numpy as np

    arrays: dict[str, Array] = {}
    for text in texts:
        name, equals, file = text.rpartition("=")
        if not equals:
            found = read_npz(Path(file))
        else:
            try:
                loaded = np.load(file, allow_pickle=False)
            except (ValueError, EOFError):
                raise InvalidArgumentError(
                    f"{file} is not a plain numpy array (.npy); write it with numpy.save"
                ) from None
            if not isinstance(loaded, np.ndarray):
                loaded.close()
                raise InvalidArgumentError(f"{file} holds several arrays; give it without {name}=")
            found = {name: loaded}
        if doubled := found.keys() & arrays.keys():
            raise InvalidArgumentError(f"input {min(doubled)!r} is given twice")
        arrays.update(found)
    return arrays


def read_samples(
    model: Path, paths: Sequence[Path], shapes: Mapping[str, Sequence[int]], task: str | None
) -> "list[dict[str, Array]]":
    """Samples from ``.npz`` files as they are, and from pictures as the model in the file ``model`` takes them.

    Raises:
        PartitaError: a file is something else, or the model takes no pictures.
        OSError: a file cannot be read.
    """
    pictures = [path for path in paths if is_picture(str(path))]
    samples = [read_npz(path) for path in paths if path not in pictures]
    if pictures:
        require_vision()
        from partita.vision import picture_samples

        samples += picture_samples(model, pictures, shapes, task)
    return samples


def read_npz(path: Path) -> "dict[str, Array]":
    """The arrays of an ``.npz`` file by name.

    Raises:
        InvalidArgumentError: the file is something else.
        OSError: it cannot be read.
    """
    import numpy as np

    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise InvalidArgumentError(f"{path} holds one array without a name; give it as NAME={path}")
        with archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError):
        raise InvalidArgumentError(
            f"{path} is not a numpy archive of plain arrays (.npz); write it with numpy.savez"
        ) from None

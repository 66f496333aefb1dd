"""What a model must be before anything else in Partita sees it.

The bytes come from anywhere. Nothing they name is ever opened; what is admitted is self-contained, has fixed shapes
and unique layer names, and is what all later names refer to.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import onnx
import onnxruntime as ort

from core.errors import InvalidModelError, PartitaError, TooLargeError
from core.progress import Progress, no_progress
from core.tensors import DTYPES, TensorSpec
from model_pool.normalization import bodies, normalize

SIZE_LIMIT_BYTES = 2 * 1024**3 - 1
"""The largest ONNX file without external data: the limit of its encoding."""

METADATA_LIMIT = 2**20
"""Most characters of metadata."""

_Graph: TypeAlias = onnx.GraphProto | onnx.FunctionProto
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


@dataclass(frozen=True)
class AdmittedModel:
    """A checked, normalised model: the ONNX file's bytes, the signature they have, and what the file says of itself."""

    data: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]


def admit(
    model: bytes,
    input_shapes: Mapping[str, tuple[int, ...]],
    size_limit_bytes: int = SIZE_LIMIT_BYTES,
    progress: Progress = no_progress,
) -> AdmittedModel:
    """Check an ONNX file and normalise it; equal arguments give equal bytes.

    Args:
        model: the file's bytes.
        input_shapes: input name → its fixed shape, for every input that the file leaves open.
        size_limit_bytes: largest file taken, before and after.
        progress: told what is being done.

    Raises:
        TooLargeError: the file, or what it becomes, exceeds the limit.
        InvalidModelError: corrupt, not ONNX, unknown operators, data outside the file, shapes that do not fit or
            cannot be known, or refused by ONNX Runtime.
    """
    _check_size(len(model), size_limit_bytes)
    progress(0.0, "checking the file")
    with _refusing("the bytes are not an ONNX model; give the whole, unaltered .onnx file"):
        parsed = onnx.load_model_from_string(model)
    if not parsed.HasField("graph") or not parsed.opset_import:
        raise InvalidModelError("the bytes are not an ONNX model (no graph in them); give the whole .onnx file")
    with _refusing("the model breaks the ONNX rules; export it again"):
        _check_names(parsed)
        _check_metadata(parsed)
        _check_self_contained(parsed)
        _check_operators(parsed)
        onnx.checker.check_model(parsed, full_check=True)
        fixed = _fix_inputs(parsed, input_shapes)
    progress(0.2, "folding constants and inferring shapes")
    with _refusing("the model cannot be normalised; export it again with fixed shapes"):
        normalized = normalize(fixed)
    _check_size(normalized.ByteSize(), size_limit_bytes)
    progress(0.8, "loading it in ONNX Runtime")
    data = normalized.SerializeToString(deterministic=True)
    with _refusing("ONNX Runtime refuses the model; export it for an opset and operators that it knows"):
        onnx.checker.check_model(data)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    progress(1.0, "checked")
    metadata = {entry.key: entry.value for entry in normalized.metadata_props}
    return AdmittedModel(data, _signature(normalized.graph.input), _signature(normalized.graph.output), metadata)


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Turn whatever the libraries raise on a bad model into the one error a user should see."""
    try:
        yield
    except PartitaError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InvalidModelError(f"{what}: {reason[:300] or type(error).__name__}") from error


def _check_size(byte_count: int, limit: int) -> None:
    if byte_count > limit:
        raise TooLargeError(
            f"the model has {byte_count} bytes, at most {limit} are taken; raise the limit or shrink it"
        )


def _check_names(model: onnx.ModelProto) -> None:
    """Refuse names that are not UTF-8: they come as bytes, which no other part could handle."""
    names: list[object] = [model.graph.name, *(opset.domain for opset in model.opset_import)]
    names += [value.name for value in (*model.graph.input, *model.graph.output)]
    graphs: list[_Graph] = [model.graph, *model.functions]
    for graph in graphs:
        names += [tensor.name for tensor in _tensors(graph)]
        for node in _nodes(graph):
            names += [node.name, node.op_type, node.domain, *node.input, *node.output]
    for name in names:
        if not isinstance(name, str):
            raise InvalidModelError(f"the name {name!r} in the model is not UTF-8; the file is damaged, give it anew")


def _check_metadata(model: onnx.ModelProto) -> None:
    """Refuse metadata that could not go where the model's signature goes."""
    texts = [text for entry in model.metadata_props for text in (entry.key, entry.value)]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidModelError("the model's metadata is not UTF-8; remove it (del model.metadata_props[:])")
    size = sum(map(len, texts))
    if size > METADATA_LIMIT:
        raise InvalidModelError(
            f"the model's metadata has {size} characters, at most {METADATA_LIMIT} are taken; "
            "remove what is not needed from model.metadata_props"
        )


def _check_self_contained(model: onnx.ModelProto) -> None:
    graphs: list[_Graph] = [model.graph, *model.functions]
    for graph in graphs:
        for tensor in _tensors(graph):
            if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
                place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
                raise InvalidModelError(
                    f"tensor {tensor.name!r} keeps its data outside, in {place!r}; "
                    "save the model as one file (onnx.save with save_as_external_data=False)"
                )
    if model.graph.sparse_initializer:
        name = model.graph.sparse_initializer[0].values.name
        raise InvalidModelError(f"initialiser {name!r} is sparse; store it dense")


def _tensors(graph: _Graph) -> Iterator[onnx.TensorProto]:
    if isinstance(graph, onnx.GraphProto):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
        for body in bodies(node):
            yield from _tensors(body)


def _check_operators(model: onnx.ModelProto) -> None:
    functions = {(function.domain, function.name) for function in model.functions}
    versions = _opsets(model.opset_import)
    graphs: list[tuple[_Graph, dict[str, int]]] = [(model.graph, versions)]
    graphs += [(function, versions | _opsets(function.opset_import)) for function in model.functions]
    newest = onnx.defs.onnx_opset_version()
    if versions.get("", 0) > newest:
        raise InvalidModelError(f"the model has opset {versions['']}, at most {newest} is known; export it with that")
    for graph, imports in graphs:
        for node in _nodes(graph):
            if (node.domain, node.op_type) in functions:
                continue
            domain = "" if node.domain == "ai.onnx" else node.domain
            label = f"layer {node.name or node.output[0]!r}"
            remedy = "export the model with standard ONNX operators"
            if domain not in _DOMAINS:
                raise InvalidModelError(f"{label} is {node.op_type!r} of the unknown domain {domain!r}; {remedy}")
            if node.op_type in _RANDOM:
                raise InvalidModelError(
                    f"{label} ({node.op_type}) makes random values; make them an input of the model"
                )
            version = imports.get(domain, 1)
            if domain != "com.microsoft" and not onnx.defs.has(node.op_type, version, domain):
                raise InvalidModelError(f"{label} is {node.op_type!r}, which opset {version} does not know; {remedy}")


def _opsets(imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    return {"" if opset.domain == "ai.onnx" else opset.domain: opset.version for opset in imports}


def _nodes(graph: _Graph) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for body in bodies(node):
            yield from _nodes(body)


def _fix_inputs(model: onnx.ModelProto, input_shapes: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    """Return a copy whose inputs all have fixed shapes and are no initialisers."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    unknown = sorted(input_shapes.keys() - {value.name for value in inputs})
    if unknown:
        names = ", ".join(repr(value.name) for value in inputs)
        raise InvalidModelError(f"a shape is given for {unknown[0]!r}, but the model's inputs are {names}")
    del fixed.graph.input[:]
    for value in inputs:
        fixed.graph.input.append(_fixed_input(value, input_shapes.get(value.name)))
    return fixed


def _fixed_input(value: onnx.ValueInfoProto, shape: tuple[int, ...] | None) -> onnx.ValueInfoProto:
    tensor = value.type.tensor_type
    _dtype(value)
    # Some exporters write -1 or 0 for a size that is open.
    declared = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    sizes = [str(size or dim.dim_param or "?") for size, dim in zip(declared, tensor.shape.dim, strict=True)]
    text = f"[{', '.join(sizes)}]"
    if shape is None:
        if not tensor.HasField("shape") or None in declared:
            raise InvalidModelError(
                f"input {value.name!r} has the open shape {text if tensor.HasField('shape') else '(any)'}; "
                f'give its shape, for example input_shapes={{"{value.name}": (1, 3, 640, 640)}}'
            )
        shape = tuple(dim or 0 for dim in declared)
    elif tensor.HasField("shape") and len(shape) != len(declared):
        raise InvalidModelError(
            f"input {value.name!r} has {len(declared)} dimensions {text}, but the shape {list(shape)} was given"
        )
    for index, (have, given) in enumerate(zip(declared, shape, strict=False)):
        if have is not None and have != given:
            raise InvalidModelError(
                f"input {value.name!r}: dimension {index} is fixed at {have} in the model, {given} was given; "
                f"give {have} or export the model with that dimension open"
            )
    if any(size < 1 for size in shape):
        raise InvalidModelError(f"input {value.name!r} cannot have the shape {list(shape)}; sizes must be positive")
    return onnx.helper.make_tensor_value_info(value.name, tensor.elem_type, shape)


def _signature(values: Iterable[onnx.ValueInfoProto]) -> tuple[TensorSpec, ...]:
    specs = []
    for value in values:
        shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        specs.append(TensorSpec(value.name, _dtype(value), shape))
    return tuple(specs)


def _dtype(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type.elem_type
    name = onnx.helper.tensor_dtype_to_np_dtype(kind).name if kind else (value.type.WhichOneof("value") or "untyped")
    if name not in DTYPES:
        raise InvalidModelError(
            f"{value.name!r} is of type {name}, not a tensor of numbers; "
            f"inputs and outputs must be one of {', '.join(sorted(DTYPES))}"
        )
    return name

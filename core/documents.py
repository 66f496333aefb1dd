"""JSON documents from and to frozen dataclasses, with the place of every mistake.

Supported field types: ``str``, ``int``, ``float``, ``bool``, ``X | None``, ``tuple[X, ...]``,
``Mapping[str, X]``, ``Literal`` and dataclasses of these.
"""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, TypeVar

from core.errors import InvalidDocumentError

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Turn a dataclass, and everything in it, into what ``json.dumps`` takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    return value


def dumps(value: Any, indent: int | None = None) -> str:
    """Write a dataclass as a JSON text."""
    return json.dumps(encode(value), indent=indent, allow_nan=False)


def loads(text: str | bytes, document_type: type[T]) -> T:
    """Read a JSON text as ``document_type``.

    Raises:
        InvalidDocumentError: the text is not JSON, or a value does not fit; the message begins with its place.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidDocumentError(f"not a JSON document: {error}") from None
    return decode(raw, document_type)


def decode(raw: Any, document_type: type[T], place: str = "$") -> T:
    """Check plain JSON data against ``document_type`` and build it.

    Raises:
        InvalidDocumentError: a value does not fit; the message begins with its place.
    """
    return typing.cast(T, _decode(raw, document_type, place))


def _decode(raw: Any, expected: Any, place: str) -> Any:
    origin = typing.get_origin(expected)
    arguments = typing.get_args(expected)
    if dataclasses.is_dataclass(expected):
        return _decode_dataclass(raw, typing.cast(type[Any], expected), place)
    if origin in (types.UnionType, typing.Union):
        inner = next(argument for argument in arguments if argument is not types.NoneType)
        return None if raw is None else _decode(raw, inner, place)
    if origin is tuple:
        if not isinstance(raw, list):
            raise _mismatch(place, "a list", raw)
        return tuple(_decode(item, arguments[0], f"{place}[{index}]") for index, item in enumerate(raw))
    if origin is Mapping:
        if not isinstance(raw, dict):
            raise _mismatch(place, "an object", raw)
        return {key: _decode(item, arguments[1], f"{place}[{key!r}]") for key, item in raw.items()}
    if origin is typing.Literal:
        if raw not in arguments:
            raise _mismatch(place, " or ".join(map(repr, arguments)), raw)
        return raw
    return _decode_scalar(raw, expected, place)


def _decode_scalar(raw: Any, expected: Any, place: str) -> Any:
    if expected is float:
        if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
            raise _mismatch(place, "a finite number", raw)
        return float(raw)
    if expected is int:
        if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw) or raw != int(raw):
            raise _mismatch(place, "a whole number", raw)
        return int(raw)
    if not isinstance(raw, expected):
        raise _mismatch(place, {str: "a string", bool: "true or false"}[expected], raw)
    return raw


@cache
def _fields(document_type: Any) -> tuple[tuple[str, Any, bool], ...]:
    hints = typing.get_type_hints(document_type)
    return tuple(
        (
            field.name,
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(document_type)
    )


def _decode_dataclass(raw: Any, expected: type[Any], place: str) -> Any:
    if not isinstance(raw, dict):
        raise _mismatch(place, "an object", raw)
    fields = _fields(typing.cast(Hashable, expected))
    known = {name for name, _, _ in fields}
    unknown = [key for key in raw if key not in known]
    if unknown:
        raise InvalidDocumentError(f"{place}: unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
    values = {}
    for name, hint, required in fields:
        if name in raw:
            values[name] = _decode(raw[name], hint, f"{place}.{name}")
        elif required:
            raise InvalidDocumentError(f"{place}: the field {name!r} is missing")
    try:
        return expected(**values)
    except InvalidDocumentError as error:
        raise InvalidDocumentError(f"{place}: {error}") from None


def _mismatch(place: str, wanted: str, raw: Any) -> InvalidDocumentError:
    shown = repr(raw)
    return InvalidDocumentError(f"{place}: expected {wanted}, got {shown[:60] + ('…' if len(shown) > 60 else '')}")

"""Reduces Arrow's many storage types of a column to the few that matter here: text, bytes, {bytes, path}.

Writers choose dictionaries (pandas' category, polars' Categorical), views, large offsets, run ends or types of their
own for the same values; all give the same Python values.
"""

import pyarrow as pa


def plain(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, regardless of how they are stored."""
    while True:
        if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        else:
            return kind


def is_text(kind: pa.DataType) -> bool:
    """Whether values are texts."""
    kind = plain(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether values are bytes, or lists of them."""
    kind = plain(kind)
    binary = (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )
    return bool(binary or (is_list(kind) and pa.types.is_uint8(plain(kind.value_type))))


def is_list(kind: pa.DataType) -> bool:
    """Whether values are lists."""
    kind = plain(kind)
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def is_image(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold images: bytes, paths, or a struct of them."""
    kind = plain(kind)
    if not pa.types.is_struct(kind):
        return is_bytes(kind) or is_text(kind)
    inner = {field.name: field.type for field in kind}
    return any(name in inner and (is_bytes(inner[name]) or is_text(inner[name])) for name in ("bytes", "path"))

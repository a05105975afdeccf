"""The pprof format's messages, made at run time from the field numbers of its profile.proto.

So there is no generated file that would bind zeekspy to one version of protobuf. Source of the numbers:
github.com/google/pprof, proto/profile.proto.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SCHEMA: dict[str, list[tuple[int, str, str]]] = {
    "ValueType": [(1, "type", "int64"), (2, "unit", "int64")],
    "Label": [(1, "key", "int64"), (2, "str", "int64"), (3, "num", "int64"), (4, "num_unit", "int64")],
    "Sample": [(1, "location_id", "[]uint64"), (2, "value", "[]int64"), (3, "label", "[]Label")],
    "Mapping": [
        (1, "id", "uint64"),
        (2, "memory_start", "uint64"),
        (3, "memory_limit", "uint64"),
        (4, "file_offset", "uint64"),
        (5, "filename", "int64"),
        (6, "build_id", "int64"),
        (7, "has_functions", "bool"),
        (8, "has_filenames", "bool"),
        (9, "has_line_numbers", "bool"),
        (10, "has_inline_frames", "bool"),
    ],
    "Line": [(1, "function_id", "uint64"), (2, "line", "int64"), (3, "column", "int64")],
    "Location": [
        (1, "id", "uint64"),
        (2, "mapping_id", "uint64"),
        (3, "address", "uint64"),
        (4, "line", "[]Line"),
        (5, "is_folded", "bool"),
    ],
    "Function": [
        (1, "id", "uint64"),
        (2, "name", "int64"),
        (3, "system_name", "int64"),
        (4, "filename", "int64"),
        (5, "start_line", "int64"),
    ],
    "Profile": [
        (1, "sample_type", "[]ValueType"),
        (2, "sample", "[]Sample"),
        (3, "mapping", "[]Mapping"),
        (4, "location", "[]Location"),
        (5, "function", "[]Function"),
        (6, "string_table", "[]string"),
        (7, "drop_frames", "int64"),
        (8, "keep_frames", "int64"),
        (9, "time_nanos", "int64"),
        (10, "duration_nanos", "int64"),
        (11, "period_type", "ValueType"),
        (12, "period", "int64"),
        (13, "comment", "[]int64"),
        (14, "default_sample_type", "int64"),
        (15, "doc_url", "int64"),
    ],
}
"""Message: (number, name, type). A type that is no scalar is another message; [] marks a repeated field."""


def _message_class() -> Any:
    """The class of the message Profile, in a descriptor pool of its own."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="zeekspy/pprof", package="perftools.profiles", syntax="proto3")
    for message, fields in SCHEMA.items():
        described = file.message_type.add(name=message)
        for number, name, shape in fields:
            base = shape.removeprefix("[]")
            field = described.field.add(name=name, number=number)
            field.label = kinds.LABEL_REPEATED if base != shape else kinds.LABEL_OPTIONAL
            if base in SCHEMA:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{file.package}.{base}"
            else:
                field.type = kinds.Type.Value(f"TYPE_{base.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.Profile"))


Message: Any = _message_class()
"""The class of the top message, Profile."""

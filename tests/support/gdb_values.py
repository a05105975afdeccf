"""Runs inside gdb, on a core file of a Zeek that runs values.zeek: prints what Values::many's frame holds, by DWARF.

One JSON object: ``args`` and ``slots``, each a list of null or [class, what its members hold]. Numbers are 8 raw bytes
in hexadecimal. Knows Zeek's members by name alone, so that it shares nothing with zeekspy.
"""

import json

import gdb

gdb.execute("set language c++")  # it takes that of the innermost frame, which is libc's


def memory(address, length):
    return bytes(gdb.selected_inferior().read_memory(int(address), length)) if length else b""


def word(address):
    return int.from_bytes(memory(address, 8), "little")


def class_of(name):
    for candidate in (f"zeek::{name}", f"zeek::detail::{name}", name):
        try:
            return gdb.lookup_type(candidate)
        except gdb.error:
            pass
    raise KeyError(name)


def variable(*names):
    for name in names:
        try:
            return gdb.parse_and_eval(name)
        except gdb.error:
            pass
    raise KeyError(names)


def has(value, member):
    return any(
        field.name == member or (field.is_base_class and has(value.cast(field.type), member))
        for field in value.type.strip_typedefs().fields()
    )


def text(value):
    """Of a std::string or a char *."""
    if value.type.strip_typedefs().code == gdb.TYPE_CODE_PTR:
        return value.string()
    start, length = word(value.address), word(int(value.address) + 8)
    return memory(start, length).decode()


def pointers(value):
    """Of a std::vector of pointers."""
    begin, end = word(value.address), word(int(value.address) + 8)
    return [word(at) for at in range(begin, end, 8)]


def dynamic(pointer, base):
    value = gdb.Value(pointer).cast(class_of(base).pointer())
    return value.cast(value.dynamic_type).dereference()


def describe(pointer):
    if not pointer:
        return None
    val = dynamic(pointer, "Val")
    name = val.type.name.rpartition("::")[2]
    held = val["val"] if has(val, "val") else val
    if name == "StringVal":
        string = held["string_val"].dereference()
        return [name, memory(string["b"], int(string["n"])).hex()]
    if name == "AddrVal":
        return [name, memory(held["addr_val"].dereference()["in6"].address, 16).hex()]
    if name == "SubNetVal":
        prefix = held["subnet_val"].dereference()
        return [name, memory(prefix["prefix"]["in6"].address, 16).hex(), int(prefix["length"])]
    if name == "PatternVal":
        return [name, text(held["re_val"].dereference()["re_exact"].dereference()["pattern_text"])]
    if name == "TableVal":
        table = gdb.Value(word(held["table_val"].address)).cast(held["table_val"].type)
        return [name, int(table.dereference()["num_entries"]), keys(table.dereference())]
    if name == "VectorVal":
        return [name, vector(val)]
    if name == "RecordVal":
        return [name, record(val)]
    if name == "FuncVal":
        return [name, text(dynamic(word(held["func_val"].address), "Func")["name"])]
    if name == "FileVal":
        return [name, ""]
    if name == "Val" and str(val["type"].dereference()["tag"]) == "TYPE_FUNC":
        return [name, text(dynamic(word(held["func_val"].address), "Func")["name"])]
    if name == "Val":  # until 4.0: the union and the type's tag say what it is
        return ["Val", memory(val["val"].address, 8).hex(), str(val["type"].dereference()["tag"])]
    for member in ("int_val", "uint_val", "double_val"):
        if has(val, member):
            return [name, memory(val[member].address, 8).hex()]
    if has(val, "val"):
        return [name, memory(val["val"].address, 8).hex()]
    return [name]


def keys(table):
    """The raw keys of a Dictionary, in hexadecimal."""
    found = []
    if has(table, "tbl"):
        for i in range(int(table["num_buckets"])):
            chain = table["tbl"][i]
            entries = chain.dereference() if chain else None
            for k in range(int(entries["num_entries"]) if chain else 0):
                found.append(memory(entries["entries"][k]["key"], int(entries["entries"][k]["len"])).hex())
        return found
    entry = table["table"]
    while len(found) < int(table["num_entries"]):
        if int(entry["distance"]) != 0xFFFF:
            size = int(entry["key_size"])
            found.append(memory(entry["key_here"].address if size <= 8 else entry["key"], size).hex())
        entry += 1
    return found


def behind(value):
    """What a pointer points to; anything else itself."""
    return value.dereference() if value.type.strip_typedefs().code == gdb.TYPE_CODE_PTR else value


def optionals(value):
    """The elements of a std::vector<std::optional<ZVal>>: [whether there is one, 8 bytes]."""
    begin, end = word(value.address), word(int(value.address) + 8)
    return [[memory(at + 8, 1)[0], memory(at, 8).hex()] for at in range(begin, end, 16)]


def vector(val):
    """The elements: as optionals, or of Vals what describe says."""
    if has(val, "vector_val"):
        return optionals(behind(val["vector_val"]))
    return [describe(p) for p in pointers(val["val"]["vector_val"].dereference())]


def record(val):
    """How many fields there are, and how many of them are set."""
    if has(val, "num_fields"):
        count = int(val["num_fields"])
        fields = gdb.Value(word(val["record_val"].address)).cast(class_of("ZValElement").pointer())
        return [count, sum(bool(fields[i]["is_set"]) for i in range(count))]
    if has(val, "record_val"):
        fields = optionals(behind(val["record_val"]))
        return [len(fields), sum(is_set for is_set, _ in fields)]
    fields = val["val"]["val_list_val"].dereference()
    count = int(fields["num_entries"])
    return [count, sum(bool(fields["entries"][i]) for i in range(count))]


def frames():
    stack = variable("zeek::detail::call_stack", "call_stack")
    begin, end = word(stack.address), word(int(stack.address) + 8)
    kind = class_of("CallInfo")
    entries = [gdb.Value(at).cast(kind.pointer()).dereference() for at in range(begin, end, kind.sizeof)]
    if has(entries[0], "frame"):
        return [e["frame"].dereference() for e in entries]
    kind = class_of("Frame").pointer()
    return [gdb.Value(p).cast(kind).dereference() for p in pointers(variable("g_frame_stack"))]


def main():
    for frame in frames():
        if text(dynamic(word(frame["function"].address), "Func")["name"]) != "Values::many":
            continue
        passed = frame["func_args"].dereference()
        if has(passed, "num_entries"):
            args = [int(passed["entries"][i]) for i in range(int(passed["num_entries"]))]
        else:
            args = pointers(passed)
        base = word(frame["frame"].address)
        kind = frame["frame"].type.strip_typedefs()
        held = kind.target() if kind.code == gdb.TYPE_CODE_PTR else kind.template_argument(0).target()
        slots = [word(base + held.sizeof * i) for i in range(int(frame["size"]))]
        print("VALUES " + json.dumps({"args": [describe(p) for p in args], "slots": [describe(p) for p in slots]}))


main()

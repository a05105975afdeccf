"""What Zeek calls things, era by era: the one module that knows the names of its classes, members and globals.

Three eras of names (src/ of Zeek v3.0.0 to 9.1.0-dev): global ones up to 3.1, a mix in 3.2, ``zeek::`` and
``zeek::detail::`` from 4.0 on. A new Zeek that renames something needs an alternative here and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Need = Literal["core", "chain", "extra"]
"""core: every walk needs it. chain: a version that has the class has it. extra: some versions have it, others not."""


@dataclass(frozen=True, slots=True)
class Member:
    """One field of a layout: ``name`` within its class, and where C++ keeps it, the first path that exists.

    A path is dotted where it leads through a member: ``val.func_val`` is func_val of the union val.
    """

    name: str
    paths: tuple[str, ...]
    need: Need
    width: bool
    """Whether sizeof.CLASS.MEMBER is wanted too: its width differs between versions."""


@dataclass(frozen=True, slots=True)
class ZeekClass:
    """A class of Zeek's, as layouts name it (``name``) and as C++ did over time (``cpp``, the newest first)."""

    name: str
    cpp: tuple[str, ...]
    units: tuple[str, ...]
    """Source files in whose debug info to look first: where the class's virtual functions are defined."""
    members: tuple[Member, ...]
    size: Need | None
    """Whether sizeof.CLASS is wanted."""


def _class(
    name: str,
    cpp: str,
    units: str = "",
    core: str = "",
    chain: str = "",
    extra: str = "",
    size: Need | None = None,
) -> ZeekClass:
    """Members are words: ``name``, ``name#`` (with its width), ``name=path|path`` (kept elsewhere in some versions)."""
    members = []
    needs: tuple[tuple[Need, str], ...] = (("core", core), ("chain", chain), ("extra", extra))
    for need, words in needs:
        for word in words.split():
            field, _, paths = word.partition("=")
            bare = field.rstrip("#")
            members.append(Member(bare, tuple(paths.split("|")) if paths else (bare,), need, field != bare))
    return ZeekClass(name, tuple(cpp.split()), tuple(units.split()), tuple(members), size)


CLASSES: tuple[ZeekClass, ...] = (
    _class(
        "CallInfo",
        "zeek::detail::CallInfo zeek::CallInfo CallInfo",
        "Func.cc Frame.cc",
        core="call",
        extra="func frame args",
        size="core",
    ),
    _class(
        "Frame",
        "zeek::detail::Frame zeek::Frame Frame",
        "Frame.cc Func.cc",
        core="function next_stmt call func_args",
        extra="frame size current_offset captures captures_offset_map call_loc",
        size="core",
    ),
    _class("Frame.Element", "zeek::detail::Frame::Element", "Frame.cc", extra="val", size="extra"),
    _class("Obj", "zeek::Obj Obj BroObj", "Obj.cc", core="location", extra="ref_cnt", size="extra"),
    _class(
        "Location",
        "zeek::detail::Location zeek::Location Location",
        "Obj.cc Func.cc",
        core="filename first_line last_line",
        size="core",
    ),
    _class("Func", "zeek::Func Func", "Func.cc", core="name kind# bodies type", extra="scope", size="core"),
    _class(
        "Func.Body",
        "zeek::Func::Body Func::Body",
        "Func.cc",
        core="stmts",
        extra="priority disabled",
        size="core",
    ),
    _class(
        "Stmt",
        "zeek::detail::Stmt zeek::Stmt Stmt",
        "Stmt.cc",
        core="tag# access_count",
        extra="last_access",
        size="extra",
    ),
    _class("StmtList", "zeek::detail::StmtList StmtList", "Stmt.cc", chain="stmts#"),
    # Its members become fields only where a StmtList uses one, see LIST_FIELD.
    _class("List", "zeek::List< List<", "Stmt.cc"),
    _class("Expr", "zeek::detail::Expr Expr", "Expr.cc", chain="tag#", extra="type", size="extra"),
    _class("CallExpr", "zeek::detail::CallExpr CallExpr", "Expr.cc", chain="func", extra="args"),
    _class("NameExpr", "zeek::detail::NameExpr NameExpr", "Expr.cc", chain="id"),
    _class(
        "ID",
        "zeek::detail::ID zeek::ID ID",
        "ID.cc Func.cc",
        chain="val",
        extra="name type attrs offset scope# is_export is_const is_enum_const is_type is_option",
    ),
    _class("FuncType", "zeek::FuncType FuncType", "Type.cc", core="flavor#", extra="args yield"),
    # Up to 4.0 there is no such class: a Val with a union holds functions and numbers.
    _class("FuncVal", "zeek::FuncVal FuncVal zeek::Val Val", "Val.cc", chain="func_val=func_val|val.func_val"),
    # The self-check walks these from the event registry.
    _class("EventRegistry", "zeek::EventRegistry EventRegistry", "EventRegistry.cc", chain="handlers"),
    _class(
        "EventHandler",
        "zeek::EventHandler EventHandler",
        "EventHandler.cc EventRegistry.cc",
        chain="name local",
        extra="type used enabled",
        size="chain",
    ),
    # Chained up to 3.2, open addressing from 4.0 on, a template from 5.1 on: its parameter does not change the layout.
    _class(
        "Dictionary",
        "zeek::Dictionary< zeek::Dictionary Dictionary",
        "Dict.cc Val.cc",
        extra="tbl num_buckets num_entries tbl2 num_buckets2 num_entries2 table log2_buckets capacity max_entries "
        "order",
        size="extra",
    ),
    _class(
        "DictEntry",
        "zeek::detail::DictEntry< zeek::detail::DictEntry zeek::DictEntry DictEntry",
        "Dict.cc Val.cc",
        extra="value key len hash distance# key_size#",
        size="extra",
    ),
    # State of the script interpreter beyond the stack: variables, values, attributes.
    _class("Scope", "zeek::detail::Scope Scope", "Scope.cc", extra="scope_id local ordered_vars"),
    _class("Type", "zeek::Type BroType", "Type.cc", extra="tag# name"),
    _class("RecordType", "zeek::RecordType RecordType", "Type.cc", extra="num_fields types"),
    _class("TypeDecl", "zeek::TypeDecl TypeDecl", "Type.cc", extra="id type attrs"),
    # As RecordType.types points to. Not named List: a table with List.entries says that a StmtList holds one.
    _class("PList", "zeek::List< List<", "Type.cc", extra="entries num_entries"),
    _class("TypeList", "zeek::TypeList TypeList", "Type.cc", extra="types pure_type"),
    _class("TableType", "zeek::TableType TableType", "Type.cc", extra="yield_type indices"),
    _class("VectorType", "zeek::VectorType VectorType", "Type.cc", extra="yield_type"),
    _class("FileType", "zeek::FileType FileType", "Type.cc", extra="yield"),
    _class("TypeType", "zeek::TypeType TypeType", "Type.cc", extra="type"),
    _class("EnumType", "zeek::EnumType EnumType", "Type.cc", extra="names"),
    _class("OpaqueType", "zeek::OpaqueType OpaqueType", "Type.cc", extra="name"),
    _class("Val", "zeek::Val Val", "Val.cc", extra="type val", size="extra"),
    _class("IntVal", "zeek::detail::IntValImplementation zeek::Val Val", "Val.cc", extra="int_val=int_val|val.int_val"),
    _class(
        "CountVal",
        "zeek::detail::UnsignedValImplementation zeek::Val Val",
        "Val.cc",
        extra="uint_val=uint_val|val.uint_val",
    ),
    _class(
        "DoubleVal",
        "zeek::detail::DoubleValImplementation zeek::Val Val",
        "Val.cc",
        extra="double_val=double_val|val.double_val",
    ),
    _class("StringVal", "zeek::StringVal StringVal", "Val.cc", extra="string_val=string_val|val.string_val"),
    _class("String", "zeek::String BroString", "ZeekString.cc BroString.cc Val.cc", extra="b n"),
    _class("AddrVal", "zeek::AddrVal AddrVal", "Val.cc", extra="addr_val=addr_val|val.addr_val"),
    _class("SubNetVal", "zeek::SubNetVal SubNetVal", "Val.cc", extra="subnet_val=subnet_val|val.subnet_val"),
    _class("IPAddr", "zeek::IPAddr IPAddr", "IPAddr.cc Val.cc", extra="in6"),
    _class("IPPrefix", "zeek::IPPrefix IPPrefix", "IPAddr.cc Val.cc", extra="prefix length"),
    _class("PatternVal", "zeek::PatternVal PatternVal", "Val.cc", extra="re_val=re_val|val.re_val"),
    _class("RE_Matcher", "zeek::RE_Matcher RE_Matcher", "RE.cc Val.cc", extra="re_exact"),
    _class(
        "Specific_RE_Matcher",
        "zeek::detail::Specific_RE_Matcher zeek::Specific_RE_Matcher Specific_RE_Matcher",
        "RE.cc Val.cc",
        extra="pattern_text#",
    ),
    _class("FileVal", "zeek::FileVal FileVal zeek::Val Val", "Val.cc", extra="file_val=file_val|val.file_val"),
    _class("File", "zeek::File File BroFile", "File.cc Val.cc", extra="name t"),
    _class("ListVal", "zeek::ListVal ListVal", "Val.cc", extra="vals"),
    _class(
        "TableVal",
        "zeek::TableVal TableVal",
        "Val.cc",
        extra="table_val=table_val|val.table_val attrs expire_time",
    ),
    _class("TableEntryVal", "zeek::TableEntryVal TableEntryVal", "Val.cc", extra="val expire_access_time"),
    _class("VectorVal", "zeek::VectorVal VectorVal", "Val.cc", extra="vector_val=vector_val|val.vector_val"),
    _class(
        "RecordVal",
        "zeek::RecordVal RecordVal",
        "Val.cc",
        extra="record_val=record_val|val.record_val|val.val_list_val num_fields rt",
    ),
    _class("ZValElement", "zeek::ZValElement", "Val.cc", extra="is_set is_managed tag zval", size="extra"),
    _class("Attributes", "zeek::detail::Attributes Attributes", "Attr.cc", extra="attrs"),
    _class("Attr", "zeek::detail::Attr Attr", "Attr.cc", extra="tag# expr"),
    # Optimized bodies (-O ZAM), Zeek 4.2+.
    _class(
        "ZBody",
        "zeek::detail::ZBody",
        "ZBody.cc",
        extra="func_name insts end_pc=end_pc|ninst frame_denizens frame_size fixed_frame globals inst_cnt ncall "
        "tot_CPU_time",
    ),
    _class("ZInst", "zeek::detail::ZInst", "ZBody.cc ZInst.cc", extra="op# v1 aux loc call_expr func", size="extra"),
    _class("ZAMLocInfo", "zeek::detail::ZAMLocInfo", "ZBody.cc Profile.cc", extra="func_name modules loc parent"),
    _class("GlobalInfo", "zeek::detail::GlobalInfo", "ZBody.cc", extra="id slot", size="extra"),
    # Events waiting and being dispatched.
    _class(
        "EventMgr",
        "zeek::EventMgr EventMgr",
        "Event.cc",
        extra="num_events_queued num_events_dispatched current head tail",
    ),
    _class("Event", "zeek::Event Event", "Event.cc", extra="handler next_event"),
)

BY_NAME: Mapping[str, ZeekClass] = MappingProxyType({c.name: c for c in CLASSES})

LIST_FIELD = ("StmtList", "stmts")
LIST_MEMBERS = ("entries", "num_entries")
"""Of the List that StmtList.stmts is, or points to, before Zeek 6.1; then it became a std::vector."""

VECTOR, VECTOR_SIZE = b"vector<", 24
"""A std::vector is three pointers in every C++ library. Clang often declares one without its size."""

EITHER = (("CallInfo.func", "CallInfo.frame"),)
"""Of these exactly one exists: functions are in the call stack up to 8.0, frames from 8.1 on."""

STRING_FIELD = ("Func", "name")
"""A std::string: its size tells the C++ library."""

STRING_SIZES: Mapping[int, str] = MappingProxyType({32: "libstdc++", 24: "libc++", 8: "libstdc++-old"})
"""sizeof(std::string) to the name of its layout."""

SYMBOLS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "call_stack": ("_ZN4zeek6detail10call_stackE", "call_stack"),
        "g_frame_stack": ("g_frame_stack", "_ZN4zeek6detail13g_frame_stackE"),
        "version": ("version",),
        "event_registry": ("_ZN4zeek14event_registryE", "event_registry"),
        "event_mgr": ("_ZN4zeek9event_mgrE", "mgr"),
        "network_time": ("_ZN4zeek9run_state12network_timeE", "network_time"),
        "processing_start_time": ("_ZN4zeek9run_state21processing_start_timeE", "processing_start_time"),
        "zeek_start_time": ("_ZN4zeek9run_state15zeek_start_timeE", "bro_start_time"),
        "terminating": ("_ZN4zeek9run_state11terminatingE", "terminating"),
        "num_events_queued": ("num_events_queued",),
        "num_events_dispatched": ("num_events_dispatched",),
        "global_scope": ("_ZN4zeek6detail12global_scopeEv", "_Z12global_scopev"),
        "script_coverage_mgr": ("_ZN4zeek6detail19script_coverage_mgrE", "brofiler"),
        "current_connections": (
            "_ZN4zeek10Connection19current_connectionsE",
            "_ZN10Connection19current_connectionsE",
        ),
        "current_timers": ("_ZN4zeek6detail8TimerMgr14current_timersE", "_ZN8TimerMgr14current_timersE"),
    }
)
"""Globals by the name layouts use, to the mangled names they have had, the newest first.

In Zeek 4.0 the old global names stay as references beside the new ones: their symbols hold an address.
"""

NEEDED_SYMBOLS = ("call_stack", "version")
"""Without these a file is not a Zeek, or not one that can be profiled."""

VERSION_FUNCTIONS = (b"zeek_version_", b"bro_version_")
"""A symbol every Zeek defines begins so. It ends in ``_debug`` if built with -DDEBUG, when classes are larger."""


def is_debug_build(names: Callable[[bytes], list[bytes]]) -> bool:
    """Whether this is a build with -DDEBUG; ``names`` finds the symbols of an executable that begin so (Elf.names)."""
    found = [name for start in VERSION_FUNCTIONS for name in names(start) if name[len(start) :][:1].isdigit()]
    return bool(found) and all(name.endswith(b"_debug") for name in found)


def zam_tag(version: str) -> int | None:
    """The number of STMT_ZAM, the tag of bodies compiled with -O ZAM (StmtEnums.h); None before Zeek 4.2."""
    m = re.match(r"(\d+)\.(\d+)", version)
    if m is None or (int(m[1]), int(m[2])) < (4, 2):
        return None
    return 21 if int(m[1]) < 7 else 19


def list_tag(version: str) -> int:
    """The number of STMT_LIST, the tag of a StmtList (StmtEnums.h): 13 until Zeek 6.2, 11 from 7.0 on."""
    m = re.match(r"(\d+)", version)
    return 13 if m is not None and 3 <= int(m[1]) < 7 else 11


def func_tag(version: str) -> int:
    """The number of TYPE_FUNC, the tag of a FuncType (Type.h): 20 until Zeek 4.0, 19 in 4.1 and 4.2, then 17."""
    m = re.match(r"(\d+)\.(\d+)", version)
    series = (int(m[1]), int(m[2])) if m is not None else (9, 0)
    return 20 if series < (4, 1) else 19 if series < (5, 0) else 17


_OLD_TYPES = (
    *("void", "bool", "int", "count", "counter", "double", "time", "interval", "string", "pattern", "enum", "timer"),
    *("port", "addr", "subnet", "any", "table", "union", "record", "list", "func", "file", "vector", "opaque", "type"),
    "error",
)


def type_tags(version: str) -> tuple[str, ...]:
    """The script types by their TypeTag (Type.h). 4.1 lost TYPE_COUNTER, 5.0 TYPE_TIMER and TYPE_UNION."""
    gone = (
        {"counter"} if func_tag(version) == 19 else {"counter", "timer", "union"} if func_tag(version) == 17 else set()
    )
    return tuple(name for name in _OLD_TYPES if name not in gone)


@dataclass(frozen=True, slots=True)
class Containers:
    """How a version holds what containers hold, as far as offsets do not tell."""

    plists: bool
    """Until 3.1: arguments, lists and attributes are a PList, not a std::vector."""
    vals: bool
    """Until 4.0: vectors and records hold pointers to Vals; then ZVals, which lack a type."""
    indirect: bool
    """Until 6.0: behind a pointer, not in the object itself."""
    doubles: Literal["six", "all", "shortest"]
    """How a double above 2^31 or below 1e-6 prints: with six digits until 3.2, with 17 until 8.1, then shorter."""


def containers(version: str) -> Containers:
    m = re.match(r"(\d+)\.(\d+)", version)
    series = (int(m[1]), int(m[2])) if m is not None else (9, 0)
    doubles: Literal["six", "all", "shortest"] = "six" if series < (4, 0) else "all" if series < (8, 2) else "shortest"
    return Containers(series < (3, 2), series < (4, 1), series < (6, 1), doubles)


def table_tag(version: str) -> int:
    """The number of TYPE_TABLE, the tag of a TableType (Type.h): 16 until Zeek 4.0, 15 in 4.1 and 4.2, then 14."""
    return func_tag(version) - (4 if func_tag(version) > 17 else 3)

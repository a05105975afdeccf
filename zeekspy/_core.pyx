"""The C core for Python: ownership and exceptions, no logic. What the types mean stands in csrc/zs.h."""

from cpython.buffer cimport Py_buffer, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport calloc, free

from zeekspy.errors import AccessDenied, BadLayout, CoreError, NoSuchTarget

CODES = {"OK": 0, "EGONE": -1, "EPERM": -2, "ELAYOUT": -3, "ENOMEM": -4, "EINVAL": -5, "ESYS": -6}
SAMPLE_FLAGS = {"torn": 1, "unreadable": 2, "stale": 4, "truncated": 8, "on-cpu": 16, "lineless": 32}
FRAME_FLAGS = {"unreadable": 1, "top-level": 2, "call": 4}
KINDS = (None, "function", "event", "hook", "bif")
MAX_READ = 1 << 26


def _engines():
    names = []
    while zs_engine_name(len(names)) != NULL:
        names.append(zs_engine_name(len(names)).decode())
    return tuple(names)


ENGINES = _engines()


def code_name(int code):
    return zs_code_name(code).decode()


def _layout_fields():
    cdef size_t i = 0
    names = []
    while zs_layout_field(i) != NULL:
        names.append(zs_layout_field(i).decode())
        i += 1
    return tuple(names)


LAYOUT_FIELDS = _layout_fields()
COST_NS = tuple([zs_cost_ns(i) for i in range(ZS_HISTOGRAM)])

cdef dict _WHY = {2: "is missing", 34: "is absurd", 17: "overlaps another"}


cdef int check(int rc, zs_error *error) except -1:
    if rc >= 0:
        return 0
    import errno
    import os
    what = error.what.decode() if error.what != NULL else "?"
    why = os.strerror(error.errnum) if error.errnum else code_name(rc)
    if rc == -1:
        raise NoSuchTarget(f"the target has gone ({what})")
    if rc == -2 and error.errnum == errno.EBUSY:
        raise AccessDenied(f"process {error.addr} traces the target already", "End that process first, or detach it.")
    if rc == -2:
        raise AccessDenied(f"the kernel refuses access to the target's memory ({what}: {why})")
    if rc == -3:
        raise BadLayout(f"layout: {what} {_WHY.get(error.errnum, 'is wrong')} ({error.addr})")
    if rc == -4:
        raise MemoryError(what)
    if rc == -5:
        raise ValueError(f"{what} is out of range")
    raise CoreError(f"{what}: {why}")


cdef int fill_layout(zs_layout *layout, object fields, int stdlib) except -1:
    zs_layout_init(layout)
    layout.stdlib = stdlib
    for name, value in fields.items():
        if name in LAYOUT_FIELDS and value is not None:
            if not -(1 << 62) < value < 1 << 62 or zs_layout_set(layout, name.encode(), value) < 0:
                raise BadLayout(f"layout: {name} is absurd ({value})")
    return 0


def validate_layout(fields, int stdlib):
    """Raises BadLayout that names the field."""
    cdef zs_layout layout
    cdef zs_error error
    fill_layout(&layout, fields, stdlib)
    check(zs_layout_validate(&layout, &error), &error)


cdef class Memory:
    """An address space that can be read: a live process or a saved image."""

    cdef zs_reader *reader
    cdef zs_segment *segments
    cdef Py_buffer *buffers
    cdef size_t held

    def __init__(self):
        raise TypeError("use Memory.process or Memory.image")

    def __dealloc__(self):
        cdef size_t i
        zs_reader_destroy(self.reader)
        free(self.segments)
        for i in range(self.held):
            PyBuffer_Release(&self.buffers[i])
        free(self.buffers)

    @staticmethod
    def process(int pid, *, bint no_vm_readv=False):
        """The memory of process ``pid``. Raises NoSuchTarget or AccessDenied."""
        cdef Memory self = Memory.__new__(Memory)
        cdef zs_error error
        check(zs_reader_open_process(pid, ZS_NO_VM_READV if no_vm_readv else 0, &self.reader, &error), &error)
        return self

    @staticmethod
    def image(segments):
        """Saved bytes: (address, bytes) pairs sorted by address and not overlapping. ValueError if they are not.

        Any contiguous buffer will do for bytes, such as a memoryview of a mapped file; it is not copied.
        """
        cdef Memory self = Memory.__new__(Memory)
        cdef zs_error error
        cdef size_t i, n = len(segments)
        self.segments = <zs_segment *>calloc(n + 1, sizeof(zs_segment))
        self.buffers = <Py_buffer *>calloc(n + 1, sizeof(Py_buffer))
        if self.segments == NULL or self.buffers == NULL:
            raise MemoryError
        for i in range(n):
            address, data = segments[i]
            self.segments[i].addr = address
            PyObject_GetBuffer(data, &self.buffers[i], PyBUF_SIMPLE)
            self.held = i + 1
            self.segments[i].bytes = self.buffers[i].buf
            self.segments[i].len = self.buffers[i].len
        check(zs_reader_open_image(self.segments, n, &self.reader, &error), &error)
        return self

    @property
    def method(self):
        return zs_reader_method(self.reader).decode()

    def read(self, uint64_t address, uint32_t length):
        """Up to ``length`` bytes: fewer where memory ends, none where there is none."""
        cdef zs_error error
        cdef zs_span span
        if length > MAX_READ:
            raise ValueError(f"length is more than {MAX_READ}")
        cdef bytearray buf = bytearray(length)
        span.addr = address
        span.buf = <char *>buf
        span.len = length
        span.got = 0
        check(zs_reader_read(self.reader, &span, 1, &error), &error)
        return bytes(buf[:span.got])

    def read_many(self, addresses, uint32_t length):
        """``read`` of every address, in as few system calls as possible."""
        cdef zs_error error
        cdef size_t i, n = len(addresses)
        cdef zs_span *spans
        cdef bytearray buf
        if n * length > MAX_READ:
            raise ValueError(f"{n} times {length} is more than {MAX_READ}")
        buf = bytearray(n * length)
        spans = <zs_span *>calloc(n + 1, sizeof(zs_span))
        if spans == NULL:
            raise MemoryError
        try:
            for i in range(n):
                spans[i].addr = addresses[i]
                spans[i].buf = <char *>buf + i * length
                spans[i].len = length
            check(zs_reader_read(self.reader, spans, n, &error), &error)
            return [(<const char *>spans[i].buf)[:spans[i].got] for i in range(n)]
        finally:
            free(spans)

    def remember(self, size_t limit):
        """From now on keeps what is read, up to ``limit`` bytes; 0 forgets and stops."""
        zs_reader_remember(self.reader, limit)

    def remembered(self):
        """(address, bytes) of every read since ``remember``, in order."""
        cdef const zs_segment *segment
        cdef size_t i = 0
        result = []
        while True:
            segment = zs_reader_remembered(self.reader, i)
            if segment == NULL:
                return result
            result.append((segment.addr, (<const char *>segment.bytes)[:segment.len]))
            i += 1


cdef object definitions(const zs_definitions *d):
    """The lists of the new strings, funcs, frames and stacks; a func's bodies and a stack's frame ids come with it."""
    cdef uint32_t i, k
    strings = [d.bytes[d.strings[i].start:d.strings[i].start + d.strings[i].len].decode("utf-8", "surrogateescape")
               for i in range(d.nstrings)]
    funcs = []
    for i in range(d.nfuncs):
        bodies = []
        for k in range(d.funcs[i].body, d.funcs[i].body + d.funcs[i].nbodies):
            bodies.append((d.bodies[k].file, d.bodies[k].first_line, d.bodies[k].last_line, d.bodies[k].tag,
                           d.bodies[k].stmt))
        funcs.append((d.funcs[i].name, d.funcs[i].kind, tuple(bodies)))
    frames = [(d.frames[i].func, d.frames[i].file, d.frames[i].line, d.frames[i].flags) for i in range(d.nframes)]
    stacks = []
    for i in range(d.nstacks):
        stacks.append(tuple([d.frame_ids[k]
                             for k in range(d.stacks[i].start, d.stacks[i].start + d.stacks[i].depth)]))
    return strings, funcs, frames, stacks


cdef class Walker:
    """One stack at a time of one address space through one layout."""

    cdef zs_walker *walker
    cdef readonly Memory memory
    cdef zs_definitions seen

    def __init__(self, Memory memory not None, fields, int stdlib, *, int pid=0, uint64_t call_stack,
                 uint64_t g_frame_stack=0, stack=(0, 0), data=(0, 0), uint64_t dispatched=0):
        cdef zs_error error
        cdef zs_layout layout
        cdef zs_target target
        if self.walker != NULL:
            raise TypeError("initialised twice")
        fill_layout(&layout, fields, stdlib)
        target.pid = pid
        target.call_stack = call_stack
        target.g_frame_stack = g_frame_stack
        target.stack_low, target.stack_high = stack
        target.data_low, target.data_high = data
        target.dispatched = dispatched
        self.memory = memory
        check(zs_walker_create(memory.reader, &layout, &target, &self.walker, &error), &error)

    def __dealloc__(self):
        zs_walker_destroy(self.walker)

    def walk(self):
        """(stack id, flags, depth, stale entries left out) of the stack as it is now."""
        cdef zs_look look
        cdef zs_error error
        check(zs_walk(self.walker, &look, &error), &error)
        return look.stack, look.flags, look.depth, look.stale

    def define(self, addresses):
        """The func ids of the Funcs at these addresses, 0 where there is none; ``definitions`` says what they are."""
        cdef uint32_t func
        cdef zs_error error
        result = []
        for address in addresses:
            check(zs_walker_define(self.walker, address, &func, &error), &error)
            result.append(func)
        return result

    def definitions(self):
        """(strings, funcs, frames, stacks) made since the last call; ids go on from there."""
        cdef zs_definitions new
        zs_walker_definitions(self.walker, &self.seen, &new)
        self.seen = new
        return definitions(&new)


cdef class Batch:
    """What one poll brought: ``runs`` of (t_ns, stack, flags, count, cpu_ns, wall_ns) and the definitions they need."""

    cdef readonly list runs
    cdef readonly tuple definitions
    # What these hold stands in _core.pyi.
    cdef readonly list dispatches
    cdef readonly list bounds
    cdef readonly tuple dispatching
    cdef readonly object lost
    """None, or the exception that ended the sampling; what was sampled before it is in the batch."""


cdef tuple dispatch(const zs_dispatch *d):
    return d.stack, d.begin_ns, d.end_ns, d.samples


cdef Batch batch_of(const zs_batch *batch, int rc, zs_error *error):
    cdef size_t i
    cdef Batch result = Batch.__new__(Batch)
    result.definitions = definitions(&batch.definitions)
    result.runs = []
    for i in range(batch.nruns):
        result.runs.append((batch.runs[i].t_ns, batch.runs[i].stack, batch.runs[i].flags, batch.runs[i].count,
                            batch.runs[i].cpu_ns, batch.runs[i].wall_ns))
    if batch.counted or batch.ndispatches:
        result.dispatches = [dispatch(&batch.dispatches[i]) for i in range(batch.ndispatches)]
        result.bounds = [(batch.dispatches[i].after_ns, batch.dispatches[i].before_ns) for i in range(batch.ndispatches)]
        result.dispatching = dispatch(&batch.dispatching) if batch.dispatching.samples else None
    try:
        check(rc, error)
    except Exception as e:
        result.lost = e
    return result


cdef class Sampler:
    """A walker on a clock."""

    cdef zs_sampler *sampler
    cdef readonly Walker walker

    def __init__(self, Walker walker not None, int pid, double hz, uint64_t seed, *, engine="nonblocking", avoid=()):
        cdef zs_error error
        cdef uint32_t *cpus
        cdef size_t i, n = len(avoid)
        if self.sampler != NULL:
            raise TypeError("initialised twice")
        self.walker = walker
        check(zs_sampler_create(walker.walker, pid, ENGINES.index(engine), hz, seed, &self.sampler, &error), &error)
        cpus = <uint32_t *>calloc(n + 1, sizeof(uint32_t))
        if cpus == NULL:
            raise MemoryError
        try:
            for i in range(n):
                cpus[i] = avoid[i]
            zs_sampler_avoid(self.sampler, cpus, n)
        finally:
            free(cpus)

    def __dealloc__(self):
        zs_sampler_destroy(self.sampler)

    def use(self, engine):
        """Goes on with another engine, between polls."""
        cdef zs_error error
        check(zs_sampler_use(self.sampler, ENGINES.index(engine), &error), &error)

    def poll(self, uint64_t budget_ns, *, bint go_on=False):
        """Samples for ``budget_ns`` or until a signal arrives, without the GIL; with ``go_on`` on until the next poll."""
        cdef zs_batch batch
        cdef zs_error error
        cdef int rc
        with nogil:
            rc = zs_sampler_poll(self.sampler, budget_ns, &batch, &error)
        result = batch_of(&batch, rc, &error)
        if go_on and rc >= 0:
            zs_sampler_go_on(self.sampler)
        return result

    def set_hz(self, double hz):
        """Goes on at another rate. ValueError if there is none such."""
        cdef zs_error error
        check(zs_sampler_set_hz(self.sampler, hz, &error), &error)

    def counts(self):
        """(samples, script, unreadable, lineless, missed, started_ns, last_ns): the few that each poll looks at."""
        cdef const zs_stats *s = zs_sampler_stats(self.sampler)
        return s.samples, s.script, s.unreadable, s.lineless, s.missed, s.started_ns, s.last_ns

    def stats(self):
        """The counters of struct zs_stats by name; ``cost`` is the histogram over COST_NS."""
        cdef const zs_stats *s = zs_sampler_stats(self.sampler)
        return {
            "samples": s.samples, "script": s.script, "core": s.core, "idle": s.idle, "torn": s.torn,
            "unreadable": s.unreadable, "lineless": s.lineless, "truncated": s.truncated, "stale": s.stale,
            "missed": s.missed, "reads": s.reads, "read_bytes": s.read_bytes, "overflow": s.overflow, "cpu_ns": s.cpu_ns,
            "waited_ns": s.waited_ns, "seen_ns": s.seen_ns, "undispatched": s.undispatched,
            "realtime": bool(s.realtime), "started_ns": s.started_ns, "last_ns": s.last_ns,
            "cost": [s.cost[i] for i in range(ZS_HISTOGRAM)],
        }


cdef class Crew:
    """Samplers of the engine nonblocking that share a thread and a clock."""

    cdef zs_crew *crew

    def __init__(self, double hz, uint64_t seed):
        cdef zs_error error
        if self.crew != NULL:
            raise TypeError("initialised twice")
        check(zs_crew_create(hz, seed, &self.crew, &error), &error)

    def __dealloc__(self):
        zs_crew_destroy(self.crew)

    def set_hz(self, double hz):
        """Goes on at another rate. ValueError if there is none such."""
        cdef zs_error error
        check(zs_crew_set_hz(self.crew, hz, &error), &error)

    def poll(self, samplers, uint64_t budget_ns):
        """Has all of them sample for ``budget_ns`` or until a signal arrives, without the GIL: a Batch of each."""
        cdef zs_error error
        cdef zs_batch batch
        cdef int rc
        cdef size_t i, n = len(samplers)
        cdef list held = list(samplers)
        cdef zs_sampler **members = <zs_sampler **>calloc(n + 1, sizeof(zs_sampler *))
        if members == NULL:
            raise MemoryError
        try:
            for i in range(n):
                members[i] = (<Sampler?>held[i]).sampler
            with nogil:
                rc = zs_crew_poll(self.crew, members, n, budget_ns, &error)
            check(rc, &error)
            result = []
            for i in range(n):
                rc = zs_sampler_batch(members[i], &batch, &error)
                result.append(batch_of(&batch, rc, &error))
            return result
        finally:
            free(members)


def confine(*, bint stops=False, bint publish=False, bint serve=False, int child=0, uint64_t capabilities=0):
    """Gives up, for good, what sampling does not need. CoreError where the kernel has no seccomp filters."""
    cdef zs_error error
    cdef int flags = (ZS_ALLOW_STOPS if stops else 0) | (ZS_ALLOW_PUBLISH if publish else 0)
    flags |= ZS_ALLOW_SERVE if serve else 0
    check(zs_confine(flags, child, capabilities, &error), &error)


def drop(uint64_t capabilities):
    """Gives up all other capabilities, and the way to new ones, for good. CoreError where the kernel refuses."""
    cdef zs_error error
    check(zs_drop(capabilities, &error), &error)

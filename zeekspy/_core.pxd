# zs.h as Cython sees it: the mirror, nothing more.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from "zs.h" nogil:
    enum:
        ZS_HISTOGRAM
        ZS_NO_VM_READV

    struct zs_error:
        int code
        int errnum
        uint64_t addr
        const char *what

    const char *zs_code_name(int code)

    struct zs_layout:
        int32_t stdlib

    void zs_layout_init(zs_layout *ret)
    const char *zs_layout_field(size_t i)
    int zs_layout_set(zs_layout *layout, const char *name, int64_t value)
    int zs_layout_validate(const zs_layout *layout, zs_error *error)

    struct zs_span:
        uint64_t addr
        void *buf
        uint32_t len
        uint32_t got

    struct zs_segment:
        uint64_t addr
        const void *bytes
        uint64_t len

    struct zs_reader
    int zs_reader_open_process(int pid, int flags, zs_reader **ret, zs_error *error)
    int zs_reader_open_image(const zs_segment *segments, size_t n, zs_reader **ret, zs_error *error)
    int zs_reader_read(zs_reader *reader, zs_span *spans, size_t n, zs_error *error)
    int zs_reader_remember(zs_reader *reader, size_t limit)
    const zs_segment *zs_reader_remembered(const zs_reader *reader, size_t i)
    const char *zs_reader_method(const zs_reader *reader)
    void zs_reader_destroy(zs_reader *reader)

    struct zs_string:
        uint32_t start
        uint32_t len

    struct zs_func:
        uint32_t name
        uint32_t kind
        uint32_t body
        uint32_t nbodies

    struct zs_body:
        uint32_t file
        uint32_t first_line
        uint32_t last_line
        uint32_t tag
        uint64_t stmt

    struct zs_frame:
        uint32_t func
        uint32_t file
        uint32_t line
        uint32_t flags

    struct zs_stack:
        uint32_t start
        uint32_t depth

    struct zs_definitions:
        uint32_t first_string, nstrings, first_func, nfuncs, first_frame, nframes, first_stack, nstacks
        const zs_string *strings
        const zs_func *funcs
        const zs_frame *frames
        const zs_stack *stacks
        const char *bytes
        const zs_body *bodies
        const uint32_t *frame_ids

    struct zs_target:
        int pid
        uint64_t call_stack
        uint64_t g_frame_stack
        uint64_t stack_low
        uint64_t stack_high
        uint64_t data_low
        uint64_t data_high
        uint64_t dispatched

    struct zs_look:
        uint32_t stack
        uint32_t flags
        uint32_t depth
        uint32_t stale

    struct zs_walker
    int zs_walker_create(zs_reader *reader, const zs_layout *layout, const zs_target *target, zs_walker **ret,
                         zs_error *error)
    int zs_walk(zs_walker *walker, zs_look *ret, zs_error *error)
    int zs_walker_define(zs_walker *walker, uint64_t addr, uint32_t *ret, zs_error *error)
    void zs_walker_definitions(const zs_walker *walker, const zs_definitions *since, zs_definitions *ret)
    void zs_walker_destroy(zs_walker *walker)

    struct zs_run:
        uint64_t t_ns
        uint64_t cpu_ns
        uint64_t wall_ns
        uint32_t stack
        uint32_t flags
        uint32_t count

    struct zs_dispatch:
        uint64_t after_ns, begin_ns, end_ns, before_ns
        uint32_t stack
        uint32_t samples

    struct zs_stats:
        uint64_t samples, script, core, idle, torn, unreadable, lineless, truncated, stale, missed
        uint32_t realtime
        uint64_t reads, read_bytes, overflow, cpu_ns, seen_ns, waited_ns, started_ns, last_ns, undispatched
        uint32_t cost[256]

    uint64_t zs_cost_ns(uint32_t bucket)

    struct zs_batch:
        zs_definitions definitions
        const zs_run *runs
        size_t nruns
        const zs_dispatch *dispatches
        size_t ndispatches
        zs_dispatch dispatching
        uint32_t counted

    struct zs_sampler
    const char *zs_engine_name(int engine)
    int zs_sampler_create(zs_walker *walker, int pid, int engine, double hz, uint64_t seed, zs_sampler **ret,
                          zs_error *error)
    int zs_sampler_use(zs_sampler *sampler, int engine, zs_error *error)
    void zs_sampler_avoid(zs_sampler *sampler, const uint32_t *cpus, size_t n)
    int zs_sampler_poll(zs_sampler *sampler, uint64_t budget_ns, zs_batch *ret, zs_error *error)
    void zs_sampler_go_on(zs_sampler *sampler)
    int zs_sampler_set_hz(zs_sampler *sampler, double hz, zs_error *error)
    const zs_stats *zs_sampler_stats(const zs_sampler *sampler)
    void zs_sampler_destroy(zs_sampler *sampler)

    struct zs_crew
    int zs_crew_create(double hz, uint64_t seed, zs_crew **ret, zs_error *error)
    int zs_crew_set_hz(zs_crew *crew, double hz, zs_error *error)
    int zs_crew_poll(zs_crew *crew, zs_sampler **samplers, size_t n, uint64_t budget_ns, zs_error *error) nogil
    int zs_sampler_batch(zs_sampler *sampler, zs_batch *ret, zs_error *error)
    void zs_crew_destroy(zs_crew *crew)

    int ZS_ALLOW_STOPS
    int ZS_ALLOW_PUBLISH
    int ZS_ALLOW_SERVE
    int zs_confine(int flags, int child, uint64_t capabilities, zs_error *error)
    int zs_drop(uint64_t capabilities, zs_error *error)

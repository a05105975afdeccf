// Zeek counts an event once its handlers have returned (EventMgr::Drain in Event.cc), and events never nest. So two looks
// that find the same count and both times a script running have seen one dispatch, if it was an event that C++ called.
// What C++ calls between dispatches (an &expire_func, a timer's) leaves the counter alone: there another function at the
// bottom, or an empty stack, tells two calls apart, and two calls of the same function may pass for one.
#include "dispatch.h"

static void finish(struct zs_dispatches *d, uint64_t t_ns)
{
	d->now.before_ns = t_ns;
	if (d->now.samples >= 2) {
		if (zs_grow((void **)&d->done, &d->cdone, d->ndone, 1, ZS_MAX_DISPATCHES, sizeof *d->done))
			d->done[d->ndone++] = d->now;
		else
			d->overflow++;
	}
	d->now.samples = 0;
}

// The stack that most of the looks saw, if one was seen by most of them, else a late one (Boyer and Moore's vote).
static void vote(struct zs_dispatches *d, uint32_t stack)
{
	if (stack == d->now.stack) {
		d->votes++;
	} else if (!--d->votes) {
		d->now.stack = stack;
		d->votes = 1;
	}
}

void zs_dispatches_see(struct zs_dispatches *d, uint64_t t_ns, const struct zs_look *look)
{
	bool goes_on = d->now.samples && look->counted && look->stack && look->dispatched == d->counter &&
	               (!look->bottom || !d->bottom || look->bottom == d->bottom);
	if (d->now.samples && !goes_on)
		finish(d, t_ns);
	if (goes_on) {
		d->now.end_ns = t_ns;
		d->now.samples++;
		vote(d, look->stack);
	} else if (look->counted && look->stack) {
		d->now = (struct zs_dispatch){ .after_ns = d->last_ns, .begin_ns = t_ns, .end_ns = t_ns, .stack = look->stack, .samples = 1 };
		d->counter = look->dispatched;
		d->bottom = 0;
		d->votes = 1;
	}
	if (look->bottom)
		d->bottom = look->bottom;
	d->last_ns = t_ns;
	d->counted = look->counted;
}

void zs_dispatches_begin(struct zs_dispatches *d) { d->ndone = 0; }

void zs_dispatches_deinit(struct zs_dispatches *d) { free(d->done); }

// Where the frames lay in the looks so far, so that the next look can read them along with the header.
#include "look.h"

enum { WINDOW = 12 << 10, BLOCK = 512, LEARN = 16, RELEARN = 2048 };

// Lays the window anew: as narrow as holds nearly all the frames that were seen, for every byte more makes the next copy
// a later one.
static void lay_window(struct zs_looker *looker, uint64_t high)
{
	uint32_t total = 0, first = 0, last, sum = 0;
	for (uint32_t i = 0; i < ZS_WINDOW_BLOCKS; i++)
		total += looker->blocks[i];
	uint32_t skip = total / 512;
	for (; first + 1 < ZS_WINDOW_BLOCKS && sum + looker->blocks[first] <= skip; first++)
		sum += looker->blocks[first];
	for (last = first, sum += looker->blocks[first]; last + 1 < ZS_WINDOW_BLOCKS && sum + skip < total; last++)
		sum += looker->blocks[last + 1];
	last = zs_min32(last, first + WINDOW / BLOCK - 1);
	uint64_t end = high - (uint64_t)first * BLOCK + zs_frame_from(looker->layout) + zs_frame_size(looker->layout);
	looker->window_high = zs_min64(high, end);
	looker->window_low = high - (uint64_t)(last + 1) * BLOCK;
}

static void learn_block(struct zs_looker *looker, uint64_t frame)
{
	uint64_t high = looker->target->stack_high, block = (high - frame) / BLOCK;
	if (!high || block >= ZS_WINDOW_BLOCKS)
		return;
	looker->blocks[block]++;
	looker->nseen++;
	if (looker->nseen < LEARN || (looker->nseen < RELEARN && (looker->nseen & (looker->nseen - 1))))
		return;
	lay_window(looker, high);
	if (looker->nseen >= RELEARN) { // what was seen earlier counts half as much from now on
		for (uint32_t i = 0; i < ZS_WINDOW_BLOCKS; i++)
			looker->blocks[i] /= 2;
		looker->nseen = RELEARN / 2;
	}
}

static void learn_recent(struct zs_looker *looker, uint64_t frame)
{
	uint32_t at = 0;
	while (at < looker->nrecent && looker->recent[at] != frame)
		at++;
	if (at == looker->nrecent && at < ZS_RECENT)
		looker->nrecent++;
	at = zs_min32(at, ZS_RECENT - 1);
	memmove(looker->recent + 1, looker->recent, at * sizeof *looker->recent);
	looker->recent[0] = frame;
}

void zs_look_learn(struct zs_looker *looker, const struct zs_sight *sight)
{
	if (looker->layout->CallInfo_func != ZS_ABSENT) {
		for (uint32_t n = sight->nframes, i = n > ZS_RECENT ? n - ZS_RECENT : 0; i < n; i++)
			if (zs_may_be_frame(looker, sight->frames[i].frame))
				learn_recent(looker, sight->frames[i].frame);
		return;
	}
	for (uint32_t i = 0; i < sight->n; i++)
		if (zs_may_be_frame(looker, sight->entries[i].frame))
			learn_block(looker, sight->entries[i].frame);
}

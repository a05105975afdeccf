#define _GNU_SOURCE
#include "thread.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { RESTING, WORKING, STOPPING, QUITTING };

// Sleeps while the word holds that value, at most until ns (0: for ever). 0, or EINTR, ETIMEDOUT, EAGAIN.
static int wait_while(struct zs_thread *t, unsigned value, uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };
	long rc = syscall(SYS_futex, &t->word, FUTEX_WAIT_BITSET_PRIVATE, value, ns ? &ts : NULL, NULL, FUTEX_BITSET_MATCH_ANY);
	return rc < 0 ? errno : 0;
}

static void set(struct zs_thread *t, unsigned value)
{
	atomic_store(&t->word, value);
	syscall(SYS_futex, &t->word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0);
}

static void *loop(void *arg)
{
	struct zs_thread *t = arg;
	prctl(PR_SET_TIMERSLACK, 1); // of this thread; the default of 50 us would make every sample late
	for (;;) {
		unsigned value = atomic_load(&t->word);
		if (value == QUITTING)
			return NULL;
		if (value == RESTING) {
			wait_while(t, RESTING, t->rest(t->arg));
			continue;
		}
		t->work(t->arg);
		set(t, RESTING);
	}
}

void zs_thread_init(struct zs_thread *thread, void (*work)(void *), uint64_t (*rest)(void *), void *arg)
{
	*thread = (struct zs_thread){ .work = work, .rest = rest, .arg = arg };
}

static int start(struct zs_thread *t, struct zs_error *error)
{
	sigset_t all, before;
	sigfillset(&all);
	atomic_store(&t->word, RESTING);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int errnum = pthread_create(&t->thread, NULL, loop, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (errnum)
		return zs_fail(error, ZS_ESYS, errnum, 0, "pthread_create");
	t->owner = getpid();
	return ZS_OK;
}

int zs_thread_go(struct zs_thread *thread, struct zs_error *error)
{
	int rc = thread->owner == getpid() ? ZS_OK : start(thread, error);
	if (rc >= 0 && atomic_load(&thread->word) == RESTING)
		set(thread, WORKING);
	return rc;
}

void zs_thread_wait(struct zs_thread *thread, uint64_t until_ns)
{
	while (thread->owner == getpid()) {
		unsigned value = atomic_load(&thread->word), working = WORKING;
		if (value == RESTING)
			return;
		int why = wait_while(thread, value, value == WORKING ? until_ns : 0);
		if (why && why != EAGAIN && atomic_compare_exchange_strong(&thread->word, &working, STOPPING))
			syscall(SYS_futex, &thread->word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0);
	}
}

int zs_thread_run(struct zs_thread *thread, struct zs_error *error)
{
	int rc = zs_thread_go(thread, error);
	if (rc >= 0)
		zs_thread_wait(thread, 0);
	return rc;
}

bool zs_thread_sleep(struct zs_thread *thread, uint64_t ns)
{
	while (atomic_load(&thread->word) == WORKING)
		if (wait_while(thread, WORKING, ns) == ETIMEDOUT)
			return true;
	return false;
}

void zs_thread_end(struct zs_thread *thread)
{
	if (thread->owner && thread->owner == getpid()) {
		set(thread, QUITTING);
		pthread_join(thread->thread, NULL);
	}
	thread->owner = 0;
}

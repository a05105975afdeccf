// The sampling thread: a sampler's own, because the engines change on which CPU and how urgently it runs, and because the
// kernel lets only the thread that has stopped a target continue it. It does what the caller's thread hands it, and has
// all signals blocked: they go to the caller, who then has it stop.
#ifndef ZS_THREAD_H
#define ZS_THREAD_H

#include "internal.h"

#ifndef ZS_CFFI
#include <pthread.h>
#include <stdatomic.h>
#endif

struct zs_thread {
	pthread_t thread;
	int owner; // pid of the process it runs in, 0 if it does not: a forked child has no such thread
	atomic_uint word;
	void (*work)(void *arg);      // called by zs_thread_go
	uint64_t (*rest)(void *arg);  // called between runs; when to call it again, 0 for never
	void *arg;
};

// work and rest are called in the thread, which is started by the first zs_thread_go.
void zs_thread_init(struct zs_thread *thread, void (*work)(void *), uint64_t (*rest)(void *), void *arg);
// Has it call work once, unless it is at it already, and returns at once.
int zs_thread_go(struct zs_thread *thread, struct zs_error *error);
// Waits for the end of that call. From until_ns on (0: never), and when a signal has arrived, zs_thread_sleep returns at
// once, so that it ends. Nothing to wait for where it has not been told to go.
void zs_thread_wait(struct zs_thread *thread, uint64_t until_ns);
// zs_thread_go, and waits for ever.
int zs_thread_run(struct zs_thread *thread, struct zs_error *error);
// Within work: sleeps until ns; false if work is to end now.
bool zs_thread_sleep(struct zs_thread *thread, uint64_t ns);
// Ends the thread; another run starts another.
void zs_thread_end(struct zs_thread *thread);

#endif

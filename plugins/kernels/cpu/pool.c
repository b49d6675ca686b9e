/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - see pool.h.
 *
 * `ticket` holds the number of the current job in its upper half and its next unclaimed
 * task in the lower. A task is claimed by a compare-and-swap on it, so a thread that slept
 * through a job and wakes with an old ticket claims nothing, and nobody ever waits for it:
 * the caller waits for the tasks, not for the threads. That is what keeps the pool sound
 * when there are more threads than cores.
 *
 * An idle thread watches the ticket for a short while (the next kernel usually comes within
 * microseconds) and then sleeps. The caller does the same with `finished`.
 *
 * Threads that wake one another and give way to one another can end up on one core and stay
 * there while others are idle: at any moment only one of them wants to run, so the scheduler
 * sees no reason to part them. Half the speed is lost then, so they look for it themselves.
 */
#include "kernels/cpu/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

enum {
	SPINS = 4000, /* looks before sleeping: some tens of microseconds */
	YIELD_EVERY = 64,
	MAX_THREADS = 1024,
};

struct pool {
	_Alignas(64) atomic_uint_fast64_t ticket;
	_Alignas(64) atomic_int_fast64_t finished;
	_Alignas(64) _Atomic(pool_task *) task;
	_Atomic(void *) context;
	atomic_int_fast64_t n;
	atomic_int sleepers;
	atomic_bool caller_sleeps, stop;
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	int threads, started, spins;
	pthread_t *thread;
	atomic_int *cpu; /* by thread: where it was last seen at work; -1: it sleeps */
};

typedef struct worker_start {
	pool *p;
	int id;
} worker_start;

/* Between two looks. Now and then the core is offered to whoever else wants it: it may be the
 * thread that one waits for. */
static void relax(int look)
{
	if (look % YIELD_EVERY == YIELD_EVERY - 1)
		sched_yield();
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

/* Notes where thread `id` is; moves it where another one is there, too, that goes before it. */
static void part(pool *p, int id)
{
	int here = sched_getcpu();
	bool shared = false;
	cpu_set_t allowed, rest;

	if (atomic_load(&p->cpu[id]) != here)
		atomic_store(&p->cpu[id], here);
	for (int i = 0; i < id; i++)
		shared = shared || atomic_load(&p->cpu[i]) == here;
	if (!shared || p->spins == 0 || sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	rest = allowed;
	for (int i = 0; i < p->threads; i++)
		if (atomic_load(&p->cpu[i]) >= 0)
			CPU_CLR(atomic_load(&p->cpu[i]), &rest);
	if (CPU_COUNT(&rest) == 0)
		return;
	/* The first call moves it; the second lets the scheduler have its say again. */
	if (sched_setaffinity(0, sizeof(rest), &rest) == 0)
		(void)sched_setaffinity(0, sizeof(allowed), &allowed);
}

static bool has_work(pool *p)
{
	return (int64_t)(uint32_t)atomic_load(&p->ticket) < atomic_load(&p->n);
}

/* Takes tasks of the current job until there is none left. */
static void work(pool *p, int id)
{
	for (;;) {
		uint64_t ticket = atomic_load(&p->ticket);
		int64_t n = atomic_load(&p->n), index = (int64_t)(uint32_t)ticket;
		pool_task *task = atomic_load(&p->task);
		void *context = atomic_load(&p->context);

		if (index >= n)
			return;
		/* Success means that the job did not change since it was read above. */
		if (!atomic_compare_exchange_weak(&p->ticket, &ticket, ticket + 1))
			continue;
		task(context, index, id);
		if (atomic_fetch_add(&p->finished, 1) + 1 == n && atomic_load(&p->caller_sleeps)) {
			pthread_mutex_lock(&p->lock);
			pthread_cond_signal(&p->done);
			pthread_mutex_unlock(&p->lock);
		}
	}
}

static void wait_for_work(pool *p, int id)
{
	for (int i = 0; i < p->spins; i++) {
		if (has_work(p) || atomic_load(&p->stop))
			return;
		relax(i);
		if (i % YIELD_EVERY == YIELD_EVERY - 1)
			part(p, id);
	}
	atomic_store(&p->cpu[id], -1);
	pthread_mutex_lock(&p->lock);
	atomic_fetch_add(&p->sleepers, 1);
	while (!has_work(p) && !atomic_load(&p->stop))
		pthread_cond_wait(&p->work, &p->lock);
	atomic_fetch_sub(&p->sleepers, 1);
	pthread_mutex_unlock(&p->lock);
}

static void *worker(void *argument)
{
	worker_start start = *(worker_start *)argument;

	free(argument);
	while (!atomic_load(&start.p->stop)) {
		part(start.p, start.id);
		work(start.p, start.id);
		wait_for_work(start.p, start.id);
	}
	return NULL;
}

static void wait_for_tasks(pool *p, int64_t n)
{
	for (int i = 0; i < p->spins; i++) {
		if (atomic_load(&p->finished) == n)
			return;
		relax(i);
	}
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->caller_sleeps, true);
	while (atomic_load(&p->finished) != n)
		pthread_cond_wait(&p->done, &p->lock);
	atomic_store(&p->caller_sleeps, false);
	pthread_mutex_unlock(&p->lock);
}

void pool_for(pool *p, int64_t n, pool_task *task, void *context)
{
	uint64_t ticket;

	CAIRN_ASSERT(n < UINT32_MAX);
	if (p->threads == 1 || n <= 1) {
		for (int64_t i = 0; i < n; i++)
			task(context, i, 0);
		return;
	}
	/* The old job is used up: whoever reads these fields early still fails to claim. */
	ticket = ((atomic_load(&p->ticket) >> 32) + 1) << 32 | UINT32_MAX;
	atomic_store(&p->ticket, ticket);
	atomic_store(&p->finished, 0);
	atomic_store(&p->task, task);
	atomic_store(&p->context, context);
	atomic_store(&p->n, n);
	atomic_store(&p->ticket, ticket - UINT32_MAX);
	if (atomic_load(&p->sleepers) > 0) {
		pthread_mutex_lock(&p->lock);
		pthread_cond_broadcast(&p->work);
		pthread_mutex_unlock(&p->lock);
	}
	part(p, 0);
	work(p, 0);
	wait_for_tasks(p, n);
}

static int start_worker(pool *p, int id)
{
	worker_start *start = malloc(sizeof(*start));
	int rc;

	if (!start)
		return -1;
	start->p = p;
	start->id = id;
	rc = pthread_create(&p->thread[id], NULL, worker, start);
	if (rc)
		free(start);
	return rc ? -1 : 0;
}

int pool_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

pool *pool_new(int threads)
{
	pool *p;

	threads = threads > MAX_THREADS ? (int)MAX_THREADS : threads;
	p = aligned_alloc(64, (sizeof(*p) + 63) / 64 * 64);
	if (!p)
		return NULL;
	*p = (pool){.threads = threads < 1 ? 1 : threads, .started = 1};
	/* With more threads than cores, watching takes the core from who should work. */
	p->spins = p->threads <= pool_cpus() ? (int)SPINS : 0;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->done, NULL);
	p->thread = calloc((size_t)p->threads, sizeof(*p->thread));
	p->cpu = calloc((size_t)p->threads, sizeof(*p->cpu));
	for (int i = 0; p->cpu && i < p->threads; i++)
		atomic_init(&p->cpu[i], -1);
	while (p->thread && p->cpu && p->started < p->threads && start_worker(p, p->started) == 0)
		p->started++;
	if (!p->thread || !p->cpu || p->started < p->threads) {
		pool_free(p);
		return NULL;
	}
	return p;
}

void pool_free(pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->stop, true);
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (int i = 1; i < p->started && p->thread; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->done);
	pthread_mutex_destroy(&p->lock);
	free(p->thread);
	free(p->cpu);
	free(p);
}

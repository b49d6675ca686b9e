/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - threads that hash while the caller copies, writes or reads: one for each core.
 *
 * SHA-256 is the slowest step of a put on a fast disk, so a thread that finds several jobs takes
 * two at once (base/sha256_two.c), unless another one has nothing to do. Where no thread can be
 * started, jobs are done by whoever submits them.
 */
#include <sched.h>
#include <signal.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "store/internal.h"

enum {
	MAX_THREADS = 8 /* ahead of any one disk */
};

struct cairn_pool {
	pthread_mutex_t lock;
	pthread_cond_t submitted, finished;
	cairn_hash_job *first, **last;
	int n_queued, n_idle;
	pthread_t threads[MAX_THREADS];
	int n_threads;
	bool is_started, is_closing;
};

bool cairn_pool__thread(pthread_t *out, void *(*function)(void *), void *arg)
{
	sigset_t all, before;
	bool is_started;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	is_started = pthread_create(out, NULL, function, arg) == 0;
	if (is_started) /* whoever counts threads can tell ours from others */
		pthread_setname_np(*out, CAIRN_STORE_THREAD);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return is_started;
}

/* The next job, or NULL. Under the lock. */
static cairn_hash_job *take(cairn_pool *pool)
{
	cairn_hash_job *job = pool->first;

	if (!job)
		return NULL;
	pool->first = job->next;
	if (!pool->first)
		pool->last = &pool->first;
	pool->n_queued--;
	return job;
}

static void *work(void *arg)
{
	cairn_pool *pool = arg;
	cairn_hash_job *job, *second;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (!pool->first && !pool->is_closing) {
			pool->n_idle++;
			pthread_cond_wait(&pool->submitted, &pool->lock);
			pool->n_idle--;
		}
		job = take(pool);
		if (!job)
			break;
		second = pool->n_queued > pool->n_idle ? take(pool) : NULL;
		pthread_mutex_unlock(&pool->lock);
		if (second)
			cairn_sha256_two(job->bytes, job->len, job->id.bytes, second->bytes,
				second->len, second->id.bytes);
		else
			cairn_sha256(job->bytes, job->len, job->id.bytes);
		pthread_mutex_lock(&pool->lock);
		job->is_done = true;
		if (second)
			second->is_done = true;
		pthread_cond_broadcast(&pool->finished);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

cairn_pool *cairn_pool__new(void)
{
	cairn_pool *pool = cairn_alloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->submitted, NULL);
	pthread_cond_init(&pool->finished, NULL);
	pool->last = &pool->first;
	return pool;
}

void cairn_pool__free(cairn_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->is_closing = true;
	pthread_cond_broadcast(&pool->submitted);
	pthread_mutex_unlock(&pool->lock);
	for (int i = 0; i < pool->n_threads; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->finished);
	pthread_cond_destroy(&pool->submitted);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* The cores that this process may use. */
static int count_cores(void)
{
	cpu_set_t cores;

	return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

/* Under the lock. */
static void start(cairn_pool *pool)
{
	int n = count_cores();

	pool->is_started = true;
	for (int i = 0; i < n && i < MAX_THREADS; i++) {
		if (cairn_pool__thread(&pool->threads[pool->n_threads], work, pool))
			pool->n_threads++;
	}
}

void cairn_pool__submit(cairn_pool *pool, cairn_hash_job *job)
{
	job->is_done = false;
	job->next = NULL;
	pthread_mutex_lock(&pool->lock);
	if (!pool->is_started)
		start(pool);
	if (pool->n_threads > 0) {
		*pool->last = job;
		pool->last = &job->next;
		pool->n_queued++;
		pthread_cond_signal(&pool->submitted);
		pthread_mutex_unlock(&pool->lock);
		return;
	}
	pthread_mutex_unlock(&pool->lock);
	cairn_sha256(job->bytes, job->len, job->id.bytes);
	job->is_done = true;
}

void cairn_pool__wait(cairn_pool *pool, cairn_hash_job *job)
{
	pthread_mutex_lock(&pool->lock);
	while (!job->is_done)
		pthread_cond_wait(&pool->finished, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
}

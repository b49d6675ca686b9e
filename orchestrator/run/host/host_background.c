/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_background.c - a checkpoint's way into the store, beside the next steps.
 *
 * The plugin waits while its state is copied (staging.c), and no longer. Hashing, writing and
 * the transaction are a thread's, from the copy, with what was true of the stage when the
 * checkpoint was complete. One is under way at a time; the next one, an output and the end
 * wait for it, and a failure is told there, or at the next step().
 *
 * Where there is no memory for a copy, the same is done at once, as if there were no thread.
 */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "run/host/host.h"
#include "run/wire.h"

/* Of the thread: what it needs lies on the heap. */
#define STACK_BYTES (1u << 20)
/* How often it is tried where somebody else was in the way. */
#define TRIES 3

void cairn_host_checkpoint_clear(cairn_checkpoint *checkpoint)
{
	free(checkpoint->meta);
	json_decref(checkpoint->record);
	cairn_amends_clear(&checkpoint->amends);
	*checkpoint = (cairn_checkpoint){0};
}

int cairn_host_batch_begin(cairn_batch **out, cairn_run *run, cairn_error *err)
{
	int rc = cairn_batch_begin(out, run->store, err);

	if (rc < 0)
		return rc;
	rc = cairn_batch_artifact_begin(*out, "checkpoint", err);
	if (rc < 0)
		cairn_batch_abort(*out);
	return rc;
}

/* ---- publishing: either thread ------------------------------------------------------------ */

/* Ends the artifact and makes it, its record and its consequences true together. Frees the
 * batch, whatever it returns. */
static int publish(
	cairn_run *run, cairn_batch *batch, cairn_checkpoint *checkpoint, cairn_error *err)
{
	char text[CAIRN_ID_TEXT];
	cairn_id id;
	int rc = cairn_batch_artifact_end(batch, checkpoint->meta, &id, err);

	if (rc == 0) /* before the new record: the deletions are of what is there now */
		rc = cairn_host_drop_checkpoints(run, batch, checkpoint->record, err);
	if (rc == 0) {
		cairn_id_format(&id, text);
		json_object_set_new(checkpoint->record, "id", json_string(text));
		rc = cairn_record_put_checkpoint(
			batch, &run->job.key, checkpoint->step, checkpoint->record, err);
	}
	if (rc < 0) {
		cairn_batch_abort(batch);
		return rc;
	}
	cairn_amends_attach(&checkpoint->amends, batch);
	cairn_host_failpoint("checkpoint", checkpoint->step);
	rc = cairn_batch_commit(batch, err);
	if (rc < 0)
		return rc;
	cairn_host_failpoint("checkpointed", checkpoint->step);
	cairn_host_send(run, "checkpoint",
		json_pack("{s:I, s:f}", "step", (json_int_t)checkpoint->step, "kept",
			checkpoint->kept));
	return 0;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Test only: the environment variable CAIRN_TEST_WRITE_DELAY, in seconds. */
static void test_delay(void)
{
	const char *wanted = getenv("CAIRN_TEST_WRITE_DELAY");
	struct timespec nap = {0};
	double seconds;

	if (!wanted || !cairn_parse_double(wanted, &seconds))
		return;
	nap.tv_sec = (time_t)seconds;
	nap.tv_nsec = (long)((seconds - (double)nap.tv_sec) * 1e9);
	nanosleep(&nap, NULL);
}

static int write_copy(cairn_run *run, cairn_error *err)
{
	cairn_background *background = &run->background;
	cairn_batch *batch;
	int rc = cairn_host_batch_begin(&batch, run, err);

	if (rc < 0)
		return rc;
	rc = cairn_staging_write(&background->staging, batch, err);
	if (rc < 0) {
		cairn_batch_abort(batch);
		return rc;
	}
	return publish(run, batch, &background->checkpoint, err);
}

static void *write_beside(void *arg)
{
	cairn_run *run = arg;
	cairn_background *background = &run->background;

	test_delay();
	for (int i = 0; i < TRIES; i++) {
		cairn_error_clear(&background->error);
		background->code = write_copy(run, &background->error);
		/* A collector was faster, or the index could not grow just then. */
		if (background->code != CAIRN_EBUSY)
			break;
	}
	atomic_store(&background->is_over, true);
	return NULL;
}

static void *prepare(void *arg)
{
	cairn_run *run = arg;

	cairn_staging_prepare(&run->background.staging, run->job.checkpoint_bytes);
	atomic_store(&run->background.is_over, true);
	return NULL;
}

/* Signals are for the plugin's thread. false: there can be no thread. */
static bool start_thread(cairn_run *run, void *(*function)(void *))
{
	cairn_background *background = &run->background;
	sigset_t all, before;
	pthread_attr_t attributes;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	(void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_store(&background->is_over, false);
	background->is_busy = pthread_create(&background->thread, &attributes, function, run) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return background->is_busy;
}

/* Half of the way to the first checkpoint: a shorter stage will have none. */
static bool is_half_way(const cairn_run *run)
{
	const cairn_job *job = &run->job;

	if (job->checkpoint_every_steps > 0)
		return 2 * (run->step - run->checkpoint_step) >=
		       (uint64_t)job->checkpoint_every_steps;
	return 2 * (cairn_host_clock() - run->checkpoint_time) >= job->checkpoint_every_s;
}

void cairn_host_background_prepare(cairn_run *run)
{
	cairn_background *background = &run->background;

	if (background->is_prepared || background->is_busy || !run->job.checkpoint_bytes ||
		run->job.writes_at_once || !is_half_way(run))
		return;
	background->is_prepared = true;
	background->staging.limit = run->job.memory_bytes;
	(void)start_thread(run, prepare);
}

/* ---- the plugin's thread ----------------------------------------------------------------------
 */

void cairn_host_background_refuse(cairn_run *run)
{
	if (!run->background.is_refused)
		cairn_host_log(run, CAIRN_LOG_INFO,
			"no memory for a copy of a checkpoint: training waits while it is written");
	run->background.is_refused = true;
}

int cairn_host_write_through(cairn_writer *writer, cairn_error *err)
{
	cairn_run *run = writer->run;
	int rc = cairn_host_batch_begin(&writer->batch, run, err);

	if (rc < 0) {
		writer->batch = NULL;
		return rc;
	}
	writer->staging = NULL;
	cairn_host_background_refuse(run);
	rc = cairn_staging_write(&run->background.staging, writer->batch, err);
	cairn_staging_free(&run->background.staging);
	return rc;
}

int cairn_host_publish(cairn_writer *writer, cairn_checkpoint *checkpoint, cairn_error *err)
{
	cairn_run *run = writer->run;
	cairn_background *background = &run->background;
	cairn_batch *batch = writer->batch;
	int rc;

	if (batch) {
		writer->batch = NULL;
		rc = publish(run, batch, checkpoint, err);
		cairn_host_checkpoint_clear(checkpoint);
		return rc;
	}
	background->checkpoint = *checkpoint;
	*checkpoint = (cairn_checkpoint){0};
	if (start_thread(run, write_beside))
		return 0;
	write_beside(run);
	return cairn_host_background_wait(run, err);
}

int cairn_host_background_wait(cairn_run *run, cairn_error *err)
{
	cairn_background *background = &run->background;
	int rc;

	if (background->is_busy)
		pthread_join(background->thread, NULL);
	background->is_busy = false;
	rc = background->code;
	if (rc < 0)
		*err = background->error;
	background->code = 0;
	cairn_host_checkpoint_clear(&background->checkpoint);
	return rc;
}

int cairn_host_background_poll(cairn_run *run, cairn_error *err)
{
	if (!run->background.is_busy || !atomic_load(&run->background.is_over))
		return 0;
	return cairn_host_background_wait(run, err);
}

static void wait_and_log(cairn_run *run)
{
	uint64_t step = run->background.checkpoint.step;
	cairn_error why = {0};

	if (cairn_host_background_wait(run, &why) < 0)
		cairn_host_log(run, CAIRN_LOG_WARNING,
			"the checkpoint of step %llu was not written: %s%s%s",
			(unsigned long long)step, why.message, why.detail[0] ? ": " : "",
			why.detail);
}

void cairn_host_background_free(cairn_run *run)
{
	wait_and_log(run);
	cairn_staging_free(&run->background.staging);
}

int cairn_host_settle(cairn_run *run, int code)
{
	const cairn_background *background = &run->background;

	/* Only who stops relies on it; who is done or failed has no more use for it. */
	if (code == CAIRN_STOPPED || code == CAIRN_WAITING) {
		int rc = cairn_host_background_wait(run, cairn_host_err(run));
		code = rc < 0 ? rc : code;
	}
	cairn_host_background_free(run);
	if (background->n)
		cairn_host_log(run, CAIRN_LOG_DEBUG,
			"%llu checkpoints: training stood still for %.1f ms, %.1f ms at most; "
			"%.1f ms of it waiting for the one before, or for memory",
			(unsigned long long)background->n, background->pause_sum * 1e3,
			background->pause_max * 1e3, background->wait_sum * 1e3);
	return code;
}

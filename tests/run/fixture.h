/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture.h - a directory with a store and workflow files, and runs of them in this process.
 *
 * The runner starts itself again as stage host, so these test programs are runners too:
 * main() (fixture.c) answers --stage-host and --describe, and `--run DIR FILE`, which is a
 * whole run in a process that a test may kill. Everything else is the tests' own main,
 * tests_main().
 */
#ifndef CAIRN_TESTS_RUN_FIXTURE_H
#define CAIRN_TESTS_RUN_FIXTURE_H

#include "test.h"

#include <stdbool.h>
#include <sys/types.h>

#include "run/run.h"

#define MAX_EVENTS 512

typedef struct seen_event {
	enum cairn_event_type type;
	enum cairn_state state; /* of the stage, then */
	char stage[64], text[256];
	uint64_t step, resumed_step;
	double flop;
	cairn_error error;
} seen_event;

typedef struct fixture {
	char dir[64]; /* of the test, under TMPDIR; the current directory while it runs */
	char store_dir[128];
	cairn_store *store;
	cairn_registry *registry;
	cairn_workflow *workflow;
	cairn_plan *plan;
	cairn_run_options options;
	cairn_run_summary summary;
	cairn_error error; /* of the last load, plan or run */
	seen_event events[MAX_EVENTS];
	size_t n_events;
	cairn_observer observer;
	int stop_at_step; /* raise SIGTERM in ourselves when a step of this number is seen */
} fixture;

/* Of each test program. */
int tests_main(void);

/* For cmocka_unit_test_setup_teardown. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* A second, empty store in the same directory takes the place of the first. */
void fixture_new_store(fixture *f);

void write_file(const char *path, const char *text);
/* Loads workflow.ini with this text and makes its plan; the result of the step that failed. */
int fixture_plan(fixture *f, const char *ini);
/* The plan and a run; as cairn_run_workflow. */
int fixture_run(fixture *f, const char *ini);
/* The same in another process: its pid. */
pid_t fixture_spawn_run(fixture *f, const char *ini);

cairn_planned *stage_of(fixture *f, const char *instance);
/* Borrowed; NULL where it has none. */
const json_t *result_of(fixture *f, const char *instance);
/* "sha256:..." of an output of the last run's stage; fails the test where there is none. */
const char *output_of(fixture *f, const char *instance, const char *port);
/* The bytes of an entry of an artifact, NUL-terminated; the caller frees. */
char *entry_text(fixture *f, const char *id, const char *entry);
/* Records: new references, NULL where there is none. */
json_t *attempt_of(fixture *f, const char *instance, uint32_t n);
size_t count_attempts(fixture *f, const char *instance);
size_t count_checkpoints(fixture *f, const char *instance);
/* The first event of that type (and stage, unless NULL) of the last run, or NULL. */
const seen_event *event_of(fixture *f, enum cairn_event_type type, const char *stage);
/* Its place among the events; it must be there. */
size_t place_of(fixture *f, enum cairn_event_type type, const char *stage);
size_t count_events(fixture *f, enum cairn_event_type type);

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - what a right workflow becomes: values, instances, bindings, order. */
#include <string.h>
#include <unistd.h>

#include "fake.h"
#include "workflow/when.h"

#define AXES FAKE_HEAD "[axis group]\nvalues = concise, courteous\n[axis s]\nvalues = 1 2 3\n"
#define A    "[stage a]\nplugin = node\nforeach = group\n"

/* "a@x b": the names in order. */
static void check_order(const cairn_workflow *workflow, const char *wanted)
{
	cairn_text names = {0};

	for (size_t i = 0; i < workflow->n_instances; i++)
		cairn_text_printf(&names, "%s%s", i ? " " : "", workflow->instances[i].name);
	assert_string_equal(cairn_text_get(&names), wanted);
	cairn_text_free(&names);
}

/* "a@x:out b:out": the bindings of an instance. */
static void check_bindings(const cairn_workflow *workflow, const char *name, const char *wanted)
{
	const cairn_instance *instance = cairn_workflow_find(workflow, name, NULL);
	cairn_text all = {0};

	assert_non_null(instance);
	for (size_t i = 0; i < instance->n_bindings; i++) {
		const cairn_binding *binding = &instance->bindings[i];

		cairn_text_printf(&all, "%s%s", i ? " " : "", binding->text);
		if (binding->type != CAIRN_FROM_INSTANCE)
			continue;
		assert_true(&workflow->instances[binding->instance] < instance);
		assert_int_equal(strncmp(binding->text, workflow->instances[binding->instance].name,
					 strcspn(binding->text, ":")),
			0);
	}
	assert_string_equal(cairn_text_get(&all), wanted);
	cairn_text_free(&all);
}

static void test_workflow_load__head(void **state)
{
	cairn_workflow *workflow =
		fake_load("[workflow]\nname = my-flow_1\ndescription = any text\n"
			  "[params]\nsize = tiny\nfull = ${size}-1\n");

	(void)state;
	assert_string_equal(workflow->name, "my-flow_1");
	assert_string_equal(workflow->file, "t.ini");
	assert_string_equal(workflow->directory, ".");
	assert_string_equal(workflow->device, "auto");
	assert_int_equal(workflow->seed, 1);
	assert_int_equal(workflow->n_instances, 0);
	assert_int_equal(workflow->n_params, 2);
	assert_string_equal(workflow->params[1].axis, "full");
	assert_string_equal(workflow->params[1].value, "tiny-1");
	assert_int_equal(strncmp(workflow->text, "[workflow]\nname = my-flow_1\n", 28), 0);
	cairn_workflow_free(workflow);
}

static void test_workflow_load__lines(void **state)
{
	cairn_workflow *workflow =
		fake_load("\xef\xbb\xbf; comment\r\n[workflow]\r\n name = t ; comment\r\n\r\n"
			  "[ stage  a ]\n"
			  "plugin: wide\n"
			  "template = one;two ; three\n"
			  "   four\n"
			  "# a comment between\n"
			  "\t[five] = six ; seven\n"
			  "\n"
			  "   ; and another\n"
			  "   eight\n"
			  "retries = 2");
	const cairn_instance *a = cairn_workflow_find(workflow, "a", NULL);

	(void)state;
	assert_string_equal(
		fake_value(workflow, "a", "template"), "one;two four [five] = six eight");
	assert_int_equal(a->settings.retries, 2);
	assert_int_equal(a->place.line, 5);
	assert_int_equal(a->values[5].line, 7);
	cairn_workflow_free(workflow);
}

static void test_workflow_load__settings(void **state)
{
	cairn_workflow *workflow = fake_load(FAKE_HEAD
		"seed = 9\n"
		"[stage plain]\nplugin = node\n"
		"[stage full]\nplugin = node\nretries = 3\ntimeout = 2h\ncpus = 4\ngpus = 1\n"
		"memory = 8G\nexecutor = local\ncheckpoint_every = 5m\nkeep_checkpoints = 2\n"
		"show = yes\nseed = -4\n"
		"[stage steps]\nplugin = node\ncheckpoint_every = 50\n");
	const cairn_instance *plain = cairn_workflow_find(workflow, "plain", NULL);
	const cairn_instance *full = cairn_workflow_find(workflow, "full", NULL);
	const cairn_instance *steps = cairn_workflow_find(workflow, "steps", NULL);

	(void)state;
	assert_int_equal(plain->seed, 9);
	assert_int_equal(plain->settings.retries, 0);
	assert_true(plain->settings.timeout_s == 0);
	assert_true(plain->settings.checkpoint_every_s == 10);
	assert_int_equal(plain->settings.checkpoint_every_steps, 0);
	assert_int_equal(plain->settings.keep_checkpoints, 1);
	assert_string_equal(plain->settings.executor, "local");
	assert_false(plain->settings.show);
	assert_int_equal(full->seed, -4);
	assert_int_equal(full->settings.retries, 3);
	assert_true(full->settings.timeout_s == 7200);
	assert_int_equal(full->settings.cpus, 4);
	assert_int_equal(full->settings.gpus, 1);
	assert_int_equal(full->settings.memory_bytes, 8ull << 30);
	assert_true(full->settings.checkpoint_every_s == 300);
	assert_int_equal(full->settings.keep_checkpoints, 2);
	assert_true(full->settings.show);
	assert_int_equal(steps->settings.checkpoint_every_steps, 50);
	assert_true(steps->settings.checkpoint_every_s == 0);
	cairn_workflow_free(workflow);
}

static void test_workflow_load__conditions(void **state)
{
	cairn_workflow *workflow = fake_load(
		AXES "[params]\nlimit = 0.6\n"
		     /* It stands first and comes last. */
		     "[stage late]\nplugin = node\nforeach = group s\n"
		     "when = a:accuracy >= ${limit} and b@2:x/y < ${s} or a@concise:loss == 1\n" A
		     "[stage b]\nplugin = node\nforeach = s\n");
	const cairn_instance *late = cairn_workflow_find(workflow, "late@courteous,3", NULL);
	const cairn_when *when = late->when;

	(void)state;
	assert_string_equal(when->text, "a:accuracy >= 0.6 and b@2:x/y < 3 or a@concise:loss == 1");
	assert_int_equal(when->n_refs, 3);
	assert_string_equal(workflow->instances[when->refs[0].instance].name, "a@courteous");
	assert_string_equal(when->refs[0].metric, "accuracy");
	assert_string_equal(workflow->instances[when->refs[1].instance].name, "b@2");
	assert_string_equal(workflow->instances[when->refs[2].instance].name, "a@concise");
	for (size_t i = 0; i < when->n_refs; i++)
		assert_true(&workflow->instances[when->refs[i].instance] < late);
	assert_null(cairn_workflow_find(workflow, "a@concise", NULL)->when);
	cairn_workflow_free(workflow);
}

static void test_workflow_load__every_stage_has_a_metric_log(void **state)
{
	cairn_workflow *workflow =
		fake_load(FAKE_BASE "[stage e]\nplugin = eval\ninput.models = base:model\n"
				    "input.logs = base:metrics demos:metrics\n");

	(void)state;
	check_bindings(workflow, "e", "base:model base:metrics demos:metrics");
	cairn_workflow_free(workflow);
}

static void test_workflow_load__values(void **state)
{
	cairn_workflow *workflow = fake_load(FAKE_BASE
		"[stage sft]\nplugin = sft\ninput.base = base:model\ninput.demos = demos:train\n"
		"lr = 1.0e-05\nbuffer = 2M\n");
	const cairn_instance *sft = cairn_workflow_find(workflow, "sft", NULL);

	(void)state;
	assert_string_equal(fake_value(workflow, "sft", "lr"), "1e-05");
	assert_string_equal(fake_value(workflow, "sft", "buffer"), "2097152");
	assert_string_equal(fake_value(workflow, "sft", "epochs"), "16");
	assert_string_equal(fake_value(workflow, "sft", "template"), "\n\n");
	assert_string_equal(fake_value(workflow, "sft", "warmup"), "60");
	assert_false(sft->values[0].is_given);
	assert_true(sft->values[1].is_given);
	assert_int_equal(sft->values[1].line, 16);
	cairn_workflow_free(workflow);
}

static void test_workflow_load__interpolation(void **state)
{
	cairn_workflow *workflow;

	(void)state;
	assert_int_equal(setenv("CAIRN_TEST_SET", "${size} as it is", 1), 0);
	workflow = fake_load(FAKE_HEAD
		"env = CAIRN_TEST_SET\nseed = ${seed}\n"
		"[axis group]\nvalues = ${groups}\n"
		"[labelers concise]\nmembers = ann, bob\nutility = words:-${weight}\n"
		"[labelers courteous]\nutility = courtesy:2\n"
		"[params]\nsize = tiny\nweight = 0.2\ngroups = concise courteous\nseed = 5\n"
		"plugin = wide\n"
		"[stage a]\nplugin = ${plugin}\nforeach = group\n"
		"template = ${labelers.${group}.utility} $${size} $HOME $$ ${size}${weight}\n"
		"[stage b]\nplugin = wide\ntemplate = ${labelers.concise.members}\n"
		"[stage c]\nplugin = wide\ntemplate = <${env.CAIRN_TEST_SET}>\n");
	assert_int_equal(workflow->seed, 5);
	assert_string_equal(fake_value(workflow, "a@concise", "template"),
		"words:-0.2 ${size} $HOME $$ tiny0.2");
	assert_string_equal(fake_value(workflow, "a@courteous", "template"),
		"courtesy:2 ${size} $HOME $$ tiny0.2");
	assert_string_equal(fake_value(workflow, "b", "template"), "ann, bob");
	assert_string_equal(fake_value(workflow, "c", "template"), "<${size} as it is>");
	cairn_workflow_free(workflow);
}

static void test_workflow_load__overrides(void **state)
{
	static const cairn_override overrides[] = {
		{"size", "small"}, {"lr", "1e-4"}, {"size", "large"}};
	cairn_workflow *workflow = fake_load_with(FAKE_HEAD
		"[params]\nsize = tiny\nlr = 1\n"
		"text = ${size}!\n[stage a]\nplugin = wide\ntemplate = ${text}\nlr = ${lr}\n",
		overrides, CAIRN_COUNT(overrides));

	(void)state;
	assert_string_equal(fake_value(workflow, "a", "template"), "large!");
	assert_string_equal(fake_value(workflow, "a", "lr"), "0.0001");
	cairn_workflow_free(workflow);
}

static void test_workflow_load__axes_make_instances(void **state)
{
	cairn_workflow *workflow = fake_load(AXES "[stage a]\nplugin = wide\nforeach = group, s\n"
						  "epochs = ${s}\nseed = ${s}\nretries = ${s}\n");
	const cairn_instance *last = &workflow->instances[5];

	(void)state;
	check_order(workflow, "a@concise,1 a@concise,2 a@concise,3 "
			      "a@courteous,1 a@courteous,2 a@courteous,3");
	assert_string_equal(last->stage, "a");
	assert_int_equal(last->n_axes, 2);
	assert_string_equal(last->axes[0].axis, "group");
	assert_string_equal(last->axes[0].value, "courteous");
	assert_string_equal(last->axes[1].value, "3");
	assert_string_equal(last->values[0].text, "3");
	assert_int_equal(last->seed, 3);
	assert_int_equal(last->settings.retries, 3);
	cairn_workflow_free(workflow);
}

static void test_workflow_load__references_match_on_shared_axes(void **state)
{
	cairn_workflow *workflow = fake_load(
		AXES A "[stage plain]\nplugin = node\n"
		       "[stage b]\nplugin = node\nforeach = s group\ninput.in = a:out plain:out\n"
		       "[stage c]\nplugin = node\nforeach = group\ninput.in = b@2,${group}:out\n");

	(void)state;
	check_bindings(workflow, "b@3,concise", "a@concise:out plain:out");
	check_bindings(workflow, "b@1,courteous", "a@courteous:out plain:out");
	check_bindings(workflow, "c@courteous", "b@2,courteous:out");
	cairn_workflow_free(workflow);
}

static void test_workflow_load__fan_in(void **state)
{
	cairn_workflow *workflow = fake_load(
		AXES A "[stage b]\nplugin = node\nforeach = group s\n"
		       "[stage all]\nplugin = node\ninput.in = b@*:out\n"
		       "[stage some]\nplugin = node\ninput.in = b@concise,*:out\n"
		       "  a@*:out file:data/a.txt\n"
		       "[stage own]\nplugin = node\nforeach = group\ninput.in = b@${group},*:out\n"
		       "[stage tests]\nplugin = node\nforeach = s\ninput.in = b@*,${s}:out\n");

	(void)state;
	check_bindings(workflow, "all",
		"b@concise,1:out b@concise,2:out b@concise,3:out "
		"b@courteous,1:out b@courteous,2:out b@courteous,3:out");
	check_bindings(workflow, "some",
		"b@concise,1:out b@concise,2:out b@concise,3:out "
		"a@concise:out a@courteous:out file:data/a.txt");
	check_bindings(
		workflow, "own@courteous", "b@courteous,1:out b@courteous,2:out b@courteous,3:out");
	check_bindings(workflow, "tests@2", "b@concise,2:out b@courteous,2:out");
	cairn_workflow_free(workflow);
}

static void test_workflow_load__bindings_follow_the_port_table(void **state)
{
	cairn_workflow *workflow = fake_load(FAKE_BASE
		"[stage sft]\nplugin = sft\ninput.demos = demos:train\ninput.base = base:model\n");
	const cairn_instance *sft = cairn_workflow_find(workflow, "sft", NULL);

	(void)state;
	check_bindings(workflow, "sft", "base:model demos:train");
	assert_string_equal(sft->bindings[0].port->name, "base");
	assert_string_equal(sft->bindings[0].output, "model");
	assert_int_equal(sft->bindings[0].place.line, 15);
	cairn_workflow_free(workflow);
}

static void test_workflow_load__files_and_artifacts(void **state)
{
	static const char id[] =
		"sha256:ABCDEFabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcd";
	cairn_workflow *workflow;
	const cairn_binding *bindings;
	cairn_text ini = {0};

	(void)state;
	cairn_text_printf(&ini,
		FAKE_HEAD "[params]\nwhich = b\n[stage a]\nplugin = node\n"
			  "input.in = file:data/a.txt file:data/${which}.txt\n  %s\n",
		id);
	workflow = fake_load(cairn_text_get(&ini));
	bindings = workflow->instances[0].bindings;
	assert_int_equal(workflow->instances[0].n_bindings, 3);
	assert_int_equal(bindings[0].type, CAIRN_FROM_FILE);
	assert_string_equal(bindings[0].path, "data/a.txt");
	assert_string_equal(bindings[1].text, "file:data/b.txt");
	assert_int_equal(bindings[2].type, CAIRN_FROM_ARTIFACT);
	assert_string_equal(bindings[2].text,
		"sha256:abcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcdefabcd");
	cairn_workflow_free(workflow);
	cairn_text_free(&ini);
}

static void test_workflow_load__names_in_the_store_and_planned_data(void **state)
{
	cairn_workflow *workflow = fake_load(
		FAKE_HEAD "[params]\nn = 12725\n[stage a]\nplugin = node\n"
			  "input.in = ref:imported/gpt2:model planned:rows=${n},mean=1.5,of=people "
			  "planned:\n");
	const cairn_binding *bindings = workflow->instances[0].bindings;

	(void)state;
	assert_int_equal(workflow->instances[0].n_bindings, 3);
	assert_int_equal(bindings[0].type, CAIRN_FROM_REF);
	assert_string_equal(bindings[0].path, "imported/gpt2:model");
	assert_int_equal(bindings[1].type, CAIRN_FROM_PLANNED);
	assert_string_equal(bindings[1].meta, "{\"mean\":1.5,\"of\":\"people\",\"rows\":12725}");
	assert_string_equal(bindings[2].meta, "{}");
	cairn_workflow_free(workflow);
}

static void test_workflow_load__topological_order_ties_as_in_the_file(void **state)
{
	static const char ini[] = FAKE_HEAD "[stage z]\nplugin = node\ninput.in = m:out b:out\n"
					    "[stage y]\nplugin = node\n"
					    "[stage m]\nplugin = node\ninput.in = b:out\n"
					    "[stage b]\nplugin = node\n"
					    "[stage a]\nplugin = node\n";
	cairn_workflow *workflow = fake_load(ini);

	(void)state;
	check_order(workflow, "y b m z a");
	cairn_workflow_free(workflow);
}

static void test_workflow_load__includes(void **state)
{
	cairn_workflow *workflow;

	(void)state;
	fake_write("data/base.ini", "include = more.ini\n[workflow]\nname = base\nseed = 3\n"
				    "[params]\nsize = tiny\nlr = 1e-3\n"
				    "[stage a]\nplugin = node\ninput.in = file:a.txt\n");
	fake_write("data/more.ini", "[params]\nsize = huge\nmore = ${size}\n"
				    "[stage c]\nplugin = wide\ntemplate = ${more}\nlr = ${lr}\n");
	workflow = fake_load("[workflow]\ninclude = data/base.ini\nname = mine\n"
			     "[params]\nsize = small\n"
			     "[stage b]\nplugin = node\ninput.in = a:out\n");
	assert_string_equal(workflow->name, "mine");
	assert_int_equal(workflow->seed, 3);
	assert_string_equal(fake_value(workflow, "c", "template"), "small");
	assert_string_equal(fake_value(workflow, "c", "lr"), "0.001");
	check_order(workflow, "a b c");
	assert_string_equal(workflow->instances[0].bindings[0].path, "data/a.txt");
	assert_string_equal(workflow->instances[0].place.file, "data/base.ini");
	assert_int_equal(workflow->instances[0].place.line, 8);
	assert_non_null(strstr(workflow->text, "\n; ---- included: data/base.ini\ninclude = more"));
	assert_non_null(strstr(workflow->text, "\n; ---- included: data/more.ini\n[params]\n"));
	cairn_workflow_free(workflow);
}

static void test_workflow_load__find(void **state)
{
	cairn_workflow *workflow = fake_load(AXES A "[stage b]\nplugin = node\n");
	cairn_error err = {0};

	(void)state;
	assert_string_equal(cairn_workflow_find(workflow, "a@concise", NULL)->name, "a@concise");
	assert_string_equal(cairn_workflow_find(workflow, "b", NULL)->name, "b");
	assert_null(cairn_workflow_find(workflow, "a", &err));
	assert_int_equal(err.code, CAIRN_ENOTFOUND);
	assert_string_equal(err.message, "stage 'a' exists 2 times");
	assert_string_equal(err.hint, "Say which: a@concise, a@courteous.");
	cairn_error_clear(&err);
	assert_null(cairn_workflow_find(workflow, "a@consise", &err));
	assert_string_equal(err.message, "no stage is named 'a@consise'");
	assert_string_equal(err.hint, "Did you mean 'a@concise'?");
	cairn_workflow_free(workflow);
}

static void test_workflow_load__check_is_asked_once_for_equal_values(void **state)
{
	static const char ini[] =
		AXES FAKE_STAGES "[stage same]\nplugin = sft\nforeach = group s\nlr = 1e-5\n"
				 "input.base = base:model\ninput.demos = demos:train\n"
				 "[stage other]\nplugin = sft\nforeach = group s\nepochs = ${s}\n"
				 "input.base = base:model\ninput.demos = demos:train\n";
	size_t before = fake_checked();

	(void)state;
	cairn_workflow_free(fake_load(ini));
	assert_int_equal(fake_checked() - before, 1 + 6);
}

static void test_workflow_load__is_deterministic(void **state)
{
	static const char ini[] =
		AXES A "[stage b]\nplugin = node\nforeach = s\ninput.in = a@*:out\n";
	cairn_workflow *one = fake_load(ini), *two = fake_load(ini);

	(void)state;
	assert_int_equal(one->n_instances, two->n_instances);
	for (size_t i = 0; i < one->n_instances; i++) {
		const cairn_instance *a = &one->instances[i], *b = &two->instances[i];

		assert_string_equal(a->name, b->name);
		assert_int_equal(a->n_bindings, b->n_bindings);
		for (size_t j = 0; j < a->n_bindings; j++)
			assert_string_equal(a->bindings[j].text, b->bindings[j].text);
	}
	cairn_workflow_free(one);
	cairn_workflow_free(two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workflow_load__head),
		cmocka_unit_test(test_workflow_load__lines),
		cmocka_unit_test(test_workflow_load__settings),
		cmocka_unit_test(test_workflow_load__conditions),
		cmocka_unit_test(test_workflow_load__every_stage_has_a_metric_log),
		cmocka_unit_test(test_workflow_load__values),
		cmocka_unit_test(test_workflow_load__interpolation),
		cmocka_unit_test(test_workflow_load__overrides),
		cmocka_unit_test(test_workflow_load__axes_make_instances),
		cmocka_unit_test(test_workflow_load__references_match_on_shared_axes),
		cmocka_unit_test(test_workflow_load__fan_in),
		cmocka_unit_test(test_workflow_load__bindings_follow_the_port_table),
		cmocka_unit_test(test_workflow_load__files_and_artifacts),
		cmocka_unit_test(test_workflow_load__names_in_the_store_and_planned_data),
		cmocka_unit_test(test_workflow_load__topological_order_ties_as_in_the_file),
		cmocka_unit_test(test_workflow_load__includes),
		cmocka_unit_test(test_workflow_load__find),
		cmocka_unit_test(test_workflow_load__check_is_asked_once_for_equal_values),
		cmocka_unit_test(test_workflow_load__is_deterministic),
	};

	return cmocka_run_group_tests(tests, fake_enter, fake_leave);
}

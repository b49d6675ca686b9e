/* SPDX-License-Identifier: Apache-2.0 */
/* errors_stage.c - as errors.c, for the keys of stages and for references. */
#include "fake.h"

static const struct fake_case stage_cases[] = {
	{"no_plugin",
		FAKE_HEAD "[stage a]\n"
			  "retries = 1\n",
		"error: stage 'a' has no plugin\n"
		"  at t.ini:3, section [stage a]\n"
		"hint: Add `plugin = NAME`; `cairn plugins` lists what there is.\n",
		{0}},
	{"unknown_plugin",
		FAKE_BASE "[stage sft]\n"
			  "plugin = stf\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n",
		"error: unknown plugin 'stf'\n"
		"  at t.ini:13, section [stage sft]\n"
		"hint: Did you mean 'sft'?\n",
		{0}},
	{"unknown_parameter",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "lerning_rate = 1e-5\n"
			  "lrr = 1e-5\n",
		"error: unknown parameter 'lerning_rate' for plugin 'sft'\n"
		"  at t.ini:16, section [stage sft]\n"
		"detail: 'sft' 1.0 accepts 10 parameters\n"
		"hint: List them with `cairn plugins sft`.\n"
		"error: unknown parameter 'lrr' for plugin 'sft'\n"
		"  at t.ini:17, section [stage sft]\n"
		"detail: 'sft' 1.0 accepts 10 parameters\n"
		"hint: Did you mean 'lr'? List them with `cairn plugins sft`.\n",
		{0}},
	{"misspelt_setting",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "retrys = 2\n",
		"error: unknown parameter 'retrys' for plugin 'node'\n"
		"  at t.ini:5, section [stage a]\n"
		"detail: 'node' 1.0 accepts 0 parameters\n"
		"hint: Did you mean 'retries'? List them with `cairn plugins node`.\n",
		{0}},
	{"input_as_parameter",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "demos = demos:train\n",
		"error: unknown parameter 'demos' for plugin 'sft'\n"
		"  at t.ini:15, section [stage sft]\n"
		"detail: 'sft' 1.0 accepts 10 parameters\n"
		"hint: It is an input: write `input.demos = STAGE:PORT`.\n",
		{0}},
	{"unknown_input",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demo = demos:train\n",
		"error: plugin 'sft' has no input 'demo'\n"
		"  at t.ini:15, section [stage sft]\n"
		"hint: Did you mean 'input.demos'?\n",
		{0}},
	{"missing_input",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n",
		"error: stage 'sft' has no input 'demos'\n"
		"  at t.ini:12, section [stage sft]\n"
		"detail: plugin 'sft' needs it, of kind 'dataset/demo'\n"
		"hint: Add `input.demos = STAGE:PORT`.\n",
		{0}},
	{"missing_parameter",
		FAKE_BASE "[stage rankings]\n"
			  "plugin = ranking\n"
			  "input.files = file:data/a.txt\n"
			  "[stage rm]\n"
			  "plugin = rm\n"
			  "input.init = base:model\n"
			  "input.rankings = rankings:train\n",
		"error: stage 'rm' does not give parameter 'group'\n"
		"  at t.ini:15, section [stage rm]\n"
		"detail: group: Whose rankings to learn from.\n"
		"hint: Add `group = ...`: plugin 'rm' has no default for it.\n",
		{0}},
	{"no_whole_number",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "epochs = 1.5\n",
		"error: parameter 'epochs' must be a whole number, not '1.5'\n"
		"  at t.ini:16, section [stage sft]\n"
		"detail: epochs: Passes over the data.\n"
		"hint: Correct it, or leave it out for the default, `16`.\n",
		{0}},
	{"no_number",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "lr = fast\n",
		"error: parameter 'lr' must be a number, not 'fast'\n"
		"  at t.ini:16, section [stage sft]\n"
		"detail: lr: Highest learning rate.\n"
		"hint: Correct it, or leave it out for the default, `9.65e-6`.\n",
		{0}},
	{"too_small",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "epochs = 0\n",
		"error: parameter 'epochs' must be at least 1, not 0\n"
		"  at t.ini:16, section [stage sft]\n"
		"detail: epochs: Passes over the data.\n"
		"hint: Give a value from 1 to 1000 (epochs).\n",
		{0}},
	{"too_large",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "dropout = 1.5\n",
		"error: parameter 'dropout' must be at most 1, not 1.5\n"
		"  at t.ini:16, section [stage sft]\n"
		"detail: dropout: On residual branches.\n"
		"hint: Give a value from 0 to 1.\n",
		{0}},
	{"below_an_open_range",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "log_every = -1\n",
		"error: parameter 'log_every' must be at least 1, not -1\n"
		"  at t.ini:16, section [stage sft]\n"
		"detail: log_every: Steps between lines.\n"
		"hint: Give a value of 1 or more.\n",
		{0}},
	{"unknown_choice",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "schedule = cosin\n",
		"error: parameter 'schedule' cannot be 'cosin'\n"
		"  at t.ini:16, section [stage sft]\n"
		"detail: schedule: Of the learning rate.\n"
		"hint: Did you mean 'cosine'? It is one of: none, linear, cosine.\n",
		{0}},
	{"no_bool",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "mask = maybe\n",
		"error: parameter 'mask' must be yes or no, not 'maybe'\n"
		"  at t.ini:16, section [stage sft]\n"
		"detail: mask: Train on the answer only.\n"
		"hint: Correct it, or leave it out for the default, `yes`.\n",
		{0}},
	{"no_size",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "buffer = big\n",
		"error: parameter 'buffer' must be a size like 64K, 4M or 2G, not 'big'\n"
		"  at t.ini:16, section [stage sft]\n"
		"detail: buffer: Bytes read ahead.\n"
		"hint: Correct it, or leave it out for the default, `64K`.\n",
		{0}},
	{"no_duration",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "warmup = soon\n",
		"error: parameter 'warmup' must be a time like 30s, 5m or 2h, not 'soon'\n"
		"  at t.ini:16, section [stage sft]\n"
		"detail: warmup: Time before full speed.\n"
		"hint: Correct it, or leave it out for the default, `1m`.\n",
		{0}},
	{"refused_by_the_plugin",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "dropout = 1\n",
		"error: dropout of 1 leaves nothing to train\n"
		"  at t.ini:12, section [stage sft]\n"
		"hint: Give less, e.g. 0.2.\n",
		{0}},
	{"wrong_in_one_instance",
		FAKE_HEAD "[axis n]\n"
			  "values = 1, 2, x, y\n"
			  "[stage a]\n"
			  "plugin = wide\n"
			  "foreach = n\n"
			  "epochs = ${n}\n",
		"error: parameter 'epochs' must be a whole number, not 'x'\n"
		"  at t.ini:8, section [stage a]\n"
		"detail: in 'a@x'; epochs: Passes over the data.\n"
		"hint: Correct it, or leave it out for the default, `16`.\n",
		{0}},
	{"bad_settings",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "retries = -1\n"
			  "timeout = soon\n"
			  "memory = big\n"
			  "executor = slurm\n"
			  "checkpoint_every = 0\n"
			  "keep_checkpoints = 0\n"
			  "show = perhaps\n"
			  "seed = x\n",
		"error: retries must be a whole number, not '-1'\n"
		"  at t.ini:5, section [stage a]\n"
		"hint: Give a number from 0 to 1000.\n"
		"error: timeout must be a time, not 'soon'\n"
		"  at t.ini:6, section [stage a]\n"
		"hint: Write `90s`, `5m`, `2h` or `1d`; `0` means no limit.\n"
		"error: memory must be a size, not 'big'\n"
		"  at t.ini:7, section [stage a]\n"
		"hint: Write `512M` or `8G`; `0` means no limit.\n"
		"error: executor must be 'local', not 'slurm'\n"
		"  at t.ini:8, section [stage a]\n"
		"hint: This version runs stages on this machine only.\n"
		"error: checkpoint_every must be a time or a number of steps, not '0'\n"
		"  at t.ini:9, section [stage a]\n"
		"hint: Write `30s` or `5m` for a time, or a plain number of steps, e.g. `50`.\n"
		"error: keep_checkpoints must be a whole number, not '0'\n"
		"  at t.ini:10, section [stage a]\n"
		"hint: Give a number from 1 to 1000000.\n"
		"error: show must be yes or no, not 'perhaps'\n"
		"  at t.ini:11, section [stage a]\n"
		"hint: Write `show = yes`, or leave it out.\n"
		"error: seed must be a whole number, not 'x'\n"
		"  at t.ini:12, section [stage a]\n"
		"hint: Write it as a decimal number, e.g. `seed = 1`.\n",
		{0}},
	{"unknown_axis",
		FAKE_HEAD "[axis group]\n"
			  "values = concise, courteous\n"
			  "[stage a]\n"
			  "plugin = node\n"
			  "foreach = groop\n",
		"error: unknown axis 'groop'\n"
		"  at t.ini:7, section [stage a]\n"
		"hint: Did you mean 'group'?\n",
		{0}},
	{"axis_twice_in_foreach",
		FAKE_HEAD "[axis group]\n"
			  "values = concise, courteous\n"
			  "[stage a]\n"
			  "plugin = node\n"
			  "foreach = group, group\n",
		"error: axis 'group' is named twice\n"
		"  at t.ini:7, section [stage a]\n"
		"hint: Name every axis once.\n",
		{0}},
};

static const struct fake_case reference_cases[] = {
	{"unknown_stage",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demo:train\n",
		"error: unknown stage 'demo'\n"
		"  at t.ini:15, section [stage sft]\n"
		"hint: Did you mean 'demos'?\n",
		{0}},
	{"unknown_output",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:trian\n",
		"error: unknown output 'trian'\n"
		"  at t.ini:15, section [stage sft]\n"
		"detail: stage 'demos' runs plugin 'demo'\n"
		"hint: Did you mean 'demos:train'?\n",
		{0}},
	{"wrong_kind",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:tokenizer\n"
			  "input.demos = demos:train\n",
		"error: wrong kind of input: 'base:tokenizer'\n"
		"  at t.ini:14, section [stage sft]\n"
		"detail: it is 'tokenizer'; input 'base' of plugin 'sft' takes 'model/lm'\n"
		"hint: Did you mean 'base:model'?\n",
		{0}},
	{"wrong_kind_of_all",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = base:tokenizer\n",
		"error: wrong kind of input: 'base:tokenizer'\n"
		"  at t.ini:15, section [stage sft]\n"
		"detail: it is 'tokenizer'; input 'demos' of plugin 'sft' takes 'dataset/demo'\n"
		"hint: Take an output of that kind from another stage.\n",
		{0}},
	{"file_for_a_dataset",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = file:data/a.txt\n",
		"error: wrong kind of input: 'file:data/a.txt'\n"
		"  at t.ini:15, section [stage sft]\n"
		"detail: it is 'file'; input 'demos' of plugin 'sft' takes 'dataset/demo'\n"
		"hint: Let a stage read the file first, and take that stage's output.\n",
		{0}},
	{"missing_file",
		FAKE_HEAD "[stage text]\n"
			  "plugin = text\n"
			  "input.files = file:data/c.txt\n",
		"error: cannot read 'file:data/c.txt'\n"
		"  at t.ini:5, section [stage text]\n"
		"detail: 'data/c.txt': No such file or directory\n"
		"hint: Paths are relative to the workflow file.\n",
		{0}},
	{"directory_as_file",
		FAKE_HEAD "[stage text]\n"
			  "plugin = text\n"
			  "input.files = file:data\n",
		"error: cannot read 'file:data'\n"
		"  at t.ini:5, section [stage text]\n"
		"detail: 'data' is no regular file\n"
		"hint: Paths are relative to the workflow file.\n",
		{0}},
	{"no_reference",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos\n",
		"error: not a reference: 'demos'\n"
		"  at t.ini:15, section [stage sft]\n"
		"hint: Write STAGE:PORT, STAGE@VALUE:PORT, file:PATH, ref:NAME or sha256:ID.\n",
		{0}},
	{"bad_artifact_id",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = sha256:12ab\n"
			  "input.demos = demos:train\n",
		"error: not an artifact's id: 'sha256:12ab'\n"
		"  at t.ini:14, section [stage sft]\n"
		"hint: Write all 64 hexadecimal digits; `cairn ls` shows them.\n",
		{0}},
	{"ref_without_a_name",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = ref:\n"
			  "input.demos = demos:train\n",
		"error: no name after 'ref:'\n"
		"  at t.ini:14, section [stage sft]\n"
		"hint: Write ref:NAME with a name that `cairn ls` shows.\n",
		{0}},
	{"planned_without_a_value",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = planned:rows=12,rows=13\n",
		"error: not a list of sizes: 'planned:rows=12,rows=13'\n"
		"  at t.ini:15, section [stage sft]\n"
		"hint: Write planned:KEY=VALUE,KEY=VALUE without blanks, each key once, such as "
		"planned:rows=1000.\n",
		{0}},
	{"two_for_a_port_of_one",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model base:model\n"
			  "input.demos = demos:train\n",
		"error: more than one artifact for input 'base'\n"
		"  at t.ini:14, section [stage sft]\n"
		"detail: 2 are given; plugin 'sft' takes one\n"
		"hint: Keep one of them.\n",
		{0}},
	{"nothing_for_a_port",
		FAKE_BASE "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = \n"
			  "input.demos = demos:train\n",
		"error: nothing is given for input 'base'\n"
		"  at t.ini:14, section [stage sft]\n"
		"hint: Write STAGE:PORT, STAGE@VALUE:PORT, file:PATH, ref:NAME or sha256:ID.\n",
		{0}},
	{"which_of_several",
		FAKE_HEAD "[axis group]\n"
			  "values = concise, courteous\n"
			  "[stage a]\n"
			  "plugin = node\n"
			  "foreach = group\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "input.in = a:out\n",
		"error: there is more than one 'a'\n"
		"  at t.ini:10, section [stage b]\n"
		"detail: 'a' exists once for each 'group', which 'b' does not have\n"
		"hint: Say which: `a@concise:out`, or `a@*:out` for all of them.\n",
		{0}},
	{"which_of_several_on_two_axes",
		FAKE_HEAD "[axis group]\n"
			  "values = concise, courteous\n"
			  "[axis s]\n"
			  "values = 1 2\n"
			  "[stage a]\n"
			  "plugin = node\n"
			  "foreach = group s\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "foreach = s\n"
			  "input.in = a:out\n",
		"error: there is more than one 'a'\n"
		"  at t.ini:13, section [stage b]\n"
		"detail: 'a' exists once for each 'group', which 'b' does not have\n"
		"hint: Say which: `a@VALUE,VALUE:out` with a value, or *, for each axis.\n",
		{0}},
	{"unknown_axis_value",
		FAKE_HEAD "[axis group]\n"
			  "values = concise, courteous\n"
			  "[stage a]\n"
			  "plugin = node\n"
			  "foreach = group\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "input.in = a@consise:out\n",
		"error: unknown value of an axis: 'consise'\n"
		"  at t.ini:10, section [stage b]\n"
		"detail: axis 'group' has 2 values\n"
		"hint: Did you mean 'a@concise'?\n",
		{0}},
	{"too_few_axis_values",
		FAKE_HEAD "[axis group]\n"
			  "values = concise, courteous\n"
			  "[axis s]\n"
			  "values = 1 2\n"
			  "[stage a]\n"
			  "plugin = node\n"
			  "foreach = group s\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "input.in = a@concise:out\n",
		"error: wrong number of values after '@' for 'a'\n"
		"  at t.ini:12, section [stage b]\n"
		"detail: 'a' has 2 axes, 1 value given\n"
		"hint: Give one value for each axis of its `foreach`, in that order.\n",
		{0}},
	{"axis_value_for_a_plain_stage",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "input.in = a@x:out\n",
		"error: wrong number of values after '@' for 'a'\n"
		"  at t.ini:7, section [stage b]\n"
		"detail: 'a' has 0 axes, 1 value given\n"
		"hint: Leave the '@' out: the stage has no `foreach`.\n",
		{0}},
	{"stage_needs_itself",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "input.in = a:out\n",
		"error: stages need each other in a circle\n"
		"  at t.ini:5, section [stage a]\n"
		"detail: a -> a\n"
		"hint: Let one of them take its input from elsewhere.\n",
		{0}},
	{"circle",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "input.in = c:out\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "input.in = a:out\n"
			  "[stage c]\n"
			  "plugin = node\n"
			  "input.in = b:out\n",
		"error: stages need each other in a circle\n"
		"  at t.ini:5, section [stage a]\n"
		"detail: a -> c -> b -> a\n"
		"hint: Let one of them take its input from elsewhere.\n",
		{0}},
	{"condition_on_nothing",
		FAKE_HEAD "[stage train]\n"
			  "plugin = node\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "when = trian:loss < 1\n",
		"error: unknown stage 'trian'\n"
		"  at t.ini:7, section [stage b]\n"
		"hint: Did you mean 'train'?\n",
		{0}},
	{"condition_that_is_none",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "when = a:loss is low\n",
		"error: `when` expects <, <=, >, >=, == or !=\n"
		"  at t.ini:7, section [stage b]\n"
		"detail: not 'is', at 'is low'\n"
		"hint: Write `when = STAGE:METRIC >= NUMBER`; `and`, `or`, `not` and parentheses "
		"join comparisons.\n",
		{0}},
	{"condition_on_several",
		FAKE_HEAD "[axis group]\n"
			  "values = x y\n"
			  "[stage a]\n"
			  "plugin = node\n"
			  "foreach = group\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "when = a@*:loss < 1\n",
		"error: `when` compares one number, not those of 'a@*'\n"
		"  at t.ini:10, section [stage b]\n"
		"hint: Name one: `a@VALUE:loss`, and join comparisons with `and`, `or`.\n",
		{0}},
	{"condition_in_a_circle",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "when = b:loss < 1\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "input.in = a:out\n",
		"error: stages need each other in a circle\n"
		"  at t.ini:3, section [stage a]\n"
		"detail: a -> b -> a\n"
		"hint: Let one of them take its input from elsewhere.\n",
		{0}},
	{"circle_told_once_for_all_instances",
		FAKE_HEAD "[axis group]\n"
			  "values = concise, courteous\n"
			  "[stage a]\n"
			  "plugin = node\n"
			  "foreach = group\n"
			  "input.in = b:out\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "foreach = group\n"
			  "input.in = a:out\n",
		"error: stages need each other in a circle\n"
		"  at t.ini:8, section [stage a]\n"
		"detail: a@concise -> b@concise -> a@concise\n"
		"hint: Let one of them take its input from elsewhere.\n",
		{0}},
};

static void test_workflow_errors__stage(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(stage_cases); i++)
		fake_check_case(&stage_cases[i]);
}

static void test_workflow_errors__reference(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(reference_cases); i++)
		fake_check_case(&reference_cases[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workflow_errors__stage),
		cmocka_unit_test(test_workflow_errors__reference),
	};

	return cmocka_run_group_tests(tests, fake_enter, fake_leave);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* verbs.c - the tables of verbs and exit statuses: dispatch, help and the test of the manual
 * read them. */
#include <string.h>

#include "cli/cli.h"

static const cli_verb verbs[] = {
	{"run", "resume", "[FILE]", "run a workflow, or go on where it stopped",
		"Runs every stage whose result is not in the store. Whatever ended the last run "
		"(an error, a kill, a power cut), the next one goes on from the last checkpoint; "
		"there is nothing to repair. FILE may be left out where one *.ini lies in the "
		"directory. The report is printed on stdout, progress on stderr.",
		0, 1, cli_run},
	{"check", NULL, "[FILE]", "check a workflow without running anything",
		"Reads the file, expands axes, checks ports, kinds and parameters against the "
		"plugins, and prints every mistake with its place.",
		0, 1, cli_check},
	{"plan", NULL, "[FILE]", "say what `run` would do, and why",
		"One line per stage: cached, ready or pending, with the reason and what its plugin "
		"expects it to cost. Same as `run -n`.",
		0, 1, cli_plan},
	{"status", NULL, "[RUN]", "the stages of a run and their outputs",
		"RUN is the id of a run, its first or last characters, or the name of a workflow; "
		"the newest where it is left out.",
		0, 1, cli_status},
	{"log", NULL, "[RUN] [STAGE]", "the list of runs; the log of a stage",
		"Without STAGE: the runs, newest first. With one: the log of its last attempt, or "
		"with --metrics the rows that it reported. One argument is taken as a run where "
		"there is such a run, else as a stage of the newest.",
		0, 2, cli_log},
	{"explain", "why", "[RUN] STAGE", "why a stage runs, or why it does not",
		"Compares the named components of the stage's last result with those of today: "
		"plugin version, parameters, seed, inputs; says what differs inside of inputs, and in "
		"which stage the change began. With RUN, a past run's with the result before it. With "
		"--exit-code the status is 1 where it would run, or ran.",
		1, 2, cli_explain},
	{"bless", NULL, "[STAGE]",
		"accept an earlier result for a stage that changed in looks only",
		"The last result of the stage stands for today's components, with a record of who "
		"accepted it, when and why; nothing runs, and what depends on it stays cached. "
		"Without STAGE all blessings are listed.",
		0, 1, cli_bless},
	{"graph", NULL, "[FILE]", "the workflow as a graph: in the terminal, DOT or Mermaid",
		"Stages and what flows between them, with their states in the newest run. On a terminal "
		"one line a stage, with the edges as lanes beside it; in DOT and Mermaid a cluster per "
		"axis value and the colours of the states. `cairn graph | dot -Tsvg >graph.svg`.",
		0, 1, cli_graph},
	{"lineage", NULL, "up|down ARTIFACT", "what an artifact was made from, or what from it",
		"up walks to the sources, down to everything that used it. ARTIFACT is an id or its "
		"first digits, a name such as instructgpt/sft:model, or stage:port.",
		2, 2, cli_lineage},
	{"cost", NULL, "[RUN|ARTIFACT]", "compute spent, in petaflop/s-days",
		"Per stage, group and account, over all attempts: what was kept and what an "
		"interruption wasted. For an artifact: with all its ancestors, each counted once. "
		"1 petaflop/s-day is 8.64e19 FLOP.",
		0, 1, cli_cost},
	{"plugins", NULL, "[NAME | describe FILE.so | check FILE.so]",
		"the stage plugins and their parameters; the tools",
		"The list; with NAME the ports and parameters of one, with defaults and "
		"documentation. `plugins describe` reads a shared object wherever it lies; `plugins "
		"check` tries whether it keeps the contract, also with a stage of a workflow: -f FILE "
		"--stage STAGE, or where it reads nothing with its parameters: -p NAME=VALUE.",
		0, 2, cli_plugins},
	{"generate", NULL, "MODEL [PROMPT]", "let a model write on",
		"MODEL is an artifact (an id or its first digits, WORKFLOW/STAGE:PORT, STAGE:PORT) or "
		"a directory in Hugging Face's layout. Without PROMPT, each line of standard input "
		"is one. The text is printed as it is written.",
		1, 2, cli_generate},
	{"score", NULL, "MODEL", "log-probabilities or rewards of texts",
		"Reads JSON lines, {\"text\": ...} or {\"ids\": [...]}, and prints a line for each: "
		"{\"logprobs\": [...]} of each token given those before it (null for the first), or "
		"of a reward model {\"reward\": x}.",
		1, 1, cli_score},
	{"tokenize", NULL, "TOKENIZER", "texts to token ids, and back",
		"Reads JSON lines {\"text\": ...} and prints {\"ids\": [...]}; with --decode the "
		"reverse. TOKENIZER is an artifact or a directory; a model brings its own.",
		1, 1, cli_tokenize},
	{"import", NULL, "DIR|FILE [NAME]", "take a model or a bundle into the store",
		"DIR holds a model in Hugging Face's layout. It becomes artifacts, with the names "
		"imported/NAME:PORT (NAME: that of DIR); `cairn lineage up` shows the files they came "
		"from, by their digests. Prints a line per artifact: its id and its name. FILE (or -) "
		"is a bundle of `cairn export --format=bundle`: artifacts, records and names come in, "
		"each verified, at once or not at all; with NAME, names begin with NAME/.",
		1, 2, cli_import},
	{"export", NULL, "MODEL|RUN|ARTIFACT [DIR|FILE]",
		"write a model for others, a run's metrics, or a bundle",
		"With --format=safetensors, a model in Hugging Face's layout. With tensorboard or "
		"jsonl, the metric rows of a run (an id, or a workflow for its newest): DIR/STAGE/ "
		"holds an event file or metrics.jsonl. DIR must not exist or be empty; its path is "
		"printed. With bundle, a run or an artifact with all records of its lineage as one "
		"tar file (- for stdout), which sha256sum verifies and `cairn import` takes in "
		"elsewhere.",
		1, 2, cli_export},
	{"cat", NULL, "ARTIFACT [ENTRY]", "the bytes of an artifact's entry, to stdout",
		"ENTRY may be left out where the artifact has one only. The bytes are verified "
		"before they are written.",
		1, 2, cli_cat},
	{"ls", NULL, "[ARTIFACT]",
		"the entries of an artifact; without one, the names in the store",
		"Names (refs) stand for artifacts: WORKFLOW/STAGE:PORT.", 0, 1, cli_ls},
	{"du", NULL, "[RUN|NAME|ARTIFACT...]", "what takes the room in the store",
		"A row for each run, and for what only a tool's import or a name holds: all bytes that "
		"it needs, and those that no other row does. With arguments, a row for each of them. "
		"Below: the files of the store and what of them is in use.",
		0, 64, cli_du},
	{"gc", NULL, "", "free what nothing needs any more",
		"Keeps whatever a name, a run, resume state, an import or a process at work leads to. "
		"With --keep-runs, --older-than (both: runs that fit both) or --checkpoints, runs are "
		"given up: it says which, and what they lose. Records, costs and lineage stay, and "
		"what is needed again is made again. Nothing is changed without --delete; runs may go "
		"on beside it.",
		0, 0, cli_gc},
	{"compact", NULL, "", "make the files of the store smaller",
		"Rewrites segments of which less than half is used, and copies the index without its "
		"free pages. For the latter no other process may have the store open; it can be "
		"killed at any time.",
		0, 0, cli_compact},
	{"fsck", NULL, "", "check every byte of the store against its digest",
		"Names what is damaged, what depends on it, and what would make it again; the exit "
		"status is 4 then. Runs beside others. Crashes need none of this: it is for disks "
		"that change what was written. --repair drops what is damaged, so that the next run "
		"makes it again; --rebuild makes the index anew of its backup, of what can be read "
		"of it and of the segments. --backup makes that backup now.",
		0, 0, cli_fsck},
	{"doctor", NULL, "", "what this machine has for cairn, and what stands in the way",
		"Looks at what a run needs, as a run would: compute backends (each in a process of its "
		"own) and which of them `device = auto` takes, memory, store, plugins, git. What is "
		"wrong comes with what would help; the exit status is 1 where no workflow could run.",
		0, 0, cli_doctor},
	{"init", NULL, "[FILE]", "write a first workflow file",
		"Writes FILE (workflow.ini), a small workflow to start from, with a comment per line. "
		"Never overwrites.",
		0, 1, cli_init},
	{"help", NULL, "[VERB]", "this list, or one verb in full",
		"On a terminal `cairn help VERB` opens the manual page cairn-VERB(1), where it is "
		"installed; `cairn VERB --help` prints what stands here. The manual is cairn(1).",
		0, 1, cli_help},
	{"version", NULL, "", "version of cairn and of the plugin contract",
		"Prints the version, the plugin contract and the libraries in use.", 0, 0,
		cli_version},
};

static const cli_exit exits[] = {
	{CLI_OK, "ok"},
	{CLI_FAILED, "a stage failed, or with --exit-code there is something to do"},
	{CLI_USAGE, "usage or workflow error"},
	{CLI_NOT_FOUND, "no such thing"},
	{CLI_INTEGRITY, "integrity failure"},
	{CLI_WAITING, "waiting for people, with --exit-code"},
	{CLI_BUSY, "busy"},
};

const cli_exit *cli_exits(size_t *n)
{
	*n = CAIRN_COUNT(exits);
	return exits;
}

const cli_verb *cli_verbs(size_t *n)
{
	*n = CAIRN_COUNT(verbs);
	return verbs;
}

const cli_verb *cli_verb_find(const char *name)
{
	for (size_t i = 0; i < CAIRN_COUNT(verbs); i++) {
		if (strcmp(verbs[i].name, name) == 0 ||
			(verbs[i].alias && strcmp(verbs[i].alias, name) == 0))
			return &verbs[i];
	}
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli.h - what the verbs share: options, opening things, printing.
 *
 * Only this folder prints. Data goes to stdout, progress and errors to stderr. A verb takes
 * the parsed command line and returns an exit status. Whatever text came from a user, a file or
 * a plugin goes through cli_safe() before it meets a terminal.
 */
#ifndef CAIRN_CLI_CLI_H
#define CAIRN_CLI_CLI_H

#include "audit/report.h"
#include "base/arena.h"
#include "base/text.h"
#include "run/run.h"
#include "run/tool/tool.h"

/* ARCHITECTURE: exit codes. INT and TERM are re-raised instead. */
enum {
	CLI_OK = 0,
	CLI_FAILED = 1,    /* a stage failed; with --exit-code: there is something to do */
	CLI_USAGE = 2,     /* the command line or the workflow is wrong */
	CLI_NOT_FOUND = 3, /* no such thing */
	CLI_INTEGRITY = 4, /* stored bytes do not match their digest */
	CLI_WAITING = 5,   /* waiting for people */
	CLI_BUSY = 75,     /* with --no-wait */
};

#define CLI_MAX_PARAMS  256
#define CLI_MAX_OPTIONS 160 /* of one command line, with those of its tool */

typedef struct cli_option {
	const char *name; /* long form, without dashes */
	char letter;      /* 0: none */
	/* NULL: it takes none; "NAME"; "[=...]": it may take one; "auto|always|never": one of
	 * these */
	const char *value;
	const char *verbs; /* " run plan ", NULL: all */
	const char *summary;
} cli_option;

/* The tool behind a verb, and what its options said so far (tool_options.c). */
typedef struct cli_tool {
	cairn_toolbox *box;
	const cairn_tool_info *info; /* NULL: error says why, if the verb has a tool at all */
	cairn_error error;
	const char **values; /* canonical texts, one per parameter */
	const char **bound;  /* one per input port: what an option named, or NULL */
} cli_tool;

typedef struct cli {
	cairn_arena *arena;
	const char *store_dir;
	const char *file; /* -f */
	bool json, quiet, verbose, dry_run, keep_going, no_wait, metrics, exit_code, overcommit;
	int jobs, threads;
	const char *stage;  /* --stage, of plugins */
	const char *format; /* --format, of export */
	bool force;
	const char *as; /* --as, of graph; NULL: as stdout is */
	bool collapse;
	bool index, repair, rebuild, backup; /* of fsck */
	bool with_inputs;                    /* of export */
	const cli_option *options;           /* those of the tool, then those of cairn */
	size_t n_options, n_tool_options;
	cli_tool tool;
	int64_t keep_runs; /* of gc; 0: all */
	double older_than_s;
	bool checkpoints, delete;
	const char *break_lease;
	int64_t attempt, depth;
	int64_t limit;      /* -1: what the verb thinks right */
	double max_flop;    /* --max-cost; < 0: none */
	const char *reason; /* of bless */
	bool revoke;
	const char *progress, *color, *by, *table;
	cairn_override params[CLI_MAX_PARAMS];
	size_t n_params;
	bool color_out, color_err;
	bool is_help_option; /* --help rather than the verb */
	/* The verb and what follows it. */
	const char *verb;
	const char *const *args;
	int n_args;
	const char *const *argv; /* the whole line, for the run's record */
	int argc;
} cli;

/* An exit status and what it says, whatever the verb. */
typedef struct cli_exit {
	int status;
	const char *meaning;
} cli_exit;

typedef struct cli_verb {
	const char *name, *alias;
	const char *usage;   /* "[FILE]" */
	const char *summary; /* one line */
	const char *text;    /* a paragraph for `cairn help VERB` */
	int min_args, max_args;
	int (*run)(cli *c);
} cli_verb;

/* ---- options.c, verbs.c ---------------------------------------------------------------- */

/* 0, or an exit status; *stop is set where --help or --version have been answered. */
int cli_parse(cli *c, int argc, char **argv, bool *stop);
/* Fills c->options with those that a line of this verb may have; loads its tool, if it has one. */
void cli_options_of(cli *c, const char *verb);
const cli_verb *cli_verbs(size_t *n);
/* NULL where there is none. */
const cli_verb *cli_verb_find(const char *name);
const cli_exit *cli_exits(size_t *n);
/* The words that it takes, as in its table, or NULL: any. */
const char *cli_option_choices(const cli_option *option);
/* Is it an option of this verb, by the table or by the tool behind it? NULL: of all verbs. */
bool cli_option_is_of(const cli *c, const cli_option *option, const cli_verb *verb);

int cli_run(cli *c);
int cli_check(cli *c);
int cli_plan(cli *c);
int cli_status(cli *c);
int cli_log(cli *c);
int cli_explain(cli *c);
int cli_bless(cli *c);
int cli_graph(cli *c);
int cli_lineage(cli *c);
int cli_cost(cli *c);
int cli_plugins(cli *c);
int cli_plugins_check(cli *c); /* plugins_check.c: of cli_plugins */
int cli_generate(cli *c);
int cli_score(cli *c);
int cli_tokenize(cli *c);
int cli_import(cli *c);
int cli_export(cli *c);
int cli_cat(cli *c);
int cli_ls(cli *c);
int cli_du(cli *c);
int cli_gc(cli *c);
int cli_compact(cli *c);
int cli_fsck(cli *c);
int cli_doctor(cli *c);
int cli_init(cli *c);
int cli_help(cli *c);
int cli_version(cli *c);

/* ---- complete.c, complete_script.c -------------------------------------------------------- */

/* `cairn --complete SHELL`: the script. `cairn --complete-words KIND PREFIX PROGRAM WORDS...`. */
int cli_complete_script(cli *c, const char *shell);
int cli_complete_words(cli *c, int argc, char **argv);

/* ---- manual.c ------------------------------------------------------------------------------ */

/* Shows the installed page of a verb; false where there is none, or nobody to show it. */
bool cli_manual_show(cli *c, const char *verb);

/* ---- tool_options.c, tool_io.c, export.c: verbs that are tools ----------------------------- */

/* Is there a tool behind this verb? */
bool cli_verb_has_tool(const char *verb);
/* Finds it; on failure c->tool.error says why. */
void cli_tool_load(cli *c, const char *verb);
void cli_tool_close(cli *c);
/* Its parameters and optional inputs as options; returns how many. `is_taken` answers for names
 * that the verb has itself. */
size_t cli_tool_options(cli *c, const char *verb, cli_option *out, size_t cap,
	bool (*is_taken)(const char *verb, const char *name));
/* The value of one of these options; NULL where none was given. */
int cli_tool_take(cli *c, const cli_option *option, const char *text);
/* Has it such a parameter? Sets it; errors are printed. */
bool cli_tool_has(const cli *c, const char *param);
int cli_tool_set(cli *c, const char *param, const char *text);

/* stdin, stdout and Ctrl-C as a tool sees them. */
typedef struct cli_tool_io {
	cairn_tool_io io;
	cairn_error error; /* what was reported here, and only its code to the tool */
	bool is_closed;    /* nobody reads what we print any more */
	char *buffer;
	size_t start, end, cap;
	bool at_end;
} cli_tool_io;
/* Listens for SIGINT and SIGTERM from now on; a second one kills as ever. */
void cli_tool_io_open(cli_tool_io *out);
void cli_tool_io_close(cli_tool_io *io);
/* The signal to die of: the one that came, SIGPIPE where nobody reads; 0: none. */
int cli_tool_io_signal(const cli_tool_io *io);

/* The metric rows of a run, as `--format` says. */
int cli_export_run(cli *c);
/* bundle.c: a run or an artifact with its lineage as one file, and back. */
int cli_export_bundle(cli *c);
int cli_import_bundle(cli *c, const char *prefix);
/* A file, or "-", rather than a directory? */
bool cli_is_bundle(const char *text);
/* Where an export goes that was given no directory: "instructgpt-sft-model". */
const char *cli_directory_name(cli *c, const char *name, const char *ending);

/* ---- print.c ----------------------------------------------------------------------------- */

enum cli_style {
	CLI_PLAIN,
	CLI_BOLD,
	CLI_DIM,
	CLI_RED,
	CLI_GREEN,
	CLI_YELLOW,
	CLI_BLUE
};

/* Escape sequences where `on`, else "". CLI_PLAIN resets. */
const char *cli_style(bool on, enum cli_style style);
enum cli_style cli_state_style(const char *state);
/* Control characters, bytes that are not UTF-8 and characters that turn the direction of text,
 * as \xNN or \uNNNN. Lives in the arena. */
const char *cli_safe(cli *c, const char *text);
/* The same into a buffer, cut where it is full. */
const char *cli_safe_into(char *out, size_t cap, const char *text);
/* error, place, detail, hint on stderr; returns the exit status that belongs to the code. */
int cli_error(cli *c, const cairn_error *err);
/* Fills an error of its own and prints it. hint may be NULL. */
int cli_fail(cli *c, int code, const char *hint, const char *format, ...) CAIRN_PRINTF(4, 5);
int cli_exit_status(int code);
/* Takes over `json`, puts "schema" first and prints it on stdout. */
int cli_print_json(json_t *json, const char *schema);

/* ---- units.c: numbers for people; each into a buffer of 32 bytes ------------------------------
 */

const char *cli_flop(char out[32], double flop);    /* 1.2 TFLOP */
const char *cli_pf_days(char out[32], double flop); /* 2.1e-09 */
/* "0.5" petaflop/s-days, "18TFLOP" or "18 TFLOP", as FLOP. */
bool cli_parse_cost(const char *text, double *flop);
const char *cli_duration(char out[32], double seconds); /* 3m41s */
const char *cli_bytes(char out[32], double bytes);      /* 4.2 MiB */
const char *cli_peak(char out[32], const json_t *cost); /* its "peak_bytes"; "-": not known */
const char *cli_number(char out[32], double value);     /* 2.31 */
const char *cli_time(char out[32], int64_t ms);         /* 2025-01-31 12:00:00, local */

/* ---- table.c --------------------------------------------------------------------------------- */

/* Rows of text, padded to columns when printed. Cells are copied and made safe. */
typedef struct cli_table cli_table;
/* columns: "STAGE|STATE|>TIME": '>' right-aligns. */
cli_table *cli_table_new(cli *c, const char *columns);
void cli_table_row(cli_table *table);
void cli_table_cell(cli_table *table, const char *format, ...) CAIRN_PRINTF(2, 3);
/* Style of the cell that was added last. */
void cli_table_style(cli_table *table, enum cli_style style);
void cli_table_print(const cli_table *table, FILE *to, bool color);

/* ---- open.c ------------------------------------------------------------------------------------
 */

/* flags: of cairn_store_open. */
CAIRN_MUST int cli_open_store(cli *c, cairn_store **out, unsigned flags, cairn_error *err);
/* A store and a snapshot of it, to read from. */
typedef struct cli_reader {
	cairn_store *store;
	cairn_snapshot *snapshot;
} cli_reader;
CAIRN_MUST int cli_reader_open(cli *c, cli_reader *out, cairn_error *err);
void cli_reader_close(cli_reader *reader);
/* The argument, -f, or the only *.ini of the current directory. */
CAIRN_MUST int cli_workflow_file(cli *c, const char *given, const char **out, cairn_error *err);

/* Everything that a workflow needs; plan is NULL unless asked for. */
typedef struct cli_work {
	cairn_store *store;
	cairn_registry *registry;
	cairn_workflow *workflow;
	cairn_plan *plan;
} cli_work;
enum {
	CLI_WORK_STORE = 1,
	CLI_WORK_CREATE = 2,
	CLI_WORK_PLAN = 4
};
/* 0, or an exit status: errors are printed, all mistakes of the file at once. */
int cli_work_open(cli *c, cli_work *out, const char *file, unsigned what);
void cli_work_close(cli_work *work);

/* ---- progress.c, closing.c ----------------------------------------------------------------------
 */

/* More than these are told of in groups, not one by one. */
#define CLI_MANY_STAGES 100

typedef struct cli_progress cli_progress;
/* What this run spent on a stage. */
typedef struct cli_spent {
	double seconds, flop;
} cli_spent;
cli_progress *cli_progress_new(cli *c, const cairn_workflow *workflow);
cairn_observer *cli_progress_observer(cli_progress *progress);
/* Removes what is redrawn from the terminal. */
void cli_progress_end(cli_progress *progress);
const cli_spent *cli_progress_spent(const cli_progress *progress, size_t i);
/* progress_json.c */
void cli_progress_json(const cairn_plan *plan, const cairn_event *event);

/* The table of a finished run, its reports' highlights and the last line. */
int cli_closing(cli *c, const cli_work *work, const cli_progress *progress,
	const cairn_run_summary *summary);
/* closing_many.c: the table of a run of many stages. */
void cli_closing_many(cli *c, const cairn_plan *plan, const cli_progress *progress);
/* plan_table.c: `cairn plan --table NAME`. */
int cli_plan_table(cli *c);
/* "cairn run FILE -p name=value": the line that goes on with this workflow. */
const char *cli_run_command(cli *c, const char *file);
/* "loss 2.31, accuracy 0.71": the first `limit` of a result's summary. */
void cli_summary_text(cairn_text *out, const json_t *summary, size_t limit);

#endif

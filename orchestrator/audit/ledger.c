/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.c - sums over attempts, each stage key once.
 *
 * An attempt's record carries what it spent (per account, as metered at the kernel table) and
 * what of it a checkpoint or the end committed. All sums run in the order of the store's keys
 * or of the workflow, so that two reports of the same records are equal to the last digit.
 */
#include "audit/ledger.h"

#include <string.h>

#include "audit/lineage.h"
#include "base/alloc.h"

static const char *const account_names[CAIRN_ACCOUNTS] = {"other", "forward", "backward", "rollout",
	"reference", "reward", "value", "ptx", "optimizer"};

const char *cairn_account_name(int account)
{
	return account >= 0 && account < CAIRN_ACCOUNTS ? account_names[account] : "other";
}

static void grow(uint64_t *peak, uint64_t to)
{
	if (to > *peak)
		*peak = to;
}

void cairn_cost_add(cairn_cost *to, const cairn_cost *from)
{
	to->attempts += from->attempts;
	for (int i = 0; i < CAIRN_ACCOUNTS; i++) {
		to->flop[i] += from->flop[i];
		to->flop_real[i] += from->flop_real[i];
	}
	to->spent += from->spent;
	to->kept += from->kept;
	to->seconds += from->seconds;
	to->peaked_flop += from->peaked_flop;
	to->peak_flop += from->peak_flop;
	grow(&to->peak_bytes, from->peak_bytes);
	grow(&to->kernel_peak_bytes, from->kernel_peak_bytes);
}

double cairn_cost_wasted(const cairn_cost *cost)
{
	return cost->spent > cost->kept ? cost->spent - cost->kept : 0;
}

double cairn_cost_real(const cairn_cost *cost)
{
	double sum = 0;

	for (int i = 0; i < CAIRN_ACCOUNTS; i++)
		sum += cost->flop_real[i];
	return sum;
}

double cairn_cost_rate(const cairn_cost *cost)
{
	return cost->seconds > 0 ? cost->spent / cost->seconds : 0;
}

double cairn_cost_mfu(const cairn_cost *cost)
{
	return cost->peak_flop > 0 ? cost->peaked_flop / cost->peak_flop : -1;
}

json_t *cairn_cost_to_json(const cairn_cost *cost)
{
	double mfu = cairn_cost_mfu(cost);

	return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:I, s:I}", "attempts",
		(json_int_t)cost->attempts, "flop", cost->spent, "real_flop", cairn_cost_real(cost),
		"kept_flop", cost->kept, "wasted_flop", cairn_cost_wasted(cost), "pf_days",
		cost->spent / CAIRN_PF_DAY, "seconds", cost->seconds, "flop_per_second",
		cairn_cost_rate(cost), "mfu", mfu < 0 ? json_null() : json_real(mfu), "peak_bytes",
		(json_int_t)cost->peak_bytes, "kernel_peak_bytes",
		(json_int_t)cost->kernel_peak_bytes);
}

json_t *cairn_cost_accounts(const cairn_cost *cost)
{
	json_t *json = json_object();

	for (int i = 0; i < CAIRN_ACCOUNTS; i++) {
		if (cost->flop[i] > 0)
			json_object_set_new(json, account_names[i],
				json_pack("{s:f, s:f}", "flop", cost->flop[i], "real_flop",
					cost->flop_real[i]));
	}
	return json;
}

/* ---- one key -------------------------------------------------------------------------- */

static double sum_into(double to[CAIRN_ACCOUNTS], const json_t *array)
{
	double sum = 0;

	for (size_t i = 0; i < CAIRN_ACCOUNTS; i++) {
		double value = json_number_value(json_array_get(array, i));
		to[i] += value;
		sum += value;
	}
	return sum;
}

int cairn_ledger_key(cairn_cost *out, cairn_snapshot *snapshot, const cairn_key *key,
	const char *run, cairn_error *err)
{
	cairn_cost cost = {0};
	json_t *attempts = NULL, *attempt;
	size_t i;
	int rc = cairn_record_attempts(&attempts, snapshot, key, err);

	if (rc < 0)
		return rc;
	json_array_foreach(attempts, i, attempt)
	{
		double spent, kept, seconds, peak;
		if (run && strcmp(cairn_json_string(attempt, "run", ""), run) != 0)
			continue;
		spent = sum_into(cost.flop, json_object_get(attempt, "flop"));
		sum_into(cost.flop_real, json_object_get(attempt, "flop_real"));
		kept = cairn_json_number(attempt, "kept_flop", 0);
		cost.spent += spent;
		/* The heartbeat may lag behind the commit that follows it. */
		cost.kept += kept < spent ? kept : spent;
		seconds = cairn_json_number(attempt, "seconds", 0);
		cost.seconds += seconds;
		peak = cairn_json_number(attempt, "peak_flops", 0);
		cost.peak_flop += peak * seconds;
		cost.peaked_flop += peak > 0 ? spent : 0;
		grow(&cost.peak_bytes, (uint64_t)cairn_json_integer(attempt, "max_rss_bytes", 0));
		grow(&cost.kernel_peak_bytes,
			(uint64_t)cairn_json_integer(attempt, "kernel_peak_bytes", 0));
		cost.attempts++;
	}
	json_decref(attempts);
	*out = cost;
	return 0;
}

/* ---- sums over stages ------------------------------------------------------------------- */

typedef struct account_book {
	cairn_snapshot *snapshot;
	cairn_cost total, this_run, pretrain;
	json_t *stages;
	json_t *seen;   /* key text -> instance that counted it */
	json_t *groups; /* array of {"axis", "value"}, costs beside it */
	cairn_cost *group_costs;
	size_t n_groups;
	bool has_failed; /* no memory */
} account_book;

static void add_to_group(
	account_book *book, const char *axis, const char *value, const cairn_cost *cost)
{
	size_t i;

	for (i = 0; i < book->n_groups; i++) {
		json_t *group = json_array_get(book->groups, i);
		if (strcmp(cairn_json_string(group, "axis", ""), axis) == 0 &&
			strcmp(cairn_json_string(group, "value", ""), value) == 0)
			break;
	}
	if (i == book->n_groups) {
		cairn_cost *grown = cairn_realloc(book->group_costs, i + 1, sizeof(*grown));
		if (!grown) {
			book->has_failed = true;
			return;
		}
		book->group_costs = grown;
		grown[i] = (cairn_cost){0};
		json_array_append_new(
			book->groups, json_pack("{s:s, s:s}", "axis", axis, "value", value));
		book->n_groups++;
	}
	cairn_cost_add(&book->group_costs[i], cost);
}

/* A stage without attempts: was its result accepted in place of a run? */
static int add_blessing(
	json_t *row, cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err)
{
	json_t *result = NULL;
	int rc = cairn_record_result(&result, snapshot, key, err);

	if (json_object_get(result, "blessed"))
		json_object_set(row, "blessed", json_object_get(result, "blessed"));
	json_decref(result);
	return rc == CAIRN_ENOTFOUND ? 0 : rc;
}

static int count_stage(account_book *book, const char *instance, const char *plugin,
	const char *key_text, const json_t *axes, const char *run, cairn_error *err)
{
	cairn_cost cost = {0}, here = {0};
	cairn_key key;
	const char *first = cairn_json_string(book->seen, key_text, NULL), *axis;
	json_t *row, *value;
	int rc = cairn_key_parse(&key, key_text, err);

	if (rc == 0)
		rc = cairn_ledger_key(&cost, book->snapshot, &key, NULL, err);
	if (rc == 0 && run)
		rc = cairn_ledger_key(&here, book->snapshot, &key, run, err);
	if (rc < 0)
		return rc;
	row = json_pack("{s:s, s:s, s:s}", "instance", instance, "plugin", plugin, "key", key_text);
	value = cairn_cost_to_json(&cost);
	json_object_update(row, value);
	json_decref(value);
	json_object_set_new(row, "accounts", cairn_cost_accounts(&cost));
	json_array_append_new(book->stages, row);
	if (!cost.attempts && (rc = add_blessing(row, book->snapshot, &key, err)) < 0)
		return rc;
	if (first) {
		json_object_set_new(row, "same_as", json_string(first));
		return 0;
	}
	json_object_set_new(book->seen, key_text, json_string(instance));
	cairn_cost_add(&book->total, &cost);
	cairn_cost_add(&book->this_run, &here);
	if (strcmp(plugin, "pretrain") == 0)
		cairn_cost_add(&book->pretrain, &cost);
	if (json_object_size(axes) == 0)
		add_to_group(book, "", "shared", &cost);
	json_object_foreach((json_t *)axes, axis, value)
		add_to_group(book, axis, json_string_value(value), &cost);
	if (book->has_failed)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory adding up groups");
	return 0;
}

/* A stage that never had a key: skipped, blocked, or not reached. */
static void list_unspent(account_book *book, const char *instance, const char *plugin)
{
	json_t *row = json_pack("{s:s, s:s, s:n}", "instance", instance, "plugin", plugin, "key");
	json_t *value = cairn_cost_to_json(&(cairn_cost){0});

	json_object_update(row, value);
	json_decref(value);
	json_object_set_new(row, "accounts", json_object());
	json_array_append_new(book->stages, row);
}

static json_t *pretrain_share(const account_book *book)
{
	double before = book->pretrain.spent, after = book->total.spent - before;

	/* PAPER 2203.02155 section 5.1: alignment cost under 2 % of pretraining. */
	if (before <= 0)
		return json_null();
	return json_pack(
		"{s:f, s:f, s:f}", "flop", before, "after_flop", after, "ratio", after / before);
}

static json_t *close_book(account_book *book, bool is_run)
{
	json_t *json = json_object(), *group, *cost;
	size_t i;

	json_object_set_new(json, "total", cairn_cost_to_json(&book->total));
	if (is_run)
		json_object_set_new(json, "this_run", cairn_cost_to_json(&book->this_run));
	json_object_set(json, "stages", book->stages);
	json_array_foreach(book->groups, i, group)
	{
		cost = cairn_cost_to_json(&book->group_costs[i]);
		json_object_update(group, cost);
		json_decref(cost);
	}
	if (is_run)
		json_object_set(json, "groups", book->groups);
	json_object_set_new(json, "accounts", cairn_cost_accounts(&book->total));
	json_object_set_new(json, "pretrain", pretrain_share(book));
	return json;
}

static account_book *open_book(cairn_snapshot *snapshot)
{
	account_book *book = cairn_alloc(1, sizeof(*book));

	if (!book)
		return NULL;
	book->snapshot = snapshot;
	book->stages = json_array();
	book->seen = json_object();
	book->groups = json_array();
	return book;
}

static void free_book(account_book *book)
{
	json_decref(book->stages);
	json_decref(book->seen);
	json_decref(book->groups);
	free(book->group_costs);
	free(book);
}

int cairn_ledger_run(
	json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err)
{
	account_book *book = open_book(snapshot);
	char run_text[CAIRN_RUN_TEXT];
	json_t *stages = NULL, *stage;
	size_t i;
	int rc;

	if (!book)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory adding up a run");
	cairn_run_id_format(run, run_text);
	rc = cairn_record_stages(&stages, snapshot, run, err);
	json_array_foreach(stages, i, stage)
	{
		const char *key = cairn_json_string(stage, "key", NULL);
		const char *instance = cairn_json_string(stage, "instance", "?");
		const char *plugin = cairn_json_string(stage, "plugin", "?");

		if (rc == 0 && key)
			rc = count_stage(book, instance, plugin, key,
				json_object_get(stage, "axes"), run_text, err);
		else
			list_unspent(book, instance, plugin);
		if (rc == 0)
			json_object_set(json_array_get(book->stages, i), "state",
				json_object_get(stage, "state"));
	}
	if (rc == 0)
		*out = close_book(book, true);
	json_decref(stages);
	free_book(book);
	return rc;
}

int cairn_ledger_artifact(
	json_t **out, cairn_snapshot *snapshot, const cairn_id *artifact, cairn_error *err)
{
	account_book *book = open_book(snapshot);
	/* What was accepted in place of a run cost nothing, nor did what it would have read. */
	const cairn_lineage_options options = {.direction = CAIRN_LINEAGE_UP, .only_made = true};
	cairn_lineage_start start = {.is_stage = false};
	cairn_lineage up = {0};
	int rc;

	if (!book)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory adding up an artifact");
	memcpy(start.bytes, artifact->bytes, sizeof(start.bytes));
	rc = cairn_lineage_explore(&up, snapshot, &start, 1, &options, err);
	if (rc == 0 && up.is_truncated)
		rc = cairn_error_set(err, CAIRN_ELIMIT, "an artifact with over %d ancestors",
			CAIRN_LINEAGE_MAX_NODES);
	for (size_t i = 0; rc == 0 && i < up.n_nodes; i++) {
		char key_text[CAIRN_KEY_TEXT];
		cairn_key key;
		if (!up.nodes[i].is_stage || up.nodes[i].blessed)
			continue;
		memcpy(key.bytes, up.nodes[i].bytes, sizeof(key.bytes));
		cairn_key_format(&key, key_text);
		rc = count_stage(book, up.nodes[i].instance ? up.nodes[i].instance : "?",
			up.nodes[i].plugin ? up.nodes[i].plugin : "?", key_text, NULL, NULL, err);
	}
	if (rc == 0)
		*out = close_book(book, false);
	cairn_lineage_free(&up);
	free_book(book);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes: one small hand-written file of each, recognised and turned into rows; and what is no such
 * row. Rows are compared as text: "prompt|completion", "prompt|a>b=c" for rankings, best first. */
#include "../test.h"

#include <string.h>

#include "base/arena.h"
#include "base/text.h"
#include "gpt/shapes.h"

static gpt_shape_params params;
static gpt_fields fields;

static int set_up(void **state)
{
	(void)state;
	params = (gpt_shape_params){.input_key = "input",
		.output_key = "output",
		.prompt_key = "prompt",
		.chosen_key = "chosen",
		.rejected_key = "rejected",
		.system_turn = "{content}",
		.user_turn = "\\n\\nHuman: {content}",
		.assistant_turn = "\\n\\nAssistant: {content}"};
	fields = (gpt_fields){"", "", "", "", "", ""};
	return 0;
}

/* Ranked completions, best first, ties joined by '='. */
static void print_ranking(const gpt_row *row, cairn_text *out)
{
	const char *sign = "";

	for (int32_t rank = 0; rank < 1 << 20; rank++) {
		int32_t left = 0;

		for (int32_t i = 0; i < row->n_completions; i++) {
			left += row->ranks[i] > rank;
			if (row->ranks[i] != rank)
				continue;
			cairn_text_printf(out, "%s%s", sign, row->completions[i]);
			sign = "=";
		}
		sign = *sign ? ">" : "";
		if (!left)
			return;
	}
}

static void print_row(const gpt_row *row, cairn_text *out)
{
	cairn_text_printf(out, "%s|", row->prompt);
	if (row->completion)
		cairn_text_add(out, row->completion);
	if (row->n_completions)
		print_ranking(row, out);
	if (row->user[0])
		cairn_text_printf(out, " user=%s", row->user);
	if (row->labeler[0])
		cairn_text_printf(out, " labeler=%s", row->labeler);
	if (row->group[0])
		cairn_text_printf(out, " group=%s", row->group);
	cairn_text_add_char(out, '\n');
}

/* All records of a file under the shape of the first, or the one that params say. */
static void shape_file(const char *file, enum gpt_want want, cairn_text *out)
{
	gpt_shaper shaper = {
		.params = &params, .fields = fields, .want = want, .arena = cairn_arena_new()};
	enum gpt_shape shape = (enum gpt_shape)params.shape;
	gpt_jsonl reader;
	cairn_error err = {0};
	json_t *record;

	cairn_text_clear(out);
	assert_int_equal(gpt_shape_check(&params, &err), 0);
	assert_int_equal(gpt_jsonl_open(&reader, "f", file, strlen(file), &err), 0);
	while (gpt_jsonl_next(&reader, &record, &err) > 0) {
		if (shape == GPT_SHAPE_AUTO) {
			shape = gpt_shape_recognise(&shaper, record);
			cairn_text_printf(out, "%s\n", gpt_shape_names[shape]);
		}
		if (gpt_shape_record(&shaper, shape, &reader, record, &err) == 0)
			for (size_t i = 0; i < shaper.n; i++)
				print_row(&shaper.rows[i], out);
		else
			cairn_text_printf(out, "%s: %s (%s)\n", err.place, err.message,
				gpt_bad_reasons[reader.why]);
		cairn_error_clear(&err);
		json_decref(record);
	}
	gpt_jsonl_close(&reader);
	gpt_shaper_close(&shaper);
	cairn_arena_free(shaper.arena);
}

static void expect(const char *file, enum gpt_want want, const char *rows)
{
	cairn_text out = {0};

	shape_file(file, want, &out);
	assert_string_equal(cairn_text_get(&out), rows);
	cairn_text_free(&out);
}

#define DEMO    GPT_WANT_DEMO
#define PROMPT  GPT_WANT_PROMPT
#define RANKING GPT_WANT_RANKING

static void test_gpt_shapes__own(void **state)
{
	(void)state;
	expect("{\"prompt\":\"p\",\"completion\":\"c\",\"user\":\"u\",\"labeler\":\"l\"}\n"
	       "{\"prompt\":\"q\"}\n{\"prompt\":\"q\",\"completion\":\" \\n\"}\n"
	       "{\"messages\":[]}\n",
		DEMO,
		"own\np|c user=u labeler=l\nf:2: 'completion' is missing (field missing)\n"
		"f:3: completion 1 is empty (empty text)\n"
		"f:4: 'prompt' is missing (field missing)\n");
	expect("{\"prompt\":\"p\",\"completion\":\"c\",\"user\":7}\n{\"prompt\":\"q\"}\n", PROMPT,
		"own\np| user=7\nq|\n");
	expect("{\"prompt\":\"p\",\"completions\":[\"a\",\"b\",\"\"],\"ranks\":[1,0,1],"
	       "\"labeler\":\"ann\",\"group\":\"g\"}\n"
	       "{\"prompt\":\"p\",\"completions\":[\"a\",\"b\",\"c\",\"d\"],"
	       "\"scores\":[0.5,-1,0.5,7]}\n"
	       "{\"prompt\":\"p\",\"completions\":[\"a\",\"b\"],\"scores\":[1]}\n"
	       "{\"prompt\":\"p\",\"completions\":[\"a\",\"b\"],\"scores\":[1,null]}\n"
	       "{\"prompt\":\"p\",\"completions\":[\"a\",\"b\"]}\n"
	       "{\"prompt\":\"p\",\"completions\":[\"a\"],\"ranks\":[0]}\n",
		RANKING,
		"own\np|b>a= labeler=ann group=g\np|d>a=c>b\n"
		"f:3: 'scores' is no list of 2 numbers (ranks that rank nothing)\n"
		"f:4: 'scores' item 1 is no number (ranks that rank nothing)\n"
		"f:5: 'ranks' is missing (field missing)\n"
		"f:6: 'completions' has 1 item: a ranking needs 2 (field missing)\n");
	/* Templates say where the fields are. */
	fields = (gpt_fields){.prompt = "{q}\\n",
		.completion = "{a.0}",
		.user = "",
		.labeler = "{by}",
		.group = "",
		.answer = ""};
	expect("{\"q\":\"p\",\"a\":[\"c\"],\"by\":\"x\",\"chosen\":\"\",\"rejected\":\"\"}", DEMO,
		"own\np\n|c labeler=x\n");
	fields = (gpt_fields){"", "", "{asker}", "{by}", "all", ""};
	expect("{\"prompt\":\"p\",\"completions\":[\"a\",\"b\"],\"ranks\":[0,1],\"by\":3,"
	       "\"asker\":\"z\"}",
		RANKING, "own\np|a>b user=z labeler=3 group=all\n");
}

static void test_gpt_shapes__trl(void **state)
{
	(void)state;
	/* Comparisons, the prompt beside them. */
	expect("{\"prompt\":\"The sky is\",\"chosen\":\" blue.\",\"rejected\":\" green.\"}\n"
	       "{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"a\"}\n"
	       "{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"\"}\n"
	       "{\"prompt\":\"p\",\"chosen\":\"a\"}\n"
	       "{\"prompt\":\"p\",\"chosen\":7,\"rejected\":\"b\"}\n"
	       "{\"prompt\":\"p\",\"completion\":\"a\"}\n",
		RANKING,
		"trl\nThe sky is| blue.> green.\n"
		"f:2: chosen and rejected are equal (chosen and rejected are equal)\n"
		"f:3: completion 2 is empty (empty text)\n"
		"f:4: 'rejected' is missing (field missing)\n"
		"f:5: 'chosen' is no text (field of the wrong type)\n"
		"f:6: 'chosen' is missing (field missing)\n");
	/* What both begin with is the prompt; no word is cut. */
	expect("{\"chosen\":\"The sky is blue.\",\"rejected\":\"The sky is green.\"}\n"
	       "{\"chosen\":\"It is bluer\",\"rejected\":\"It is blue\"}\n"
	       "{\"chosen\":\"\xc3\xa9 \xc3\xa9\",\"rejected\":\"\xc3\xa9 \xc3\xa8\"}\n"
	       "{\"chosen\":\"yes\",\"rejected\":\"no\"}\n",
		RANKING,
		"trl\nThe sky is| blue.> green.\nIt is| bluer> blue\n\xc3\xa9| \xc3\xa9> \xc3\xa8\n"
		"f:4: chosen and rejected have no prompt in common (prompts differ)\n");
	/* As demonstrations the better one counts; as prompts neither. */
	expect("{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\",\"labeler\":\"l\"}\n", DEMO,
		"trl\np|a labeler=l\n");
	expect("{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\"}\n", PROMPT, "trl\np|\n");
	/* Unpaired preferences. */
	expect("{\"prompt\":\"p\",\"completion\":\"a\",\"label\":true}\n"
	       "{\"prompt\":\"p\",\"completion\":\"b\",\"label\":false}\n",
		DEMO,
		"trl\np|a\nf:2: completion is labelled as a bad one ('label' is false) (value that "
		"means nothing)\n");
}

#define ASKS(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define SAYS(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define H(text)    "\n\nHuman: " text "\n\nAssistant:"

static void test_gpt_shapes__trl_conversational(void **state)
{
	(void)state;
	expect("{\"prompt\":[" ASKS("q") "],\"completion\":[" SAYS(
		       "a") "]}\n"
			    "{\"prompt\":[" ASKS("q") "," SAYS("a") "," ASKS("r") "],\"completion\":[" SAYS(
				    "b") "]}\n"
					 "{\"prompt\":\"p\",\"completion\":\" c\"}\n"
					 "{\"prompt\":[" ASKS("q") "],\"completion\":[" ASKS(
						 "a") "]}\n"
						      "{\"prompt\":[" ASKS("q") "],\"completion\":[" SAYS(
							      "a") "," SAYS("b") "]}\n"
										 "{\"prompt\":[],\"completion\":[" SAYS(
											 "a") "]}\n",
		DEMO,
		"trl\n" H("q") "| a\n" H("q") " a" H(
			"r") "| b\np| c\n"
			     "f:4: the last message is not the assistant's (no dialog as it should be)\n"
			     "f:5: 'completion' is not one message but 2 (no dialog as it should be)\n"
			     "f:6: nothing is said before the assistant's turn (no dialog as it should be)\n");
	expect("{\"prompt\":[" ASKS("q") "],\"chosen\":[" SAYS("a") "],\"rejected\":[" SAYS(
		       "b") "]}\n",
		RANKING, "trl\n" H("q") "| a> b\n");
	/* Whole dialogs, with and without their question beside them. */
	expect("{\"chosen\":[" ASKS("q") "," SAYS("a") "],\"rejected\":[" ASKS("q") "," SAYS(
		       "b") "]}\n"
			    "{\"prompt\":\"q\",\"chosen\":[" ASKS("q") "," SAYS("a") "],\"rejected\":[" ASKS("q") "," SAYS(
				    "b") "],\"score_chosen\":9.5}\n"
					 "{\"chosen\":[" ASKS("q") "," SAYS("a") "],\"rejected\":[" ASKS("r") "," SAYS(
						 "b") "]}\n"
						      "{\"chosen\":[" SAYS("a") "],\"rejected\":[" SAYS(
							      "b") "]}\n"
								   "{\"chosen\":[" ASKS("q") "," SAYS("a") "],\"rejected\":[" ASKS(
									   "q") "," SAYS("a") "]}\n",
		RANKING,
		"trl\n" H("q") "| a> b\n" H(
			"q") "| a> b\n"
			     "f:3: the dialogs differ before the last message (prompts differ)\n"
			     "f:4: the dialogs differ before the last message (prompts differ)\n"
			     "f:5: chosen and rejected are equal (chosen and rejected are equal)\n");
}

static void test_gpt_shapes__messages(void **state)
{
	static const char file[] =
		"{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"}," ASKS("q") "," SAYS(
			"a") "]}\n"
			     "{\"messages\":[" ASKS(
				     "q") "]}\n{\"messages\":[]}\n"
					  "{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}," SAYS(
						  "a") "]}\n"
						       "{\"messages\":[{\"role\":\"user\",\"content\":[1]}," SAYS(
							       "a") "]}\n"
								    "{\"messages\":[" ASKS("q") "," SAYS(
									    " ") "]}\n{\"prompt\":\"p\"}\n";

	(void)state;
	expect(file, DEMO,
		"messages\nBe brief." H(
			"q") "| a\n"
			     "f:2: the last message is not the assistant's (no dialog as it should be)\n"
			     "f:3: the last message is not the assistant's (no dialog as it should be)\n"
			     "f:4: role 'tool' is none of system, user, assistant (no dialog as it should be)\n"
			     "f:5: a message has no role or no text as content (field of the wrong type)\n"
			     "f:6: the assistant's message is empty (empty text)\n"
			     "f:7: 'messages' is no list of messages (field of the wrong type)\n");
	params.system_turn = "<|im_start|>{role}\\n{content}<|im_end|>\\n";
	params.user_turn = params.assistant_turn = params.system_turn;
	expect("{\"messages\":[" ASKS("q") "," SAYS("a") "," ASKS("r") "]}\n", PROMPT,
		"messages\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
		"<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n|\n");
	expect("{\"messages\":[" ASKS("q") "," SAYS("a") "]}\n", DEMO,
		"messages\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n|a\n");
}

/* The same dialog gives the same row, as text and as messages. */
static void test_gpt_shapes__hh_and_messages_agree(void **state)
{
	(void)state;
	expect("{\"chosen\":\"\\n\\nHuman: q\\n\\nAssistant: a\\n\\nHuman: r\\n\\nAssistant: b\","
	       "\"rejected\":\"\\n\\nHuman: q\\n\\nAssistant: a\\n\\nHuman: r\\n\\nAssistant: "
	       "c\"}\n",
		RANKING, "hh\n" H("q") " a" H("r") "| b> c\n");
	expect("{\"chosen\":[" ASKS("q") "," SAYS("a") "," ASKS("r") "," SAYS(
		       "b") "],"
			    "\"rejected\":[" ASKS("q") "," SAYS("a") "," ASKS("r") "," SAYS(
				    "c") "]}\n",
		RANKING, "trl\n" H("q") " a" H("r") "| b> c\n");
}

#define HH(chosen, rejected) "{\"chosen\":\"" chosen "\",\"rejected\":\"" rejected "\"}\n"
#define Q                    "\\n\\nHuman: q\\n\\nAssistant:"

static void test_gpt_shapes__hh(void **state)
{
	(void)state;
	expect(HH(Q " yes", Q " no") HH(Q " yes", "\\n\\nHuman: r\\n\\nAssistant: no") HH(
		       Q " a" Q " b", Q " no") HH(Q " ", Q " no") HH(Q " a", Q " a")
			HH(Q " a\\n\\nHuman: r", Q " b") HH("a", "b") HH(Q " yes, it is", Q " yes"),
		RANKING,
		"hh\n" H(
			"q") "| yes> no\n"
			     "f:2: the dialogs differ before the last answer (prompts differ)\n"
			     "f:3: the dialogs differ before the last answer (prompts differ)\n"
			     "f:4: completion 1 is empty (empty text)\n"
			     "f:5: chosen and rejected are equal (chosen and rejected are equal)\n"
			     "f:6: a dialog does not end with the assistant's answer (no dialog as it should "
			     "be)\n"
			     "f:7: dialog without '\\n\\nAssistant:' (no dialog as it should be)\n" H(
				     "q") "| yes, it is> yes\n");
	expect(HH(Q " yes", Q " no") "{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\"}\n",
		DEMO,
		"hh\n" H(
			"q") "| yes\n"
			     "f:2: row has a 'prompt' of its own, the rows before it have none (of no known "
			     "shape)\n");
}

static void test_gpt_shapes__openrlhf(void **state)
{
	(void)state;
	expect("{\"input\":\"p\",\"output\":\"c\"}\n{\"input\":\"q\"}\n", DEMO,
		"openrlhf\np|c\nf:2: 'output' is missing (field missing)\n");
	params.prompt_key = "question";
	params.chosen_key = "good";
	params.rejected_key = "bad";
	expect("{\"question\":\"p\",\"good\":\"a\",\"bad\":\"b\",\"margin\":3}\n"
	       "{\"good\":\"It is a\",\"bad\":\"It is b\"}\n",
		RANKING, "openrlhf\np|a>b\nIt is| a> b\n");
	params.input_key = "context_messages";
	expect("{\"context_messages\":[" ASKS("q") "]}\n", PROMPT, "openrlhf\n" H("q") "|\n");
	params.output_key = "reply";
	expect("{\"context_messages\":\"p\",\"reply\":\"c\"}\n", DEMO, "openrlhf\np|c\n");
	/* "instruction" belongs to the prompt, too: not guessed. */
	set_up(NULL);
	expect("{\"instruction\":\"i\",\"input\":\"p\",\"output\":\"c\"}\n", DEMO,
		"auto\nf:1: row has none of the shapes that are known (of no known shape)\n");
}

static void test_gpt_shapes__summarize(void **state)
{
	static const char file[] =
		"{\"info\":{\"id\":\"t3_1\",\"post\":\"Long.\",\"title\":\"T\",\"subreddit\":\"s\"},"
		"\"summaries\":[{\"text\":\" one\",\"policy\":\"ref\"},{\"text\":\" two\"}],"
		"\"choice\":1,\"worker\":\"w7\",\"split\":\"train\",\"extra\":{\"confidence\":5}}\n"
		"{\"info\":{\"article\":\"A.\"},\"summaries\":[{\"text\":\"a\"},{\"text\":\"b\"}],"
		"\"choice\":0,\"worker\":\"w8\"}\n"
		"{\"info\":{},\"summaries\":[{\"text\":\"a\"}],\"choice\":0}\n"
		"{\"info\":{},\"summaries\":[{\"text\":\"a\"},{\"text\":\"b\"}],\"choice\":2}\n";

	(void)state;
	expect(file, RANKING,
		"summarize\nSUBREDDIT: r/s\nTITLE: T\nPOST: Long.\nTL;DR:| two> one labeler=w7\n"
		"f:2: 'info.subreddit' is missing (field missing)\n"
		"f:3: 'summaries' is no list of two (field of the wrong type)\n"
		"f:4: 'choice' is neither 0 nor 1 (value that means nothing)\n");
	fields.prompt = "{info.article?}{info.post?}\\n";
	fields.group = "{split?}";
	expect("{\"info\":{\"article\":\"A.\"},\"summaries\":[{\"text\":\"a\"},{\"text\":\"b\"}],"
	       "\"choice\":0,\"worker\":\"w8\",\"split\":\"valid1\"}\n",
		RANKING, "summarize\nA.\n|a>b labeler=w8 group=valid1\n");
}

#define NODE(role, text, more, replies)                                          \
	"{\"message_id\":\"m\",\"role\":\"" role "\",\"text\":\"" text "\"" more \
	",\"replies\":[" replies "]}"

static void test_gpt_shapes__oasst(void **state)
{
	/* q is answered by a (rank 1), b (rank 0), one by a model, one deleted, one unranked; b is
	 * asked again and answered twice. */
	static const char tree[] = "{\"message_tree_id\":\"t1\",\"prompt\":" NODE("prompter", "q",
		"",
		NODE("assistant", "a", ",\"rank\":1", "") "," NODE("assistant", "b", ",\"rank\":0",
			NODE("prompter", "again", ",\"rank\":0",
				NODE("assistant", "c", ",\"rank\":0", "") "," NODE(
					"assistant", "d", ",\"rank\":1", "")) "," NODE("prompter",
				"and", ",\"rank\":1", "")) "," NODE("assistant", "m",
			",\"rank\":2,\"synthetic\":true",
			"") "," NODE("assistant", "x", ",\"rank\":3,\"deleted\":true",
			"") "," NODE("assistant", "u", "", "")) "}\n";

	(void)state;
	expect(tree, RANKING,
		"oasst\n" H("q") "| b> a user=t1\n" H("q") " b" H("again") "| c> d user=t1\n");
	expect(tree, DEMO, "oasst\n" H("q") "| b user=t1\n" H("q") " b" H("again") "| c user=t1\n");
	expect(tree, PROMPT,
		"oasst\n" H("q") "| user=t1\n" H("q") " b" H("again") "| user=t1\n" H("q") " b" H(
			"and") "| user=t1\n");
	params.synthetic = 1;
	expect(tree, RANKING,
		"oasst\n" H("q") "| b> a> m user=t1\n" H("q") " b" H("again") "| c> d user=t1\n");
	expect("{\"prompt\":" NODE("prompter", "q", "",
		       NODE("assistant", "a", ",\"rank\":-1", "") "," NODE("assistant", "b",
			       ",\"rank\":0",
			       "")) "}\n"
				    "{\"prompt\":\"q\"}\n"
				    "{\"prompt\":{\"role\":\"prompter\",\"text\":\"q\",\"replies\":7}}\n",
		RANKING,
		"oasst\nf:1: 'rank' is no rank (0, 1, 2 ...) (ranks that rank nothing)\n"
		"f:2: 'prompt' is no message with replies (field of the wrong type)\n"
		"f:3: 'replies' is no list (field of the wrong type)\n");
}

static void test_gpt_shapes__bestof(void **state)
{
	(void)state;
	expect("[{\"query\":\"q\",\"sample0\":\"a\",\"sample1\":\"b\",\"sample2\":\"c\","
	       "\"sample3\":\"d\",\"best\":2},\n"
	       "{\"query\":[1,2],\"sample0\":[3],\"sample1\":[4],\"best\":0},\n"
	       "{\"query\":\"q\",\"sample0\":\"a\",\"sample1\":\"b\",\"best\":2}]\n",
		RANKING,
		"bestof\nq|c>a=b=d\nf:2: 'query' is no text (field of the wrong type)\n"
		"f:3: 'best' is no number below 2 (value that means nothing)\n");
}

/* What is nothing we know is said to be so, until a row is known. */
static void test_gpt_shapes__tells_what_it_does_not_know(void **state)
{
	(void)state;
	expect("{\"text\":\"a\"}\n", DEMO,
		"auto\nf:1: row has none of the shapes that are known (of no known shape)\n");
	expect("{}\n{\"prompt\":null,\"chosen\":null}\n{\"prompt\":\"p\"}\n", PROMPT,
		"auto\nf:1: row has none of the shapes that are known (of no known shape)\n"
		"auto\nf:2: row has none of the shapes that are known (of no known shape)\n"
		"own\np|\n");
	params.shape = GPT_SHAPE_HH;
	expect("{\"prompt\":\"p\",\"completion\":\"c\"}\n{\"text\":\"a\"}\n", DEMO,
		"f:1: row has a 'prompt' of its own, the rows before it have none (of no known "
		"shape)\nf:2: 'chosen' is missing (field missing)\n");
}

static void test_gpt_shapes__checks_the_turns(void **state)
{
	cairn_error err = {0};

	(void)state;
	params.user_turn = "Human: ";
	assert_int_equal(gpt_shape_check(&params, &err), CAIRN_EPARAM);
	assert_string_equal(err.message, "'user_turn' has no {content}");
	cairn_error_clear(&err);
	params.user_turn = "{content}{";
	assert_int_equal(gpt_shape_check(&params, &err), CAIRN_EPARAM);
	assert_non_null(strstr(err.message, "unclosed '{'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_gpt_shapes__own, set_up),
		cmocka_unit_test_setup(test_gpt_shapes__trl, set_up),
		cmocka_unit_test_setup(test_gpt_shapes__trl_conversational, set_up),
		cmocka_unit_test_setup(test_gpt_shapes__messages, set_up),
		cmocka_unit_test_setup(test_gpt_shapes__hh_and_messages_agree, set_up),
		cmocka_unit_test_setup(test_gpt_shapes__hh, set_up),
		cmocka_unit_test_setup(test_gpt_shapes__openrlhf, set_up),
		cmocka_unit_test_setup(test_gpt_shapes__summarize, set_up),
		cmocka_unit_test_setup(test_gpt_shapes__oasst, set_up),
		cmocka_unit_test_setup(test_gpt_shapes__bestof, set_up),
		cmocka_unit_test_setup(test_gpt_shapes__tells_what_it_does_not_know, set_up),
		cmocka_unit_test_setup(test_gpt_shapes__checks_the_turns, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

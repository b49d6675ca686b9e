/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rogue.c - everything that a plugin must not do, one at a time, as the parameter `does` says.
 *
 * Built twice: `rogue`, and `rogue_again`, which says of itself that it may repeat, so that other
 * stages have its process afterwards. tests/faults/plugins.c says what a user gets to see of each.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "faulty.h"

struct params {
	const char *text, *note;
	int32_t does;
};

struct call {
	const cairn_host *host;
	cairn_run *run;
	const struct params *params;
};

static int write_params(const struct call *call)
{
	return write_out(call->host, call->run, call->params->text);
}

static void nap(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

/* Tells the test who lives: a line with a process id in the file `note`. */
static void note_pid(const struct call *call, pid_t pid)
{
	char line[32];
	int fd = open(call->params->note, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	int len = snprintf(line, sizeof(line), "%d\n", (int)pid);

	if (fd < 0 || write(fd, line, (size_t)len) != len)
		abort();
	close(fd);
}

/* ---- ends --------------------------------------------------------------------------------- */

static int end_segv(const struct call *call)
{
	volatile int *volatile nowhere = (volatile int *)64;

	(void)call;
	*nowhere = 1;
	return 0;
}

static int end_abort(const struct call *call)
{
	(void)call;
	abort();
}

static int end_exit_0(const struct call *call)
{
	(void)call;
	exit(0);
}

static int end_exit_3(const struct call *call)
{
	(void)call;
	exit(3);
}

static void *leave(void *arg)
{
	if (!arg)
		_exit(7);
	return arg;
}

static int end_in_thread(const struct call *call)
{
	pthread_t thread;

	(void)call;
	if (pthread_create(&thread, NULL, leave, NULL) == 0)
		pthread_join(thread, NULL);
	return CAIRN_EBUG;
}

/* What the kernel does where memory runs out. */
static int end_sigkill(const struct call *call)
{
	size_t n = (size_t)32 << 20;
	char *block = malloc(n);

	if (block) {
		memset(block, 1, n);
		__asm__ volatile("" : : "r"(block) : "memory");
	}
	(void)call;
	kill(getpid(), SIGKILL);
	return 0;
}

static int end_code(const struct call *call)
{
	(void)call;
	return 77;
}

static int end_unknown(const struct call *call)
{
	(void)call;
	return -77;
}

/* ---- never comes back --------------------------------------------------------------------- */

static int hang(const struct call *call)
{
	call->host->log(call->run, CAIRN_LOG_WARNING, "hanging");
	while (pause() < 0)
		; /* a signal: wait on */
	return CAIRN_EBUG;
}

static int hang_deaf(const struct call *call)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	return hang(call);
}

/* Does as if it were no stage at all: steps on and on, whatever the answer is. */
static int hang_stepping(const struct call *call)
{
	call->host->log(call->run, CAIRN_LOG_WARNING, "hanging");
	for (uint64_t step = 1;; step++) {
		cairn_progress progress = {step, 0, 0, NULL, NULL, 0};

		nap(5);
		if (call->host->step(call->run, &progress) < 0)
			return CAIRN_EBUG;
	}
}

/* ---- memory ------------------------------------------------------------------------------- */

static int leak(const struct call *call, int (*at_end)(const struct call *))
{
	size_t n = (size_t)1 << 20;

	for (int i = 0; i < 4096; i++) {
		char *block = malloc(n);

		if (!block)
			return at_end(call);
		memset(block, i, n);
		__asm__ volatile("" : : "r"(block) : "memory");
	}
	return write_params(call);
}

static int say_no_memory(const struct call *call)
{
	return call->host->fail(call->run, CAIRN_ENOMEM, "no memory for another megabyte");
}

static int return_no_memory(const struct call *call)
{
	(void)call;
	return CAIRN_ENOMEM;
}

static int leak_told(const struct call *call)
{
	return leak(call, say_no_memory);
}

static int leak_silent(const struct call *call)
{
	return leak(call, return_no_memory);
}

static int leak_crash(const struct call *call)
{
	return leak(call, end_segv);
}

/* ---- lies --------------------------------------------------------------------------------- */

static int lie_done(const struct call *call)
{
	(void)call;
	return CAIRN_DONE;
}

static int lie_twice(const struct call *call)
{
	int rc = write_params(call);

	return rc < 0 ? rc : write_params(call);
}

static int lie_port(const struct call *call)
{
	cairn_writer *writer;
	int rc = call->host->output_begin(call->run, "nowhere", &writer);

	return rc < 0 ? rc : CAIRN_DONE;
}

static int lie_open(const struct call *call)
{
	cairn_writer *writer;
	int rc = call->host->output_begin(call->run, "out", &writer);

	return rc < 0 ? rc : CAIRN_DONE;
}

/* An output with this entry and this metadata. */
static int write_odd(const struct call *call, const cairn_tensor *tensor, const char *meta)
{
	cairn_writer *writer;
	int rc = call->host->output_begin(call->run, "out", &writer);

	if (rc == 0)
		rc = call->host->put(writer, tensor);
	if (rc == 0 && meta)
		rc = call->host->meta(writer, meta);
	return rc < 0 ? rc : call->host->commit(writer);
}

static int lie_name(const struct call *call)
{
	const cairn_tensor tensor = {"a\nname", CAIRN_U8, 1, {1}, "x", 1};

	return write_odd(call, &tensor, NULL);
}

static int lie_size(const struct call *call)
{
	const cairn_tensor tensor = {"text", CAIRN_F32, 1, {1000}, "x", 1};

	return write_odd(call, &tensor, NULL);
}

static int lie_meta(const struct call *call)
{
	const cairn_tensor tensor = {"text", CAIRN_U8, 1, {1}, "x", 1};

	return write_odd(call, &tensor, "{\"half\": ");
}

static int lie_large_meta(const struct call *call)
{
	const cairn_tensor tensor = {"text", CAIRN_U8, 1, {1}, "x", 1};
	size_t n = (size_t)64 << 20;
	char *meta = malloc(n + 16);
	int rc;

	if (!meta)
		return CAIRN_ENOMEM;
	memcpy(meta, "{\"a\":\"", 6);
	memset(meta + 6, 'a', n);
	memcpy(meta + 6 + n, "\"}", 3);
	rc = write_odd(call, &tensor, meta);
	free(meta);
	return rc;
}

/* Numbers that are none, and names that are no text. */
static int lie_numbers(const struct call *call)
{
	cairn_metric metrics[] = {{"loss", NAN}, {"inf", INFINITY}, {"\xff\xfe", 1}};
	cairn_progress progress = {1, 1, 0, "\xff", metrics, CAIRN_COUNT(metrics)};
	int rc = call->host->step(call->run, &progress);

	call->host->summary(call->run, "loss", NAN);
	call->host->summary(call->run, "bound", -INFINITY);
	call->host->log(call->run, CAIRN_LOG_WARNING, "bytes \xff\x1b[31m\x01");
	return rc < 0 ? rc : write_params(call);
}

/* ---- floods ------------------------------------------------------------------------------- */

static int flood_stderr(const struct call *call)
{
	char block[65536];

	memset(block, 'x', sizeof(block));
	for (size_t i = 127; i < sizeof(block); i += 128)
		block[i] = '\n';
	fprintf(stderr, "the first line\n");
	for (int i = 0; i < 160 << 4; i++) { /* 160 MiB; a moment between for whoever watches */
		if (write(STDERR_FILENO, block, sizeof(block)) < 0)
			return CAIRN_EIO;
		if (i % 160 == 0)
			nap(20);
	}
	fprintf(stderr, "the last line\n");
	nap(300);
	return write_params(call);
}

static int flood_log(const struct call *call)
{
	for (int i = 0; i < 200000; i++)
		call->host->log(call->run, CAIRN_LOG_WARNING, "line %d of very many", i);
	return write_params(call);
}

static int flood_steps(const struct call *call)
{
	cairn_metric metric = {"loss", 0.5};

	for (uint64_t step = 1; step <= 200000; step++) {
		cairn_progress progress = {step, 200000, 0, NULL, &metric, step % 100 == 0};
		int rc = call->host->step(call->run, &progress);

		if (rc != CAIRN_GO)
			return rc < 0 ? rc : CAIRN_EBUG;
	}
	return write_params(call);
}

/* ---- harms the host ----------------------------------------------------------------------- */

static int harm_close_wire(const struct call *call)
{
	close(3);
	return write_params(call);
}

static int harm_close_all(const struct call *call)
{
	for (int fd = 0; fd < 1024; fd++)
		close(fd);
	return write_params(call);
}

static int harm_wire(const struct call *call)
{
	static const char junk[] = "\x07\0\0\0nothing to be understood";

	(void)!write(3, junk, sizeof(junk));
	return write_params(call);
}

/* A frame that says that a gigabyte follows. */
static int harm_frame(const struct call *call)
{
	(void)!write(3, "\0\0\0\x40", 4);
	return write_params(call);
}

static int harm_scratch(const struct call *call)
{
	const char *scratch = call->host->scratch(call->run);

	if (rmdir(scratch) < 0)
		return CAIRN_EIO;
	return write_params(call);
}

static int harm_chdir(const struct call *call)
{
	return chdir("/") < 0 ? CAIRN_EIO : write_params(call);
}

static int harm_umask(const struct call *call)
{
	umask(0777);
	return write_params(call);
}

static int harm_locale(const struct call *call)
{
	setlocale(LC_ALL, "C.UTF-8");
	return write_params(call);
}

static int harm_env(const struct call *call)
{
	setenv("CAIRN_ROGUE", "was here", 1);
	return write_params(call);
}

static int harm_signals(const struct call *call)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t all;

	for (int signal = 1; signal < 64; signal++)
		sigaction(signal, &ignore, NULL);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	return write_params(call);
}

static int harm_limits(const struct call *call)
{
	struct rlimit few = {16, 16};

	setrlimit(RLIMIT_NOFILE, &few);
	return write_params(call);
}

static int harm_rounding(const struct call *call)
{
	fesetround(FE_UPWARD);
	return write_params(call);
}

static void *stay(void *arg)
{
	(void)arg;
	while (pause() < 0)
		;
	return NULL;
}

static int harm_thread(const struct call *call)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, stay, NULL) != 0)
		return CAIRN_EBUG;
	pthread_detach(thread);
	return write_params(call);
}

static int harm_descriptors(const struct call *call)
{
	for (int i = 0; i < 300; i++)
		(void)!open("/dev/null", O_RDONLY);
	return write_params(call);
}

/* Takes its own code away, and that of the host's libraries stays. */
static int harm_unmap(const struct call *call)
{
	Dl_info info;
	void *handle;

	if (!dladdr(&outputs, &info))
		return CAIRN_EBUG;
	handle = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
	if (!handle)
		return CAIRN_EBUG;
	dlclose(handle);
	dlclose(handle);
	return write_params(call);
}

/* ---- other processes ---------------------------------------------------------------------- */

static void live_on(const struct call *call)
{
	note_pid(call, getpid());
	while (pause() < 0)
		;
}

/* A child, and of it one that is in no group or session of ours; both stay. */
static int leave_children(const struct call *call)
{
	pid_t pid = fork();

	if (pid == 0)
		live_on(call);
	pid = fork();
	if (pid == 0) {
		setsid();
		if (fork() == 0)
			live_on(call);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	nap(100); /* until both have said who they are */
	return 0;
}

static int leave_and_end(const struct call *call)
{
	int rc = leave_children(call);

	return rc < 0 ? rc : write_params(call);
}

static int leave_and_hang(const struct call *call)
{
	int rc = leave_children(call);

	return rc < 0 ? rc : hang(call);
}

static int leave_and_crash(const struct call *call)
{
	int rc = leave_children(call);

	return rc < 0 ? rc : end_sigkill(call);
}

static int leave_zombies(const struct call *call)
{
	for (int i = 0; i < 5; i++) {
		if (fork() == 0)
			_exit(0);
	}
	return write_params(call);
}

/* ---- the plugin --------------------------------------------------------------------------- */

#define DEEDS(X)                              \
	X("nothing", write_params)            \
	X("segv", end_segv)                   \
	X("abort", end_abort)                 \
	X("exit_0", end_exit_0)               \
	X("exit_3", end_exit_3)               \
	X("exit_in_thread", end_in_thread)    \
	X("sigkill", end_sigkill)             \
	X("code", end_code)                   \
	X("unknown", end_unknown)             \
	X("hang", hang)                       \
	X("hang_deaf", hang_deaf)             \
	X("hang_stepping", hang_stepping)     \
	X("leak_told", leak_told)             \
	X("leak_silent", leak_silent)         \
	X("leak_crash", leak_crash)           \
	X("lie_done", lie_done)               \
	X("lie_twice", lie_twice)             \
	X("lie_port", lie_port)               \
	X("lie_open", lie_open)               \
	X("lie_name", lie_name)               \
	X("lie_size", lie_size)               \
	X("lie_meta", lie_meta)               \
	X("lie_large_meta", lie_large_meta)   \
	X("lie_numbers", lie_numbers)         \
	X("flood_stderr", flood_stderr)       \
	X("flood_log", flood_log)             \
	X("flood_steps", flood_steps)         \
	X("close_wire", harm_close_wire)      \
	X("close_all", harm_close_all)        \
	X("junk", harm_wire)                  \
	X("frame", harm_frame)                \
	X("scratch", harm_scratch)            \
	X("chdir", harm_chdir)                \
	X("umask", harm_umask)                \
	X("locale", harm_locale)              \
	X("env", harm_env)                    \
	X("signals", harm_signals)            \
	X("limits", harm_limits)              \
	X("rounding", harm_rounding)          \
	X("thread", harm_thread)              \
	X("descriptors", harm_descriptors)    \
	X("unmap", harm_unmap)                \
	X("leave_and_end", leave_and_end)     \
	X("leave_and_hang", leave_and_hang)   \
	X("leave_and_crash", leave_and_crash) \
	X("zombies", leave_zombies)

#define CHOICE(name, function) "|" name
#define DEED(name, function)   function,

static const cairn_param table[] = {
	{"text", "goes into the output", CAIRN_PARAM_STRING, 0, offsetof(struct params, text), "",
		0, 0, NULL, NULL},
	{"note", "the file for process ids", CAIRN_PARAM_STRING, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, note), "pids", 0, 0, NULL, NULL},
	{"does", "what it does", CAIRN_PARAM_ENUM, 0, offsetof(struct params, does), "nothing", 0,
		0, NULL, &(DEEDS(CHOICE))[1]},
};

static const cairn_port inputs[] = {
	{"in", "report", CAIRN_PORT_OPTIONAL | CAIRN_PORT_MANY, 0, "what it waits for"},
};

static int run_rogue(const cairn_host *host, cairn_run *run, const void *params_)
{
	static int (*const deeds[])(const struct call *) = {DEEDS(DEED)};
	const struct params *params = params_;
	const struct call call = {host, run, params};

	host->summary(run, "pid", (double)getpid());
	return deeds[params->does](&call);
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = ROGUE_NAME,
	.summary = "does what it must not",
	.version = "1",
	.license = "Apache-2.0",
	.params = table,
	.n_params = CAIRN_COUNT(table),
	.params_size = sizeof(struct params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.capabilities = ROGUE_CAPABILITIES,
	.run = run_rogue,
};

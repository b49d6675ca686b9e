/* SPDX-License-Identifier: Apache-2.0 */
/* emulate.cc - fibers, barriers and the spelled-out instructions of emulate.h. */
#include "kernels/cuda/device.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <deque>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES (512u << 10)
#else
#define STACK_BYTES (128u << 10)
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

struct copy {
	void *to;
	const void *from;
	bool valid;
};

struct fiber {
	ucontext_t context;
	char *stack;
	uint3 index;
	unsigned number;
	bool done;
	const char *waits_for; /* of a barrier or shuffle; NULL: runs */
	uint64_t passed_block, passed_warp;
	std::deque<std::vector<copy>> groups; /* the last is open */
};

struct warp {
	uint64_t passed; /* meetings so far */
	unsigned n, arrived;
	alignas(16) char given[2][32][64];
};

std::vector<fiber> fibers;
std::vector<warp> warps;
fiber *current;
ucontext_t scheduler;
const std::function<void()> *body;
uint64_t block_passed, seed, random_state;
unsigned block_alive, block_arrived;
void *shared_room;
bool moved; /* did any fiber go on in this round? */

#if defined(__SANITIZE_ADDRESS__)
const void *scheduler_stack;
size_t scheduler_bytes;
#endif

[[noreturn]] void fail(const char *what)
{
	fprintf(stderr, "emulate: %s: block (%u,%u,%u), thread (%u,%u,%u)\n", what, blockIdx.x,
		blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
	abort();
}

void yield()
{
	fiber *me = current;

#if defined(__SANITIZE_ADDRESS__)
	void *fake;
	__sanitizer_start_switch_fiber(
		me->done ? nullptr : &fake, scheduler_stack, scheduler_bytes);
#endif
	swapcontext(&me->context, &scheduler);
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_bytes);
#endif
}

void open_block_barrier_if_all_came()
{
	if (block_alive > 0 && block_arrived == block_alive) {
		block_arrived = 0;
		block_passed++;
		moved = true;
	}
}

void enter()
{
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_bytes);
#endif
	(*body)();
	current->done = true;
	if (current->groups.size() > 1 || !current->groups.back().empty())
		fail("a thread ends with copies under way");
	block_alive--;
	moved = true;
	open_block_barrier_if_all_came();
	yield();
}

void resume(fiber *f)
{
	current = f;
	threadIdx = f->index;
#if defined(__SANITIZE_ADDRESS__)
	void *fake;
	__sanitizer_start_switch_fiber(&fake, f->stack, STACK_BYTES);
#endif
	swapcontext(&scheduler, &f->context);
	/* The address sanitizer forgets what it knew of this stack at each switch to it; once, for
	 * what an earlier fiber left, is enough, and much faster. */
	f->context.uc_stack.ss_size = 0;
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

uint64_t next_random()
{
	random_state += 0x9e3779b97f4a7c15u;
	uint64_t x = random_state;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

void begin_fiber(unsigned i)
{
	fiber &f = fibers[i];

	if (!f.stack) {
		void *stack = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (stack == MAP_FAILED)
			fail("no memory for a stack");
		f.stack = static_cast<char *>(stack);
	}
	f.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
	f.number = i;
	f.done = false;
	f.waits_for = nullptr;
	f.passed_block = f.passed_warp = 0;
	f.groups.assign(1, {});
	getcontext(&f.context);
	f.context.uc_stack.ss_sp = f.stack;
	f.context.uc_stack.ss_size = STACK_BYTES;
	f.context.uc_link = nullptr;
	makecontext(&f.context, enter, 0);
}

void run_block(size_t shared)
{
	unsigned n = blockDim.x * blockDim.y * blockDim.z;
	std::vector<unsigned> order(n);

	if (fibers.size() < n)
		fibers.resize(n);
	warps.assign((n + 31) / 32, warp{});
	for (unsigned i = 0; i < n; i++) {
		begin_fiber(i);
		warps[i / 32].n++;
		order[i] = i;
	}
	for (unsigned i = n; seed && i > 1; i--)
		std::swap(order[i - 1], order[next_random() % i]);
	/* Exactly as large as asked for, so that the address sanitizer sees a step too far. */
	free(shared_room);
	if (posix_memalign(&shared_room, 128, shared ? shared : 1))
		fail("no memory for shared memory");
	memset(shared_room, 0xff, shared); /* NaN */
	block_alive = n;
	block_arrived = 0;
	block_passed = 0;
	while (block_alive > 0) {
		moved = false;
		for (unsigned i : order)
			if (!fibers[i].done)
				resume(&fibers[i]);
		if (!moved) {
			for (unsigned i : order)
				if (!fibers[i].done) {
					threadIdx = fibers[i].index;
					fail(fibers[i].waits_for);
				}
		}
	}
	current = nullptr;
}

} // namespace

void emulate_seed(uint64_t new_seed)
{
	seed = random_state = new_seed;
}

void *emulate_shared()
{
	return shared_room;
}

void emulate_aligned(const void *address, size_t to)
{
	if (reinterpret_cast<uintptr_t>(address) % to)
		fail("an access is not aligned");
}

void emulate_launch(dim3 grid, dim3 block, size_t shared, const std::function<void()> &kernel)
{
	uint64_t n = static_cast<uint64_t>(block.x) * block.y * block.z;

	gridDim = grid;
	blockDim = block;
	body = &kernel;
	if (n == 0 || n > 1024 || block.z > 64)
		fail("a block cannot have that many threads");
	if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
		fail("a grid cannot have that many blocks");
	if (shared > SHARED_LIMIT)
		fail("not every GPU has that much shared memory for a block");
	for (unsigned z = 0; z < grid.z; z++)
		for (unsigned y = 0; y < grid.y; y++)
			for (unsigned x = 0; x < grid.x; x++) {
				blockIdx = {x, y, z};
				run_block(shared);
			}
}

void __syncthreads()
{
	uint64_t mine = block_passed;

	current->waits_for = "not all threads come to __syncthreads()";
	block_arrived++;
	open_block_barrier_if_all_came();
	while (block_passed == mine)
		yield();
	current->waits_for = nullptr;
	moved = true;
}

void emulate_exchange(const void *mine, size_t size, void *all)
{
	warp &w = warps[current->number / 32];
	uint64_t meeting = w.passed;
	auto &given = w.given[meeting % 2];

	if (size > sizeof(given[0]))
		fail("too much for a shuffle");
	memcpy(given[current->number % 32], mine, size);
	current->waits_for = "not all lanes of a warp come to a shuffle";
	if (++w.arrived == w.n) {
		w.arrived = 0;
		w.passed++;
		moved = true;
	}
	while (w.passed == meeting)
		yield();
	current->waits_for = nullptr;
	moved = true;
	/* Nobody writes here before the next meeting but one, for which this lane is needed. */
	for (unsigned i = 0; i < 32; i++)
		memcpy(static_cast<char *>(all) + i * size, given[i], size);
}

void __syncwarp(unsigned)
{
	char nothing = 0, all[32];

	emulate_exchange(&nothing, 1, all);
}

/* ---- instructions ----------------------------------------------------------------------------- */

static float half_of(uint32_t word, int i)
{
	return __uint_as_float(i ? word & 0xffff0000u : word << 16);
}

void emulate_mma(float d[4], const uint32_t a[4], const uint32_t b[2])
{
	uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]}, all[32][6];
	int lane = static_cast<int>(current->number % 32), group = lane / 4, pair = lane % 4;

	emulate_exchange(mine, sizeof(mine), all);
	for (int i = 0; i < 4; i++) {
		int row = group + (i / 2) * 8, column = 2 * pair + i % 2;
		double sum = 0;

		for (int k = 0; k < 16; k++) {
			uint32_t left = all[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
			uint32_t right = all[column * 4 + k % 8 / 2][4 + k / 8];

			sum += static_cast<double>(half_of(left, k % 2)) * half_of(right, k % 2);
		}
		d[i] = static_cast<float>(d[i] + sum);
	}
}

void emulate_matrices(uint32_t r[4], const bf16 *row, bool transposed)
{
	const void *mine = row;
	const void *all[32];
	int lane = static_cast<int>(current->number % 32);

	emulate_aligned(row, 16);
	emulate_exchange(&mine, sizeof(mine), all);
	for (int i = 0; i < 4; i++) {
		uint16_t pair[2];

		for (int j = 0; j < 2; j++) {
			int x = lane / 4, y = 2 * (lane % 4) + j;
			const uint16_t *from = static_cast<const uint16_t *>(all[8 * i + (transposed ? y : x)]);

			pair[j] = from[transposed ? x : y];
		}
		r[i] = static_cast<uint32_t>(pair[1]) << 16 | pair[0];
	}
	/* Nobody overwrites a row before all have read it. */
	__syncwarp();
}

void emulate_copy(void *shared, const void *global, bool valid)
{
	emulate_aligned(shared, 16);
	emulate_aligned(global, 16);
	memset(shared, 0xff, 16);
	current->groups.back().push_back({shared, global, valid});
}

void emulate_commit()
{
	current->groups.push_back({});
}

void emulate_wait(int pending)
{
	auto &groups = current->groups;

	while (groups.size() > static_cast<size_t>(pending) + 1) {
		for (const copy &c : groups.front()) {
			if (c.valid)
				memcpy(c.to, c.from, 16);
			else
				memset(c.to, 0, 16);
		}
		groups.pop_front();
	}
}

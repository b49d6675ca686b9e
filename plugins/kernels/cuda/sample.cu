/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample.cu - drawing a token from a row of logits: a block a row, no sorting.
 *
 * All of V: inversion of the cumulative distribution in the order of ids. Each warp sums a segment
 * of the row; the warp in whose segment the goal lies walks it once more. All sums are in double.
 *
 * With top_k or top_p tokens are ordered as kernels/pick.c orders them: heaviest first, the lower
 * id first among equals. What is kept is a beginning of that order, and so is what lies before the
 * drawn token: each is found by descend(), which looks for the place in the order where a count or
 * a mass is reached, three bits of the logit at a time (eleven walks over a row that lies in the
 * second-level cache). Among equal logits the place is a number of ids.
 */
#include "kernels/cuda/sample.h"

#include "kernels/cuda/softmax.cuh"

namespace
{

enum {
	DIGITS = 8,
	BITS = 3,
};

struct sample_room {
	softmax_room softmax;
	double mass[32][DIGITS];
	int count[32][DIGITS];
	double segment[32];
	int equal[32];
	int token;
};

/* gpt_random_uniform(key, a, 0). */
__device__ double uniform_of(uint64_t key, uint64_t a)
{
	uint32_t word[4];

	philox(key, (uint32_t)a, (uint32_t)(a >> 32), 0, 0, word);
	return ((double)(((uint64_t)word[1] << 32 | word[0]) >> 11) + 0.5) * 0x1p-53;
}

/* Keys are ordered as logits are; 0 and -0 are one. */
__device__ __forceinline__ uint32_t key_of(float x)
{
	uint32_t bits = __float_as_uint(x + 0.0f);

	return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float logit_of(uint32_t key)
{
	return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

/* Ids of a warp's segment of the row: whole groups of 128. */
__device__ __forceinline__ int64_t segment_of(int64_t V)
{
	int64_t groups = (V + 127) / 128, warps = blockDim.x / 32;

	return (groups + warps - 1) / warps * 128;
}

/* ---- all tokens, in the order of ids ------------------------------------------------------------
 */

/* Over the warp: the sum of x of this lane and those before it. */
__device__ __forceinline__ double warp_running(double x)
{
#pragma unroll
	for (int step = 1; step < 32; step <<= 1) {
		double before = __shfl_up_sync(ALL_LANES, x, step);

		x += lane_id() >= step ? before : 0;
	}
	return x;
}

template <bool exact> struct row_of {
	const float *x;
	int64_t V;
	float scale, max;

	__device__ __forceinline__ vec<float> weights(int64_t v) const
	{
		vec<float> four = softmax_load(x, v, V);

#pragma unroll
		for (int i = 0; i < 4; i++)
			four.x[i] = softmax_weight<exact>(four.x[i], scale, max);
		return four;
	}
	__device__ __forceinline__ double weight_of(uint32_t key) const
	{
		return softmax_weight<exact>(logit_of(key), scale, max);
	}
};

/* A warp looks through ids first..end-1 for the one at which the sum, `before` at the start, gets
 * behind the goal; where rounding keeps it from that, the last one with a weight. */
template <bool exact>
__device__ int32_t walk_segment(
	const row_of<exact> &row, int64_t first, int64_t end, double before, double goal)
{
	int32_t last = (int32_t)first;

	for (int64_t start = first; start < end; start += 128) {
		int64_t v = start + 4 * lane_id();
		vec<float> w = {{0, 0, 0, 0}};
		double mine = 0, running;
		int32_t here = -1;

		if (v < row.V)
			w = row.weights(v);
		for (int i = 0; i < 4; i++)
			mine += w.x[i];
		running = before + (warp_running(mine) - mine);
		for (int i = 0; i < 4; i++) {
			bool passed = running > goal;

			running += w.x[i];
			if (w.x[i] > 0 && !passed)
				here = (int32_t)(v + i);
		}
		unsigned behind = __ballot_sync(ALL_LANES, running > goal && here >= 0);
		unsigned any = __ballot_sync(ALL_LANES, here >= 0);

		if (behind)
			return __shfl_sync(ALL_LANES, here, __ffs((int)behind) - 1);
		if (any) {
			int highest = 31;

			while (!(any >> highest & 1))
				highest--;
			last = __shfl_sync(ALL_LANES, here, highest);
		}
		before += warp_sum(mine);
	}
	return last;
}

/* All threads call it and get the token. */
template <bool exact>
__device__ int32_t pick(const row_of<exact> &row, double uniform, sample_room *room)
{
	int64_t segment = segment_of(row.V), first = warp_id() * segment;
	int64_t end = first + segment < row.V ? first + segment : row.V;
	int warps = (int)(blockDim.x / 32), chosen = 0;
	double sum = 0, total = 0, before = 0, goal;

	for (int64_t v = first + 4 * lane_id(); v < end; v += 128) {
		vec<float> w = row.weights(v);

		for (int i = 0; i < 4; i++)
			sum += w.x[i];
	}
	sum = warp_sum(sum);
	__syncthreads();
	if (lane_id() == 0)
		room->segment[warp_id()] = sum;
	__syncthreads();
	for (int i = 0; i < warps; i++)
		total += room->segment[i];
	goal = uniform * total;
	sum = 0;
	for (int i = 0; i < warps && !(sum > goal); i++) {
		if (!(room->segment[i] > 0))
			continue;
		chosen = i;
		before = sum;
		sum += room->segment[i];
	}
	if (warp_id() == chosen) {
		int32_t token = walk_segment(row, first, end, before, goal);

		if (lane_id() == 0)
			room->token = token;
	}
	__syncthreads();
	return room->token;
}

/* ---- tokens in the order of their weights -------------------------------------------------------
 */

/* A place in that order: the rank'th (from 0) of the tokens whose logit is `key`. */
struct place {
	uint32_t key;
	int64_t rank;
};

/* What descend() finds: the logit, how many and how much lie before it, how many have it. */
struct step {
	uint32_t key;
	int64_t before, equal;
	double mass;
};

/* Over a warp: lane 4 d, and the three behind it, get the sum of all lanes' x[d]. x is used up. */
template <typename T> __device__ __forceinline__ T warp_sums(T x[DIGITS])
{
	static_assert(DIGITS == 8, "three halvings");
#pragma unroll
	for (int half = 4; half > 0; half /= 2) {
		bool upper = (lane_id() & 4 * half) != 0;

#pragma unroll
		for (int i = 0; i < half; i++) {
			T send = upper ? x[i] : x[i + half], keep = upper ? x[i + half] : x[i];

			x[i] = keep + __shfl_xor_sync(ALL_LANES, send, 4 * half);
		}
	}
	x[0] += __shfl_xor_sync(ALL_LANES, x[0], 2);
	return x[0] + __shfl_xor_sync(ALL_LANES, x[0], 1);
}

/* Counts and masses by the next digit of the keys that begin with `prefix`; in `room`, for all. */
template <bool exact>
__device__ void tally(const row_of<exact> &row, uint32_t prefix, int shift, sample_room *room)
{
	float mass[DIGITS] = {0, 0, 0, 0, 0, 0, 0, 0};
	int count[DIGITS] = {0, 0, 0, 0, 0, 0, 0, 0}, all;
	double sums[DIGITS], sum;

	for (int64_t v = 4 * (int64_t)threadIdx.x; v < row.V; v += 4 * (int64_t)blockDim.x) {
		vec<float> x = softmax_load(row.x, v, row.V);

#pragma unroll
		for (int i = 0; i < 4; i++) {
			uint32_t key = key_of(x.x[i]);
			float w;

			if (v + i >= row.V || (uint64_t)key >> (shift + BITS) !=
						      (uint64_t)prefix >> (shift + BITS))
				continue;
			w = softmax_weight<exact>(x.x[i], row.scale, row.max);
#pragma unroll
			for (int d = 0; d < DIGITS; d++) {
				bool hit = (key >> shift & (DIGITS - 1)) == (unsigned)d;

				count[d] += hit ? 1 : 0;
				mass[d] += hit ? w : 0;
			}
		}
	}
	__syncthreads();
	all = warp_sums(count);
	if (lane_id() % 4 == 0)
		room->count[warp_id()][lane_id() / 4] = all;
#pragma unroll
	for (int d = 0; d < DIGITS; d++)
		sums[d] = mass[d];
	sum = warp_sums(sums);
	if (lane_id() % 4 == 0)
		room->mass[warp_id()][lane_id() / 4] = sum;
	__syncthreads();
	sum = 0;
	all = 0;
	if (threadIdx.x < DIGITS) {
		for (unsigned w = 0; w < blockDim.x / 32; w++) {
			sum += room->mass[w][threadIdx.x];
			all += room->count[w][threadIdx.x];
		}
		room->mass[0][threadIdx.x] = sum;
		room->count[0][threadIdx.x] = all;
	}
	__syncthreads();
}

enum until {
	COUNT,       /* as many tokens as the goal says */
	MASS,        /* at least that mass */
	MORE_THAN_IT /* more than that mass */
};

__device__ __forceinline__ bool is_reached(
	enum until until, double goal, int64_t count, double mass)
{
	return until == COUNT ? (double)count >= goal : until == MASS ? mass >= goal : mass > goal;
}

/* The first logit, from above, with which the goal is reached; else the last of the row. */
template <bool exact>
__device__ step descend(const row_of<exact> &row, enum until until, double goal, sample_room *room)
{
	step found = {0, 0, 0, 0};

	for (int shift = 30; shift >= 0; shift -= BITS) {
		int chosen = -1;

		tally(row, found.key, shift, room);
		for (int d = DIGITS - 1; d >= 0; d--) {
			int count = room->count[0][d];

			if (count == 0)
				continue;
			if (chosen >= 0) { /* the one above did not suffice */
				found.before += room->count[0][chosen];
				found.mass += room->mass[0][chosen];
			}
			chosen = d;
			if (is_reached(until, goal, found.before + count,
				    found.mass + room->mass[0][d]))
				break;
		}
		chosen = chosen < 0 ? 0 : chosen; /* only without any number in the row */
		found.key |= (uint32_t)chosen << shift;
		found.equal = room->count[0][chosen];
	}
	return found;
}

/* The rank'th id, in ascending order, of logit `key`. */
__device__ int32_t id_of(const float *x, int64_t V, place at, sample_room *room)
{
	int64_t segment = segment_of(V), first = warp_id() * segment, before = 0;
	int64_t end = first + segment < V ? first + segment : V;
	int equal = 0, warps = (int)(blockDim.x / 32), chosen = -1;

	for (int64_t v = first + lane_id(); v < end; v += 32)
		equal += key_of(x[v]) == at.key ? 1 : 0;
	equal = warp_sum(equal);
	__syncthreads();
	if (lane_id() == 0)
		room->equal[warp_id()] = equal;
	if (threadIdx.x == 0)
		room->token = 0;
	__syncthreads();
	for (int i = 0; i < warps && chosen < 0; i++) {
		if (at.rank < before + room->equal[i])
			chosen = i;
		else
			before += room->equal[i];
	}
	for (int64_t start = first; warp_id() == chosen && start < end; start += 32) {
		int64_t v = start + lane_id();
		bool hit = v < end && key_of(x[v]) == at.key;
		unsigned hits = __ballot_sync(ALL_LANES, hit);

		if (hit && before + __popc(hits & ((1u << lane_id()) - 1)) == at.rank)
			room->token = (int32_t)v;
		before += __popc(hits);
	}
	__syncthreads();
	return room->token;
}

/* How many tokens of weight w from found.mass on it takes to reach the goal, less one. */
__device__ __forceinline__ int64_t rank_in(const step &found, double goal, double w, bool ceiling)
{
	double n = w > 0 ? (goal - found.mass) / w : 0;
	int64_t rank = (int64_t)(ceiling ? ceil(n) - 1 : floor(n));

	rank = rank < 0 ? 0 : rank;
	return rank < found.equal ? rank : found.equal - 1;
}

__device__ __forceinline__ place first_of(place a, place b)
{
	if (a.key != b.key)
		return a.key > b.key ? a : b;
	return a.rank < b.rank ? a : b;
}

template <bool exact>
__device__ int32_t pick_truncated(const row_of<exact> &row, double mass, double uniform,
	int64_t top_k, double top_p, sample_room *room)
{
	place last = {0, INT64_MAX}, drawn;
	step found;

	if (top_k > 0 && top_k < row.V) {
		found = descend(row, COUNT, (double)top_k, room);
		last = {found.key, top_k - found.before - 1};
		mass = found.mass + (double)(last.rank + 1) * row.weight_of(last.key);
	}
	if (top_p < 1) {
		place here;

		found = descend(row, MASS, top_p * mass, room);
		here = {found.key, rank_in(found, top_p * mass, row.weight_of(found.key), true)};
		if (here.key > last.key || (here.key == last.key && here.rank < last.rank)) {
			last = here;
			mass = found.mass + (double)(here.rank + 1) * row.weight_of(here.key);
		}
	}
	found = descend(row, MORE_THAN_IT, uniform * mass, room);
	drawn = {found.key, rank_in(found, uniform * mass, row.weight_of(found.key), false)};
	return id_of(row.x, row.V, first_of(drawn, last), room);
}

/* ---- a row
 * ---------------------------------------------------------------------------------------
 */

template <bool exact> __global__ void __launch_bounds__(1024) sample_row(cuda_sample_rows s)
{
	SHARED(sample_room, room);
	int64_t r = blockIdx.x;
	const float *x = s.logits + r * s.ld;
	softmax_row sums = softmax_sums<exact>(x, s.V, s.scale, &room->softmax);
	row_of<exact> row = {x, s.V, s.scale, sums.max};
	double uniform = uniform_of(s.key, s.row_id[r]);
	int32_t token;

	if (s.greedy)
		token = id_of(x, s.V, {key_of(sums.raw_max), 0}, room);
	else if (s.top_k > 0 || s.top_p < 1)
		token = pick_truncated(row, sums.sum, uniform, s.top_k, s.top_p, room);
	else
		token = pick(row, uniform, room);
	if (threadIdx.x == 0) {
		s.token[r] = token;
		s.logprob[r] = softmax_logprob(sums, x[token], s.scale);
	}
}

} // namespace

void cuda_sample(cuda_stream stream, enum cuda_type type, const cuda_sample_rows *s)
{
	dim3 grid((unsigned)s->rows), block(softmax_threads(s->V));

	if (s->rows == 0)
		return;
	if (type == CUDA_BF16)
		LAUNCH((sample_row<false>), grid, block, sizeof(sample_room), stream, *s);
	else
		LAUNCH((sample_row<true>), grid, block, sizeof(sample_room), stream, *s);
}

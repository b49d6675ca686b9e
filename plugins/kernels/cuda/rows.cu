/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.cu - embedding, gathered and scattered rows, dropout. A thread does 8 columns of a row where
 * rows are multiples of that and aligned, else one.
 *
 * The gradient of an embedding is a sum over the rows that share a token. Rows are sorted by token
 * (stable, so ascending within one), and the sorted list is cut into chunks of 32 rows. A block
 * adds up a chunk in order. A token whose rows all lie in the chunk is finished there; of others
 * the chunk leaves a partial sum (`tail` of a token that goes on in the next chunk, `head` of one
 * that came from the chunk before), which a second kernel adds up in order. So no sum is one long
 * chain of loads: in both kernels many are under way at once, even if all tokens are the same.
 */
#include "kernels/cuda/rows.h"

#include "kernels/cuda/device.cuh"

#ifdef __CUDACC__
#include <cub/device/device_radix_sort.cuh>
#else
#include <algorithm>
#include <numeric>
#include <vector>
#endif

enum {
	ROW_THREADS = 256,
	ROW_WIDE = 8, /* columns of a thread */
	CHUNK = 32,   /* sorted rows of a block */
	AHEAD = 4,    /* rows that are loaded before the first of them is added */
};

/* What a row without a token sorts as: behind all others. */
#define NO_ROW 0xffffffffu

/* Of thread i of a grid over [rows, C / N]: its row, and the first of its columns in *column. */
template <int N>
static __device__ __forceinline__ int64_t place_in_rows(int64_t i, int64_t C, int64_t *column)
{
	uint32_t per_row = (uint32_t)(C / N);
	/* A division in 32 bits is a quarter of one in 64. */
	int64_t row = i <= UINT32_MAX ? (int64_t)((uint32_t)i / per_row) : i / per_row;

	*column = (i - row * per_row) * N;
	return row;
}

template <int N> static dim3 grid_of_rows(int64_t rows, int64_t C)
{
	return dim3((unsigned)pieces(rows * (C / N), ROW_THREADS));
}

/* ---- forward ----------------------------------------------------------------------------------
 */

template <typename A, int N>
__global__ void __launch_bounds__(ROW_THREADS) embed(A *out, const int32_t *token,
	const int32_t *position, const float *wte, const float *wpe, int64_t R, int64_t C)
{
	int64_t c, row = place_in_rows<N>(flat_index(), C, &c);
	float x[N] = {}, y[N];

	if (row >= R)
		return;
	if (token[row] >= 0) {
		load_n<N>(x, wte + token[row] * C + c);
		load_n<N>(y, wpe + position[row] * C + c);
#pragma unroll
		for (int i = 0; i < N; i++)
			x[i] += y[i];
	}
	store_n<N>(out + row * C + c, x);
}

template <typename A, int N>
__global__ void __launch_bounds__(ROW_THREADS)
	gather_rows(A *out, const A *x, const int32_t *index, int64_t n, int64_t C)
{
	int64_t c, row = place_in_rows<N>(flat_index(), C, &c);
	float v[N];

	if (row >= n)
		return;
	load_n<N>(v, x + index[row] * C + c);
	store_n<N>(out + row * C + c, v);
}

template <int N>
__global__ void __launch_bounds__(ROW_THREADS)
	scatter_rows(float *x, const float *rows, const int32_t *index, int64_t n, int64_t C)
{
	int64_t c, row = place_in_rows<N>(flat_index(), C, &c);
	float v[N], before[N];

	if (row >= n)
		return;
	load_n<N>(v, rows + row * C + c);
	load_n<N>(before, x + index[row] * C + c);
#pragma unroll
	for (int i = 0; i < N; i++)
		before[i] += v[i];
	store_n<N>(x + index[row] * C + c, before);
}

/* A thread: 8 columns, which are two draws; element by element where not `wide`. */
template <typename A>
__global__ void __launch_bounds__(ROW_THREADS) dropout(A *x, const uint64_t *row_id, int64_t R,
	int64_t C, bool wide, uint32_t threshold, float scale, uint64_t key, uint32_t site)
{
	int64_t c, row = place_in_rows<ROW_WIDE>(flat_index(), C + (-C & (ROW_WIDE - 1)), &c);
	uint32_t coin[ROW_WIDE];
	uint64_t id;
	A *at = x + row * C + c;

	if (row >= R)
		return;
	id = row_id[row];
#pragma unroll
	for (int i = 0; i < ROW_WIDE; i += 4)
		philox(key, (uint32_t)id, (uint32_t)(id >> 32), site, (uint32_t)((c + i) / 4),
			coin + i);
	if (wide) {
		float v[ROW_WIDE];

		load_n<ROW_WIDE>(v, at);
#pragma unroll
		for (int i = 0; i < ROW_WIDE; i++)
			v[i] = coin[i] < threshold ? 0 : v[i] * scale;
		store_n<ROW_WIDE>(at, v);
		return;
	}
#pragma unroll
	for (int i = 0; i < ROW_WIDE; i++)
		if (c + i < C)
			at[i] = coin[i] < threshold ? from_float<A>(0)
						    : from_float<A>(to_float(at[i]) * scale);
}

template <typename A, int N>
static void launch_embed(cuda_stream stream, A *out, const int32_t *token, const int32_t *position,
	const float *wte, const float *wpe, int64_t R, int64_t C)
{
	LAUNCH((embed<A, N>), grid_of_rows<N>(R, C), dim3(ROW_THREADS), 0, stream, out, token,
		position, wte, wpe, R, C);
}

void cuda_embed(cuda_stream stream, enum cuda_type type, void *out, const int32_t *token,
	const int32_t *position, const float *wte, const float *wpe, int64_t R, int64_t C)
{
	if (R <= 0 || C <= 0)
		return;
	if (C % ROW_WIDE == 0 && aligned16(out) && aligned16(wte) && aligned16(wpe))
		WITH_ACTIVATION(type, A,
			launch_embed<A, ROW_WIDE>(
				stream, (A *)out, token, position, wte, wpe, R, C));
	else
		WITH_ACTIVATION(type, A,
			launch_embed<A, 1>(stream, (A *)out, token, position, wte, wpe, R, C));
}

template <typename A, int N>
static void launch_gather(
	cuda_stream stream, A *out, const A *x, const int32_t *index, int64_t n, int64_t C)
{
	LAUNCH((gather_rows<A, N>), grid_of_rows<N>(n, C), dim3(ROW_THREADS), 0, stream, out, x,
		index, n, C);
}

void cuda_gather_rows(cuda_stream stream, enum cuda_type type, void *out, const void *x,
	const int32_t *index, int64_t n, int64_t C)
{
	if (n <= 0 || C <= 0)
		return;
	if (C % ROW_WIDE == 0 && aligned16(out) && aligned16(x))
		WITH_ACTIVATION(type, A,
			launch_gather<A, ROW_WIDE>(stream, (A *)out, (const A *)x, index, n, C));
	else
		WITH_ACTIVATION(
			type, A, launch_gather<A, 1>(stream, (A *)out, (const A *)x, index, n, C));
}

void cuda_scatter_rows(
	cuda_stream stream, float *x, const float *rows, const int32_t *index, int64_t n, int64_t C)
{
	if (n <= 0 || C <= 0)
		return;
	if (C % ROW_WIDE == 0 && aligned16(x) && aligned16(rows))
		LAUNCH((scatter_rows<ROW_WIDE>), grid_of_rows<ROW_WIDE>(n, C), dim3(ROW_THREADS), 0,
			stream, x, rows, index, n, C);
	else
		LAUNCH((scatter_rows<1>), grid_of_rows<1>(n, C), dim3(ROW_THREADS), 0, stream, x,
			rows, index, n, C);
}

template <typename A>
static void launch_dropout(cuda_stream stream, A *x, const uint64_t *row_id, int64_t R, int64_t C,
	double p, uint64_t key, uint32_t site)
{
	bool wide = C % ROW_WIDE == 0 && aligned16(x);

	LAUNCH((dropout<A>), grid_of_rows<1>(R, pieces(C, ROW_WIDE)), dim3(ROW_THREADS), 0, stream,
		x, row_id, R, C, wide, (uint32_t)(p * 0x1p32), (float)(1 / (1 - p)), key, site);
}

void cuda_dropout(cuda_stream stream, enum cuda_type type, void *x, const uint64_t *row_id,
	int64_t R, int64_t C, double p, uint64_t key, uint32_t site)
{
	CAIRN_ASSERT(p >= 0 && p < 1);
	if (R > 0 && C > 0)
		WITH_ACTIVATION(
			type, A, launch_dropout<A>(stream, (A *)x, row_id, R, C, p, key, site));
}

/* ---- sorting ----------------------------------------------------------------------------------
 */

/* Sorts n pairs by key, stable. What the sort itself needs to work with is at `room`; with room
 * NULL it only gives the size of that. */
#ifdef __CUDACC__
static size_t sort_pairs(cuda_stream stream, void *room, size_t bytes, const uint32_t *key,
	uint32_t *key_out, const uint32_t *value, uint32_t *value_out, int64_t n)
{
	if (cub::DeviceRadixSort::SortPairs(room, bytes, key, key_out, value, value_out, (int)n, 0,
		    32, (cudaStream_t)stream) != cudaSuccess)
		return 0; /* the stream's error is found where the backend asks for it */
	return bytes;
}
#else
static size_t sort_pairs(cuda_stream, void *room, size_t, const uint32_t *key, uint32_t *key_out,
	const uint32_t *value, uint32_t *value_out, int64_t n)
{
	std::vector<size_t> order(room ? (size_t)n : 0);

	std::iota(order.begin(), order.end(), (size_t)0);
	std::stable_sort(
		order.begin(), order.end(), [key](size_t a, size_t b) { return key[a] < key[b]; });
	for (size_t i = 0; i < order.size(); i++) {
		key_out[i] = key[order[i]];
		value_out[i] = value[order[i]];
	}
	return 16;
}
#endif

/* ---- the gradient of an embedding ---------------------------------------------------------------
 */

/* key[r]: where row r of dout goes. */
__global__ void __launch_bounds__(ROW_THREADS) embed_keys(
	uint32_t *key, uint32_t *row, const int32_t *index, const int32_t *token, int64_t R)
{
	int64_t r = flat_index();

	if (r >= R)
		return;
	key[r] = token[r] < 0 ? NO_ROW : (uint32_t)index[r];
	row[r] = (uint32_t)r;
}

/* The chunk's sum of a token goes where it belongs: into its row if all of it is here. */
template <int N>
static __device__ __forceinline__ void end_of_token(
	float *grad, float *head, float *tail, bool from_before, bool goes_on, const float sum[N])
{
	float before[N];

	if (from_before) {
		store_n<N>(head, sum);
	} else if (goes_on) {
		store_n<N>(tail, sum);
	} else {
		load_n<N>(before, grad);
#pragma unroll
		for (int i = 0; i < N; i++)
			before[i] += sum[i];
		store_n<N>(grad, before);
	}
}

/*
 * A block: a chunk of the sorted rows, N columns a thread. partial[chunk][2][C]: head and tail; a
 * token that comes from the chunk before and goes on in the next one has its sum in the head.
 */
template <typename A, int N>
__global__ void __launch_bounds__(ROW_THREADS) embed_chunks(float *grad, float *partial,
	const A *dout, const uint32_t *key, const uint32_t *row, int64_t R, int64_t C)
{
	SHARED(uint32_t, keys); /* [CHUNK + 2]: with the neighbours' keys around them */
	uint32_t *rows = keys + CHUNK + 2;
	int64_t first = (int64_t)blockIdx.x * CHUNK;
	int64_t c = ((int64_t)blockIdx.y * blockDim.x + threadIdx.x) * N;
	int n = (int)min((int64_t)CHUNK, R - first);
	float *head = partial + (int64_t)blockIdx.x * 2 * C + c, *tail = head + C, sum[N] = {};

	for (int i = (int)threadIdx.x; i < n + 2; i += (int)blockDim.x) {
		int64_t at = first + i - 1;

		keys[i] = at < 0 || at >= R ? NO_ROW : key[at];
		if (i < n)
			rows[i] = row[first + i];
	}
	__syncthreads();
	if (c >= C)
		return;
	for (int i = 0; i < n; i += AHEAD) {
		float x[AHEAD][N];

#pragma unroll
		for (int j = 0; j < AHEAD; j++)
			if (i + j < n && keys[i + j + 1] != NO_ROW)
				load_n<N>(x[j], dout + (int64_t)rows[i + j] * C + c);
#pragma unroll
		for (int j = 0; j < AHEAD; j++) {
			uint32_t now = i + j < n ? keys[i + j + 1] : NO_ROW;

			if (now == NO_ROW)
				break;
#pragma unroll
			for (int e = 0; e < N; e++)
				sum[e] += x[j][e];
			if (keys[i + j + 2] == now && i + j + 1 < n)
				continue;
			end_of_token<N>(grad + now * C + c, head, tail, keys[0] == now,
				keys[i + j + 2] == now, sum);
#pragma unroll
			for (int e = 0; e < N; e++)
				sum[e] = 0;
		}
	}
}

/* Chunks after `chunk` whose first key is `mine`: they follow each other. A warp asks. */
static __device__ __forceinline__ int64_t chunks_that_follow(
	const uint32_t *key, int64_t chunk, uint32_t mine, int64_t R)
{
	int64_t count = 0;

	for (;;) {
		int64_t at = (chunk + 1 + count + lane_id()) * CHUNK;
		unsigned same = __ballot_sync(ALL_LANES, at < R && key[at] == mine);

		count += __popc(same);
		if (same != ALL_LANES)
			return count;
	}
}

/* A block: the token that begins in this chunk and goes on behind it, if there is one; its tail and
 * the heads that follow, in order. */
template <int N>
__global__ void __launch_bounds__(ROW_THREADS)
	embed_long(float *grad, const float *partial, const uint32_t *key, int64_t R, int64_t C)
{
	int64_t chunk = blockIdx.x, first = chunk * CHUNK, end = first + CHUNK, follow;
	int64_t c = ((int64_t)blockIdx.y * blockDim.x + threadIdx.x) * N;
	uint32_t mine;
	float sum[N], before[N];

	if (end >= R)
		return;
	mine = key[end - 1];
	if (mine == NO_ROW || key[end] != mine || (first > 0 && key[first - 1] == mine))
		return;
	follow = chunks_that_follow(key, chunk, mine, R);
	if (c >= C)
		return;
	load_n<N>(sum, partial + (chunk * 2 + 1) * C + c);
#pragma unroll 4
	for (int64_t i = 1; i <= follow; i++) {
		float head[N];

		load_n<N>(head, partial + (chunk + i) * 2 * C + c);
#pragma unroll
		for (int e = 0; e < N; e++)
			sum[e] += head[e];
	}
	load_n<N>(before, grad + mine * C + c);
#pragma unroll
	for (int e = 0; e < N; e++)
		before[e] += sum[e];
	store_n<N>(grad + mine * C + c, before);
}

namespace
{

/* Where things are in the workspace, in bytes: four lists of R, the partial sums of chunks, and the
 * sort's own. */
struct embed_places {
	embed_places(int64_t R, int64_t C)
	{
		row = (size_t)pieces(R, 64) * 64 * sizeof(uint32_t);
		sorted_key = 2 * row;
		sorted_row = 3 * row;
		partial = 4 * row;
		sort = partial + (size_t)pieces(pieces(R, CHUNK) * 2 * C, 64) * 64 * sizeof(float);
	}
	size_t row, sorted_key, sorted_row, partial, sort; /* keys are at 0 */
};

} // namespace

static size_t sort_bytes(int64_t R)
{
	return sort_pairs(nullptr, nullptr, 0, nullptr, nullptr, nullptr, nullptr, R);
}

size_t cuda_embed_backward_workspace(int64_t R, int64_t C)
{
	return R > 0 ? embed_places(R, C).sort + sort_bytes(R) : 0;
}

template <typename A, int N>
static void launch_embed_gradient(cuda_stream stream, float *grad, const A *dout,
	const int32_t *index, const int32_t *token, int64_t R, int64_t C, char *room)
{
	embed_places at(R, C);
	uint32_t *key = (uint32_t *)room, *sorted_key = (uint32_t *)(room + at.sorted_key);
	uint32_t *row = (uint32_t *)(room + at.row),
		 *sorted_row = (uint32_t *)(room + at.sorted_row);
	float *partial = (float *)(room + at.partial);
	int64_t threads = min(pieces(C / N, 32) * 32, (int64_t)ROW_THREADS);
	dim3 grid((unsigned)pieces(R, CHUNK), (unsigned)pieces(C / N, threads));

	LAUNCH(embed_keys, dim3((unsigned)pieces(R, ROW_THREADS)), dim3(ROW_THREADS), 0, stream,
		key, row, index, token, R);
	sort_pairs(stream, room + at.sort, sort_bytes(R), key, sorted_key, row, sorted_row, R);
	LAUNCH((embed_chunks<A, N>), grid, dim3((unsigned)threads),
		(2 * CHUNK + 2) * sizeof(uint32_t), stream, grad, partial, dout,
		(const uint32_t *)sorted_key, (const uint32_t *)sorted_row, R, C);
	LAUNCH((embed_long<N>), grid, dim3((unsigned)threads), 0, stream, grad,
		(const float *)partial, (const uint32_t *)sorted_key, R, C);
}

void cuda_embed_backward(cuda_stream stream, enum cuda_type type, float *dwte, float *dwpe,
	const void *dout, const int32_t *token, const int32_t *position, int64_t R, int64_t C,
	void *workspace)
{
	char *room = (char *)workspace;
	bool wide = C % ROW_WIDE == 0 && aligned16(dout) && aligned16(dwte) && aligned16(dwpe);

	if (R <= 0 || C <= 0)
		return;
	for (int which = 0; which < 2; which++) {
		float *grad = which ? dwpe : dwte;
		const int32_t *index = which ? position : token;

		if (wide)
			WITH_ACTIVATION(type, A,
				launch_embed_gradient<A, ROW_WIDE>(
					stream, grad, (const A *)dout, index, token, R, C, room));
		else
			WITH_ACTIVATION(type, A,
				launch_embed_gradient<A, 1>(
					stream, grad, (const A *)dout, index, token, R, C, room));
	}
}

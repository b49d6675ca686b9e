/* SPDX-License-Identifier: Apache-2.0 */
/*
 * norm.cu - layer norm. Bound by memory, so every number is read once: a row stays in the registers
 * of the threads that share it (its team), 8 columns a thread and 16 bytes an access: one warp for
 * rows up to 1024 or, forward, 2048 columns, a whole block beyond. Rows of any other length take
 * the plain kernels below, which read a row again from the cache.
 *
 * The gradients of gain and bias are column sums over all rows. Each block keeps those of a chunk
 * of rows in registers, too, on its way through dx, and leaves them as a partial sum;
 * cuda_add_partials() adds these in order. Chunks depend on R alone.
 */
#include "kernels/cuda/norm.h"

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/reduce.h"

#define NORM_EPS 1e-5f

enum {
	NORM_WIDE = 8, /* columns of a thread at a time */
	NORM_THREADS = 256,
	NORM_WARPS = NORM_THREADS / 32,
	NORM_ROW_THREADS = 128, /* of a forward block in which each warp has a row */
	NORM_PLAIN_ROWS = 8,    /* rows that a block of the plain backward kernel goes through */
};

/* ---- forward ----------------------------------------------------------------------------------
 */

/* The row's mean and 1/deviation; `sum` is over the row already, `rest` adds over the row. */
static __device__ __forceinline__ float norm_rstd(float squares, int64_t C)
{
	return 1 / sqrtf(squares / (float)C + NORM_EPS);
}

/* A warp: a row of up to 256 * SPANS columns, a multiple of 8. */
template <typename A, int SPANS>
__global__ void __launch_bounds__(NORM_ROW_THREADS) layernorm_warp(A *out, float *mean, float *rstd,
	A *sum, const A *a, const A *b, const float *gain, const float *bias, int64_t R, int64_t C)
{
	int64_t row = (int64_t)blockIdx.x * (NORM_ROW_THREADS / 32) + warp_id();
	float x[SPANS][NORM_WIDE], total = 0, squares = 0, m, s;

	if (row >= R)
		return;
#pragma unroll
	for (int i = 0; i < SPANS; i++) {
		int64_t c = (i * 32 + lane_id()) * NORM_WIDE;
		float other[NORM_WIDE] = {};

		if (c < C) {
			load_n<NORM_WIDE>(x[i], a + row * C + c);
			if (b)
				load_n<NORM_WIDE>(other, b + row * C + c);
#pragma unroll
			for (int j = 0; j < NORM_WIDE; j++)
				x[i][j] = to_float(from_float<A>(x[i][j] + other[j]));
		} else {
#pragma unroll
			for (int j = 0; j < NORM_WIDE; j++)
				x[i][j] = 0;
		}
#pragma unroll
		for (int j = 0; j < NORM_WIDE; j++)
			total += x[i][j];
	}
	m = warp_sum(total) / (float)C;
#pragma unroll
	for (int i = 0; i < SPANS; i++) {
		int64_t c = (i * 32 + lane_id()) * NORM_WIDE;

		if (c >= C)
			continue;
		if (sum)
			store_n<NORM_WIDE>(sum + row * C + c, x[i]);
#pragma unroll
		for (int j = 0; j < NORM_WIDE; j++)
			squares += (x[i][j] - m) * (x[i][j] - m);
	}
	s = norm_rstd(warp_sum(squares), C);
#pragma unroll
	for (int i = 0; i < SPANS; i++) {
		int64_t c = (i * 32 + lane_id()) * NORM_WIDE;
		float w[NORM_WIDE], o[NORM_WIDE];

		if (c >= C)
			continue;
		load_n<NORM_WIDE>(w, gain + c);
		load_n<NORM_WIDE>(o, bias + c);
#pragma unroll
		for (int j = 0; j < NORM_WIDE; j++)
			x[i][j] = fmaf((x[i][j] - m) * s, w[j], o[j]);
		store_n<NORM_WIDE>(out + row * C + c, x[i]);
	}
	if (lane_id() == 0 && mean)
		mean[row] = m;
	if (lane_id() == 0 && rstd)
		rstd[row] = s;
}

/* A block: a row of any length, in three passes over it. A thread reads again only what it wrote
 * itself, so `sum` may be a. */
template <typename A, int N>
__global__ void __launch_bounds__(NORM_THREADS) layernorm_plain(A *out, float *mean, float *rstd,
	A *sum, const A *a, const A *b, const float *gain, const float *bias, int64_t C)
{
	SHARED(float, room);
	int64_t row = blockIdx.x, step = NORM_THREADS * N, first = (int64_t)threadIdx.x * N;
	const A *from = sum ? sum : a, *other = sum ? nullptr : b;
	float x[N], y[N] = {}, w[N], total = 0, squares = 0, m, s;

	for (int64_t c = first; c < C; c += step) {
		load_n<N>(x, a + row * C + c);
		if (b)
			load_n<N>(y, b + row * C + c);
		for (int j = 0; j < N; j++) {
			x[j] = to_float(from_float<A>(x[j] + (b ? y[j] : 0)));
			total += x[j];
		}
		if (sum)
			store_n<N>(sum + row * C + c, x);
	}
	m = block_sum(total, room) / (float)C;
	for (int pass = 0; pass < 2; pass++) {
		s = pass ? norm_rstd(block_sum(squares, room), C) : 0;
		for (int64_t c = first; c < C; c += step) {
			load_n<N>(x, from + row * C + c);
			if (other)
				load_n<N>(y, other + row * C + c);
			for (int j = 0; j < N; j++) {
				x[j] = to_float(from_float<A>(x[j] + (other ? y[j] : 0))) - m;
				squares += x[j] * x[j];
			}
			if (!pass)
				continue;
			load_n<N>(w, gain + c);
			load_n<N>(y, bias + c);
			for (int j = 0; j < N; j++)
				x[j] = fmaf(x[j] * s, w[j], y[j]);
			store_n<N>(out + row * C + c, x);
		}
	}
	if (threadIdx.x == 0 && mean)
		mean[row] = m;
	if (threadIdx.x == 0 && rstd)
		rstd[row] = s;
}

namespace
{

/* What the launchers pass on. */
template <typename A> struct norm_forward {
	A *out;
	float *mean, *rstd;
	A *sum;
	const A *a, *b;
	const float *gain, *bias;
	int64_t R, C;
};

} // namespace

template <typename A, int SPANS>
static void launch_layernorm_warp(cuda_stream stream, const norm_forward<A> &f)
{
	LAUNCH((layernorm_warp<A, SPANS>), dim3((unsigned)pieces(f.R, NORM_ROW_THREADS / 32)),
		dim3(NORM_ROW_THREADS), 0, stream, f.out, f.mean, f.rstd, f.sum, f.a, f.b, f.gain,
		f.bias, f.R, f.C);
}

template <typename A, int N>
static void launch_layernorm_plain(cuda_stream stream, const norm_forward<A> &f)
{
	LAUNCH((layernorm_plain<A, N>), dim3((unsigned)f.R), dim3(NORM_THREADS), 32 * sizeof(float),
		stream, f.out, f.mean, f.rstd, f.sum, f.a, f.b, f.gain, f.bias, f.C);
}

template <typename A> static void launch_layernorm(cuda_stream stream, const norm_forward<A> &f)
{
	bool wide = f.C % NORM_WIDE == 0 && aligned16(f.out) && aligned16(f.sum) &&
		    aligned16(f.a) && aligned16(f.b) && aligned16(f.gain) && aligned16(f.bias);

	if (f.R <= 0 || f.C <= 0)
		return;
	if (!wide) {
		launch_layernorm_plain<A, 1>(stream, f);
		return;
	}
	switch (pieces(f.C, 32 * NORM_WIDE)) {
	case 1:
		launch_layernorm_warp<A, 1>(stream, f);
		break;
	case 2:
		launch_layernorm_warp<A, 2>(stream, f);
		break;
	case 3:
		launch_layernorm_warp<A, 3>(stream, f);
		break;
	case 4:
		launch_layernorm_warp<A, 4>(stream, f);
		break;
	case 5:
	case 6:
		launch_layernorm_warp<A, 6>(stream, f);
		break;
	case 7:
	case 8:
		launch_layernorm_warp<A, 8>(stream, f);
		break;
	default:
		launch_layernorm_plain<A, NORM_WIDE>(stream, f);
	}
}

void cuda_layernorm(cuda_stream stream, enum cuda_type type, void *out, float *mean, float *rstd,
	void *sum, const void *a, const void *b, const float *gain, const float *bias, int64_t R,
	int64_t C)
{
	WITH_ACTIVATION(type, A,
		launch_layernorm<A>(stream, norm_forward<A>{(A *)out, mean, rstd, (A *)sum,
						    (const A *)a, (const A *)b, gain, bias, R, C}));
}

/* ---- backward ---------------------------------------------------------------------------------
 *
 * With n = (x - mean) rstd and dn = dout gain: dx += rstd (dn - avg(dn) - n avg(dn n)),
 * dgain += dout n, dbias += dout.
 */

/* Rows of a chunk. */
static int64_t norm_rows(int64_t R)
{
	int64_t rows = pieces(pieces(R, 1024), NORM_WARPS) * NORM_WARPS;

	return rows > 64 ? 64 : rows;
}

/* What the threads of a row have, added: within the warp, or of all warps, through room[2][2 *
 * warps], of which rows use one half in turn; so one barrier is enough. */
template <bool BLOCK>
static __device__ __forceinline__ void team_sums(float &a, float &b, float *room, int turn)
{
	a = warp_sum(a);
	b = warp_sum(b);
	if (!BLOCK)
		return;
	room += turn % 2 * 2 * NORM_WARPS;
	if (lane_id() == 0) {
		room[warp_id()] = a;
		room[NORM_WARPS + warp_id()] = b;
	}
	__syncthreads();
	a = b = 0;
#pragma unroll
	for (int w = 0; w < NORM_WARPS; w++) {
		a += room[w];
		b += room[NORM_WARPS + w];
	}
}

namespace
{

/* NORM_WIDE elements as they are in memory, in registers: half as many of them in bf16. */
template <typename A> struct norm_span {
	uint4 word[NORM_WIDE * sizeof(A) / 16];
};

} // namespace

template <typename A> static __device__ __forceinline__ norm_span<A> load_span(const A *from)
{
	norm_span<A> span;

#pragma unroll
	for (int i = 0; i < (int)(NORM_WIDE * sizeof(A) / 16); i++)
		span.word[i] = load16(from + i * vec<A>::N);
	return span;
}

template <typename A>
static __device__ __forceinline__ void unpack_span(float x[NORM_WIDE], const norm_span<A> &span)
{
	load_n<NORM_WIDE>(x, reinterpret_cast<const A *>(span.word));
}

/*
 * A block: a chunk of rows. A team (a warp, or with BLOCK the block) has every teams-th of them and
 * keeps its sums in registers, SPANS times 8 columns a thread. partial[chunk][2][C]: of dgain and
 * of dbias.
 */
template <typename A, int SPANS, bool BLOCK>
__global__ void __launch_bounds__(NORM_THREADS, BLOCK || sizeof(A) == 4 ? 1 : 2)
	layernorm_backward_team(A *dx, float *partial, const A *dout, const A *x, const float *gain,
		const float *mean, const float *rstd, int64_t R, int64_t C, int64_t rows)
{
	SHARED(float, room);
	constexpr int TEAM = BLOCK ? NORM_THREADS : 32, TEAMS = NORM_THREADS / TEAM;
	constexpr bool EARLY = SPANS < 4; /* are there registers to read dx with the rest? */
	int member = (int)threadIdx.x % TEAM, team = (int)threadIdx.x / TEAM, turn = 0;
	int columns = (int)C;
	int64_t end = min((int64_t)(blockIdx.x + 1) * rows, R);
	float dgain[SPANS][NORM_WIDE] = {}, dbias[SPANS][NORM_WIDE] = {};

	for (int64_t r = blockIdx.x * rows + team; r < end; r += TEAMS, turn++) {
		norm_span<A> d_of[SPANS], x_of[SPANS], dx_of[SPANS];
		float m = mean[r], s = rstd[r], sum = 0, dot = 0;

#pragma unroll
		for (int i = 0; i < SPANS; i++) {
			int c = (i * TEAM + member) * NORM_WIDE;

			if (c < columns) {
				d_of[i] = load_span(dout + r * C + c);
				x_of[i] = load_span(x + r * C + c);
				if (EARLY)
					dx_of[i] = load_span(dx + r * C + c);
			}
		}
#pragma unroll
		for (int i = 0; i < SPANS; i++) {
			int c = (i * TEAM + member) * NORM_WIDE;
			float w[NORM_WIDE], d[NORM_WIDE], n[NORM_WIDE];

			if (c >= columns)
				continue;
			load_n<NORM_WIDE>(w, gain + c);
			unpack_span(d, d_of[i]);
			unpack_span(n, x_of[i]);
#pragma unroll
			for (int j = 0; j < NORM_WIDE; j++) {
				n[j] = (n[j] - m) * s;
				dgain[i][j] = fmaf(d[j], n[j], dgain[i][j]);
				dbias[i][j] += d[j];
				sum = fmaf(d[j], w[j], sum);
				dot = fmaf(d[j] * w[j], n[j], dot);
			}
		}
		team_sums<BLOCK>(sum, dot, room, turn);
		sum /= (float)C;
		dot /= (float)C;
#pragma unroll
		for (int i = 0; i < SPANS; i++) {
			int c = (i * TEAM + member) * NORM_WIDE;
			float w[NORM_WIDE], d[NORM_WIDE], n[NORM_WIDE], to[NORM_WIDE];

			if (c >= columns)
				continue;
			load_n<NORM_WIDE>(w, gain + c);
			unpack_span(d, d_of[i]);
			unpack_span(n, x_of[i]);
			if (!EARLY)
				dx_of[i] = load_span(dx + r * C + c);
			unpack_span(to, dx_of[i]);
#pragma unroll
			for (int j = 0; j < NORM_WIDE; j++) {
				n[j] = (n[j] - m) * s;
				to[j] = fmaf(s, d[j] * w[j] - fmaf(n[j], dot, sum), to[j]);
			}
			store_n<NORM_WIDE>(dx + r * C + c, to);
		}
	}

	/* The teams' sums, added in order: room[team][column of this span], once for each span. */
	partial += blockIdx.x * 2 * C;
#pragma unroll
	for (int i = 0; i < 2 * SPANS; i++) {
		const float *mine = i % 2 ? dbias[i / 2] : dgain[i / 2];
		int64_t first = (int64_t)(i / 2) * TEAM * NORM_WIDE;

		__syncthreads();
		store_n<NORM_WIDE>(room + threadIdx.x * NORM_WIDE, mine);
		__syncthreads();
		for (int c = (int)threadIdx.x; c < TEAM * NORM_WIDE; c += NORM_THREADS) {
			float all = 0;

			for (int t = 0; t < TEAMS; t++)
				all += room[t * TEAM * NORM_WIDE + c];
			if (first + c < C)
				partial[i % 2 * C + first + c] = all;
		}
	}
}

/* A block: NORM_PLAIN_ROWS rows of any length, one after the other; dx alone. */
template <typename A>
__global__ void __launch_bounds__(NORM_THREADS) layernorm_backward_dx(A *dx, const A *dout,
	const A *x, const float *gain, const float *mean, const float *rstd, int64_t R, int64_t C)
{
	SHARED(float, room);
	int64_t first = (int64_t)blockIdx.x * NORM_PLAIN_ROWS;

	for (int64_t r = first; r < R && r < first + NORM_PLAIN_ROWS; r++) {
		float m = mean[r], s = rstd[r], sum = 0, dot = 0;

		for (int64_t c = threadIdx.x; c < C; c += NORM_THREADS) {
			float dn = to_float(dout[r * C + c]) * gain[c];

			sum += dn;
			dot += dn * (to_float(x[r * C + c]) - m) * s;
		}
		team_sums<true>(sum, dot, room, (int)(r - first));
		sum /= (float)C;
		dot /= (float)C;
		for (int64_t c = threadIdx.x; c < C; c += NORM_THREADS) {
			float n = (to_float(x[r * C + c]) - m) * s;
			float dn = to_float(dout[r * C + c]) * gain[c];
			float before = to_float(dx[r * C + c]);

			dx[r * C + c] = from_float<A>(fmaf(s, dn - fmaf(n, dot, sum), before));
		}
	}
}

/* A thread: a column of a chunk of rows, into partial[chunk][2][C]. */
template <typename A>
__global__ void __launch_bounds__(NORM_THREADS)
	layernorm_backward_columns(float *partial, const A *dout, const A *x, const float *mean,
		const float *rstd, int64_t R, int64_t C, int64_t rows)
{
	int64_t column = (int64_t)blockIdx.y * NORM_THREADS + threadIdx.x;
	int64_t end = min((int64_t)(blockIdx.x + 1) * rows, R);
	float dgain = 0, dbias = 0;

	if (column >= C)
		return;
	for (int64_t r = blockIdx.x * rows; r < end; r++) {
		float d = to_float(dout[r * C + column]);

		dgain = fmaf(d, (to_float(x[r * C + column]) - mean[r]) * rstd[r], dgain);
		dbias += d;
	}
	partial[blockIdx.x * 2 * C + column] = dgain;
	partial[blockIdx.x * 2 * C + C + column] = dbias;
}

namespace
{

template <typename A> struct norm_backward {
	A *dx;
	float *partial;
	const A *dout, *x;
	const float *gain, *mean, *rstd;
	int64_t R, C, rows, chunks;
};

} // namespace

template <typename A, int SPANS, bool BLOCK>
static void launch_backward_team(cuda_stream stream, const norm_backward<A> &b)
{
	LAUNCH((layernorm_backward_team<A, SPANS, BLOCK>), dim3((unsigned)b.chunks),
		dim3(NORM_THREADS), NORM_THREADS * NORM_WIDE * sizeof(float), stream, b.dx,
		b.partial, b.dout, b.x, b.gain, b.mean, b.rstd, b.R, b.C, b.rows);
}

template <typename A>
static void launch_backward_plain(cuda_stream stream, const norm_backward<A> &b)
{
	LAUNCH((layernorm_backward_dx<A>), dim3((unsigned)pieces(b.R, NORM_PLAIN_ROWS)),
		dim3(NORM_THREADS), 4 * NORM_WARPS * sizeof(float), stream, b.dx, b.dout, b.x,
		b.gain, b.mean, b.rstd, b.R, b.C);
	LAUNCH((layernorm_backward_columns<A>),
		dim3((unsigned)b.chunks, (unsigned)pieces(b.C, NORM_THREADS)), dim3(NORM_THREADS),
		0, stream, b.partial, b.dout, b.x, b.mean, b.rstd, b.R, b.C, b.rows);
}

template <typename A> static void launch_backward(cuda_stream stream, const norm_backward<A> &b)
{
	int64_t spans = pieces(b.C, 32 * NORM_WIDE);
	bool wide = b.C % NORM_WIDE == 0 && aligned16(b.dx) && aligned16(b.dout) &&
		    aligned16(b.x) && aligned16(b.gain);

	if (!wide || b.C > 2 * NORM_THREADS * NORM_WIDE)
		launch_backward_plain<A>(stream, b);
	else if (spans == 1)
		launch_backward_team<A, 1, false>(stream, b);
	else if (spans == 2)
		launch_backward_team<A, 2, false>(stream, b);
	else if (spans == 3)
		launch_backward_team<A, 3, false>(stream, b);
	else if (spans == 4)
		launch_backward_team<A, 4, false>(stream, b);
	else if (b.C <= NORM_THREADS * NORM_WIDE)
		launch_backward_team<A, 1, true>(stream, b);
	else
		launch_backward_team<A, 2, true>(stream, b);
}

size_t cuda_layernorm_backward_workspace(int64_t R, int64_t C)
{
	return R > 0 ? (size_t)pieces(R, norm_rows(R)) * 2 * (size_t)C * sizeof(float) : 0;
}

void cuda_layernorm_backward(cuda_stream stream, enum cuda_type type, void *dx, float *dgain,
	float *dbias, const void *dout, const void *x, const float *gain, const float *mean,
	const float *rstd, int64_t R, int64_t C, void *workspace)
{
	float *partial = (float *)workspace;
	int64_t rows = norm_rows(R), chunks;

	if (R <= 0 || C <= 0)
		return;
	chunks = pieces(R, rows);
	WITH_ACTIVATION(type, A,
		launch_backward<A>(
			stream, norm_backward<A>{(A *)dx, partial, (const A *)dout, (const A *)x,
					gain, mean, rstd, R, C, rows, chunks}));
	cuda_add_partials(stream, dgain, partial, chunks, 2 * C, C);
	cuda_add_partials(stream, dbias, partial + C, chunks, 2 * C, C);
}

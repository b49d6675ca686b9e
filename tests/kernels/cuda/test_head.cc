/* SPDX-License-Identifier: Apache-2.0 */
/* test_head.cc - rows of logits: log-probabilities, entropy, the best token, the gradient in place.
 */
#include "compare.h"
#include "kernels/cuda/head.h"

namespace
{

struct shape {
	int64_t R, V, ld;
	float temperature;
};

/* 64, 256 and 1024 threads; V odd, a multiple, the stride itself. */
const shape shapes[] = {
	{1, 1, 8, 1},
	{3, 7, 8, 1},
	{12, 128, 128, 0.7f},
	{5, 1001, 1024, 1.3f},
	{4, 2111, 2176, 1},
	{2, 9001, 9088, 0.9f},
};

device_vector<int32_t> targets(const shape &s)
{
	device_vector<int32_t> target = random_ints(s.R, 1, 0, (int32_t)s.V);

	for (int64_t r = 2; r < s.R; r += 4)
		target[(size_t)r] = -1;
	return target;
}

/* Logits with NaNs behind V, and all over rows without a target. */
floats logits_of(const shape &s, const device_vector<int32_t> &target)
{
	floats x = normal(s.R * s.ld, 2, 4);

	for (int64_t r = 0; r < s.R; r++)
		for (int64_t v = 0; v < s.ld; v++)
			if (v >= s.V || target[(size_t)r] < 0)
				x[(size_t)(r * s.ld + v)] = NAN;
	return x;
}

/* logprob, entropy, best, and what became of the logits. */
tensors run(enum cuda_type type, const shape &s, bool backward)
{
	device_vector<int32_t> target = targets(s);
	floats x = logits_of(s, target), d = normal(s.R, 3);
	tensors out = {poisoned(s.R), poisoned(s.R), poisoned(s.R), floats()};
	cuda_head_rows h = {};

	h.rows = s.R;
	h.V = s.V;
	h.logits = x.data();
	h.ld = s.ld;
	h.scale = 1 / s.temperature;
	h.target = target.data();
	h.dlogprob = backward ? d.data() : nullptr;
	h.logprob = out[0].data();
	h.entropy = out[1].data();
	h.best = out[2].data();
	cuda_head(nullptr, type, &h);
	settle();
	if (backward && type == CUDA_BF16) {
		const uint16_t *half = reinterpret_cast<const uint16_t *>(x.data());

		for (int64_t r = 0; r < s.R; r++)
			for (int64_t v = 0; v < s.ld; v++)
				out[3].push_back(
					__uint_as_float((uint32_t)half[2 * r * s.ld + v] << 16));
	} else if (backward) {
		out[3] = x;
	}
	return out;
}

tensors reference(const shape &s)
{
	device_vector<int32_t> target = targets(s);
	floats x = logits_of(s, target), d = normal(s.R, 3);
	tensors out = {floats((size_t)s.R), floats((size_t)s.R), floats((size_t)s.R),
		floats((size_t)(s.R * s.ld))};

	for (int64_t r = 0; r < s.R; r++) {
		const float *row = &x[(size_t)(r * s.ld)];
		double scale = (double)(1 / s.temperature), max = -INFINITY, sum = 0, entropy = 0;
		int32_t t = target[(size_t)r];

		if (t < 0)
			continue;
		out[2][(size_t)r] = 1;
		for (int64_t v = 0; v < s.V; v++) {
			max = fmax(max, (double)row[v] * scale);
			if (row[v] > row[t])
				out[2][(size_t)r] = 0;
		}
		for (int64_t v = 0; v < s.V; v++)
			sum += exp((double)row[v] * scale - max);
		for (int64_t v = 0; v < s.V; v++) {
			double y = (double)row[v] * scale - max - log(sum), p = exp(y);

			entropy -= p * y;
			out[3][(size_t)(r * s.ld + v)] =
				(float)((double)d[(size_t)r] * scale * ((v == t ? 1 : 0) - p));
		}
		out[0][(size_t)r] = (float)((double)row[t] * scale - max - log(sum));
		out[1][(size_t)r] = (float)entropy;
	}
	return out;
}

/* Scores of about 16 in float: 16 * 2^-24 each way, and as much from their exponentials, of which the
 * hardware's are off by 2 + 1.2 |x| times 2^-24. */
const double score_error = 64 * 0x1p-24 * hardware;

void test_cuda_head__rows_of_any_length(void **)
{
	for (const shape &s : shapes) {
		tensors want = reference(s);

		for (enum cuda_type type : both_types) {
			tensors got = in_any_order([&] { return run(type, s, true); });

			check_near("logprob", got[0], want[0], 0, score_error);
			check_near("entropy", got[1], want[1], 0, score_error);
			check_same("best", got[2], want[2]);
			check_near("gradient", got[3], want[3], rounding(type) + score_error,
				score_error);
		}
	}
}

void test_cuda_head__the_gradient_changes_no_bit_of_the_rest(void **)
{
	for (const shape &s : shapes) {
		for (enum cuda_type type : both_types) {
			tensors with = run(type, s, true), without = run(type, s, false);

			for (size_t i = 0; i < 3; i++)
				check_same("without a gradient", without[i], with[i]);
		}
	}
}

/* The largest logit may come last, and be far above the others. */
void test_cuda_head__a_rising_maximum(void **)
{
	const int64_t V = 700, ld = 704;
	floats x((size_t)ld, NAN), logprob(1), entropy(1);
	device_vector<int32_t> target(1, (int32_t)V - 1);
	cuda_head_rows h = {};

	for (int64_t v = 0; v < V; v++)
		x[(size_t)v] = -200 + (float)v * 0.5f;
	h.rows = 1;
	h.V = V;
	h.logits = x.data();
	h.ld = ld;
	h.scale = 1;
	h.target = target.data();
	h.logprob = logprob.data();
	h.entropy = entropy.data();
	cuda_head(nullptr, CUDA_BF16, &h);
	settle();
	/* A geometric series of ratio q = exp(-1/2): log(1 - q), and -log(1 - q) + q / (2 (1 - q))
	 */
	assert_true(fabs((double)logprob[0] - log(1 - exp(-0.5))) < 1e-5);
	assert_true(fabs((double)entropy[0] -
			    (-log(1 - exp(-0.5)) + 0.5 * exp(-0.5) / (1 - exp(-0.5)))) < 1e-5);
}

void test_cuda_head__keeps_rows_with_a_target(void **)
{
	for (int64_t C : {8, 20, 33}) {
		for (enum cuda_type type : both_types) {
			const int64_t R = 19;
			shape s = {R, 5, 8, 1};
			device_vector<int32_t> target = targets(s);
			floats x = normal(R * C, 4);
			acts from(type, x), to(type, poisoned(R * C));
			floats want = from.values();

			for (int64_t i = 0; i < R * C; i++)
				if (target[(size_t)(i / C)] < 0)
					want[(size_t)i] = 0;
			for (int64_t c = 0; c < C; c++)
				x[(size_t)(2 * C + c)] = NAN;
			from = acts(type, x);
			cuda_head_keep(nullptr, type, to.dev(), from.dev(), target.data(), R, C);
			check_same("rows", to.values(), want);
		}
	}
}

} // namespace

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_head__rows_of_any_length),
		cmocka_unit_test(test_cuda_head__the_gradient_changes_no_bit_of_the_rest),
		cmocka_unit_test(test_cuda_head__a_rising_maximum),
		cmocka_unit_test(test_cuda_head__keeps_rows_with_a_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

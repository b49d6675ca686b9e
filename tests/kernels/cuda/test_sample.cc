/* SPDX-License-Identifier: Apache-2.0 */
/* test_sample.cc - drawing tokens: the tokens of the portable backend, from the same numbers. */
#include "compare.h"
#include "kernels/cuda/head.h"
#include "kernels/cuda/sample.h"

namespace
{

struct options {
	int64_t R, V;
	float temperature;
	int32_t top_k;
	float top_p;
	float grid; /* logits are multiples of it, 0: not */
};

const options all_options[] = {
	{1, 1, 1, 0, 1, 0},
	{20, 67, 1, 0, 1, 0},
	{20, 300, 0.7f, 0, 1, 0.5f},
	{4, 2500, 1.2f, 0, 1, 0},
	{3, 9001, 1, 0, 1, 0},
	{6, 300, 0, 0, 1, 0},
	{6, 300, 0, 0, 1, 1}, /* the lowest id among equals */
	{5, 100, 1, 5, 1, 0},
	{5, 100, 1, 7, 1, 1}, /* some of the equals are kept, some are not */
	{5, 100, 1, 0, 0.6f, 0},
	{5, 100, 0.8f, 0, 0.5f, 1},
	{5, 100, 1, 20, 0.8f, 0},
	{5, 100, 1, 20, 0.8f, 0.5f},
	{3, 100, 1, 1, 1, 1},
	{3, 100, 1, 0, 1e-6f, 1},
	{3, 100, 1, 100, 1, 0},
	{1, 2500, 1, 50, 0.9f, 0.25f},
};

floats logits_of(const options &o)
{
	floats x = normal(o.V, 5, 2);

	for (float &logit : x)
		logit = o.grid > 0 ? roundf(logit / o.grid) * o.grid : logit;
	return x;
}

device_vector<uint64_t> ids(int64_t R)
{
	device_vector<uint64_t> id((size_t)R);

	for (size_t r = 0; r < id.size(); r++)
		id[r] = ((uint64_t)1 << 40) + r;
	return id;
}

/* Tokens (as floats) and log-probabilities of R rows of the same logits. */
tensors run(enum cuda_type type, const options &o)
{
	int64_t ld = (o.V + 7) / 8 * 8;
	floats row = logits_of(o), x((size_t)(o.R * ld), NAN);
	device_vector<uint64_t> id = ids(o.R);
	device_vector<int32_t> token((size_t)o.R, -1);
	tensors out = {floats(), poisoned(o.R)};
	cuda_sample_rows s = {};

	for (int64_t r = 0; r < o.R; r++)
		memcpy(&x[(size_t)(r * ld)], row.data(), row.size() * sizeof(float));
	s.rows = o.R;
	s.V = o.V;
	s.logits = x.data();
	s.ld = ld;
	s.greedy = o.temperature == 0;
	s.scale = s.greedy ? 1 : 1 / o.temperature;
	s.key = 77;
	s.row_id = id.data();
	s.top_k = o.top_k;
	s.top_p = (double)o.top_p;
	s.token = token.data();
	s.logprob = out[1].data();
	cuda_sample(nullptr, type, &s);
	settle();
	for (int32_t t : token)
		out[0].push_back((float)t);
	/* The head says the same, bit for bit. */
	floats logprob = poisoned(o.R);
	cuda_head_rows h = {};
	h.rows = o.R;
	h.V = o.V;
	h.logits = x.data();
	h.ld = ld;
	h.scale = s.scale;
	h.target = token.data();
	h.logprob = logprob.data();
	cuda_head(nullptr, type, &h);
	check_same("the head's logprob", logprob, out[1]);
	return out;
}

/* The portable backend makes the same logits of h = 1 and wte [V,1]. */
tensors reference(const options &o)
{
	floats wte = logits_of(o), h((size_t)o.R, 1);
	device_vector<uint64_t> id = ids(o.R);
	device_vector<int32_t> token((size_t)o.R, -1);
	tensors out = {floats(), poisoned(o.R)};
	cairn_sample s = {};

	s.R = o.R;
	s.C = 1;
	s.V = o.V;
	s.h = h.data();
	s.wte = wte.data();
	s.temperature = o.temperature;
	s.key = 77;
	s.row_id = id.data();
	s.top_k = o.top_k;
	s.top_p = o.top_p;
	s.token = token.data();
	s.logprob = out[1].data();
	portable()->sample(portable(), &s);
	for (int32_t t : token)
		out[0].push_back((float)t);
	return out;
}

void test_cuda_sample__tokens_of_the_portable_backend(void **)
{
	for (const options &o : all_options) {
		tensors want = reference(o);

		for (enum cuda_type type : both_types) {
			tensors got = in_any_order([&] { return run(type, o); });

			check_same("token", got[0], want[0]);
			check_near("logprob", got[1], want[1], 0, 64 * 0x1p-24 * hardware);
		}
	}
}

} // namespace

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_sample__tokens_of_the_portable_backend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

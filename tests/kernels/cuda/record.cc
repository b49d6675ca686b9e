/* SPDX-License-Identifier: Apache-2.0 */
/* record.cc - see record.h. */
#include "record.h"

#include <functional>
#include <tuple>
#include <vector>

struct cairn_graph {
	std::vector<std::function<void()>> calls;
};

namespace
{

const cairn_kernels *inner;
cairn_graph *recording;

/* An argument as it was: what a pointer to a struct of arguments points at is gone by the replay. */
template <typename T> struct kept {
	T x;
	T given() const
	{
		return x;
	}
};

template <typename S> struct kept_struct {
	kept_struct(const S *s) : x(*s)
	{
	}
	const S *given() const
	{
		return &x;
	}
	S x;
};

template <> struct kept<const cairn_gemm *> : kept_struct<cairn_gemm> {
	using kept_struct::kept_struct;
};
template <> struct kept<const cairn_attention *> : kept_struct<cairn_attention> {
	using kept_struct::kept_struct;
};
template <> struct kept<const cairn_decode *> : kept_struct<cairn_decode> {
	using kept_struct::kept_struct;
};
template <> struct kept<const cairn_lm_head *> : kept_struct<cairn_lm_head> {
	using kept_struct::kept_struct;
};
template <> struct kept<const cairn_sample *> : kept_struct<cairn_sample> {
	using kept_struct::kept_struct;
};
template <> struct kept<const cairn_adam *> : kept_struct<cairn_adam> {
	using kept_struct::kept_struct;
};

template <auto member> struct entry;

/* `later` may be captured; the others may not be called then. */
template <typename R, typename... A, R (*cairn_kernels::*member)(const cairn_kernels *, A...)>
struct entry<member> {
	static void later(const cairn_kernels *, A... arguments)
	{
		std::tuple<kept<A>...> all{kept<A>{arguments}...};
		auto call = [all] {
			std::apply(
				[](const auto &...x) { (inner->*member)(inner, x.given()...); },
				all);
		};

		if (recording)
			recording->calls.push_back(call);
		else
			call();
	}
	static R now(const cairn_kernels *, A... arguments)
	{
		CAIRN_ASSERT(!recording);
		return (inner->*member)(inner, arguments...);
	}
};

void capture_begin(const cairn_kernels *)
{
	CAIRN_ASSERT(!recording);
	recording = new cairn_graph;
}

cairn_graph *capture_end(const cairn_kernels *)
{
	cairn_graph *graph = recording;

	recording = nullptr;
	return graph;
}

void replay(const cairn_kernels *, cairn_graph *graph, int64_t)
{
	CAIRN_ASSERT(!recording);
	for (const auto &call : graph->calls)
		call();
}

void graph_free(const cairn_kernels *, cairn_graph *graph)
{
	delete graph;
}

} // namespace

#define NOW(name)   k.name = entry<&cairn_kernels::name>::now
#define LATER(name) k.name = entry<&cairn_kernels::name>::later

cairn_kernels record_table(const cairn_kernels *of)
{
	cairn_kernels k = *of;

	inner = of;
	k.capture_begin = capture_begin;
	k.capture_end = capture_end;
	k.replay = replay;
	k.graph_free = graph_free;
	NOW(alloc);
	NOW(free);
	NOW(write);
	NOW(read);
	NOW(pack);
	NOW(pack_free);
	NOW(sum_squares);
	LATER(copy);
	LATER(zero);
	LATER(gemm);
	LATER(repack);
	LATER(embed);
	LATER(embed_backward);
	LATER(layernorm);
	LATER(layernorm_backward);
	LATER(gelu_backward);
	LATER(bias_backward);
	LATER(attention);
	LATER(attention_backward);
	LATER(cache_fill);
	LATER(decode);
	LATER(lm_head);
	LATER(sample);
	LATER(dropout);
	LATER(gather_rows);
	LATER(scatter_rows);
	LATER(axpy);
	LATER(scale);
	LATER(ema);
	LATER(adam);
	return k;
}

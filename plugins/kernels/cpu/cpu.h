/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu.h - the state of the CPU backend and what its files call of one another.
 *
 * Files named in CMakeLists.txt's `compute` list are compiled once for each vector unit;
 * their functions carry the unit in their names by ISA(). The rest is compiled once.
 */
#ifndef CAIRN_KERNELS_CPU_H
#define CAIRN_KERNELS_CPU_H

#include "kernels/cpu/pool.h"
#include "kernels/host_memory.h"

/* Buffers that live as long as the backend and only grow. */
enum cpu_buffer {
	CPU_PACK_A, /* gemm: panels of A and B that all threads read */
	CPU_PACK_B,
	CPU_ROWS, /* lm_head, sample: a chunk of logits, its rows of h and dh, which rows */
	CPU_ROWS_H,
	CPU_ROWS_DH,
	CPU_ROWS_INDEX,
	CPU_PACK_LOGITS, /* lm_head: wte for each of its products that read it */
	CPU_PACK_DH,
	CPU_PARTIALS, /* sums of chunks of rows */
	CPU_BUFFERS
};

/* The same for each thread. */
enum cpu_own {
	CPU_OWN_PACK_A,
	CPU_OWN_PACK_B,
	CPU_OWN_WORK,
	CPU_OWNS
};

typedef struct cpu_block {
	void *data;
	size_t bytes;
} cpu_block;

typedef struct cpu {
	host_memory memory; /* first: see host_memory.h */
	pool *pool;
	int threads;
	cpu_block shared[CPU_BUFFERS];
	cpu_block (*own)[CPU_OWNS]; /* [threads] */
} cpu;

/* At least `bytes`, aligned to 64, contents lost when it grows. Ends the process where there
 * is no memory: a kernel cannot fail. */
void *cpu_shared(cpu *c, enum cpu_buffer which, size_t bytes);
void *cpu_own(cpu *c, int thread, enum cpu_own which, size_t bytes);

/* Sets the compute functions of *k and its name. */
void cpu_avx512_fill(cairn_kernels *k);
void cpu_avx2_fill(cairn_kernels *k);
void cpu_portable_fill(cairn_kernels *k);

#endif

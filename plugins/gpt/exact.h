/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exact.h - elementary functions of double whose bits are ours.
 *
 * libm's differ in the last bit from one machine to the next (glibc picks a variant by what the
 * processor can do). Where such a bit would reach a weight, a gradient or a label, these are used:
 * additions, multiplications, divisions and exact scalings only, in a fixed order, without
 * contraction, so IEEE 754 alone decides the result. Errors stay below 1e-15 of the value.
 */
#ifndef CAIRN_GPT_EXACT_H
#define CAIRN_GPT_EXACT_H

/* log(x) of a finite x > 0. */
double gpt_log(double x);
/* exp(x); 0 and infinity where it leaves the range of double. */
double gpt_exp(double x);
/* log(1 + x) of a finite x > -1. */
double gpt_log1p(double x);
/* exp(x) - 1. */
double gpt_expm1(double x);
/* cos(2 pi turns), 0 <= turns <= 1. In turns the reduction to an eighth of the circle is exact. */
double gpt_cos_turns(double turns);

#endif

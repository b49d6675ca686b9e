/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exact.c - Taylor series on reduced arguments, long enough that what they leave out is far below
 * the last bit. frexp, ldexp and rounding to an integer are exact in any libm.
 */
#include "gpt/exact.h"

#include <math.h>

/* ln 2 in two parts; the first has 37 bits, so that a multiple up to 2^16 of it is exact. */
#define LN2_HIGH 0x1.62e42fefap-1
#define LN2_LOW  0x1.cf79abc9e3b3ap-40
#define TWO_PI   0x1.921fb54442d18p+2

double gpt_log(double x)
{
	int exponent;
	double m = frexp(x, &exponent), f, s, s2, rest;

	/* x = m 2^exponent with m in [1/sqrt 2, sqrt 2), so that log m is small. */
	if (m < 0.70710678118654752) {
		m *= 2;
		exponent--;
	}
	/* log(1+f) = 2 atanh(s) with s = f/(2+f): 2s + 2s^3/3 + 2s^5/5 + ..., s^2 < 0.0295. The
	 * leading 2s is f - s f: f is exact, and what rounds is small beside it. */
	f = m - 1;
	s = f / (2 + f);
	s2 = s * s;
	rest = 2.0 / 23;
	for (int k = 21; k >= 3; k -= 2)
		rest = 2.0 / k + s2 * rest;
	return exponent * LN2_HIGH + (exponent * LN2_LOW + (f - s * (f - s2 * rest)));
}

double gpt_log1p(double x)
{
	double y = 1 + x;

	/* What 1 + x rounded away is in (y - 1) too: the factor corrects for it (a device of W.
	 * Kahan's). */
	return y == 1 ? x : gpt_log(y) * (x / (y - 1));
}

double gpt_exp(double x)
{
	double n, r, sum = 1;

	if (x > 710)
		return HUGE_VAL;
	if (!(x >= -746))
		return x < 0 ? 0 : x; /* NaN stays */
	/* x = n ln 2 + r, |r| < 0.35; r^15/15! is below 1e-19. */
	n = floor(x * 1.4426950408889634 + 0.5);
	r = (x - n * LN2_HIGH) - n * LN2_LOW;
	for (int k = 14; k >= 2; k--)
		sum = 1 + r / k * sum;
	/* Two steps: 2^1024 is no double, but 1.5 * 2^1023 is. */
	return ldexp(1 + r * sum, (int)n);
}

double gpt_expm1(double x)
{
	double y = gpt_exp(x);

	/* The same device. */
	if (y == 1)
		return x;
	if (y == 0 || isinf(y))
		return y - 1;
	return (y - 1) * (x / gpt_log(y));
}

/* cos and sin of |x| <= pi/4. */
static double near_cos(double x)
{
	double x2 = x * x, sum = 1;

	for (int k = 18; k >= 4; k -= 2)
		sum = 1 - x2 / (k * (k - 1)) * sum;
	return 1 - x2 / 2 * sum;
}

static double near_sin(double x)
{
	double x2 = x * x, sum = 1;

	for (int k = 19; k >= 5; k -= 2)
		sum = 1 - x2 / (k * (k - 1)) * sum;
	return x - x * (x2 / 6 * sum);
}

double gpt_cos_turns(double turns)
{
	/* The nearest quarter turn; both lines are exact. */
	int quarter = (int)(4 * turns + 0.5);
	double x = TWO_PI * (turns - 0.25 * quarter);

	switch (quarter & 3) {
	case 0:
		return near_cos(x);
	case 1:
		return -near_sin(x);
	case 2:
		return -near_cos(x);
	default:
		return near_sin(x);
	}
}

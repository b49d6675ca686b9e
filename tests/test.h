/* SPDX-License-Identifier: Apache-2.0 */
/* test.h - what every cmocka test includes, in the order that cmocka wants. */
#ifndef CAIRN_TESTS_TEST_H
#define CAIRN_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif

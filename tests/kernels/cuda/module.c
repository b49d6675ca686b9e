/* SPDX-License-Identifier: Apache-2.0 */
/* module.c - nothing of its own: the emulated backend as a shared object (CMakeLists.txt). */
#include "table.h"

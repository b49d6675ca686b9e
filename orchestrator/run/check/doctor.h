/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor.h - what this machine has for cairn, and what stands in the way of a run.
 *
 * Everything is looked at as a run would: backends each in a process of their own, plugins
 * described, the store opened, the repository found. Nothing is made, changed or remembered, but
 * for descriptions of plugins.
 */
#ifndef CAIRN_RUN_DOCTOR_H
#define CAIRN_RUN_DOCTOR_H

#include "base/json.h"

/*
 * {"version", "build": {"type", "compiler", "plugin_contract", "kernels_contract"},
 *  "machine": {"cpu", "cpus", "cpus_usable", "memory_bytes"}, "backends": compute/probe.h,
 *  "auto": name of the backend that `device = auto` takes, or null,
 *  "store": {"path", "exists", "format", "bytes", "artifacts", "free_bytes", "file_system",
 *  "is_writable"}, "plugins": [{"name", "version", "path", "contract", "needs_kernels"}],
 *  "git": provenance.h, "checks": [{"check", "verdict": "ok", "none", "warning" or "failed",
 *  "what", "hint"}], "ok": no check failed}. New reference; NULL: no memory.
 * The store at `directory` need not exist; it is looked at from where the command line is.
 */
json_t *cairn_doctor(const char *directory);

#endif

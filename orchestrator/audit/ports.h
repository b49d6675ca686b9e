/* SPDX-License-Identifier: Apache-2.0 */
/* ports.h - the artifacts that a result's record names at its ports. */
#ifndef CAIRN_AUDIT_PORTS_H
#define CAIRN_AUDIT_PORTS_H

#include "audit/roots.h"

/* Calls tell with the outputs of a result, and where `also_inputs` with its inputs. Text that is no
 * JSON: EINPUT. */
CAIRN_MUST int cairn_ports_tell(const void *text, size_t len, bool also_inputs, cairn_root_fn tell,
	void *arg, cairn_error *err);
/* The same of a record that the parser read. */
CAIRN_MUST int cairn_ports_tell_json(
	const json_t *result, bool also_inputs, cairn_root_fn tell, void *arg, cairn_error *err);

#endif

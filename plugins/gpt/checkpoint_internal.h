/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint_internal.h - tensors and names, shared by the checkpoint files. */
#ifndef CAIRN_GPT_CHECKPOINT_INTERNAL_H
#define CAIRN_GPT_CHECKPOINT_INTERNAL_H

#include "gpt/checkpoint.h"

#define GPT_MAX_NAME 200 /* of an entry: stage.h */

/* "PREFIX/NAME", or NAME where prefix is "". */
void gpt__entry_name(char out[GPT_MAX_NAME], const char *prefix, const char *name);
/* Reads one tensor into flat + tensor->offset. */
CAIRN_MUST int gpt__get_tensor(const cairn_host *host, cairn_run *run,
	const cairn_artifact *artifact, const char *prefix, const gpt_tensor *tensor,
	const cairn_kernels *k, cairn_real *flat);
/* A tensor of a model as an entry, but for its data. `name` must live as long. */
cairn_tensor gpt__entry_of(const gpt_tensor *tensor, const char *prefix, char name[GPT_MAX_NAME]);
/* Adds all tensors of a model's table, from a buffer of its layout. */
CAIRN_MUST int gpt__put_tensors(const cairn_host *host, cairn_run *run, cairn_writer *writer,
	const char *prefix, const gpt_model *model, const cairn_real *flat);

#endif

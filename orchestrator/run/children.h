/* SPDX-License-Identifier: Apache-2.0 */
/*
 * children.h - what a stage started ends with it, wherever it went.
 *
 * A process group is not enough: a daemon leaves it, and its parent too. So the stage process and
 * the runner are subreapers: what loses its parent becomes a child of the nearest of them that is
 * alive, and children can be listed (/proc/self/task/TID/children). Killing all of them, again and
 * again until there are none, ends whole trees.
 *
 * Not covered: what left the group where runner and stage process are killed in the same instant;
 * then nobody is left who would know of it.
 */
#ifndef CAIRN_RUN_CHILDREN_H
#define CAIRN_RUN_CHILDREN_H

#include <stdbool.h>
#include <sys/types.h>

/* From now on orphans below this process become its children. Answers whether they did before. */
bool cairn_children_adopt(void);
/* Ends that, unless it was so before. */
void cairn_children_disown(bool was_adopting);
/* Up to `cap` of the children of this process. Async-signal-safe, as the next one. */
size_t cairn_children_list(pid_t *out, size_t cap);
/* Kills and buries the children for which is_kept() is false (NULL: all), and those that become
 * ours by that. */
void cairn_children_kill(bool (*is_kept)(pid_t pid, const void *arg), const void *arg);

#endif

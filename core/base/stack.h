/* SPDX-License-Identifier: Apache-2.0
 * core/base/stack.h - where a thread that hangs is: its stack, seen from another thread. */
#ifndef FSFM_CORE_BASE_STACK_H
#define FSFM_CORE_BASE_STACK_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* From here on the calling thread is the one that is looked at; one a process. */
void fsfm_stack_watch(void);
void fsfm_stack_unwatch(void);
/* From another thread: lines "#0 function+0x12 (program)", the innermost first, into out. The thread is
 * interrupted for it and its stack below the pointer overwritten, which generated code does not always bear:
 * for a process that is about to end. A thread that does not answer within a second is in the kernel; out
 * then says where. */
void fsfm_stack_take(char *out, size_t size_bytes);

#ifdef __cplusplus
}
#endif
#endif

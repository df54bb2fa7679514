/* SPDX-License-Identifier: Apache-2.0
 * core/base/status.h - how a function says that it failed: a status, and a message that grows on its way up.
 */
#ifndef FSFM_CORE_BASE_STATUS_H
#define FSFM_CORE_BASE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#define FSFM_MUST_USE __attribute__((warn_unused_result))
#define FSFM_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

typedef enum {
    FSFM_OK,
    FSFM_ERR_ARG, /* the caller's input: a config value, an argument, a combination that cannot be */
    FSFM_ERR_MEMORY,
    FSFM_ERR_IO,
    FSFM_ERR_FORMAT, /* a file that is not what it should be */
    FSFM_ERR_DEVICE,
    FSFM_ERR_COMM,
    FSFM_ERR_NUMERIC,    /* not finite */
    FSFM_ERR_INTERRUPTED /* asked to stop */
} fsfm_status;

/* Plain data: crosses threads and ranks by copy. */
typedef struct {
    fsfm_status status;
    char message[512];
} fsfm_error;

/* Fills err (may be NULL) and returns status. A message names the place, what was expected and what was
 * found. */
fsfm_status fsfm_fail(fsfm_error *err, fsfm_status status, const char *fmt, ...) FSFM_PRINTF(3, 4);

/* Prefixes err's message with "fmt: " and returns err->status. */
fsfm_status fsfm_context(fsfm_error *err, const char *fmt, ...) FSFM_PRINTF(2, 3);

#define FSFM_TRY(call)                  \
    do {                                \
        fsfm_status st_ = (call);       \
        if (st_ != FSFM_OK) return st_; \
    } while (0)

/* For our own bugs only, never for input, files or devices. */
#define FSFM_ASSERT(condition)                                                \
    do {                                                                      \
        if (!(condition)) fsfm_assert_failed(__FILE__, __LINE__, #condition); \
    } while (0)
void fsfm_assert_failed(const char *file, int line, const char *condition) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: Apache-2.0
 * tests/support/check.h - cmocka and what tests compare with. */
#ifndef FSFM_TESTS_SUPPORT_CHECK_H
#define FSFM_TESTS_SUPPORT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/status.h"

/* 1 where the address or thread sanitizer is built in: they have a malloc of their own. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define IS_SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

/* |got - want| <= atol + rtol |want| for every entry, and all finite; prints the first that is not, and
 * returns false. */
bool all_close(const float *got, const float *want, int64_t n, double rtol, double atol);
/* Fails the test with the message if st is not FSFM_OK. */
void assert_ok(fsfm_status st, const fsfm_error *err);
/* Fails the test unless st is want and the message contains text. */
void assert_fails(fsfm_status st, fsfm_status want, const fsfm_error *err, const char *text);
/* A new folder under the build folder or TMPDIR; removed with everything in it by remove_folder(). */
void make_folder(char path[256]);
void remove_folder(const char *path);
/* Where ../shared is (SHARED, or beside the source tree); NULL if it is not there: call skip() then. */
const char *shared_folder(void);
#endif

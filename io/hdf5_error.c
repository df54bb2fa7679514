/* SPDX-License-Identifier: Apache-2.0 */
#include "io/hdf5_error.h"

#include <hdf5.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    char innermost[256];
    int system_error; /* 0: none seen */
} reason;

/* HDF5 keeps errno only within the text of a message: "file write failed: ..., errno = 28, error message =
 * ...". */
static herr_t look_at_frame(unsigned index, const H5E_error2_t *frame, void *context)
{
    reason *found = context;
    const char *text = frame->desc ? frame->desc : "";
    const char *number = strstr(text, "errno = ");
    if (index == 0) snprintf(found->innermost, sizeof found->innermost, "%s", text);
    if (number && !found->system_error && sscanf(number, "errno = %d", &found->system_error) != 1)
        found->system_error = 0;
    return 0;
}

const char *fsfm_hdf5_reason(char *out, size_t size_bytes)
{
    reason found = {.innermost = "", .system_error = 0};
    if (H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, look_at_frame, &found) < 0 || !found.innermost[0])
        snprintf(found.innermost, sizeof found.innermost, "HDF5 gives no reason");
    if (found.system_error)
        snprintf(out, size_bytes, "%s", strerror(found.system_error));
    else
        snprintf(out, size_bytes, "%s", found.innermost);
    return out;
}

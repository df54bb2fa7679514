/* SPDX-License-Identifier: Apache-2.0 */
#include "io/checksum.h"

#include <stdlib.h>

#include "core/base/random.h"
#include "tests/support/check.h"

enum { SHORT_MAX = 2100, ROOM = 160000 };

static uint8_t *random_bytes(void)
{
    fsfm_random random = fsfm_random_stream(9, FSFM_RANDOM_TEST, 0, 0);
    uint8_t *bytes = malloc(ROOM);
    assert_non_null(bytes);
    for (int i = 0; i < ROOM; i++) bytes[i] = (uint8_t)fsfm_random_u32(&random);
    return bytes;
}

static uint64_t in_pieces(XXH3_state_t *state, const uint8_t *bytes, size_t size_bytes, size_t piece)
{
    XXH3_64bits_reset(state);
    for (size_t done = 0; done < size_bytes; done += piece)
        fsfm_checksum_update(state, bytes + done, size_bytes - done < piece ? size_bytes - done : piece);
    return XXH3_64bits_digest(state);
}

/* Whatever vectors the processor has, files are compared with what libxxhash's plain code says. */
static void gives_what_the_library_gives(void **state)
{
    (void)state;
    uint8_t *bytes = random_bytes();
    const size_t lengths[] = {4096, 65536, 65537, 150528, ROOM - 3};
    for (size_t length = 0; length <= SHORT_MAX; length++)
        assert_int_equal(fsfm_checksum(bytes + length % 3, length), XXH3_64bits(bytes + length % 3, length));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        assert_int_equal(fsfm_checksum(bytes + i % 3, lengths[i]), XXH3_64bits(bytes + i % 3, lengths[i]));
    assert_int_equal(fsfm_checksum(NULL, 0), 0x2d06800538d394c2); /* of XXH3's specification */
    free(bytes);
}

static void pieces_give_what_the_whole_gives(void **state)
{
    (void)state;
    uint8_t *bytes = random_bytes();
    XXH3_state_t *stream = XXH3_createState();
    assert_non_null(stream);
    const size_t pieces[] = {1, 63, 64, 256, 1000, 65536};
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++)
        for (size_t length = 0; length <= 5000; length += 250)
            assert_int_equal(in_pieces(stream, bytes, length, pieces[p]), fsfm_checksum(bytes, length));
    assert_int_equal(in_pieces(stream, bytes, ROOM, 65536), fsfm_checksum(bytes, ROOM));
    XXH3_freeState(stream);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gives_what_the_library_gives),
                                       cmocka_unit_test(pieces_give_what_the_whole_gives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

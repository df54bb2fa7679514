/* SPDX-License-Identifier: Apache-2.0
 * Damaged configurations: whatever the bytes, loading ends with settings or with a message, and leaks
 * nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/random.h"
#include "io/yaml.h"
#include "jobs/settings.h"
#include "jobs/settings/settings_places.h"
#include "tests/support/check.h"

enum { SIZE_MAX_BYTES = 4096 };

static const char *const seeds[] = {
    "run: {dir: runs/x, seed: 3}\ndata:\n  sources:\n    - {path: a, weight: 2}\n    - path: 'b'\n  mean: "
    "[0.5, 0.4, 0.3]\n"
    "model:\n  preset: vit_t16\n  embed_dim: 48\ntrain:\n  epochs: 20\n",
    "{\"a\": [1, -2.5e3, true, null, [[[[]]]]], \"b\": {\"c\": \"\\u00e9\\n\"}}",
    "--- # x\ntext: |\n  x\n   y\nfold: >-\n  z\n? complex\n: &a !!str *b\n...\n",
};

/* Changes, inserts, removes or doubles bytes; returns the new size. */
static size_t mutate(fsfm_random *random, char *text, size_t size)
{
    static const char signs[] = "[]{}:,-\n \t'\"|>#&*!%@`?\\\xff\xc3";
    const uint32_t edits = 1 + fsfm_random_below(random, 8);
    for (uint32_t i = 0; i < edits && size > 0; i++) {
        const size_t at = fsfm_random_below(random, (uint32_t)size);
        switch (fsfm_random_below(random, 5)) {
        case 0: text[at] = (char)fsfm_random_u32(random); break;
        case 1: text[at] = signs[fsfm_random_below(random, sizeof signs - 1)]; break;
        case 2: memmove(text + at, text + at + 1, --size - at); break;
        case 3: size = at; break;
        default: {
            const size_t count = size - at < SIZE_MAX_BYTES - size ? size - at : SIZE_MAX_BYTES - size;
            memmove(text + at + count, text + at, size - at);
            size += count;
        }
        }
    }
    return size;
}

static void random_damage_never_crashes(void **state)
{
    (void)state;
    fsfm_random random = fsfm_random_stream(11, FSFM_RANDOM_TEST, 0, 0);
    fsfm_settings *settings = malloc(sizeof *settings);
    int good = 0, bad = 0;
    assert_non_null(settings);
    const double end_s = fsfm_clock_monotonic_s() + 2.0;
    for (int i = 0; i < 20000 && fsfm_clock_monotonic_s() < end_s; i++) {
        char text[SIZE_MAX_BYTES + 1];
        const char *seed = seeds[i % 3];
        fsfm_yaml *yaml = NULL;
        fsfm_error err = {FSFM_OK, ""};
        random = fsfm_random_stream(11, FSFM_RANDOM_TEST, 0, (uint64_t)i);
        memcpy(text, seed, strlen(seed));
        const size_t size = mutate(&random, text, strlen(seed));
        text[size] = '\0';
        if (fsfm_yaml_parse("x", text, size, &yaml, &err) == FSFM_OK) {
            assert_non_null(yaml);
            good++;
        } else {
            assert_null(yaml);
            assert_memory_equal(err.message, "x:", 2);
            bad++;
        }
        fsfm_yaml_free(&yaml);
        if (fsfm_settings_load_text("x", text, settings, &err) != FSFM_OK)
            assert_true(err.message[0] != '\0');
    }
    free(settings);
    assert_true(good > 100 && bad > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_damage_never_crashes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * `fsfm mask` on small datasets, raw and jpeg, with and without regions: what it prints, its sheet, its
 * errors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/image.h"
#include "jobs/command.h"
#include "jobs/mask/mask_survey.h"
#include "tests/support/check.h"

enum { SIZE = 112, PATCHES = 49, SAMPLES = 23, TEXT = 1 << 16 };

typedef struct {
    char folder[256]; /* holds raw, jpeg, plain */
    char text[TEXT];  /* of standard output */
    fsfm_error err;
} fixture;

/* Sample i: eyes on row 2, mouth on row 5 (not in every third), hair on rows 0 and 1, skin else. */
static void make_bits(int64_t i, int side, uint16_t *bits)
{
    for (int p = 0; p < side * side; p++) {
        const int row = p / side, column = p % side;
        unsigned has = row < 2 ? 1u << FSFM_REGION_HAIR : 1u << FSFM_REGION_SKIN;
        if (row == 2 && (column + i) % 4 == 0) has |= 1u << FSFM_REGION_EYES;
        if (row == 5 && i % 3 && column > 1) has |= 1u << FSFM_REGION_MOUTH;
        bits[p] = (uint16_t)has;
    }
}

static void add_sample(fsfm_shard_writer *writer, const fsfm_shard_kind *kind, int64_t i)
{
    fsfm_error err;
    fsfm_image image;
    uint16_t p16[49], p14[64];
    uint8_t *jpeg = NULL, map[8] = {(uint8_t)i};
    size_t jpeg_bytes = 0;
    char id[32];
    assert_ok(fsfm_image_create(SIZE, SIZE, 3, &image, &err), &err);
    for (int k = 0; k < SIZE * SIZE * 3; k++) image.pixels[k] = (uint8_t)(k / 3 % SIZE + 4 * i);
    if (kind->encoding == FSFM_ENCODING_JPEG)
        assert_ok(fsfm_image_encode_jpeg(&image, 95, &jpeg, &jpeg_bytes, &err), &err);
    make_bits(i, 7, p16);
    make_bits(i, 8, p14);
    snprintf(id, sizeof id, "faces/face_%03d", (int)i);
    const fsfm_shard_sample sample = {.id = id,
                                      .image = jpeg ? jpeg : image.pixels,
                                      .image_bytes = jpeg ? jpeg_bytes : SIZE * SIZE * 3,
                                      .regions_p16 = kind->has_regions ? p16 : NULL,
                                      .regions_p14 = kind->has_regions ? p14 : NULL,
                                      .map_deflated = kind->has_regions ? map : NULL,
                                      .map_bytes = kind->has_regions ? sizeof map : 0,
                                      .label = -1,
                                      .group = "",
                                      .domain = "",
                                      .frame = -1};
    assert_ok(fsfm_shard_writer_add(writer, &sample, &err), &err);
    fsfm_image_free(&image);
    free(jpeg);
}

static void make_dataset(const char *base, const char *name, fsfm_encoding encoding, bool has_regions)
{
    fsfm_error err;
    fsfm_shard_writer *writer;
    char folder[400], path[500];
    const fsfm_pixel_sums sums = {1, {1, 1, 1}, {1, 1, 1}};
    fsfm_dataset_shard shard = {"shard-00000.h5", SAMPLES, 0};
    fsfm_dataset_card card = {.kind = {SIZE, encoding, "", has_regions, false},
                              .count = SAMPLES,
                              .mean = {0.5, 0.5, 0.5},
                              .std = {0.25, 0.25, 0.25},
                              .shards = &shard,
                              .shard_count = 1};
    if (has_regions) snprintf(card.kind.label_scheme, sizeof card.kind.label_scheme, "lapa11");
    snprintf(folder, sizeof folder, "%s/%s", base, name);
    snprintf(path, sizeof path, "%s/shard-00000.h5", folder);
    assert_ok(fsfm_folder_make(folder, &err), &err);
    assert_ok(fsfm_shard_writer_open(path, &card.kind, SAMPLES, &writer, &err), &err);
    for (int64_t i = 0; i < SAMPLES; i++) add_sample(writer, &card.kind, i);
    assert_ok(fsfm_shard_writer_finish(&writer, &sums, 1, NULL, 0, &err), &err);
    assert_ok(fsfm_shard_checksum(path, &shard.xxh3, &err), &err);
    assert_ok(fsfm_dataset_card_write(folder, &card, &err), &err);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    make_folder(f->folder);
    make_dataset(f->folder, "raw", FSFM_ENCODING_RAW, true);
    make_dataset(f->folder, "jpeg", FSFM_ENCODING_JPEG, true);
    make_dataset(f->folder, "plain", FSFM_ENCODING_JPEG, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    remove_folder(f->folder);
    free(f);
    return 0;
}

/* Runs `mask WORDS` with @ standing for the fixture's folder; its standard output goes to f->text. */
static int run_mask(fixture *f, const char *line)
{
    char words[20][300], *argv[20], *rest, path[400], *copy = strdup(line);
    int argc = 0;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest), argc++) {
        snprintf(words[argc], sizeof words[argc], "%s%s", word[0] == '@' ? f->folder : "",
                 word + (word[0] == '@'));
        argv[argc] = words[argc];
    }
    free(copy);
    snprintf(path, sizeof path, "%s/output", f->folder);
    fflush(stdout);
    const int kept = dup(1);
    assert_non_null(freopen(path, "w", stdout));
    const int code = fsfm_command_mask.run(argc, argv, &f->err);
    fflush(stdout);
    dup2(kept, 1);
    close(kept);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    f->text[fread(f->text, 1, TEXT - 1, file)] = '\0';
    fclose(file);
    return code;
}

static void expect_error(fixture *f, const char *line, int code, const char *text)
{
    const int got = run_mask(f, line);
    if (got != code || !strstr(f->err.message, text))
        fail_msg("%s: exit code %d, expected %d; '%s' lacks '%s'", line, got, code, f->err.message, text);
}

static int count_of(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at++) n++;
    return n;
}

/* The number behind "key": in the part of text that begins at section. */
static double value_of(const char *text, const char *section, const char *key)
{
    char quoted[64];
    const char *at = strstr(text, section);
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    if (!at || !(at = strstr(at, quoted))) fail_msg("no %s behind %s in %.400s", key, section, text);
    return strtod(at + strlen(quoted), NULL);
}

static void test_json(void **state)
{
    fixture *f = *state;
    assert_int_equal(run_mask(f, "@/raw --json --strategy crfr_p,random --ratio 0.5,0.75 --draws 40"), 0);
    assert_int_equal(count_of(f->text, "\"strategy\""), 4);
    assert_int_equal(count_of(f->text, "\"masked_share\""), 4 * FSFM_REGIONS);
    assert_int_equal(count_of(f->text, "\n"), 1);
    const char *random_half = strstr(f->text, "\"random\""), *names[] = {"\"eyes\"", "\"mouth\"", "\"hair\""};
    assert_int_equal(value_of(f->text, "{", "samples"), SAMPLES);
    assert_int_equal(value_of(f->text, "{", "draws"), 40);
    assert_int_equal(value_of(f->text, "{", "removed_min"), PATCHES - 24);
    assert_int_equal(value_of(f->text, "{", "removed_max"), PATCHES - 24);
    assert_true(value_of(random_half, "\"random\"", "ratio") == 0.5);
    double covered = 0.0;
    for (int i = 0; i < 3; i++) covered += value_of(f->text, names[i], "covered_share");
    assert_true(covered > 0.999999 && covered < 1.000001); /* the other groups are nowhere */
    assert_non_null(strstr(strstr(f->text, "\"brows\""), "\"masked_share\": null"));
    /* eight of 23 lack the mouth: (15 / 3) / 23 */
    const double mouth = value_of(f->text, "\"mouth\"", "covered_share");
    assert_true(mouth > 0.17 && mouth < 0.27);
    const double skin = value_of(random_half, "\"skin\"", "masked_share");
    assert_true(skin > 0.49 && skin < 0.53); /* 25 of 49 */
    assert_true(value_of(random_half, "\"hair\"", "covered_share") == 0.0);
}

static void test_encoding_does_not_matter(void **state)
{
    fixture *f = *state;
    assert_int_equal(run_mask(f, "@/raw --json --seed 5"), 0);
    char *raw = strdup(f->text);
    assert_int_equal(count_of(raw, "\"strategy\""), FSFM_MASK_STRATEGIES);
    assert_int_equal(run_mask(f, "@/jpeg --json --seed 5"), 0);
    assert_string_equal(raw, f->text);
    assert_int_equal(run_mask(f, "@/jpeg --json --seed 6"), 0);
    assert_string_not_equal(raw, f->text);
    free(raw);
}

static void test_threads_do_not_matter(void **state)
{
    fixture *f = *state;
    char folder[300];
    fsfm_mask_cell cells[3][2];
    memset(cells, 0, sizeof cells);
    snprintf(folder, sizeof folder, "%s/jpeg", f->folder);
    fsfm_mask_survey survey = {.samples = 11, .draws = 3, .seed = 4, .cell_count = 2};
    assert_ok(fsfm_dataset_open(folder, &survey.dataset, &f->err), &f->err);
    assert_ok(fsfm_mask_survey_describe(&survey, &f->err), &f->err);
    for (int i = 0; i < 2; i++) {
        survey.cells = cells[i];
        for (int c = 0; c < 2; c++)
            cells[i][c] = (fsfm_mask_cell){c ? FSFM_MASK_CRFR_P : FSFM_MASK_FRP, 0.6, 30, {0}};
        assert_ok(fsfm_mask_survey_run(&survey, i ? 5 : 1, &f->err), &f->err);
        assert_int_equal(cells[i][1].statistics.draws, 33);
    }
    assert_memory_equal(cells[0], cells[1], sizeof cells[0]);
    for (int64_t i = 0, last = -1; i < 11; last = fsfm_mask_survey_index(&survey, i++)) {
        assert_true(fsfm_mask_survey_index(&survey, i) > last);
        assert_in_range(fsfm_mask_survey_index(&survey, i), 0, SAMPLES - 1);
    }
    fsfm_dataset_close(&survey.dataset);
}

static void sheet_size(fixture *f, const char *name, fsfm_image *out)
{
    char path[400];
    uint8_t *bytes;
    size_t size_bytes;
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    assert_ok(fsfm_file_read(path, &bytes, &size_bytes, &f->err), &f->err);
    assert_ok(fsfm_image_decode(bytes, size_bytes, out, &f->err), &f->err);
    free(bytes);
}

static void test_sheet(void **state)
{
    fixture *f = *state;
    fsfm_image raw, jpeg, plain;
    assert_int_equal(run_mask(f, "@/raw --out @/raw.png"), 0);
    assert_non_null(strstr(f->text, "crfr_p"));
    assert_non_null(strstr(f->text, "raw.png"));
    assert_int_equal(run_mask(f, "@/jpeg --out @/jpeg.png --ratio 0.5,0.6 --samples 2 --json"), 0);
    assert_null(strstr(f->text, ".png")); /* nothing but the JSON */
    assert_int_equal(run_mask(f, "@/plain --out @/plain.png"), 0);
    sheet_size(f, "raw.png", &raw);
    sheet_size(f, "jpeg.png", &jpeg);
    sheet_size(f, "plain.png", &plain);
    assert_true(raw.width > 7 * SIZE && raw.height > 6 * SIZE);
    assert_true(jpeg.width > 12 * SIZE && jpeg.height > 2 * SIZE && jpeg.height < 4 * SIZE);
    assert_true(plain.width > 2 * SIZE && plain.width < 5 * SIZE);
    fsfm_image_free(&raw);
    fsfm_image_free(&jpeg);
    fsfm_image_free(&plain);
}

static void test_without_regions(void **state)
{
    fixture *f = *state;
    assert_int_equal(run_mask(f, "@/plain --json"), 0);
    assert_int_equal(count_of(f->text, "\"strategy\""), 1);
    assert_non_null(strstr(f->text, "\"random\""));
    assert_non_null(strstr(f->text, "\"groups\": {}"));
    expect_error(f, "@/plain --strategy random,crfr_p", 2, "'crfr_p' needs facial regions");
}

static void test_errors(void **state)
{
    fixture *f = *state;
    expect_error(f, "", 2, "expected one DATASET");
    expect_error(f, "@/raw @/raw", 2, "expected one DATASET");
    expect_error(f, "@/raw --strategy crfr", 2, "--strategy");
    expect_error(f, "@/raw --strategy frp,,random", 2, "--strategy");
    expect_error(f, "@/raw --ratio 0.5,1.5", 2, "--ratio");
    expect_error(f, "@/raw --samples 24", 2, "--samples");
    expect_error(f, "@/raw --draws 0", 2, "--draws");
    expect_error(f, "@/raw --seeds 1", 2, "--seed");
    expect_error(f, "@/nowhere", 1, "nowhere");
    expect_error(f, "@/raw --out @/no/such/folder/sheet.png", 1, "sheet.png");
}

static void test_damaged_sample(void **state)
{
    fixture *f = *state;
    char folder[300], path[400];
    fsfm_shard_layout layout;
    make_dataset(f->folder, "damaged", FSFM_ENCODING_RAW, true);
    snprintf(folder, sizeof folder, "%s/damaged", f->folder);
    snprintf(path, sizeof path, "%s/shard-00000.h5", folder);
    assert_ok(fsfm_shard_read_layout(path, &layout, &f->err), &f->err);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    for (int i = 20; i > 3; i -= 8) { /* samples 20, 12 and 4: the first is named */
        fseek(file, (long)(layout.images + (uint64_t)i * SIZE * SIZE * 3 + 5), SEEK_SET);
        fputc(1, file);
    }
    fclose(file);
    expect_error(f, "@/damaged", 1, "shard-00000.h5");
    char first[512];
    strcpy(first, f->err.message);
    for (int again = 0; again < 5; again++) {
        assert_int_equal(run_mask(f, "@/damaged"), 1);
        assert_string_equal(first, f->err.message);
    }
    assert_non_null(strstr(first, " 4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_encoding_does_not_matter),
        cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_sheet),
        cmocka_unit_test(test_without_regions),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_damaged_sample),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

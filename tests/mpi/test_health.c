/* SPDX-License-Identifier: Apache-2.0
 * The health of ranks: who is named, what a second look forgives, what the real measurement gives, and what a
 * run does about it. Made-up rates stand in for slow nodes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "io/file.h"
#include "jobs/command.h"
#include "jobs/settings.h"
#include "mpi/health_measure.h"
#include "tests/support/check.h"
#include "tests/support/on_ranks.h"
#include "tests/support/small_dataset.h"

static fsfm_comm *comm;
static int rank, ranks;
static char folder[256]; /* of all ranks */
static const small_dataset plan = {.count = 20, .per_shard = 8, .size = 112, .has_regions = true};

/* Rank slow has a tenth of the speed of the others in a part, in its first so many looks. */
typedef struct {
    int slow, looks;
    fsfm_health_part part;
    int calls;
} pretence;

static fsfm_status pretend(void *context, int round, fsfm_health_rates *out, fsfm_error *err)
{
    pretence *p = context;
    (void)err;
    assert_int_equal(round, p->calls);
    for (int part = 0; part < FSFM_HEALTH_PARTS; part++) out->rate[part] = 100;
    if (rank == p->slow && p->calls < p->looks) out->rate[p->part] = 10;
    p->calls++;
    return FSFM_OK;
}

static void who_stays_slow_is_named(void **state)
{
    (void)state;
    pretence p = {.slow = ranks - 1, .looks = 2, .part = FSFM_HEALTH_MEMORY};
    fsfm_health_report report;
    fsfm_error err = {FSFM_OK, ""};
    assert_ok(fsfm_health_find(comm, pretend, &p, &report, &err), &err);
    assert_int_equal(p.calls, ranks > 1 ? 2 : 1); /* alone, it is its own median */
    assert_int_equal(report.count, ranks > 1);
    if (ranks > 1) {
        assert_int_equal(report.outliers[0].rank, ranks - 1);
        assert_int_equal(report.outliers[0].part, FSFM_HEALTH_MEMORY);
        assert_true(report.outliers[0].rate == 10);
    }
    fsfm_health_report_free(&report);
}

static void a_second_look_forgives(void **state)
{
    (void)state;
    pretence p = {.slow = 0, .looks = 1, .part = FSFM_HEALTH_PRODUCTS};
    fsfm_health_report report;
    fsfm_error err = {FSFM_OK, ""};
    assert_ok(fsfm_health_find(comm, pretend, &p, &report, &err), &err);
    assert_int_equal(p.calls, ranks > 1 ? 2 : 1);
    assert_int_equal(report.count, 0);
    fsfm_health_report_free(&report);
}

static fsfm_status fail_on_one(void *context, int round, fsfm_health_rates *out, fsfm_error *err)
{
    (void)context, (void)round, (void)out;
    return rank == ranks - 1 ? fsfm_fail(err, FSFM_ERR_IO, "a disk is gone") : FSFM_OK;
}

static void a_failure_is_everybodys(void **state)
{
    (void)state;
    fsfm_health_report report;
    fsfm_error err = {FSFM_OK, ""};
    assert_int_equal(fsfm_health_find(comm, fail_on_one, NULL, &report, &err), FSFM_ERR_IO);
    assert_non_null(strstr(err.message, "a disk is gone"));
    assert_int_equal(report.count, 0);
    assert_null(report.outliers);
}

/* Figures that a machine can have, in a time that nobody notices. */
static void the_real_measurement_is_sane_and_short(void **state)
{
    (void)state;
    char note[160];
    fsfm_health_place place = {.comm = comm};
    fsfm_health_rates rates;
    fsfm_error err = {FSFM_OK, ""};
    const fsfm_device_options options = {.kind = FSFM_DEVICE_CPU, .threads = 1};
    assert_ok(fsfm_device_open(&options, &place.dev, note, &err), &err);
    assert_ok(fsfm_dataset_open(folder, &place.dataset, &err), &err);
    const double began_s = fsfm_clock_monotonic_s();
    memset(&rates, 0, sizeof rates);
    assert_ok(fsfm_health_measure(&place, 0, &rates, &err), &err);
    assert_true(fsfm_clock_monotonic_s() - began_s < 5);
    for (int part = 0; part < FSFM_HEALTH_PARTS; part++) {
        const double rate = rates.rate[part];
        const bool is_known = ranks <= 2 && (part != FSFM_HEALTH_EXCHANGE || ranks == 2);
        if (!is_known) continue; /* processors are shared, or there is no partner */
        if (rates.is_crowded) continue;
        if (!(rate > 0.01 && rate < 1e7))
            fail_msg("%s: %g", fsfm_health_part_name((fsfm_health_part)part), rate);
    }
    fsfm_dataset_close(&place.dataset);
    fsfm_device_close(&place.dev);
}

static fsfm_status same_config(void *context, const char *old_config, fsfm_error *err)
{
    (void)context, (void)old_config, (void)err;
    return FSFM_OK;
}

enum { TEXT_SIZE = 1 << 16 };

static void read_text(const char *path, char out[TEXT_SIZE])
{
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    fsfm_error err;
    assert_ok(fsfm_file_read(path, &bytes, &size_bytes, &err), &err);
    snprintf(out, TEXT_SIZE, "%s", (char *)bytes);
    free(bytes);
}

/* A run of one step. records and said (TEXT_SIZE): what rank 0 wrote into metrics.jsonl and to its log, on
 * all ranks, so that a check fails on all of them or on none. */
static fsfm_status run(const char *name, const char *health, pretence *p, char *records, char *said,
                       fsfm_error *err)
{
    char dir[300], path[400], text[1 << 14], *config = NULL, batch[16];
    fsfm_settings *settings = calloc(1, sizeof *settings);
    snprintf(dir, sizeof dir, "%s/%s", folder, name);
    snprintf(batch, sizeof batch, "%d", 2 * ranks);
    const fsfm_settings_word words[] = {
        {"", "run.dir", dir},
        {"", "data.path", folder},
        {"", "run.health", health},
        {"", "run.threads", "1"},
        {"", "run.device", "cpu"},
        {"", "model.preset", "vit_t16"},
        {"", "model.img_size", "112"},
        {"", "model.embed_dim", "16"},
        {"", "model.depth", "1"},
        {"", "model.num_heads", "2"},
        {"", "model.decoder_embed_dim", "16"},
        {"", "model.decoder_depth", "1"},
        {"", "model.decoder_num_heads", "2"},
        {"", "model.rep_decoder_embed_dim", "16"},
        {"", "model.rep_decoder_depth", "1"},
        {"", "model.rep_decoder_num_heads", "2"},
        {"", "model.projection_hidden_size", "16"},
        {"", "model.projection_size", "8"},
        {"", "train.global_batch", batch},
        {"", "train.epochs", "1"},
        {"", "train.max_steps", "1"},
        {"", "optim.warmup_epochs", "0"},
        {"", "log.pictures", "0"},
        {"", "mask.ratio", "0.5"},
        {"", "mask.strategy", "random"},
    };
    assert_ok(fsfm_settings_from_options(words, sizeof words / sizeof *words, settings, err), err);
    assert_ok(fsfm_settings_write(settings, &config, err), err);
    fsfm_train_job job = fsfm_settings_job(settings);
    assert_int_equal(job.health, strcmp(health, "warn") == 0   ? FSFM_HEALTH_WARN
                                 : strcmp(health, "stop") == 0 ? FSFM_HEALTH_STOP
                                                               : FSFM_HEALTH_OFF);
    job.run_dir = dir;
    job.config = config;
    job.version = job.revision = job.libraries = "test";
    job.compare = same_config;
    job.exit_code = fsfm_exit_code;
    job.measure = pretend;
    job.measure_context = p;
    fsfm_log log;
    FILE *out = rank == 0 ? fmemopen(text, sizeof text, "w") : NULL;
    fsfm_log_open(&log, out);
    const fsfm_status st = fsfm_train_run(comm, &job, &log, err);
    fsfm_log_close(&log);
    if (out) fclose(out);
    memset(records, 0, TEXT_SIZE);
    memset(said, 0, TEXT_SIZE);
    if (rank == 0) {
        snprintf(said, TEXT_SIZE, "%s", text);
        snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
        read_text(path, records);
    }
    fsfm_comm_broadcast(comm, records, TEXT_SIZE, 0);
    fsfm_comm_broadcast(comm, said, TEXT_SIZE, 0);
    free(config);
    free(settings);
    return st;
}

static void a_run_warns_stops_or_does_not_look(void **state)
{
    (void)state;
    static char records[TEXT_SIZE], said[TEXT_SIZE];
    char want[200];
    if (ranks == 1) skip();
    fsfm_error err = {FSFM_OK, ""};
    pretence p = {.slow = 1, .looks = 9, .part = FSFM_HEALTH_PRODUCTS};
    snprintf(want, sizeof want, "rank 1 (%s): products 10 GFLOP/s, the median of %d ranks is %d GFLOP/s",
             fsfm_comm_host(comm), ranks, ranks == 2 ? 55 : 100);

    assert_ok(run("warn", "warn", &p, records, said, &err), &err);
    assert_int_equal(p.calls, 2);
    assert_non_null(strstr(said, want));
    assert_non_null(strstr(records, "\"event\": \"health\", \"rank\": 1, "));
    assert_non_null(strstr(records, "\"kind\": \"train\""));
    p.calls = 0;
    assert_int_equal(run("stop", "stop", &p, records, said, &err), FSFM_ERR_DEVICE);
    assert_non_null(strstr(err.message, want));
    assert_non_null(strstr(err.message, "run.health=warn"));
    assert_null(strstr(records, "\"kind\": \"train\"")); /* before the first step */
    assert_non_null(strstr(records, "\"event\": \"health\", \"rank\": 1, "));
    p = (pretence){.slow = 1, .looks = 9, .part = FSFM_HEALTH_READING};
    assert_ok(run("reading", "stop", &p, records, said, &err), &err); /* told of, no reason to stop */
    assert_non_null(strstr(said, "samples/s, the median"));
    p.calls = 0;
    assert_ok(run("off", "off", &p, records, said, &err), &err);
    assert_int_equal(p.calls, 0);
    assert_null(strstr(said, "health"));
}

/* The sum's share stands in the log and in the records of a run on several ranks. */
static void the_share_of_sums_is_told(void **state)
{
    (void)state;
    static char records[TEXT_SIZE], said[TEXT_SIZE];
    fsfm_error err = {FSFM_OK, ""};
    pretence p = {.slow = -1};
    assert_ok(run("sums", "off", &p, records, said, &err), &err);
    const char *at = strstr(records, "\"reduce_wait\": ");
    assert_non_null(at);
    const double share = strtod(at + strlen("\"reduce_wait\": "), NULL);
    if (!(ranks == 1 ? share < 0.01 : share > 0 && share < 1)) fail_msg("reduce_wait %g", share);
    if (ranks > 1)
        assert_non_null(strstr(said, "  sums "));
    else
        assert_null(strstr(said, "  sums "));
}

static int begin(void **state)
{
    (void)state;
    if (rank == 0) {
        make_folder(folder);
        small_dataset_write(&plan, folder);
    }
    fsfm_comm_broadcast(comm, folder, sizeof folder, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fsfm_comm_barrier(comm);
    if (rank == 0) remove_folder(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_stays_slow_is_named),
        cmocka_unit_test(a_second_look_forgives),
        cmocka_unit_test(a_failure_is_everybodys),
        cmocka_unit_test(the_real_measurement_is_sane_and_short),
        cmocka_unit_test(a_run_warns_stops_or_does_not_look),
        cmocka_unit_test(the_share_of_sums_is_told),
    };
    const ranks_tests all = {tests, sizeof tests / sizeof *tests, begin, end};
    return run_on_ranks(&all, &comm, &rank, &ranks);
}

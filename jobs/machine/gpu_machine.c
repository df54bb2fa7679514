/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/machine/gpu_machine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "jobs/machine/machine_yaml.h"
#include "jobs/settings/configs_find.h"

#define ROW(kind, member)                                                       \
    {                                                                           \
#member, FSFM_MACHINE_##kind, offsetof(fsfm_gpu_machine, member), false \
    }

static const fsfm_machine_key keys[] = {
    ROW(TEXT, name),          ROW(REAL, bf16_tflops),  ROW(REAL, fp32_tflops),    ROW(REAL, memory_tb_s),
    ROW(REAL, memory_gb),     ROW(REAL, reserved_gb),  ROW(SHARE, gemm_share),    ROW(REAL, attention_tflops),
    ROW(SHARE, memory_share), ROW(REAL, gap_ms),       ROW(WHOLE, gpus_per_node), ROW(REAL, nvlink_gb_s),
    ROW(REAL, nvlink_us),     ROW(REAL, network_gb_s), ROW(REAL, network_us),     ROW(REAL, storage_gb_s),
};
enum { KEYS = sizeof keys / sizeof *keys };

static bool is_path(const char *name)
{
    const size_t length = strlen(name);
    return strchr(name, '/') || (length > 5 && strcmp(name + length - 5, ".yaml") == 0);
}

fsfm_status fsfm_gpu_machine_read(const char *name, fsfm_gpu_machine *out, fsfm_error *err)
{
    fsfm_yaml *yaml = NULL;
    memset(out, 0, sizeof *out);
    if (is_path(name))
        snprintf(out->path, sizeof out->path, "%s", name);
    else
        FSFM_TRY(fsfm_configs_path("machines", name, out->path, sizeof out->path, err));
    if (!fsfm_file_exists(out->path))
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "--gpu: expected h100, a100, h200 or a file, found '%.60s': no %s", name, out->path);
    if (fsfm_yaml_read(out->path, &yaml, err) != FSFM_OK) {
        err->status = FSFM_ERR_ARG;
        return FSFM_ERR_ARG;
    }
    const fsfm_status st = fsfm_machine_map_read(out->path, fsfm_yaml_root(yaml), keys, KEYS, out, err);
    fsfm_yaml_free(&yaml);
    if (st == FSFM_OK && out->reserved_gb >= out->memory_gb)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s: reserved_gb: expected less than memory_gb (%g), found %g",
                         out->path, out->memory_gb, out->reserved_gb);
    return st;
}

fsfm_rates fsfm_gpu_machine_rates(const fsfm_gpu_machine *machine, fsfm_precision precision)
{
    const bool is_bf16 = precision == FSFM_PRECISION_BF16;
    fsfm_rates r = {.bytes = 0};
    r.whole_flop = 1e12 * machine->gemm_share * machine->fp32_tflops;
    r.product_flop = is_bf16 ? 1e12 * machine->gemm_share * machine->bf16_tflops : r.whole_flop;
    r.attention_flop = 1e12 * machine->attention_tflops;
    if (!is_bf16) r.attention_flop = fmin(r.attention_flop, r.product_flop);
    r.bytes = r.rows_bytes = r.optimizer_bytes = 1e12 * machine->memory_share * machine->memory_tb_s;
    return r;
}

fsfm_rates fsfm_gpu_machine_bounds(const fsfm_gpu_machine *machine, fsfm_precision precision)
{
    fsfm_rates r = fsfm_gpu_machine_rates(machine, precision);
    r.whole_flop = 0.505e12 * machine->fp32_tflops;
    r.product_flop = r.attention_flop =
        precision == FSFM_PRECISION_BF16 ? 0.505e12 * machine->bf16_tflops : r.whole_flop;
    return r;
}

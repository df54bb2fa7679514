/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/reconstruction.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/pictures.h"

enum { COLUMNS = 4 };
static const char *const captions[COLUMNS] = {"original", "masked", "reconstructed", "region"};

/* Mean and deviation of a patch's normalised values, as the loss takes them. */
static void patch_statistics(const uint8_t *corner, int size, int patch, const double mean[3],
                             const double std[3], double *own_mean, double *own_std)
{
    const int P = patch * patch * 3;
    double sum = 0, squares = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int y = 0; y < patch; y++)
            for (int i = 0; i < patch * 3; i++) {
                const double value = (corner[y * size * 3 + i] / 255.0 - mean[i % 3]) / std[i % 3];
                if (pass == 0)
                    sum += value;
                else
                    squares += (value - sum / P) * (value - sum / P);
            }
    *own_mean = sum / P;
    *own_std = sqrt(squares / (P - 1) + 1e-6);
}

void fsfm_reconstruction_compose(const uint8_t *image, int size, int patch, const uint8_t *mask,
                                 const float *pred, bool norm_pix, const double mean[3], const double std[3],
                                 uint8_t *out)
{
    const int across = size / patch, P = patch * patch * 3;
    memcpy(out, image, (size_t)size * (size_t)size * 3);
    for (int l = 0; l < across * across; l++) {
        const int corner = (l / across * patch * size + l % across * patch) * 3;
        double own_mean = 0, own_std = 1;
        if (!mask[l]) continue;
        if (norm_pix) patch_statistics(image + corner, size, patch, mean, std, &own_mean, &own_std);
        for (int y = 0; y < patch; y++)
            for (int i = 0; i < patch * 3; i++) {
                const double value = (double)pred[l * P + y * patch * 3 + i] * own_std + own_mean;
                const double byte = 255.0 * (value * std[i % 3] + mean[i % 3]);
                out[corner + y * size * 3 + i] = byte >= 254.5 ? 255 : byte > 0 ? (uint8_t)(byte + 0.5) : 0;
            }
    }
}

/* Row row of the sheet from a batch of one sample; work (size, size, 3). */
static fsfm_status draw_row(const fsfm_train_data *data, fsfm_learner *learner, const fsfm_batch *batch,
                            int row, float *pred, uint8_t *work, fsfm_sheet *sheet, fsfm_error *err)
{
    const fsfm_model_options *model = data->job->model;
    const int size = (int)model->img_size, patch = (int)model->patch_size;
    const size_t bytes = (size_t)size * (size_t)size * 3;
    const fsfm_learner_input input = {
        .B = 1, .images_u8 = batch->images, .mask = batch->mask, .region = batch->region};
    FSFM_TRY(fsfm_learner_reconstruct(learner, &input, pred, err));
    fsfm_sheet_put(sheet, 0, row, batch->images, size);
    memcpy(work, batch->images, bytes);
    fsfm_paint_mask(work, size, patch, batch->mask, NULL);
    fsfm_sheet_put(sheet, 1, row, work, size);
    fsfm_reconstruction_compose(batch->images, size, patch, batch->mask, pred, model->norm_pix, data->mean,
                                data->std, work);
    fsfm_sheet_put(sheet, 2, row, work, size);
    memcpy(work, batch->images, bytes);
    fsfm_paint_mask(work, size, patch, batch->region, batch->region);
    fsfm_sheet_put(sheet, 3, row, work, size);
    return FSFM_OK;
}

static fsfm_status open_reader(const fsfm_train_data *data, int64_t count, fsfm_reader **reader,
                               fsfm_error *err)
{
    fsfm_reader_plan plan = fsfm_train_data_plan(data, data->eval_samples > 0);
    plan.share_count = plan.end_batch = count;
    plan.batch_size = 1;
    plan.wants_target_mask = false;
    plan.threads = 1;
    plan.prefetch_bytes = 0;
    return fsfm_reader_open(&plan, reader, err);
}

fsfm_status fsfm_reconstruction_draw(const fsfm_train_data *data, fsfm_learner *learner, int64_t count,
                                     const char *title, const char *path, fsfm_error *err)
{
    const int64_t size = data->job->model->img_size;
    const int64_t most = data->eval_samples > 0 ? data->eval_samples : data->job->train->global_batch;
    fsfm_sheet *sheet = NULL;
    fsfm_reader *reader = NULL;
    uint8_t *work = malloc((size_t)(size * size * 3));
    float *pred =
        malloc((size_t)(size * size * 3) * sizeof *pred); /* (L, P) has as many values as the image */
    fsfm_status st = FSFM_OK;
    if (count > most) count = most;
    if (!work || !pred) {
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a picture");
        goto done;
    }
    st = fsfm_sheet_create(COLUMNS, (int)count, (int)size, title, &sheet, err);
    if (st == FSFM_OK) st = open_reader(data, count, &reader, err);
    if (st != FSFM_OK) goto done;
    for (int c = 0; c < COLUMNS; c++) fsfm_sheet_column_caption(sheet, c, captions[c]);
    for (int row = 0; row < count && st == FSFM_OK; row++) {
        fsfm_batch batch;
        if ((st = fsfm_reader_next(reader, &batch, err)) != FSFM_OK) break;
        st = draw_row(data, learner, &batch, row, pred, work, sheet, err);
        fsfm_reader_release(reader);
    }
    if (st == FSFM_OK) st = fsfm_sheet_write(sheet, path, err);
done:
    fsfm_reader_close(&reader);
    fsfm_sheet_free(&sheet);
    free(work);
    free(pred);
    return st;
}

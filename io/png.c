/* SPDX-License-Identifier: Apache-2.0
 * PNG by libpng. It reports errors by longjmp, so all that must be released lives in a png_job of the
 * caller's frame: nothing that changes after setjmp is in a register of the function that jumps back. */
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/codec.h"

enum { HEADER_BYTES = 33, CHUNKS_MAX_BYTES = 8 << 20, COMPRESSION_LEVEL = 4 };

typedef struct {
    jmp_buf jump;
    char message[160];
    png_structp png;
    png_infop info;
    const uint8_t *bytes; /* borrowed; the rest to read */
    size_t left;
    png_bytep *rows; /* owned; (height) */
    fsfm_image image;
    fsfm_growing output;
} png_job;

static void on_error(png_structp png, png_const_charp message)
{
    png_job *job = png_get_error_ptr(png);
    snprintf(job->message, sizeof job->message, "%s", message);
    longjmp(job->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png, (void)message;
}

static void on_read(png_structp png, png_bytep out, size_t size_bytes)
{
    png_job *job = png_get_io_ptr(png);
    if (size_bytes > job->left) png_error(png, "the file ends too early");
    memcpy(out, job->bytes, size_bytes);
    job->bytes += size_bytes;
    job->left -= size_bytes;
}

static void on_write(png_structp png, png_bytep data, size_t size_bytes)
{
    png_job *job = png_get_io_ptr(png);
    if (!fsfm_growing_reserve(&job->output, size_bytes)) png_error(png, "no memory for the encoded image");
    memcpy(job->output.bytes + job->output.used, data, size_bytes);
    job->output.used += size_bytes;
}

static void on_flush(png_structp png)
{
    (void)png;
}

bool fsfm_png_is(const uint8_t *bytes, size_t size_bytes)
{
    return size_bytes >= 8 && png_sig_cmp(bytes, 0, 8) == 0;
}

fsfm_status fsfm_png_probe(const uint8_t *bytes, size_t size_bytes, int *width, int *height, fsfm_error *err)
{
    *width = *height = 0;
    if (size_bytes < HEADER_BYTES || memcmp(bytes + 12, "IHDR", 4) != 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "PNG: the file ends too early or has no header");
    const png_uint_32 w = png_get_uint_32(bytes + 16), h = png_get_uint_32(bytes + 20);
    FSFM_TRY(fsfm_image_check_sides(w, h, err));
    *width = (int)w;
    *height = (int)h;
    return FSFM_OK;
}

/* Only the pixels count: text, profiles and times are skipped unread. */
static void begin_read(png_job *job)
{
    job->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning);
    if (job->png) job->info = png_create_info_struct(job->png);
    if (!job->info) {
        snprintf(job->message, sizeof job->message, "no memory for the decoder");
        longjmp(job->jump, 1);
    }
    png_set_read_fn(job->png, job, on_read);
    png_set_user_limits(job->png, FSFM_IMAGE_SIDE_MAX, FSFM_IMAGE_SIDE_MAX);
    png_set_chunk_malloc_max(job->png, CHUNKS_MAX_BYTES);
    png_set_keep_unknown_chunks(job->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(job->png, job->info);
}

static void read_rows(png_job *job, int channels)
{
    const int width = (int)png_get_image_width(job->png, job->info);
    const int height = (int)png_get_image_height(job->png, job->info);
    png_set_interlace_handling(job->png);
    png_read_update_info(job->png, job->info);
    if (png_get_rowbytes(job->png, job->info) != (size_t)width * (size_t)channels)
        png_error(job->png, "a pixel format that cannot be converted");
    fsfm_error err;
    job->rows = calloc((size_t)height, sizeof *job->rows);
    if (!job->rows || fsfm_image_create(width, height, channels, &job->image, &err) != FSFM_OK)
        png_error(job->png, "no memory for its pixels");
    for (int y = 0; y < height; y++)
        job->rows[y] = job->image.pixels + (size_t)y * (size_t)width * (size_t)channels;
    png_read_image(job->png, job->rows);
    /* On to the last chunk: a file cut off behind its pixels is not whole either. */
    png_read_end(job->png, NULL);
}

static void read_rgb(png_job *job)
{
    begin_read(job);
    png_set_expand(job->png); /* palette and fewer than 8 bits */
    png_set_scale_16(job->png);
    png_set_gray_to_rgb(job->png);
    png_set_strip_alpha(job->png);
    read_rows(job, 3);
}

static void read_map(png_job *job)
{
    begin_read(job);
    const int type = png_get_color_type(job->png, job->info), bits = png_get_bit_depth(job->png, job->info);
    if (type != PNG_COLOR_TYPE_GRAY && type != PNG_COLOR_TYPE_PALETTE)
        png_error(job->png, "a label map must be grey or palette, this one has colours or alpha");
    if (bits > 8) png_error(job->png, "a label map must have 8 bits or fewer, this one has 16");
    png_set_packing(job->png); /* one value a byte, not scaled */
    read_rows(job, 1);
}

static bool run_reader(png_job *job, void (*read)(png_job *))
{
    bool done = false;
    if (setjmp(job->jump) == 0) {
        read(job);
        done = true;
    }
    return done;
}

static fsfm_status decode(const uint8_t *bytes, size_t size_bytes, void (*read)(png_job *), fsfm_image *out,
                          fsfm_error *err)
{
    int width, height;
    memset(out, 0, sizeof *out);
    FSFM_TRY(fsfm_png_probe(bytes, size_bytes, &width, &height, err));
    png_job job = {.bytes = bytes, .left = size_bytes};
    const bool done = run_reader(&job, read);
    png_destroy_read_struct(&job.png, &job.info, NULL);
    free(job.rows);
    if (done) {
        *out = job.image;
        return FSFM_OK;
    }
    fsfm_image_free(&job.image);
    return fsfm_fail(err, strstr(job.message, "no memory") ? FSFM_ERR_MEMORY : FSFM_ERR_FORMAT, "PNG: %s",
                     job.message);
}

fsfm_status fsfm_png_decode(const uint8_t *bytes, size_t size_bytes, fsfm_image *out, fsfm_error *err)
{
    return decode(bytes, size_bytes, read_rgb, out, err);
}

fsfm_status fsfm_map_decode_png(const uint8_t *bytes, size_t size_bytes, fsfm_image *out, fsfm_error *err)
{
    memset(out, 0, sizeof *out);
    if (!fsfm_png_is(bytes, size_bytes)) return fsfm_fail(err, FSFM_ERR_FORMAT, "the label map is not a PNG");
    return decode(bytes, size_bytes, read_map, out, err);
}

static bool run_writer(png_job *job, const fsfm_image *image)
{
    if (setjmp(job->jump) != 0) return false;
    job->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning);
    if (job->png) job->info = png_create_info_struct(job->png);
    if (!job->info) {
        snprintf(job->message, sizeof job->message, "no memory for the encoder");
        return false;
    }
    png_set_write_fn(job->png, job, on_write, on_flush);
    png_set_user_limits(job->png, FSFM_IMAGE_SIDE_MAX, FSFM_IMAGE_SIDE_MAX);
    png_set_compression_level(job->png, COMPRESSION_LEVEL);
    png_set_IHDR(job->png, job->info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 image->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(job->png, job->info);
    const size_t row_bytes = (size_t)image->width * (size_t)image->channels;
    for (int y = 0; y < image->height; y++) png_write_row(job->png, image->pixels + (size_t)y * row_bytes);
    png_write_end(job->png, job->info);
    return true;
}

fsfm_status fsfm_image_encode_png(const fsfm_image *image, uint8_t **bytes, size_t *size_bytes,
                                  fsfm_error *err)
{
    *bytes = NULL;
    *size_bytes = 0;
    FSFM_TRY(fsfm_image_check(image, err));
    png_job job = {.bytes = NULL};
    const bool done = run_writer(&job, image);
    png_destroy_write_struct(&job.png, &job.info);
    if (!done) {
        free(job.output.bytes);
        return fsfm_fail(err, FSFM_ERR_MEMORY, "PNG: %s", job.message);
    }
    *bytes = job.output.bytes;
    *size_bytes = job.output.used;
    return FSFM_OK;
}

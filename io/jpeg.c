/* SPDX-License-Identifier: Apache-2.0
 * JPEG by libjpeg-turbo's classic interface. It reports errors by longjmp; as in png.c, what must be released
 * lives in a job of the caller's frame. */
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE */
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "io/codec.h"

enum { SCANS_MAX = 100, ROWS_A_CALL = 4 };

typedef struct {
    struct jpeg_error_mgr errors; /* first: libjpeg hands back its address */
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
    bool out_of_memory;
    struct jpeg_decompress_struct reader;
    struct jpeg_compress_struct writer;
    struct jpeg_destination_mgr destination;
    fsfm_growing output;
    uint8_t *pixels; /* where to decode to; borrowed */
    fsfm_image image;
    int size; /* the side that the image must have, 0: any */
} jpeg_job;

static void give_up(j_common_ptr codec)
{
    jpeg_job *job = (jpeg_job *)codec->err;
    job->out_of_memory = codec->err->msg_code == JERR_OUT_OF_MEMORY;
    codec->err->format_message(codec, job->message);
    longjmp(job->jump, 1);
}

/* libjpeg goes on after damage with a warning, and fills the rest of the picture with grey. Those are errors
 * here, but for the two about headers that change no pixel. */
static void on_message(j_common_ptr codec, int level)
{
    const int code = codec->err->msg_code;
    if (level < 0 && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR) give_up(codec);
}

static void on_output(j_common_ptr codec)
{
    (void)codec;
}

/* A progressive file may repeat tiny scans over a huge picture for hours; real ones have about ten. */
static void on_progress(j_common_ptr codec)
{
    if (codec->is_decompressor && ((j_decompress_ptr)codec)->input_scan_number > SCANS_MAX) {
        jpeg_job *job = (jpeg_job *)codec->err;
        snprintf(job->message, sizeof job->message, "more than %d scans", SCANS_MAX);
        longjmp(job->jump, 1);
    }
}

static void fail_format(jpeg_job *job, const char *what, int width, int height)
{
    snprintf(job->message, sizeof job->message, "%d x %d pixels, expected %s", width, height, what);
    longjmp(job->jump, 1);
}

static void set_handlers(jpeg_job *job)
{
    job->reader.err = job->writer.err = jpeg_std_error(&job->errors);
    job->errors.error_exit = give_up;
    job->errors.emit_message = on_message;
    job->errors.output_message = on_output;
    job->progress.progress_monitor = on_progress;
}

bool fsfm_jpeg_is(const uint8_t *bytes, size_t size_bytes)
{
    return size_bytes >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

static void read_header(jpeg_job *job, const uint8_t *bytes, size_t size_bytes)
{
    jpeg_create_decompress(&job->reader);
    job->reader.progress = &job->progress;
    jpeg_mem_src(&job->reader, bytes, (unsigned long)size_bytes);
    jpeg_read_header(&job->reader, TRUE);
    const int width = (int)job->reader.image_width, height = (int)job->reader.image_height;
    if (width > FSFM_IMAGE_SIDE_MAX || height > FSFM_IMAGE_SIDE_MAX)
        fail_format(job, "sides of at most 16384", width, height);
    if (job->size && (width != job->size || height != job->size))
        fail_format(job, "the data set's image size", width, height);
}

/* Everything that a decoder of other code could do otherwise is said here, so that both ways in give equal
 * pixels. */
static void read_pixels(jpeg_job *job, uint8_t *pixels)
{
    struct jpeg_decompress_struct *reader = &job->reader;
    reader->out_color_space = JCS_RGB;
    reader->dct_method = JDCT_ISLOW;
    reader->do_fancy_upsampling = TRUE;
    jpeg_start_decompress(reader);
    const size_t row_bytes = (size_t)reader->output_width * 3;
    while (reader->output_scanline < reader->output_height) {
        JSAMPROW rows[ROWS_A_CALL];
        const JDIMENSION left = reader->output_height - reader->output_scanline;
        const JDIMENSION count = left < ROWS_A_CALL ? left : ROWS_A_CALL;
        for (JDIMENSION i = 0; i < count; i++) rows[i] = pixels + (reader->output_scanline + i) * row_bytes;
        jpeg_read_scanlines(reader, rows, count);
    }
    jpeg_finish_decompress(
        reader); /* reads on to the end marker: a warning, so an error, where it is missing */
}

static bool run_reader(jpeg_job *job, const uint8_t *bytes, size_t size_bytes, bool header_only)
{
    set_handlers(job);
    if (setjmp(job->jump) != 0) return false;
    read_header(job, bytes, size_bytes);
    if (header_only) return true;
    if (!job->pixels) {
        fsfm_error err;
        if (fsfm_image_create((int)job->reader.image_width, (int)job->reader.image_height, 3, &job->image,
                              &err) != FSFM_OK)
            ERREXIT1(&job->reader, JERR_OUT_OF_MEMORY, 0);
        job->pixels = job->image.pixels;
    }
    read_pixels(job, job->pixels);
    return true;
}

static fsfm_status fail(const jpeg_job *job, fsfm_error *err)
{
    return fsfm_fail(err, job->out_of_memory ? FSFM_ERR_MEMORY : FSFM_ERR_FORMAT, "JPEG: %s", job->message);
}

fsfm_status fsfm_jpeg_probe(const uint8_t *bytes, size_t size_bytes, int *width, int *height, fsfm_error *err)
{
    jpeg_job job = {.size = 0};
    const bool done = run_reader(&job, bytes, size_bytes, true);
    *width = done ? (int)job.reader.image_width : 0;
    *height = done ? (int)job.reader.image_height : 0;
    jpeg_destroy_decompress(&job.reader);
    return done ? FSFM_OK : fail(&job, err);
}

fsfm_status fsfm_jpeg_decode(const uint8_t *bytes, size_t size_bytes, fsfm_image *out, fsfm_error *err)
{
    jpeg_job job = {.size = 0};
    const bool done = run_reader(&job, bytes, size_bytes, false);
    jpeg_destroy_decompress(&job.reader);
    if (!done) fsfm_image_free(&job.image);
    *out = job.image;
    return done ? FSFM_OK : fail(&job, err);
}

fsfm_status fsfm_jpeg_decode_square(const uint8_t *bytes, size_t size_bytes, int size, uint8_t *pixels,
                                    fsfm_error *err)
{
    jpeg_job job = {.size = size, .pixels = pixels};
    const bool done = run_reader(&job, bytes, size_bytes, false);
    jpeg_destroy_decompress(&job.reader);
    return done ? FSFM_OK : fail(&job, err);
}

/* libjpeg's own memory destination loses its buffer on an error, so this one writes to a buffer of the job.
 */
static void offer_room(j_compress_ptr writer)
{
    jpeg_job *job = (jpeg_job *)writer->err;
    if (!fsfm_growing_reserve(&job->output, 4096)) ERREXIT1(writer, JERR_OUT_OF_MEMORY, 0);
    job->destination.next_output_byte = job->output.bytes + job->output.used;
    job->destination.free_in_buffer = job->output.capacity - job->output.used;
}

static boolean on_full(j_compress_ptr writer)
{
    jpeg_job *job = (jpeg_job *)writer->err;
    job->output.used =
        job->output.capacity; /* what libjpeg promises at this call, whatever free_in_buffer says */
    offer_room(writer);
    return TRUE;
}

static void on_end(j_compress_ptr writer)
{
    jpeg_job *job = (jpeg_job *)writer->err;
    job->output.used = job->output.capacity - job->destination.free_in_buffer;
}

static bool run_writer(jpeg_job *job, const fsfm_image *image, int quality)
{
    set_handlers(job);
    if (setjmp(job->jump) != 0) return false;
    struct jpeg_compress_struct *writer = &job->writer;
    jpeg_create_compress(writer);
    job->destination = (struct jpeg_destination_mgr){
        .init_destination = offer_room, .empty_output_buffer = on_full, .term_destination = on_end};
    writer->dest = &job->destination;
    writer->image_width = (JDIMENSION)image->width;
    writer->image_height = (JDIMENSION)image->height;
    writer->input_components = image->channels;
    writer->in_color_space = image->channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(writer);
    jpeg_set_quality(writer, quality, TRUE);
    writer->dct_method = JDCT_ISLOW;
    for (int c = 0; c < writer->num_components; c++) /* 4:4:4: no colour is averaged over pixels */
        writer->comp_info[c].h_samp_factor = writer->comp_info[c].v_samp_factor = 1;
    jpeg_start_compress(writer, TRUE);
    const size_t row_bytes = (size_t)image->width * (size_t)image->channels;
    while (writer->next_scanline < writer->image_height) {
        JSAMPROW row = image->pixels + writer->next_scanline * row_bytes;
        jpeg_write_scanlines(writer, &row, 1);
    }
    jpeg_finish_compress(writer);
    return true;
}

fsfm_status fsfm_image_encode_jpeg(const fsfm_image *image, int quality, uint8_t **bytes, size_t *size_bytes,
                                   fsfm_error *err)
{
    *bytes = NULL;
    *size_bytes = 0;
    FSFM_TRY(fsfm_image_check(image, err));
    if (quality < 1 || quality > 100)
        return fsfm_fail(err, FSFM_ERR_ARG, "JPEG quality %d, expected 1 to 100", quality);
    jpeg_job job = {.size = 0};
    const bool done = run_writer(&job, image, quality);
    jpeg_destroy_compress(&job.writer);
    if (!done) {
        free(job.output.bytes);
        return fail(&job, err);
    }
    *bytes = job.output.bytes;
    *size_bytes = job.output.used;
    return FSFM_OK;
}

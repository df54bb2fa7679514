/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/carrier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const fsfm_carrier_names[] = {"auto", "nccl", "mpi", "host", NULL};

typedef struct {
    int64_t first, count;
} piece;

struct fsfm_carrier {
    fsfm_carrier_setup setup;
    fsfm_wire *wire;
    fsfm_carrier_kind kind; /* not AUTO */
    float *host;            /* HOST with a wire: a copy of the values */
    piece *pieces;          /* (setup.pieces): of this turn */
    int64_t begun;          /* given by the caller */
    int64_t summing;        /* of them: given to MPI, once they were ready */
    int64_t back;           /* of them: summed, and on their way back to the device */
    fsfm_comm_sums *sums;   /* NULL: NCCL, or MPI on the device's memory */
    char way[256];
    fsfm_status failed; /* of a call that cannot return it */
    fsfm_error failure;
};

static void keep_failure(fsfm_carrier *carrier, fsfm_status st, const fsfm_error *err)
{
    if (st == FSFM_OK || carrier->failed != FSFM_OK) return;
    carrier->failed = st;
    carrier->failure = *err;
}

/* Where MPI finds the value at first. */
static float *values_for_mpi(const fsfm_carrier *carrier, int64_t first)
{
    return (carrier->host ? carrier->host : carrier->setup.values_dev) + first;
}

/* A sum by MPI of a few numbers in the device's memory, which shows whether MPI takes that. */
static fsfm_status prove_mpi(const fsfm_carrier *carrier, fsfm_error *err)
{
    enum { COUNT = 1024 };
    fsfm_device *dev = carrier->setup.dev;
    fsfm_comm *comm = carrier->setup.comm;
    const float ranks = (float)fsfm_comm_size(comm), mine = (float)fsfm_comm_rank(comm);
    float values[COUNT];
    void *memory = NULL;
    for (int i = 0; i < COUNT; i++) values[i] = mine + (float)i;
    fsfm_status st = dev->ops->alloc(dev, sizeof values, &memory, err);
    if (st == FSFM_OK) st = dev->ops->upload(dev, memory, values, sizeof values, err);
    if (st == FSFM_OK) st = dev->ops->synchronize(dev, err);
    if ((st = fsfm_comm_agree(comm, st, err)) == FSFM_OK) fsfm_comm_sum_float(comm, memory, COUNT);
    if (st == FSFM_OK) st = dev->ops->download(dev, values, memory, sizeof values, err);
    for (int i = 0; st == FSFM_OK && i < COUNT; i++)
        if (values[i] != ranks * (ranks - 1) / 2 + ranks * (float)i)
            st = fsfm_fail(err, FSFM_ERR_DEVICE, "MPI sums a GPU's memory wrongly");
    dev->ops->free(dev, memory);
    return st;
}

static fsfm_status try_mpi(const fsfm_carrier *carrier, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    if (!fsfm_comm_takes_device_memory())
        st = fsfm_fail(err, FSFM_ERR_DEVICE,
                       "this MPI does not say that it takes a GPU's memory (FSFM_MPI_CUDA=1 says so for it)");
    FSFM_TRY(fsfm_comm_agree(carrier->setup.comm, st, err));
    return fsfm_comm_agree(carrier->setup.comm, prove_mpi(carrier, err), err);
}

static fsfm_status try_nccl(const fsfm_carrier *carrier, fsfm_error *err)
{
    fsfm_comm *comm = carrier->setup.comm;
    fsfm_wire *wire = carrier->wire;
    unsigned char id[FSFM_WIRE_GROUP_ID_SIZE] = {0};
    FSFM_TRY(fsfm_comm_agree(comm, wire->ops->group_id(wire, id, err), err));
    fsfm_comm_broadcast(comm, id, sizeof id, 0);
    return fsfm_comm_agree(
        comm, wire->ops->group_enter(wire, id, fsfm_comm_rank(comm), fsfm_comm_size(comm), err), err);
}

static fsfm_status choose_kind(fsfm_carrier *carrier, fsfm_error *err)
{
    const fsfm_carrier_kind wanted = carrier->setup.kind;
    carrier->kind = FSFM_CARRIER_HOST;
    if (!carrier->wire || wanted == FSFM_CARRIER_HOST) return FSFM_OK;
    fsfm_status st = FSFM_OK;
    if (wanted != FSFM_CARRIER_MPI) {
        carrier->kind = FSFM_CARRIER_NCCL;
        st = try_nccl(carrier, err);
        if (st != FSFM_OK) snprintf(carrier->way, sizeof carrier->way, "; %.200s", err->message);
    }
    if (wanted == FSFM_CARRIER_MPI || (wanted == FSFM_CARRIER_AUTO && st != FSFM_OK)) {
        carrier->kind = FSFM_CARRIER_MPI;
        st = try_mpi(carrier, err);
    }
    if (st == FSFM_OK) return FSFM_OK;
    if (wanted != FSFM_CARRIER_AUTO) {
        fsfm_context(err, "comm.backend=%s", fsfm_carrier_names[wanted]);
        return st;
    }
    carrier->kind = FSFM_CARRIER_HOST;
    return FSFM_OK;
}

/* way holds why NCCL was not to be had, or nothing. */
static void name_way(fsfm_carrier *carrier)
{
    char why[sizeof carrier->way];
    const char *way = carrier->kind == FSFM_CARRIER_NCCL  ? "NCCL"
                      : carrier->kind == FSFM_CARRIER_MPI ? "MPI on the GPU's memory"
                      : carrier->wire                     ? "MPI by way of pinned host memory"
                                                          : "MPI";
    memcpy(why, carrier->way, sizeof why);
    snprintf(carrier->way, sizeof carrier->way, "%s%.210s", way, why);
}

static fsfm_status open_parts(fsfm_carrier *carrier, fsfm_error *err)
{
    const fsfm_carrier_setup *setup = &carrier->setup;
    const size_t size_bytes = (size_t)setup->count * sizeof(float);
    FSFM_TRY(choose_kind(carrier, err));
    name_way(carrier);
    carrier->pieces = calloc((size_t)setup->pieces + 1, sizeof *carrier->pieces);
    if (!carrier->pieces) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for gradient buckets");
    if (carrier->kind == FSFM_CARRIER_HOST)
        FSFM_TRY(fsfm_comm_sums_open(setup->comm, (int)setup->pieces, &carrier->sums, err));
    if (carrier->kind != FSFM_CARRIER_HOST || !carrier->wire) return FSFM_OK;
    void *host = NULL;
    FSFM_TRY(carrier->wire->ops->alloc(carrier->wire, size_bytes, &host, err));
    carrier->host = host;
    return FSFM_OK;
}

fsfm_status fsfm_carrier_open(const fsfm_carrier_setup *setup, fsfm_carrier **out, fsfm_error *err)
{
    fsfm_carrier *carrier = calloc(1, sizeof *carrier);
    *out = NULL;
    if (!carrier) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to sum gradients");
    carrier->setup = *setup;
    carrier->wire = setup->dev->wire;
    const fsfm_status st = open_parts(carrier, err);
    if (st == FSFM_OK)
        *out = carrier;
    else
        fsfm_carrier_close(&carrier);
    return st;
}

void fsfm_carrier_close(fsfm_carrier **carrier)
{
    fsfm_carrier *c = *carrier;
    if (!c) return;
    fsfm_comm_sums_close(&c->sums);
    if (c->host) c->wire->ops->free(c->wire, c->host);
    free(c->pieces);
    free(c);
    *carrier = NULL;
}

const char *fsfm_carrier_way(const fsfm_carrier *carrier)
{
    return carrier->way;
}

/* Copies of the piece where MPI needs one, and a mark that tells when the device has made the piece. */
static fsfm_status announce(fsfm_carrier *carrier, const piece *p, fsfm_error *err)
{
    fsfm_device *dev = carrier->setup.dev;
    fsfm_wire *wire = carrier->wire;
    float *values_dev = carrier->setup.values_dev + p->first;
    if (!wire) return dev->ops->synchronize(dev, err);
    if (carrier->kind == FSFM_CARRIER_NCCL) return wire->ops->sum(wire, values_dev, p->count, err);
    if (!carrier->host) return wire->ops->send(wire, NULL, NULL, 0, err);
    return wire->ops->send(wire, carrier->host + p->first, values_dev, (size_t)p->count * sizeof(float), err);
}

/* Sends back what MPI has summed, in order, and all of it where told to wait. */
static void take_back(fsfm_carrier *carrier, bool waits)
{
    fsfm_wire *wire = carrier->wire;
    if (!carrier->sums) return;
    for (; carrier->back < carrier->summing && fsfm_comm_sums_take(carrier->sums, waits); carrier->back++) {
        const piece *p = &carrier->pieces[carrier->back];
        fsfm_error err;
        if (!carrier->host || carrier->failed != FSFM_OK) continue;
        const fsfm_status st =
            wire->ops->receive(wire, carrier->setup.values_dev + p->first, carrier->host + p->first,
                               (size_t)p->count * sizeof(float), &err);
        keep_failure(carrier, st, &err);
    }
}

/* Gives MPI what is ready, in order, and all of it where told to wait. */
static void sum_ready(fsfm_carrier *carrier, bool waits)
{
    for (; carrier->summing < carrier->begun; carrier->summing++) {
        const piece *p = &carrier->pieces[carrier->summing];
        fsfm_error err;
        bool is_sent = true;
        if (carrier->wire && carrier->failed == FSFM_OK) {
            const fsfm_status st =
                carrier->wire->ops->is_sent(carrier->wire, carrier->summing, waits, &is_sent, &err);
            keep_failure(carrier, st, &err);
            if (st == FSFM_OK && !is_sent) return;
        }
        if (carrier->sums)
            fsfm_comm_sums_begin(carrier->sums, values_for_mpi(carrier, p->first), p->count);
        else
            fsfm_comm_sum_float(carrier->setup.comm, values_for_mpi(carrier, p->first), p->count);
        if (waits) take_back(carrier, false);
    }
}

void fsfm_carrier_begin(fsfm_carrier *carrier, int64_t first, int64_t count)
{
    fsfm_error err;
    FSFM_ASSERT(carrier->begun < carrier->setup.pieces);
    piece *p = &carrier->pieces[carrier->begun++];
    *p = (piece){first, count};
    if (carrier->failed == FSFM_OK) keep_failure(carrier, announce(carrier, p, &err), &err);
    if (carrier->failed != FSFM_OK && carrier->kind == FSFM_CARRIER_NCCL)
        fsfm_comm_abort(carrier->setup.comm, carrier->failure.message);
    fsfm_carrier_progress(carrier);
}

void fsfm_carrier_progress(fsfm_carrier *carrier)
{
    if (!carrier->sums) return;
    sum_ready(carrier, false);
    take_back(carrier, false);
}

fsfm_status fsfm_carrier_finish(fsfm_carrier *carrier, fsfm_error *err)
{
    if (carrier->kind != FSFM_CARRIER_NCCL) sum_ready(carrier, true);
    take_back(carrier, true);
    if (carrier->sums) fsfm_comm_sums_finish(carrier->sums);
    carrier->begun = carrier->summing = carrier->back = 0;
    const fsfm_status failed = carrier->failed;
    carrier->failed = FSFM_OK;
    fsfm_status joined = carrier->wire ? carrier->wire->ops->join(carrier->wire, err) : FSFM_OK;
    if (failed == FSFM_OK) return joined;
    if (err) *err = carrier->failure;
    return failed;
}

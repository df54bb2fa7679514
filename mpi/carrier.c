/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/carrier.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/node_sum.h"

const char *const fsfm_carrier_names[] = {"auto", "nccl", "mpi", "host", NULL};

typedef struct {
    int64_t first, count;
} piece;

struct fsfm_carrier {
    fsfm_carrier_setup setup;
    fsfm_wire *wire;
    fsfm_carrier_kind kind; /* not AUTO */
    float *host;            /* HOST with a wire: a copy of the values, or (exchanges) of mine and theirs */
    piece *pieces;          /* (setup.pieces): of this turn */
    int64_t begun;          /* given by the caller */
    int64_t summing;        /* of them: given to MPI, once they were ready */
    int64_t back;           /* of them: summed, and on their way back to the device */
    fsfm_node_sum *node;    /* HOST without a wire, where all ranks are on one host; else NULL */
    fsfm_comm_sums *sums;   /* NULL: node, NCCL, or MPI on the device's memory */
    bool is_abandoned;      /* NCCL: for good, as some rank failed */
    char way[640];
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

/* What a rank gives to prove MPI: whole numbers, whose sums are exact in any order. */
static float proof_of(int rank, int64_t i)
{
    return (float)(rank + i % 1024);
}

static fsfm_status begin_proof(const fsfm_carrier *carrier, float *values_host, int64_t count,
                               fsfm_error *err)
{
    fsfm_device *dev = carrier->setup.dev;
    if (!values_host) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to try MPI");
    for (int64_t i = 0; i < count; i++) values_host[i] = proof_of(fsfm_comm_rank(carrier->setup.comm), i);
    FSFM_TRY(
        dev->ops->upload(dev, carrier->setup.values_dev, values_host, (size_t)count * sizeof(float), err));
    return dev->ops->synchronize(dev, err);
}

/* Value i is to be first + slope (i % 1024). */
static fsfm_status end_proof(const fsfm_carrier *carrier, float *values_host, const float *values_dev,
                             int64_t count, int first, int slope, fsfm_error *err)
{
    fsfm_device *dev = carrier->setup.dev;
    FSFM_TRY(dev->ops->download(dev, values_host, values_dev, (size_t)count * sizeof(float), err));
    for (int64_t i = 0; i < count; i++)
        if (values_host[i] != (float)first + (float)slope * proof_of(0, i))
            return fsfm_fail(err, FSFM_ERR_DEVICE, "MPI handles a GPU's memory wrongly");
    return FSFM_OK;
}

static fsfm_status prove_sum(const fsfm_carrier *carrier, float *values_host, int64_t count, fsfm_error *err)
{
    fsfm_comm *comm = carrier->setup.comm;
    const int ranks = fsfm_comm_size(comm);
    float *values_dev = carrier->setup.values_dev;
    fsfm_status st = fsfm_comm_try_sum_float(comm, values_dev, count, err);
    if (st == FSFM_OK)
        st = end_proof(carrier, values_host, values_dev, count, ranks * (ranks - 1) / 2, ranks, err);
    return fsfm_comm_agree(comm, st, err);
}

/* With every peer that there will be: some of them may be on other hosts. */
static fsfm_status prove_exchange(const fsfm_carrier *carrier, float *values_host, int64_t count,
                                  fsfm_error *err)
{
    fsfm_comm *comm = carrier->setup.comm;
    float *mine_dev = carrier->setup.values_dev, *theirs_dev = mine_dev + count;
    for (int bit = 1; bit < fsfm_comm_size(comm); bit *= 2) {
        const int peer = fsfm_comm_rank(comm) ^ bit;
        fsfm_status st =
            fsfm_comm_try_exchange(comm, peer, mine_dev, theirs_dev, count * (int64_t)sizeof(float), err);
        if (st == FSFM_OK) st = end_proof(carrier, values_host, theirs_dev, count, peer, 1, err);
        FSFM_TRY(fsfm_comm_agree(comm, st, err));
    }
    return FSFM_OK;
}

/* MPI with a whole piece in the device's memory, which shows whether MPI takes that: transports differ by
 * size. */
static fsfm_status prove_mpi(const fsfm_carrier *carrier, fsfm_error *err)
{
    const fsfm_carrier_setup *setup = &carrier->setup;
    const int64_t most = setup->exchanges ? setup->count / 2 : setup->count;
    const int64_t count = most < setup->piece_floats ? most : setup->piece_floats;
    float *values_host = malloc((size_t)count * sizeof *values_host + 1);
    fsfm_status st = fsfm_comm_agree(setup->comm, begin_proof(carrier, values_host, count, err), err);
    if (st == FSFM_OK)
        st = setup->exchanges ? prove_exchange(carrier, values_host, count, err)
                              : prove_sum(carrier, values_host, count, err);
    if (st == FSFM_OK)
        st = fsfm_comm_agree(
            setup->comm,
            setup->dev->ops->zero(setup->dev, setup->values_dev, (size_t)setup->count * sizeof(float), err),
            err);
    free(values_host);
    return st;
}

static fsfm_status try_mpi(const fsfm_carrier *carrier, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    if (!fsfm_comm_takes_device_memory())
        st = fsfm_fail(err, FSFM_ERR_DEVICE,
                       "this MPI does not say that it takes a GPU's memory (FSFM_MPI_CUDA=1 says so for it)");
    FSFM_TRY(fsfm_comm_agree(carrier->setup.comm, st, err));
    return prove_mpi(carrier, err);
}

/* Ends sums that might never end. */
static void abandon_group(fsfm_carrier *carrier)
{
    carrier->is_abandoned = true;
    carrier->wire->ops->group_abandon(carrier->wire);
}

/* The same, of a rank that failed: on all others too. */
static fsfm_status give_up_group(fsfm_carrier *carrier, fsfm_status st)
{
    fsfm_comm_alarm(carrier->setup.comm);
    abandon_group(carrier);
    return st;
}

/* Waits for the group of NCCL, or for its end on all ranks. Where another rank ended it this one did not
 * fail: what is then on the device is nonsense, and the other one tells. */
static fsfm_status await_group(fsfm_carrier *carrier, fsfm_wire_group_state wanted, fsfm_error *err)
{
    while (!carrier->is_abandoned) {
        fsfm_wire_group_state state;
        const fsfm_status st = carrier->wire->ops->group_state(carrier->wire, &state, err);
        if (st != FSFM_OK) return give_up_group(carrier, st);
        if (state >= wanted) return FSFM_OK;
        if (fsfm_comm_is_alarmed(carrier->setup.comm)) abandon_group(carrier);
        sched_yield();
    }
    return FSFM_OK;
}

static fsfm_status enter_group(fsfm_carrier *carrier, fsfm_error *err)
{
    fsfm_comm *comm = carrier->setup.comm;
    fsfm_wire *wire = carrier->wire;
    const int rank = fsfm_comm_rank(comm);
    unsigned char id[FSFM_WIRE_GROUP_ID_SIZE] = {0};
    FSFM_TRY(fsfm_comm_agree(comm, rank == 0 ? wire->ops->group_id(wire, id, err) : FSFM_OK, err));
    fsfm_comm_broadcast(comm, id, sizeof id, 0);
    fsfm_status st = wire->ops->group_enter(wire, id, rank, fsfm_comm_size(comm), err);
    if (st == FSFM_OK)
        st = await_group(carrier, FSFM_WIRE_GROUP_READY, err);
    else
        st = give_up_group(carrier, st);
    st = fsfm_comm_agree(comm, st, err);
    fsfm_comm_alarm_end(comm);
    return st;
}

/* A rank may have entered before it heard that another one did not. */
static fsfm_status try_nccl(fsfm_carrier *carrier, fsfm_error *err)
{
    const fsfm_status st = enter_group(carrier, err);
    if (st != FSFM_OK) abandon_group(carrier);
    return st;
}

/* Why a way is not taken. */
static void note(fsfm_carrier *carrier, const fsfm_error *err)
{
    const size_t used = strlen(carrier->way);
    snprintf(carrier->way + used, sizeof carrier->way - used, "; %.200s", err->message);
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
        if (st != FSFM_OK) note(carrier, err);
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
    note(carrier, err);
    carrier->kind = FSFM_CARRIER_HOST;
    return FSFM_OK;
}

/* way holds why others were not to be had, or nothing. */
static void name_way(fsfm_carrier *carrier)
{
    char why[sizeof carrier->way];
    const char *way = carrier->kind == FSFM_CARRIER_NCCL  ? "NCCL"
                      : carrier->kind == FSFM_CARRIER_MPI ? "MPI on the GPU's memory"
                      : carrier->wire                     ? "MPI by way of pinned host memory"
                      : carrier->node                     ? "memory that the ranks share"
                                                          : "MPI";
    memcpy(why, carrier->way, sizeof why);
    snprintf(carrier->way, sizeof carrier->way, "%s%s%.500s", way,
             carrier->setup.exchanges ? ", one tree over the slices" : "", why);
}

/* Of the values, what is exchanged at most. */
static int64_t half_of(const fsfm_carrier_setup *setup)
{
    return (setup->count + 1) / 2;
}

/* What this rank needs for the way that was chosen. */
static fsfm_status reserve(fsfm_carrier *carrier, fsfm_error *err)
{
    const fsfm_carrier_setup *setup = &carrier->setup;
    carrier->pieces = calloc((size_t)setup->pieces + 1, sizeof *carrier->pieces);
    if (!carrier->pieces) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for gradient buckets");
    if (carrier->kind != FSFM_CARRIER_HOST || carrier->node) return FSFM_OK;
    if (!setup->exchanges)
        FSFM_TRY(fsfm_comm_sums_open(setup->comm, (int)setup->pieces, &carrier->sums, err));
    if (!carrier->wire) return FSFM_OK;
    const int64_t floats = setup->exchanges ? 2 * half_of(setup) : setup->count;
    void *host = NULL;
    FSFM_TRY(carrier->wire->ops->alloc(carrier->wire, (size_t)floats * sizeof(float), &host, err));
    carrier->host = host;
    return FSFM_OK;
}

/* Without memory to share MPI sums: as it should on several hosts, else way says why. */
static void open_node(fsfm_carrier *carrier)
{
    fsfm_error err;
    if (carrier->wire || carrier->setup.exchanges || carrier->setup.kind != FSFM_CARRIER_AUTO) return;
    const fsfm_status st = fsfm_node_sum_open(carrier->setup.comm, &carrier->node, &err);
    if (st != FSFM_OK && st != FSFM_ERR_COMM) note(carrier, &err);
}

static fsfm_status open_parts(fsfm_carrier *carrier, fsfm_error *err)
{
    FSFM_TRY(choose_kind(carrier, err));
    open_node(carrier);
    name_way(carrier);
    return fsfm_comm_agree(carrier->setup.comm, reserve(carrier, err), err);
}

fsfm_status fsfm_carrier_open(const fsfm_carrier_setup *setup, fsfm_carrier **out, fsfm_error *err)
{
    fsfm_carrier *carrier = calloc(1, sizeof *carrier);
    fsfm_status st = carrier ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to sum gradients");
    *out = NULL;
    if ((st = fsfm_comm_agree(setup->comm, st, err)) == FSFM_OK) {
        carrier->setup = *setup;
        carrier->wire = setup->dev->wire;
        st = open_parts(carrier, err);
    }
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
    if (c->kind == FSFM_CARRIER_NCCL) c->wire->ops->group_abandon(c->wire);
    fsfm_comm_sums_close(&c->sums);
    fsfm_node_sum_close(&c->node);
    if (c->host) c->wire->ops->free(c->wire, c->host);
    free(c->pieces);
    free(c);
    *carrier = NULL;
}

const char *fsfm_carrier_way(const fsfm_carrier *carrier)
{
    return carrier->way;
}

bool fsfm_carrier_waits_in_mpi(const fsfm_carrier *carrier)
{
    return carrier->kind != FSFM_CARRIER_NCCL;
}

/* A rank that fails here does not begin the sum: the others' would never end. */
static fsfm_status sum_by_group(fsfm_carrier *carrier, float *values_dev, int64_t count, fsfm_error *err)
{
    FSFM_TRY(await_group(carrier, FSFM_WIRE_GROUP_READY, err));
    if (carrier->is_abandoned) return FSFM_OK;
    const fsfm_status st = carrier->wire->ops->sum(carrier->wire, values_dev, count, err);
    return st == FSFM_OK ? st : give_up_group(carrier, st);
}

/* Copies of the piece where MPI needs one, and a mark that tells when the device has made the piece. */
static fsfm_status announce(fsfm_carrier *carrier, const piece *p, fsfm_error *err)
{
    fsfm_device *dev = carrier->setup.dev;
    fsfm_wire *wire = carrier->wire;
    float *values_dev = carrier->setup.values_dev + p->first;
    if (!wire) return dev->ops->synchronize(dev, err);
    if (carrier->kind == FSFM_CARRIER_NCCL) return sum_by_group(carrier, values_dev, p->count, err);
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

/* Gives MPI what is ready, in order. */
static void sum_ready(fsfm_carrier *carrier)
{
    for (; carrier->summing < carrier->begun; carrier->summing++) {
        const piece *p = &carrier->pieces[carrier->summing];
        fsfm_error err;
        bool is_sent = true;
        if (carrier->wire && carrier->failed == FSFM_OK) {
            const fsfm_status st =
                carrier->wire->ops->is_sent(carrier->wire, carrier->summing, &is_sent, &err);
            keep_failure(carrier, st, &err);
            if (st == FSFM_OK && !is_sent) return;
        }
        if (carrier->node)
            fsfm_node_sum_float(carrier->node, values_for_mpi(carrier, p->first), p->count);
        else if (carrier->sums)
            fsfm_comm_sums_begin(carrier->sums, values_for_mpi(carrier, p->first), p->count);
        else
            fsfm_comm_sum_float(carrier->setup.comm, values_for_mpi(carrier, p->first), p->count);
    }
}

/* Gives MPI all of it. Sums under way go on while the device makes and sends the rest. */
static void sum_all(fsfm_carrier *carrier)
{
    for (sum_ready(carrier); carrier->summing < carrier->begun; sum_ready(carrier)) {
        take_back(carrier, false);
        sched_yield();
    }
}

void fsfm_carrier_begin(fsfm_carrier *carrier, int64_t first, int64_t count)
{
    fsfm_error err;
    FSFM_ASSERT(carrier->begun < carrier->setup.pieces);
    piece *p = &carrier->pieces[carrier->begun++];
    *p = (piece){first, count};
    if (carrier->failed == FSFM_OK) keep_failure(carrier, announce(carrier, p, &err), &err);
    fsfm_carrier_progress(carrier);
}

void fsfm_carrier_progress(fsfm_carrier *carrier)
{
    if (!carrier->sums) return;
    sum_ready(carrier);
    take_back(carrier, false);
}

/* What one call takes of count floats from first on. */
static size_t piece_bytes(const fsfm_carrier *carrier, int64_t first, int64_t count)
{
    const int64_t left = count - first, most = carrier->setup.piece_floats;
    return (size_t)(left < most ? left : most) * sizeof(float);
}

/* Between arrays that MPI takes. */
static fsfm_status exchange_in_place(fsfm_carrier *carrier, int peer, const float *mine, float *theirs,
                                     int64_t count, fsfm_error *err)
{
    fsfm_device *dev = carrier->setup.dev;
    const fsfm_status st = carrier->failed == FSFM_OK ? dev->ops->synchronize(dev, err) : FSFM_OK;
    for (int64_t first = 0; first < count; first += carrier->setup.piece_floats)
        fsfm_comm_exchange(carrier->setup.comm, peer, mine + first, theirs + first,
                           (int64_t)piece_bytes(carrier, first, count));
    return st;
}

static fsfm_status await_sent(fsfm_carrier *carrier, int64_t index, fsfm_error *err)
{
    bool is_sent = false;
    while (!is_sent) {
        FSFM_TRY(carrier->wire->ops->is_sent(carrier->wire, index, &is_sent, err));
        if (!is_sent) sched_yield();
    }
    return FSFM_OK;
}

/* By way of the host's memory, whose two parts are free again when the first piece of the next exchange is
 * sent: the wire keeps its order. */
static fsfm_status exchange_on_host(fsfm_carrier *carrier, int peer, const float *mine_dev, float *theirs_dev,
                                    int64_t count, fsfm_error *err)
{
    fsfm_wire *wire = carrier->wire;
    float *mine = carrier->host, *theirs = mine + half_of(&carrier->setup);
    const int64_t step = carrier->setup.piece_floats;
    const bool had_failed = carrier->failed != FSFM_OK;
    fsfm_status st = FSFM_OK;
    int64_t index = 0;
    for (int64_t first = 0; first < count && !had_failed && st == FSFM_OK; first += step)
        st = wire->ops->send(wire, mine + first, mine_dev + first, piece_bytes(carrier, first, count), err);
    for (int64_t first = 0; first < count; first += step) {
        const size_t bytes = piece_bytes(carrier, first, count);
        if (!had_failed && st == FSFM_OK) st = await_sent(carrier, index++, err);
        fsfm_comm_exchange(carrier->setup.comm, peer, mine + first, theirs + first, (int64_t)bytes);
        if (!had_failed && st == FSFM_OK)
            st = wire->ops->receive(wire, theirs_dev + first, theirs + first, bytes, err);
    }
    return had_failed || st != FSFM_OK ? st : wire->ops->join(wire, err);
}

/* A rank that fails here does not begin the exchange: its peer's would never end. */
static fsfm_status exchange_by_group(fsfm_carrier *carrier, int peer, const float *mine_dev,
                                     float *theirs_dev, int64_t count, fsfm_error *err)
{
    fsfm_wire *wire = carrier->wire;
    FSFM_TRY(await_group(carrier, FSFM_WIRE_GROUP_READY, err));
    if (carrier->is_abandoned) return FSFM_OK;
    fsfm_status st = wire->ops->exchange(wire, peer, mine_dev, theirs_dev, count, err);
    if (st != FSFM_OK) return give_up_group(carrier, st);
    FSFM_TRY(await_group(carrier, FSFM_WIRE_GROUP_READY, err));
    st = wire->ops->join(wire, err);
    return st == FSFM_OK ? st : give_up_group(carrier, st);
}

void fsfm_carrier_exchange(fsfm_carrier *carrier, int peer, const float *mine_dev, float *theirs_dev,
                           int64_t count)
{
    fsfm_error err;
    fsfm_status st = FSFM_OK;
    FSFM_ASSERT(count <= half_of(&carrier->setup));
    if (count == 0) return;
    if (carrier->kind == FSFM_CARRIER_NCCL)
        st = exchange_by_group(carrier, peer, mine_dev, theirs_dev, count, &err);
    else if (carrier->host)
        st = exchange_on_host(carrier, peer, mine_dev, theirs_dev, count, &err);
    else
        st = exchange_in_place(carrier, peer, mine_dev, theirs_dev, count, &err);
    keep_failure(carrier, st, &err);
}

/* Waits for the device here, too, where the group can end it: a later wait could not. */
static fsfm_status join(fsfm_carrier *carrier, fsfm_error *err)
{
    const bool is_group = carrier->kind == FSFM_CARRIER_NCCL;
    if (!carrier->wire) return FSFM_OK;
    if (is_group) FSFM_TRY(await_group(carrier, FSFM_WIRE_GROUP_READY, err));
    const fsfm_status st = carrier->wire->ops->join(carrier->wire, err);
    if (!is_group) return st;
    return st == FSFM_OK ? await_group(carrier, FSFM_WIRE_GROUP_IDLE, err) : give_up_group(carrier, st);
}

fsfm_status fsfm_carrier_finish(fsfm_carrier *carrier, fsfm_error *err)
{
    if (carrier->kind != FSFM_CARRIER_NCCL) sum_all(carrier);
    take_back(carrier, true);
    if (carrier->sums) fsfm_comm_sums_finish(carrier->sums);
    carrier->begun = carrier->summing = carrier->back = 0;
    const fsfm_status failed = carrier->failed;
    carrier->failed = FSFM_OK;
    const fsfm_status joined = join(carrier, err);
    if (failed == FSFM_OK) return joined;
    if (err) *err = carrier->failure;
    return failed;
}

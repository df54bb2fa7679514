/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/heartbeats.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"

enum { ADDRESSES_MAX = 8, LISTENERS = 2 };

typedef enum { BEAT, HEARD, ASK_STACK, STACK } packet_kind;

/* Ranks of a job run the same build on like machines, so that the bytes of a struct mean the same everywhere.
 */
typedef struct {
    uint64_t token; /* of this job: others may send to the port */
    int32_t kind, rank;
    int32_t address; /* BEAT: which one it was sent to; HEARD: the same, so that the others can be left out */
    int32_t size_bytes;
    fsfm_heartbeat beat;
    char text[FSFM_STACK_TEXT];
} packet;
enum { HEAD_BYTES = offsetof(packet, text) };

/* What ranks exchange by MPI at the start. */
typedef struct {
    fsfm_heartbeat_place place;
    uint64_t token;
    uint16_t port; /* network order; 0: no socket */
    int32_t count;
    struct in_addr addresses[ADDRESSES_MAX];
} contact;

typedef struct {
    bool is_heard;
    double heard_s;
    fsfm_heartbeat beat;
    struct sockaddr_in from;
} listened;

struct fsfm_heartbeats {
    int rank, ranks;
    int socket;        /* -1: none */
    contact *contacts; /* (ranks) */
    int listeners[LISTENERS], listener_count;
    int answered[LISTENERS]; /* the listener's address that answers, -1: none did yet */
    listened *last;          /* (ranks) */
    struct sockaddr_in asker;
    packet in, out;
};

/* Addresses of this host that other ranks may reach, or those of FSFM_INTERFACE. */
static void find_addresses(contact *mine, bool is_one_host)
{
    const char *only = getenv("FSFM_INTERFACE");
    struct ifaddrs *all = NULL;
    if (is_one_host) {
        mine->addresses[mine->count++].s_addr = htonl(INADDR_LOOPBACK);
        return;
    }
    if (getifaddrs(&all) != 0) return;
    for (const struct ifaddrs *i = all; i && mine->count < ADDRESSES_MAX; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP)) continue;
        if (only && only[0] ? strcmp(i->ifa_name, only) != 0 : (i->ifa_flags & IFF_LOOPBACK) != 0) continue;
        mine->addresses[mine->count++] = ((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
    }
    freeifaddrs(all);
}

/* Bound to the one address where there is one, else to all. */
static int open_socket(contact *mine)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int fd = mine->count ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    address.sin_addr.s_addr = mine->count == 1 ? mine->addresses[0].s_addr : htonl(INADDR_ANY);
    if (fd >= 0 && (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
                    getsockname(fd, (struct sockaddr *)&address, &size) != 0)) {
        close(fd);
        fd = -1;
    }
    mine->port = fd >= 0 ? address.sin_port : 0;
    return fd;
}

static void choose_listeners(fsfm_heartbeats *beats)
{
    int second = 1;
    for (int r = beats->ranks - 1; r > 0; r--)
        if (strcmp(beats->contacts[r].place.host, beats->contacts[0].place.host) != 0) second = r;
    beats->listeners[0] = 0;
    beats->listeners[1] = second;
    beats->listener_count = beats->ranks > 1 ? LISTENERS : 1;
    for (int i = 0; i < LISTENERS; i++) beats->answered[i] = -1;
}

fsfm_status fsfm_heartbeats_open(fsfm_comm *comm, fsfm_heartbeats **out, fsfm_error *err)
{
    const int ranks = fsfm_comm_size(comm);
    fsfm_heartbeats *beats = calloc(1, sizeof *beats);
    contact mine;
    fsfm_status st = FSFM_OK;
    memset(&mine, 0, sizeof mine);
    if (beats) {
        beats->rank = fsfm_comm_rank(comm);
        beats->ranks = ranks;
        beats->socket = -1;
        beats->contacts = calloc((size_t)ranks, sizeof *beats->contacts);
        beats->last = calloc((size_t)ranks, sizeof *beats->last);
    }
    if (!beats || !beats->contacts || !beats->last)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "watchdog: no memory for %d ranks", ranks);
    if ((st = fsfm_comm_agree(comm, st, err)) != FSFM_OK) {
        fsfm_heartbeats_close(&beats);
        *out = NULL;
        return st;
    }
    gethostname(mine.place.host, sizeof mine.place.host - 1);
    mine.place.process = getpid();
    if (getrandom(&mine.token, sizeof mine.token, 0) < 0) mine.token = (uint64_t)(fsfm_clock_unix_s() * 1e6);
    if (ranks > 1) find_addresses(&mine, fsfm_comm_local_size(comm) == ranks);
    beats->socket = open_socket(&mine);
    fsfm_comm_gather_all(comm, &mine, (int64_t)sizeof mine, beats->contacts);
    choose_listeners(beats);
    *out = beats;
    return FSFM_OK;
}

void fsfm_heartbeats_close(fsfm_heartbeats **beats)
{
    fsfm_heartbeats *b = *beats;
    if (!b) return;
    if (b->socket >= 0) close(b->socket);
    free(b->contacts);
    free(b->last);
    free(b);
    *beats = NULL;
}

int fsfm_heartbeats_listener(const fsfm_heartbeats *beats)
{
    for (int i = 0; i < beats->listener_count; i++)
        if (beats->listeners[i] == beats->rank) return i;
    return -1;
}

const fsfm_heartbeat_place *fsfm_heartbeats_place(const fsfm_heartbeats *beats, int rank)
{
    return &beats->contacts[rank].place;
}

/* What does not arrive is sent again with the next beat. */
static void send_packet(fsfm_heartbeats *beats, packet_kind kind, const struct sockaddr_in *to,
                        size_t text_bytes)
{
    packet *p = &beats->out;
    p->token = beats->contacts[0].token;
    p->kind = (int32_t)kind;
    p->rank = beats->rank;
    p->size_bytes = (int32_t)text_bytes;
    (void)!sendto(beats->socket, p, HEAD_BYTES + text_bytes, 0, (const struct sockaddr *)to, sizeof *to);
}

void fsfm_heartbeats_send(fsfm_heartbeats *beats, const fsfm_heartbeat *mine)
{
    if (beats->socket < 0) return;
    for (int i = 0; i < beats->listener_count; i++) {
        const contact *to = &beats->contacts[beats->listeners[i]];
        if (beats->listeners[i] == beats->rank || !to->port) continue;
        for (int a = 0; a < to->count; a++) {
            const struct sockaddr_in address = {
                .sin_family = AF_INET, .sin_port = to->port, .sin_addr = to->addresses[a]};
            if (beats->answered[i] >= 0 && beats->answered[i] != a) continue;
            beats->out.beat = *mine;
            beats->out.address = a;
            send_packet(beats, BEAT, &address, 0);
        }
    }
}

static void note_answer(fsfm_heartbeats *beats, const packet *p)
{
    for (int i = 0; i < beats->listener_count; i++)
        if (beats->listeners[i] == p->rank && p->address >= 0 && p->address < ADDRESSES_MAX)
            beats->answered[i] = p->address;
}

/* Takes a packet, if there is one, into beats->in; its kind, or -1. */
static int take_packet(fsfm_heartbeats *beats)
{
    packet *p = &beats->in;
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    const ssize_t length = recvfrom(beats->socket, p, sizeof *p, 0, (struct sockaddr *)&from, &size);
    if (length < (ssize_t)HEAD_BYTES || p->token != beats->contacts[0].token || p->rank < 0 ||
        p->rank >= beats->ranks || length != (ssize_t)HEAD_BYTES + p->size_bytes)
        return -1;
    if (p->kind == BEAT) {
        beats->last[p->rank] = (listened){true, fsfm_clock_monotonic_s(), p->beat, from};
        beats->out.address = p->address;
        send_packet(beats, HEARD, &from, 0);
    } else if (p->kind == HEARD)
        note_answer(beats, p);
    else if (p->kind == ASK_STACK)
        beats->asker = from;
    return p->kind;
}

/* Waits for a packet of the kind; other ones are taken by the way. */
static bool wait_for(fsfm_heartbeats *beats, packet_kind kind, int wake_fd, double wait_s)
{
    const double until_s = fsfm_clock_monotonic_s() + wait_s;
    struct pollfd fds[2] = {{.fd = beats->socket, .events = POLLIN}, {.fd = wake_fd, .events = POLLIN}};
    for (double left_s = wait_s; left_s > 0; left_s = until_s - fsfm_clock_monotonic_s()) {
        if (poll(fds, 2, (int)(left_s * 1000) + 1) <= 0) continue;
        if (fds[1].revents) return false;
        if (fds[0].revents && take_packet(beats) == (int)kind) return true;
    }
    return false;
}

bool fsfm_heartbeats_receive(fsfm_heartbeats *beats, int wake_fd, double wait_s)
{
    return wait_for(beats, ASK_STACK, wake_fd, wait_s);
}

bool fsfm_heartbeats_last(const fsfm_heartbeats *beats, int rank, fsfm_heartbeat *out, double *age_s)
{
    const listened *last = &beats->last[rank];
    if (!last->is_heard) return false;
    *out = last->beat;
    *age_s = fsfm_clock_monotonic_s() - last->heard_s;
    return true;
}

bool fsfm_heartbeats_ask_stack(fsfm_heartbeats *beats, int rank, double wait_s, char text[FSFM_STACK_TEXT])
{
    text[0] = '\0';
    if (!beats->last[rank].is_heard) return false;
    send_packet(beats, ASK_STACK, &beats->last[rank].from, 0);
    if (!wait_for(beats, STACK, -1, wait_s) || beats->in.rank != rank) return false;
    memcpy(text, beats->in.text, (size_t)beats->in.size_bytes);
    text[beats->in.size_bytes < FSFM_STACK_TEXT ? beats->in.size_bytes : FSFM_STACK_TEXT - 1] = '\0';
    return true;
}

void fsfm_heartbeats_answer_stack(fsfm_heartbeats *beats, const char *text)
{
    const size_t length = strnlen(text, FSFM_STACK_TEXT - 1);
    memcpy(beats->out.text, text, length);
    send_packet(beats, STACK, &beats->asker, length);
}

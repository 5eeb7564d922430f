// client PORT CONNECTIONS RATE SECONDS SLOW SEED: sends RATE requests a second over CONNECTIONS kept-alive connections,
// SLOW of 1000 to /slow and the rest to /, and prints one line of JSON.
//
// Requests are due at fixed times, whatever the server does, and latency counts from the moment a request was due: a
// server that stalls is charged for all requests that it kept waiting, not only for those that happened to be sent. A
// request takes the connection that has been idle longest; when none is idle it waits for one, and the wait counts.
// The seed decides which requests are slow: all servers get the same ones.
//
// Before the clock starts, the connections are opened one after another, each when the one before has had a request
// answered: that is how the pool of a proxy grows while there is little to do, and the hardest case for servers that
// leave it to the kernel who accepts. Then the word "started" is printed.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_S = 10, PRIMING = -1, NOTHING = -2 };
enum state { CLOSED, CONNECTING, IDLE, BUSY };

struct connection {
    int fd;
    enum state state;
    int reused;     // An answer came on it already.
    int request;    // The number of the request it carries, PRIMING or NOTHING.
    double sent;    // When that request was given to it.
    size_t length;
    char received[16384];
};

struct request {
    double due;
    int slow;
    double latency; // Seconds; negative while there is no answer.
};

static struct sockaddr_in server;
static int epoll, connections, requests, primed, finished;
static struct connection *all;
static struct request *plan;
static int *ready, ready_first, ready_count; // A ring: connections that can take a request, idle longest first.
static int next_waiting;                     // Requests below this number were given to a connection.
static int errors, retried, closed_by_server;
static char first_error[128];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void start(struct connection *connection);

static void release(struct connection *connection) {
    ready[(ready_first + ready_count++) % connections] = connection - all;
}

static void drop(struct connection *connection) {
    close(connection->fd);
    connection->state = CLOSED;
    connection->reused = 0;
}

static void finish(struct connection *connection) {
    if (connection->request == PRIMING)
        primed++;
    else
        finished++;
    connection->request = NOTHING;
    release(connection);
}

static void fail(struct connection *connection, const char *reason) {
    errors++;
    if (!*first_error) {
        snprintf(first_error, sizeof first_error, "%.120s", reason);
        for (char *at = first_error; *at; at++)
            if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
                *at = ' ';
    }
    drop(connection);
    if (connection->request != NOTHING)
        finish(connection);
}

// The server has ended the connection. One that was idle may be ended at any time, also when the next request is
// already on its way: as a proxy would, such a request is sent once more on a new connection.
static void ended(struct connection *connection, const char *reason) {
    if (connection->state == IDLE) {
        closed_by_server++;
        drop(connection);
    } else if (connection->reused && connection->length == 0) {
        closed_by_server++;
        retried++;
        drop(connection);
        start(connection);
    } else {
        fail(connection, reason);
    }
}

static void transmit(struct connection *connection) {
    int slow = connection->request >= 0 && plan[connection->request].slow;
    char head[128];
    int length = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", slow ? "/slow" : "/");
    connection->state = BUSY;
    connection->length = 0;
    if (send(connection->fd, head, length, MSG_NOSIGNAL) != length)
        ended(connection, strerror(errno));
}

static void start(struct connection *connection) {
    if (connection->state == IDLE) {
        transmit(connection);
        return;
    }
    int yes = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connection->fd < 0)
        err(1, "socket");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    connection->state = CONNECTING;
    connection->length = 0;
    if (connect(connection->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) {
        fail(connection, strerror(errno));
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = connection - all};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event))
        err(1, "epoll_ctl");
}

// Gives requests that are due to connections that are free.
static void dispatch(double time) {
    while (ready_count && next_waiting < requests && plan[next_waiting].due <= time) {
        struct connection *connection = &all[ready[ready_first]];
        ready_first = (ready_first + 1) % connections;
        ready_count--;
        connection->request = next_waiting++;
        connection->sent = time;
        start(connection);
    }
}

// Whether the whole answer is there; its end is decided by Content-Length, which all applications of the benchmark set.
static int complete(struct connection *connection, int *last) {
    connection->received[connection->length] = 0;
    char *end = strstr(connection->received, "\r\n\r\n");
    if (!end)
        return 0;
    char *length = strcasestr(connection->received, "\r\nContent-Length:");
    if (!length || length > end)
        errx(1, "an answer without Content-Length: %.300s", connection->received);
    size_t size = end + 4 - connection->received + strtoul(length + 17, NULL, 10);
    if (size >= sizeof connection->received)
        errx(1, "an answer of %zu bytes", size);
    char *close = strcasestr(connection->received, "\r\nConnection: close");
    *last = close && close < end;
    return connection->length >= size;
}

static void receive(struct connection *connection) {
    for (;;) {
        ssize_t count = recv(connection->fd, connection->received + connection->length,
                             sizeof connection->received - 1 - connection->length, 0);
        if (count < 0 && errno == EAGAIN)
            return;
        if (count <= 0) {
            ended(connection, count ? strerror(errno) : "closed without an answer");
            return;
        }
        connection->length += count;
        int last;
        if (connection->state != BUSY) {
            fail(connection, "an answer that nobody asked for");
            return;
        }
        if (!complete(connection, &last))
            continue;
        if (strncmp(connection->received, "HTTP/1.1 200", 12)) {
            connection->received[60] = 0;
            fail(connection, connection->received);
            return;
        }
        if (connection->request >= 0)
            plan[connection->request].latency = now() - plan[connection->request].due;
        connection->reused = 1;
        connection->state = IDLE;
        connection->length = 0;
        if (last) {
            if (connection->request != PRIMING)
                closed_by_server++;
            drop(connection);
        }
        finish(connection);
        if (last)
            return;
    }
}

static void handle(struct connection *connection, uint32_t events) {
    if (connection->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error)
            fail(connection, strerror(error));
        else if (events & EPOLLOUT)
            transmit(connection);
    }
    if (connection->state == BUSY || (connection->state == IDLE && events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        receive(connection);
}

static void give_up_on_late_ones(double time) {
    for (int i = 0; i < connections; i++)
        if ((all[i].state == BUSY || all[i].state == CONNECTING) && time - all[i].sent > TIMEOUT_S)
            fail(&all[i], "no answer within 10 s");
}

static void turn(int timeout_ms) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll, events, 64, timeout_ms);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u32 == (uint32_t)connections)
            continue; // The timer: the next request is due.
        handle(&all[events[i].data.u32], events[i].events);
    }
}

static int ascending(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

static void print_distribution(const char *name, double *values, int count) {
    qsort(values, count, sizeof *values, ascending);
    printf("\"%s\": {\"count\": %d", name, count);
    const double parts[] = {0.5, 0.9, 0.99, 1};
    const char *names[] = {"p50", "p90", "p99", "max"};
    for (int i = 0; i < 4 && count; i++) {
        int rank = (int)(parts[i] * count + 0.999999) - 1;
        printf(", \"%s\": %.3f", names[i], values[rank < 0 ? 0 : rank] * 1e3);
    }
    printf("}");
}

static void report(double *lateness, int late_count) {
    double *values = calloc(requests, sizeof *values);
    printf("{");
    for (int slow = 0; slow < 2; slow++) {
        int count = 0;
        for (int i = 0; i < requests; i++)
            if (plan[i].slow == slow && plan[i].latency >= 0)
                values[count++] = plan[i].latency;
        print_distribution(slow ? "slow" : "fast", values, count);
        printf(", ");
    }
    // How late the client itself woke up: what it adds to the server's figures.
    print_distribution("client", lateness, late_count);
    printf(", \"requests\": %d, \"errors\": %d, \"error\": \"%s\", \"retried\": %d, \"closed\": %d}\n", requests,
           errors, first_error, retried, closed_by_server);
}

static void make_plan(double rate, double seconds, int slow, uint64_t seed) {
    requests = rate * seconds;
    plan = calloc(requests, sizeof *plan);
    uint64_t random = seed * 0x9e3779b97f4a7c15 + 1;
    for (int i = 0; i < requests; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        plan[i] = (struct request){.due = i / rate, .slow = (int)(random >> 33) % 1000 < slow, .latency = -1};
    }
}

static void open_all(void) {
    for (int i = 0; i < connections; i++) {
        all[i].request = PRIMING;
        all[i].sent = now();
        start(&all[i]);
        while (primed == i) {
            turn(100);
            give_up_on_late_ones(now());
        }
    }
    if (errors)
        errx(1, "%d of %d first requests failed: %s", errors, connections, first_error);
}

static void run(int timer, double *lateness) {
    double begin = now() + 0.05;
    int woken = 0;
    for (int i = 0; i < requests; i++)
        plan[i].due += begin;
    for (double checked = begin; finished < requests;) {
        double time = now();
        for (; woken < requests && plan[woken].due <= time; woken++)
            lateness[woken] = time - plan[woken].due;
        dispatch(time);
        if (woken < requests) {
            struct itimerspec at = {.it_value = {.tv_sec = (time_t)plan[woken].due}};
            at.it_value.tv_nsec = (plan[woken].due - at.it_value.tv_sec) * 1e9;
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
        }
        turn(100);
        if (time - checked > 0.5) {
            give_up_on_late_ones(time);
            checked = time;
        }
    }
}

int main(int count, char **arguments) {
    if (count != 7)
        errx(64, "usage: client PORT CONNECTIONS RATE SECONDS SLOW SEED");
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connections = atoi(arguments[2]);
    make_plan(atof(arguments[3]), atof(arguments[4]), atoi(arguments[5]), strtoull(arguments[6], NULL, 10));
    all = calloc(connections, sizeof *all);
    ready = calloc(connections, sizeof *ready);
    double *lateness = calloc(requests, sizeof *lateness);
    epoll = epoll_create1(0);
    // By default the kernel may wake a process 50 µs late.
    prctl(PR_SET_TIMERSLACK, 1);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = connections};
    if (timer < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event))
        err(1, "timerfd");

    open_all();
    puts("started");
    fflush(stdout);
    run(timer, lateness);
    report(lateness, requests);
    return 0;
}

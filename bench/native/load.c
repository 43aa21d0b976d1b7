/* Clients of a server on a Unix socket, as many as wanted, in one thread that is mostly idle.
 *
 * usage: load ask SOCKET CONNECTIONS SECONDS ENDING COUNT PREFIX < request
 *        load watch SOCKET CONNECTIONS < request
 *
 * ask: each connection sends the request, waits for the reply, and sends the next, for SECONDS. A
 * reply ends with the COUNTth byte of the number ENDING, and must begin with PREFIX. In the request,
 * a run of bytes 1 stands for the connection's number and a run of bytes 2 for the number of the
 * request, in as many digits as the run has bytes. Prints how many replies came, in how many
 * seconds, and how many seconds of CPU the clients themselves took: while that is well below the
 * elapsed time, it is the server that is measured.
 *
 * watch: each connection sends the request once. Prints "watching" when all have had a reply, and
 * when each has had the last one (a Varlink reply that does not continue) how many replies came and
 * the seconds of CPU. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_REQUEST (32 << 20)
#define CHUNK (1 << 18)
#define MAX_PLACES 64
#define CONTINUES "\"continues\":true}"
#define TAIL (sizeof CONTINUES - 1)

struct client {
  int socket;
  char *request;
  size_t seen; /* bytes of the reply that is arriving */
  int endings;
  char tail[TAIL]; /* the last bytes of it */
  long replies;
  int over;
};

static char *template;
static size_t length;
static char chunk[CHUNK];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static double busy(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* Where numbers go in a request. They are looked for once: a request may have 10 MiB. */
static struct place {
  char mark;
  size_t begin, end;
} places[MAX_PLACES];
static int place_count;

static void find_places(void) {
  for (size_t at = 0; at < length; at++) {
    if (template[at] != 1 && template[at] != 2) continue;
    size_t end = at;
    while (end < length && template[end] == template[at]) end++;
    if (place_count == MAX_PLACES) {
      fprintf(stderr, "a request has more than %d numbers\n", MAX_PLACES);
      exit(2);
    }
    places[place_count++] = (struct place){template[at], at, end};
    at = end - 1;
  }
}

static void number(char *request, char mark, long value) {
  for (struct place *place = places; place < places + place_count; place++) {
    if (place->mark != mark) continue;
    long rest = value;
    for (size_t digit = place->end; digit > place->begin; digit--, rest /= 10)
      request[digit - 1] = '0' + rest % 10;
  }
}

static void send_request(struct client *client) {
  for (size_t sent = 0; sent < length;) {
    ssize_t n = send(client->socket, client->request + sent, length - sent, MSG_NOSIGNAL);
    if (n <= 0) fail("send");
    sent += n;
  }
}

static struct client *connect_all(const char *path, int count, int poll) {
  struct client *clients = calloc(count, sizeof *clients);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  for (int i = 0; i < count; i++) {
    struct client *client = clients + i;
    client->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->socket < 0) fail("socket");
    if (connect(client->socket, (struct sockaddr *)&address, sizeof address)) fail("connect");
    client->request = malloc(length);
    memcpy(client->request, template, length);
    number(client->request, 1, i);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, client->socket, &event)) fail("epoll_ctl");
  }
  return clients;
}

static ssize_t receive(struct client *client) {
  ssize_t n = recv(client->socket, chunk, sizeof chunk, MSG_DONTWAIT);
  if (n < 0) fail("recv");
  if (n == 0) {
    fprintf(stderr, "the server closed a connection\n");
    exit(1);
  }
  return n;
}

static void require_prefix(struct client *client, ssize_t n, const char *prefix) {
  for (size_t at = client->seen; at < client->seen + n && at < strlen(prefix); at++)
    if (chunk[at - client->seen] != prefix[at]) {
      fprintf(stderr, "a reply is not what it should be: %.*s\n", (int)(n < 300 ? n : 300), chunk);
      exit(1);
    }
}

static int ask(int poll, int argc, char **argv) {
  if (argc < 8) return 2;
  int count = atoi(argv[3]), ending = atoi(argv[5]), endings = atoi(argv[6]);
  double seconds = atof(argv[4]), end = 0;
  struct client *clients = connect_all(argv[2], count, poll);
  struct epoll_event events[1024];
  long asked = 0, replies = 0;
  int outstanding = 0;
  double begin = now();
  for (int i = 0; i < count; i++, outstanding++) {
    number(clients[i].request, 2, asked++);
    send_request(clients + i);
  }
  while (outstanding > 0) {
    int ready = epoll_wait(poll, events, 1024, 20000);
    if (ready <= 0) {
      fprintf(stderr, "no reply for 20 s\n");
      return 1;
    }
    for (int i = 0; i < ready; i++) {
      struct client *client = events[i].data.ptr;
      ssize_t n = receive(client);
      require_prefix(client, n, argv[7]);
      client->seen += n;
      for (char *at = chunk; (at = memchr(at, ending, chunk + n - at)); at++) client->endings++;
      if (client->endings < endings) continue;
      client->seen = client->endings = 0;
      replies++;
      end = now();
      if (end - begin >= seconds) {
        outstanding--;
        continue;
      }
      number(client->request, 2, asked++);
      send_request(client);
    }
  }
  printf("%ld %.6f %.6f\n", replies, end - begin, busy());
  return 0;
}

static void read_replies(struct client *client, ssize_t n) {
  char *from = chunk;
  for (char *at; (at = memchr(from, 0, chunk + n - from)); from = at + 1) {
    char tail[TAIL];
    size_t found = at - from, here = found < TAIL ? found : TAIL;
    memcpy(tail, client->tail + here, TAIL - here);
    memcpy(tail + TAIL - here, at - here, here);
    client->replies++;
    client->over = memcmp(tail, CONTINUES, TAIL) != 0;
  }
  size_t rest = chunk + n - from, kept = rest < TAIL ? rest : TAIL;
  memmove(client->tail, client->tail + kept, TAIL - kept);
  memcpy(client->tail + TAIL - kept, chunk + n - kept, kept);
}

static int watch(int poll, int argc, char **argv) {
  if (argc < 4) return 2;
  int count = atoi(argv[3]), watching = 0, over = 0;
  struct client *clients = connect_all(argv[2], count, poll);
  struct epoll_event events[1024];
  long replies = 0;
  for (int i = 0; i < count; i++) send_request(clients + i);
  while (over < count) {
    int ready = epoll_wait(poll, events, 1024, -1);
    for (int i = 0; i < ready; i++) {
      struct client *client = events[i].data.ptr;
      long before = client->replies;
      read_replies(client, receive(client));
      replies += client->replies - before;
      if (before == 0 && client->replies > 0 && ++watching == count) {
        puts("watching");
        fflush(stdout);
      }
      if (client->over) {
        over++;
        epoll_ctl(poll, EPOLL_CTL_DEL, client->socket, NULL);
      }
    }
  }
  printf("%ld %.6f\n", replies, busy());
  return 0;
}

int main(int argc, char **argv) {
  template = malloc(MAX_REQUEST);
  for (ssize_t n; (n = read(0, template + length, MAX_REQUEST - length)) > 0;) length += n;
  find_places();
  int poll = epoll_create1(EPOLL_CLOEXEC);
  int code = 2;
  if (argc > 1 && strcmp(argv[1], "ask") == 0) code = ask(poll, argc, argv);
  if (argc > 1 && strcmp(argv[1], "watch") == 0) code = watch(poll, argc, argv);
  if (code == 2) fprintf(stderr, "usage: see the first lines of load.c\n");
  return code;
}

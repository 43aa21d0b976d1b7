/* What the machine can do: vfork, exec and wait, and nothing else.
 *
 * usage: limit COUNT AT_ONCE PROGRAM [ARGUMENT...]
 *
 * Prints the seconds it took to standard error, since what the programs print goes to standard
 * output. Ends with 1 if one of them did not end with 0. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s COUNT AT_ONCE PROGRAM [ARGUMENT...]\n", argv[0]);
    return 2;
  }
  int count = atoi(argv[1]), at_once = atoi(argv[2]);
  int running = 0, started = 0, failed = 0;
  double begin = now();
  while (started < count || running > 0) {
    while (running < at_once && started < count) {
      pid_t pid = vfork();
      if (pid == 0) {
        execv(argv[3], argv + 3);
        _exit(127);
      }
      if (pid < 0) {
        perror("vfork");
        return 1;
      }
      running++;
      started++;
    }
    int status;
    if (wait(&status) > 0) {
      running--;
      if (status != 0) failed++;
    }
  }
  double seconds = now() - begin;
  if (failed > 0) {
    fprintf(stderr, "%d of %d times %s failed\n", failed, count, argv[3]);
    return 1;
  }
  fprintf(stderr, "%.6f\n", seconds);
  return 0;
}

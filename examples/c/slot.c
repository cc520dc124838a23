/* A slot loop: every slot, one 64x16 block for each of 273 PRB, one call each, and how long the calls took.
 *
 *   cc -O2 slot.c $(pkg-config --cflags --libs chest) -lm -o slot
 *   taskset -c 1 ./slot scm_64x16.h5 370      (370 slots: 10^5 calls)
 */
#define _POSIX_C_SOURCE 199309L
#include <chest.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "rays.h"

enum { n_prb = 273 };

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  const char *path = argc > 1 ? argv[1] : "scm_64x16.h5";
  const int n_slots = argc > 2 ? atoi(argv[2]) : 4;
  const double start_us = now_us();
  chest_model *model = NULL;
  chest_session *session = NULL;
  if (n_slots < 1 || chest_model_open(path, NULL, &model) || chest_session_create(model, NULL, &session)) {
    fprintf(stderr, "slot: %s\n", n_slots < 1 ? "expected a number of slots" : chest_last_error());
    return 1;
  }
  printf("model and session ready after %.1f ms\n", 1e-3 * (now_us() - start_us));
  chest_info info = {0};
  info.struct_size = sizeof info;
  chest_model_info(model, &info);
  const int n_h = (int)(info.n_rx * info.n_tx);
  float *y = malloc(sizeof(float) * 2 * n_prb * (size_t)n_h), *h_hat = malloc(sizeof(float) * 2 * (size_t)n_h);
  double *us = malloc(sizeof(double) * (size_t)n_slots * n_prb);
  rng r = {1};
  float sigma2 = 0.1F;
  for (int b = 0; b < n_prb; ++b) {
    draw_channel(&r, (int)info.n_rx, (int)info.n_tx, y + 2 * b * n_h);
    add_noise(&r, y + 2 * b * n_h, n_h, sigma2, y + 2 * b * n_h);
  }
  chest_tensor from = {0}, to = {0}, noise = {0};
  from.struct_size = to.struct_size = noise.struct_size = sizeof from;
  from.dtype = to.dtype = CHEST_CF32;
  from.rank = to.rank = 2; /* [rx, pilot] and [rx, tx] */
  from.dim[0] = to.dim[0] = info.n_rx;
  from.dim[1] = to.dim[1] = info.n_tx;
  from.stride[0] = to.stride[0] = info.n_tx;
  from.stride[1] = to.stride[1] = 1;
  to.data = h_hat;
  noise.dtype = CHEST_F32;
  noise.data = &sigma2;
  int n_calls = 0, status = 0;
  for (int slot = 0; slot < n_slots && !status; ++slot) {
    for (int b = 0; b < n_prb && !status; ++b) {
      from.data = y + 2 * b * n_h;
      const double begin = now_us();
      status = chest_estimate(session, &from, &noise, &to, NULL, NULL);
      us[n_calls++] = now_us() - begin;
    }
  }
  if (status) fprintf(stderr, "slot: %s\n", chest_session_error(session));

  qsort(us, (size_t)n_calls, sizeof *us, ascending);
  printf("%d calls, one channel each: p50 %.0f us, p99 %.0f us, p99.9 %.0f us, most %.0f us\n", n_calls,
         us[n_calls / 2], us[n_calls * 99LL / 100], us[n_calls * 999LL / 1000], us[n_calls - 1]);
  for (double edge = 50.0; edge < 2.0 * us[n_calls - 1]; edge *= 1.25) {
    int count = 0;
    for (int i = 0; i < n_calls; ++i) count += us[i] >= edge / 1.25 && us[i] < edge;
    if (count > 0) printf("%8.0f us  %d\n", edge, count);
  }
  chest_session_destroy(session);
  chest_model_close(model);
  free(y), free(h_hat), free(us);
  return status;
}

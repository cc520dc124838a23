/* A plug-in with plain C symbols, as OpenAirInterface loads them.
 *
 *   cc -shared -fPIC oai_estimator.c $(pkg-config --cflags --libs chest) -o libchest_estimator.so
 */
#include "oai_estimator.h"

#include <chest.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
  chest_model* model;
  chest_session* session;
  chest_info info;
  int32_t most;
  c16_t *y, *h;     /* [most, n_rx, n_tx]: the arrays of the layers put together */
  float* error_var; /* [most] */
} estimator;

/* Found by their names, so not static. */
chest_estimator_init_t chest_estimator_init;
chest_estimator_estimate_t chest_estimator_estimate;
chest_estimator_shutdown_t chest_estimator_shutdown;

int32_t chest_estimator_shutdown(void* state) {
  estimator* e = state;
  if (!e) return 0;
  chest_session_destroy(e->session);
  chest_model_close(e->model);
  free(e->y), free(e->h), free(e->error_var), free(e);
  return 0;
}

int32_t chest_estimator_init(const char* model, int32_t n_rx, int32_t n_layers, int32_t most,
                             void** state) {
  estimator* e = most > 0 ? calloc(1, sizeof *e) : NULL;
  chest_options options = {0};
  options.struct_size = sizeof options;
  options.flags = CHEST_POWER_SCALE; /* the gain of the receiver is not the model's affair */
  if (!e || chest_model_open(model, NULL, &e->model) ||
      chest_session_create(e->model, &options, &e->session)) {
    fprintf(stderr, "chest_estimator_init: %s\n", e ? chest_last_error() : "most is not positive");
    chest_estimator_shutdown(e);
    return -1;
  }
  e->info.struct_size = sizeof e->info;
  chest_model_info(e->model, &e->info);
  if ((int32_t)e->info.n_rx != n_rx || (int32_t)e->info.n_tx != n_layers) {
    fprintf(stderr, "chest_estimator_init: %s is %ux%u; expected %dx%d\n", model, e->info.n_rx,
            e->info.n_tx, n_rx, n_layers);
    chest_estimator_shutdown(e);
    return -1;
  }
  e->most = most;
  const size_t n = (size_t)most * e->info.n_rx * e->info.n_tx;
  e->y = malloc(n * sizeof *e->y);
  e->h = malloc(n * sizeof *e->h);
  e->error_var = malloc((size_t)most * sizeof *e->error_var);
  if (!e->y || !e->h || !e->error_var) {
    fprintf(stderr, "chest_estimator_init: memory ran out\n");
    chest_estimator_shutdown(e);
    return -1;
  }
  *state = e;
  return 0;
}

int32_t chest_estimator_estimate(void* state, const c16_t* const* ls, c16_t* const* est,
                                 int32_t first, int32_t step, int32_t n, uint32_t nvar,
                                 uint32_t* error_var) {
  estimator* e = state;
  if (n < 1 || n > e->most) return -1;
  const int32_t n_rx = (int32_t)e->info.n_rx, n_tx = (int32_t)e->info.n_tx, n_h = n_rx * n_tx;
  for (int32_t layer = 0; layer < n_tx; ++layer) {
    for (int32_t rx = 0; rx < n_rx; ++rx) {
      const c16_t* from = ls[layer * n_rx + rx] + first;
      for (int32_t k = 0; k < n; ++k) e->y[k * n_h + rx * n_tx + layer] = from[k * step];
    }
  }
  const float unit = 1.0F / 32768.0F; /* what chest takes an integer for */
  float noise = nvar ? (float)nvar * unit * unit : NAN;
  chest_tensor y = {0}, h, noise_var = {0}, errors = {0};
  y.struct_size = noise_var.struct_size = errors.struct_size = sizeof y;
  y.dtype = CHEST_CI16;
  y.rank = 3;
  y.dim[0] = n, y.dim[1] = n_rx, y.dim[2] = n_tx;
  y.stride[0] = n_h, y.stride[1] = n_tx, y.stride[2] = 1;
  h = y;
  y.data = e->y;
  h.data = e->h;
  noise_var.dtype = errors.dtype = CHEST_F32;
  noise_var.data = &noise;
  errors.rank = 1;
  errors.dim[0] = n;
  errors.stride[0] = 1;
  errors.data = e->error_var;
  if (chest_estimate(e->session, &y, &noise_var, &h, &errors, NULL)) return -1;
  for (int32_t layer = 0; layer < n_tx; ++layer) {
    for (int32_t rx = 0; rx < n_rx; ++rx) {
      c16_t* to = est[layer * n_rx + rx] + first;
      for (int32_t k = 0; k < n; ++k) to[k * step] = e->h[k * n_h + rx * n_tx + layer];
    }
  }
  double mean = 0.0;
  for (int32_t k = 0; k < n; ++k) mean += e->error_var[k] / (double)n;
  *error_var = (uint32_t)lrint(mean / ((double)unit * unit));
  return 0;
}

/* Estimates a batch of channels from a model file.
 *
 *   cc estimate.c $(pkg-config --cflags --libs chest) -lm -o estimate
 *   ./estimate scm_64x16.h5
 */
#include <chest.h>
#include <stdio.h>
#include <stdlib.h>

#include "rays.h"

/* A packed complex float array [batch, rows, columns]. */
static chest_tensor view(float *data, int64_t batch, int64_t rows, int64_t columns) {
  chest_tensor v = {0};
  v.struct_size = sizeof v;
  v.dtype = CHEST_CF32;
  v.rank = 3;
  v.dim[0] = batch, v.dim[1] = rows, v.dim[2] = columns;
  v.stride[0] = rows * columns, v.stride[1] = columns, v.stride[2] = 1;
  v.data = data;
  return v;
}

int main(int argc, char **argv) {
  const char *path = argc > 1 ? argv[1] : "scm_64x16.h5";
  chest_model *model = NULL;
  chest_session *session = NULL;
  if (chest_model_open(path, NULL, &model) || chest_session_create(model, NULL, &session)) {
    fprintf(stderr, "estimate: %s\n", chest_last_error());
    return 1;
  }
  chest_info info = {0};
  info.struct_size = sizeof info;
  chest_model_info(model, &info);
  printf("%s, %ux%u, %s %s\n", info.kind, info.n_rx, info.n_tx, info.engine, info.target);

  enum { n = 16 };
  const int n_h = (int)(info.n_rx * info.n_tx);
  float *h = malloc(sizeof(float) * 2 * n * (size_t)n_h), *y = malloc(sizeof(float) * 2 * n * (size_t)n_h);
  float *h_hat = malloc(sizeof(float) * 2 * n * (size_t)n_h), err_var[n];
  rng r = {1};
  for (int k = 0; k < n; ++k) draw_channel(&r, (int)info.n_rx, (int)info.n_tx, h + 2 * k * n_h);

  printf("snr_db  ls_db  model_db  err_var_db\n");
  int status = 0;
  for (int snr_db = -10; snr_db <= 20; snr_db += 10) {
    float sigma2 = (float)pow(10.0, -0.1 * snr_db);
    add_noise(&r, h, n * n_h, sigma2, y);
    chest_tensor from = view(y, n, info.n_rx, info.n_tx), to = view(h_hat, n, info.n_rx, info.n_tx);
    chest_tensor noise = {0}, errors = {0};
    noise.struct_size = errors.struct_size = sizeof noise;
    noise.dtype = errors.dtype = CHEST_F32;
    noise.data = &sigma2; /* rank 0: of all items */
    errors.rank = 1;
    errors.dim[0] = n;
    errors.stride[0] = 1;
    errors.data = err_var;
    if (chest_estimate(session, &from, &noise, &to, &errors, NULL)) {
      fprintf(stderr, "estimate: %s\n", chest_session_error(session));
      status = 1;
      break;
    }
    double mean = 0.0;
    for (int k = 0; k < n; ++k) mean += err_var[k] / n;
    const double ls = nmse_db(y, h, n * n_h), found = nmse_db(h_hat, h, n * n_h);
    printf("%6d %6.1f %9.1f %11.1f\n", snr_db, ls, found, 10.0 * log10(mean));
    if (!(found < ls)) status = 1; /* a prior that does not help here is broken */
  }
  chest_session_destroy(session);
  chest_model_close(model);
  free(h), free(y), free(h_hat);
  return status;
}

/* Received I/Q as int16, as a fronthaul hands it over, subcarriers' blocks one after the other and antennas
 * outermost: the same estimates as from floats, with no copy by the caller.
 *
 *   cc int16.c $(pkg-config --cflags --libs chest) -lm -o int16 && ./int16 scm_64x16.h5
 */
#include <chest.h>
#include <stdio.h>
#include <stdlib.h>

#include "rays.h"

enum { n = 16 };

int main(int argc, char **argv) {
  const char *path = argc > 1 ? argv[1] : "scm_64x16.h5";
  chest_model *model = NULL;
  chest_session *session = NULL;
  if (chest_model_open(path, NULL, &model) || chest_session_create(model, NULL, &session)) {
    fprintf(stderr, "int16: %s\n", chest_last_error());
    return 1;
  }
  chest_info info = {0};
  info.struct_size = sizeof info;
  chest_model_info(model, &info);
  const int n_rx = (int)info.n_rx, n_tx = (int)info.n_tx, n_h = n_rx * n_tx;
  float *h = malloc(sizeof(float) * 2 * n * (size_t)n_h), *y = malloc(sizeof(float) * 2 * n * (size_t)n_h);
  float *of_float = malloc(sizeof(float) * 2 * n * (size_t)n_h), *of_int = malloc(sizeof(float) * 2 * n * (size_t)n_h);
  int16_t *iq = malloc(sizeof(int16_t) * 2 * n * (size_t)n_h);
  rng r = {1};
  float sigma2 = 0.01F;
  for (int k = 0; k < n; ++k) draw_channel(&r, n_rx, n_tx, h + 2 * k * n_h);
  add_noise(&r, h, n * n_h, sigma2, y);
  /* 10 bits of a 16-bit word, the level that an automatic gain control leaves: 1.0 is 512. */
  const float step = 1.0F / 512.0F;
  for (int k = 0; k < n; ++k) {
    for (int i = 0; i < n_rx; ++i) {
      for (int j = 0; j < n_tx; ++j) {
        for (int part = 0; part < 2; ++part) {
          float value = roundf(y[2 * (k * n_h + i * n_tx + j) + part] / step);
          value = value > 32767.0F ? 32767.0F : value < -32768.0F ? -32768.0F : value;
          iq[2 * ((i * n + k) * n_tx + j) + part] = (int16_t)value; /* [rx, batch, pilot] */
        }
      }
    }
  }
  chest_tensor from = {0}, to = {0}, noise = {0};
  from.struct_size = to.struct_size = noise.struct_size = sizeof from;
  from.dtype = to.dtype = CHEST_CF32;
  from.rank = to.rank = 3;
  from.dim[0] = to.dim[0] = n, from.dim[1] = to.dim[1] = n_rx, from.dim[2] = to.dim[2] = n_tx;
  from.stride[0] = to.stride[0] = n_h, from.stride[1] = to.stride[1] = n_tx, from.stride[2] = to.stride[2] = 1;
  from.data = y;
  to.data = of_float;
  noise.dtype = CHEST_F32;
  noise.data = &sigma2; /* of the values, not of the integers */
  int status = chest_estimate(session, &from, &noise, &to, NULL, NULL);
  from.dtype = CHEST_CI16;
  from.data = iq;
  from.scale = step;
  from.stride[0] = n_tx, from.stride[1] = n * n_tx;
  to.data = of_int;
  if (!status) status = chest_estimate(session, &from, &noise, &to, NULL, NULL);
  if (status) fprintf(stderr, "int16: %s\n", chest_session_error(session));
  const double with_float = nmse_db(of_float, h, n * n_h), with_int = nmse_db(of_int, h, n * n_h);
  printf("NMSE %.3f dB from float, %.3f dB from int16\n", with_float, with_int);
  if (!(fabs(with_int - with_float) < 0.05)) status = 1;
  chest_session_destroy(session);
  chest_model_close(model);
  free(h), free(y), free(of_float), free(of_int), free(iq);
  return status;
}

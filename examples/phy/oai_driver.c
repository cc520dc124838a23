/* Loads libchest_estimator.so as OpenAirInterface loads its modules, and feeds it slots: int16 I/Q at the level of
 * an automatic gain control, an FFT of 4096 with 273 PRB, one channel for each PRB, in place.
 *
 *   cc oai_driver.c -ldl -lm -o oai_driver && ./oai_driver ./libchest_estimator.so scm_16x4.h5 16 4 chest
 */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>

#include "oai_estimator.h"
#include "program.h"

enum { n_prb = 273, fft = 4096, n_slots = 4, level = 512, pilot_symbol = 2 };

/* What a caller keeps of a module. */
typedef struct {
  chest_estimator_init_t* init;
  chest_estimator_estimate_t* estimate;
  chest_estimator_shutdown_t* shutdown;
} module;

static int load(const char* path, module* found) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "oai_driver: %s\n", dlerror());
    return -1;
  }
  const char* names[3] = {CHEST_ESTIMATOR_INIT, CHEST_ESTIMATOR_ESTIMATE, CHEST_ESTIMATOR_SHUTDOWN};
  void* symbols[3];
  for (int i = 0; i < 3; ++i) {
    if (!(symbols[i] = dlsym(library, names[i]))) {
      fprintf(stderr, "oai_driver: %s has no %s\n", path, names[i]);
      return -1;
    }
  }
  memcpy(found, symbols, sizeof symbols);
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: oai_driver LIBRARY MODEL N_RX N_LAYERS CHEST\n");
    return 2;
  }
  const int n_rx = atoi(argv[3]), n_tx = atoi(argv[4]), n_h = n_rx * n_tx;
  const double snr_db = 10.0, sigma2 = pow(10.0, -0.1 * snr_db);
  module chest;
  void* state = NULL;
  if (n_h < 1 || load(argv[1], &chest) || chest.init(argv[2], n_rx, n_tx, n_prb, &state)) return 1;

  rng r = {7};
  const int n = n_slots * n_prb;
  float* h = malloc(sizeof(float) * 2 * (size_t)n * (size_t)n_h);
  float* y = malloc(sizeof(float) * 2 * (size_t)n * (size_t)n_h);
  float* h_hat = malloc(sizeof(float) * 2 * (size_t)n * (size_t)n_h);
  c16_t** est = malloc(sizeof(c16_t*) * (size_t)n_h);
  for (int i = 0; i < n_h; ++i) est[i] = calloc(14 * fft, sizeof(c16_t));
  draw_channels(&r, n, n_rx, n_tx, h);
  add_noise(&r, h, n * n_h, sigma2, y);
  double predicted = 0.0;
  int status = 0;
  for (int slot = 0; slot < n_slots && !status; ++slot) {
    /* The first subcarrier of every PRB on the pilot symbol. */
    const int first = pilot_symbol * fft, step = 12;
    for (int k = 0; k < n_prb; ++k) {
      for (int i = 0; i < n_h; ++i) {
        const float* from = y + 2 * ((slot * n_prb + k) * n_h + i);
        c16_t* to = &est[i % n_tx * n_rx + i / n_tx][first + k * step];
        to->r = (int16_t)lrint(fmax(-32768.0, fmin(32767.0, level * from[0])));
        to->i = (int16_t)lrint(fmax(-32768.0, fmin(32767.0, level * from[1])));
      }
    }
    uint32_t error_var = 0;
    status = chest.estimate(state, (const c16_t* const*)est, est, first, step, n_prb,
                            (uint32_t)lrint(sigma2 * level * level), &error_var);
    predicted += error_var / ((double)level * level * n_slots);
    for (int k = 0; k < n_prb; ++k) {
      for (int i = 0; i < n_h; ++i) {
        const c16_t found = est[i % n_tx * n_rx + i / n_tx][first + k * step];
        h_hat[2 * ((slot * n_prb + k) * n_h + i)] = (float)found.r / level;
        h_hat[2 * ((slot * n_prb + k) * n_h + i) + 1] = (float)found.i / level;
      }
    }
  }
  /* A call that cannot be made is refused and changes nothing. */
  uint32_t unused = 0;
  const c16_t before = est[0][pilot_symbol * fft];
  if (chest.estimate(state, (const c16_t* const*)est, est, pilot_symbol * fft, 12, n_prb + 1, 1,
                     &unused) == 0 ||
      est[0][pilot_symbol * fft].r != before.r) {
    status = 1;
  }
  chest.shutdown(state);
  const double ls = nmse_db(y, h, n * n_h), found = nmse_db(h_hat, h, n * n_h);
  const double of_program = program_nmse_db(argv[5], argv[2], h, n, n_rx, n_tx, snr_db);
  printf(
      "%d slots of %d PRB: LS %.2f dB, plug-in %.2f dB (predicted %.2f dB), chest sweep %.2f dB\n",
      n_slots, n_prb, ls, found, 10.0 * log10(predicted), of_program);
  /* Two draws of the noise: 0.1 dB is three standard deviations. */
  if (status || !(fabs(found - of_program) < 0.1) || !(found < ls)) {
    fprintf(stderr, "oai_driver: expected the NMSE of chest sweep\n");
    status = 1;
  }
  for (int i = 0; i < n_h; ++i) free(est[i]);
  free(h), free(y), free(h_hat), free(est);
  return status;
}

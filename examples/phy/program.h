/* What the drivers share: channels at power 1 per entry, and what the program says of them. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../c/rays.h"

/* n channels h [n, n_rx, n_tx], complex float, of mean power 1. */
static inline void draw_channels(rng* r, int n, int n_rx, int n_tx, float* h) {
  const int n_h = n_rx * n_tx;
  double power = 0.0;
  for (int k = 0; k < n; ++k) draw_channel(r, n_rx, n_tx, h + 2 * (size_t)k * (size_t)n_h);
  for (int i = 0; i < 2 * n * n_h; ++i) power += (double)h[i] * h[i];
  for (int i = 0; i < 2 * n * n_h; ++i) h[i] = (float)(h[i] / sqrt(power / ((double)n * n_h)));
}

/* The NMSE in dB that `chest sweep` finds on these channels with noise of its own; NaN if it fails. */
static inline double program_nmse_db(const char* program, const char* model, const float* h, int n,
                                     int n_rx, int n_tx, double snr_db) {
  static const char magic[] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 118, 0};
  char header[119], line[1024];
  /* The format of NumPy: 10 bytes, then 118 of text that end in a line feed, then the values. */
  const int used =
      snprintf(header, sizeof header,
               "{'descr': '<c8', 'fortran_order': False, 'shape': (%d, %d, %d)}", n, n_rx, n_tx);
  memset(header + used, ' ', sizeof header - (size_t)used);
  header[117] = '\n';
  FILE* file = fopen("phy_channels.npy", "wb");
  if (!file) return NAN;
  fwrite(magic, 1, sizeof magic, file);
  fwrite(header, 1, 118, file);
  fwrite(h, 2 * sizeof(float) * (size_t)n_rx * (size_t)n_tx, (size_t)n, file);
  if (fclose(file)) return NAN;
  snprintf(line, sizeof line,
           "'%s' sweep --quiet --channels phy_channels.npy --model '%s' --estimators dmse "
           "--snr %.17g --csv phy.csv --force > phy.txt",
           program, model, snr_db);
  if (system(line)) return NAN;
  file = fopen("phy.csv", "r");
  if (!file) return NAN;
  double found = NAN;
  char names[4096], values[4096];
  if (fgets(names, sizeof names, file) && fgets(values, sizeof values, file)) {
    char *name = names, *value = values;
    while (name && value && strncmp(name, "nmse_db,", 8) != 0) {
      name = strchr(name, ',');
      value = strchr(value, ',');
      name = name ? name + 1 : NULL;
      value = value ? value + 1 : NULL;
    }
    if (name && value) found = atof(value);
  }
  fclose(file);
  return found;
}

#endif

/* Channels for the examples: a few plane waves between uniform linear arrays, at power 1 per entry. */
#ifndef RAYS_H
#define RAYS_H

#include <math.h>
#include <stdint.h>

typedef struct rng {
  uint64_t state;
} rng;

/* Uniform in 0 .. 1 (splitmix64). */
static inline double uniform(rng *r) {
  uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Real and imaginary part of a complex Gaussian of variance 1. */
static inline void gaussian(rng *r, double *re, double *im) {
  const double radius = sqrt(-log(1.0 - uniform(r))), angle = 6.283185307179586 * uniform(r);
  *re = radius * cos(angle);
  *im = radius * sin(angle);
}

/* h [n_rx, n_tx], real and imaginary parts interleaved. */
static inline void draw_channel(rng *r, int n_rx, int n_tx, float *h) {
  enum { n_rays = 8 };
  double rx[n_rays], tx[n_rays], re[n_rays], im[n_rays];
  const double rx_center = 2.0 * uniform(r) - 1.0, tx_center = 2.0 * uniform(r) - 1.0;
  for (int k = 0; k < n_rays; ++k) {
    rx[k] = 3.141592653589793 * (rx_center + 0.05 * (uniform(r) - 0.5));
    tx[k] = 3.141592653589793 * (tx_center + 0.05 * (uniform(r) - 0.5));
    gaussian(r, &re[k], &im[k]);
  }
  for (int i = 0; i < n_rx; ++i) {
    for (int j = 0; j < n_tx; ++j) {
      double x = 0.0, y = 0.0;
      for (int k = 0; k < n_rays; ++k) {
        const double phase = rx[k] * i + tx[k] * j, c = cos(phase), s = sin(phase);
        x += re[k] * c - im[k] * s;
        y += re[k] * s + im[k] * c;
      }
      h[2 * (i * n_tx + j)] = (float)(x / sqrt((double)n_rays));
      h[2 * (i * n_tx + j) + 1] = (float)(y / sqrt((double)n_rays));
    }
  }
}

/* y = h + noise of variance sigma2; n complex numbers. */
static inline void add_noise(rng *r, const float *h, int n, double sigma2, float *y) {
  for (int i = 0; i < n; ++i) {
    double re, im;
    gaussian(r, &re, &im);
    y[2 * i] = h[2 * i] + (float)(sqrt(sigma2) * re);
    y[2 * i + 1] = h[2 * i + 1] + (float)(sqrt(sigma2) * im);
  }
}

/* ||a - b||^2 / ||b||^2 in dB, of n complex numbers. */
static inline double nmse_db(const float *a, const float *b, int n) {
  double error = 0.0, power = 0.0;
  for (int i = 0; i < 2 * n; ++i) {
    error += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    power += (double)b[i] * b[i];
  }
  return 10.0 * log10(error / power);
}

#endif

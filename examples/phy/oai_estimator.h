/* The symbols of libchest_estimator.so, as a loader finds them by name.
 *
 * Shaped like OpenAirInterface's loadable modules (lib<name><version>.so with functions that dlsym() finds, a
 * struct of pointers in the caller) and its uplink buffers: int16 I/Q, one array per layer and receive antenna,
 * est[layer * n_rx + rx][symbol offset + subcarrier], noise in squared integers.
 */
#ifndef OAI_ESTIMATOR_H
#define OAI_ESTIMATOR_H

#include <stdint.h>

typedef struct c16 {
  int16_t r, i;
} c16_t;

/* Opens a model of n_rx receive antennas and n_layers layers for one thread, for calls of at most `most` channels.
 * 0, or -1 with a line on stderr. */
typedef int32_t(chest_estimator_init_t)(const char* model, int32_t n_rx, int32_t n_layers,
                                        int32_t most, void** state);
/* Replaces least squares by the model's estimates, for the n subcarriers first, first + step ...
 *   ls    in, [layer * n_rx + rx][subcarrier]: least squares at the pilots, any gain
 *   est   out, the same form; may be `ls`
 *   nvar  noise variance of an entry of ls, in squared integers; 0: found
 *   error_var  out, predicted error variance of an entry of est, mean of the n
 * 0, or -1: est is what it was. Allocates and prints nothing. */
typedef int32_t(chest_estimator_estimate_t)(void* state, const c16_t* const* ls, c16_t* const* est,
                                            int32_t first, int32_t step, int32_t n, uint32_t nvar,
                                            uint32_t* error_var);
typedef int32_t(chest_estimator_shutdown_t)(void* state);

#define CHEST_ESTIMATOR_INIT "chest_estimator_init"
#define CHEST_ESTIMATOR_ESTIMATE "chest_estimator_estimate"
#define CHEST_ESTIMATOR_SHUTDOWN "chest_estimator_shutdown"

#endif

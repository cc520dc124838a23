/* Random calls: types, ranks, strides, scales and values, right and wrong, into memory that ends where the views
 * end, so that a sanitizer sees every step beyond. Right ones have to end well.
 *
 *   random_calls MODEL N_CALLS [SEED]
 */
#include <chest.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;
static uint64_t bits(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
static int below(int n) { return (int)(bits() % (uint64_t)n); }

static size_t bytes_of(int dtype) {
  switch (dtype) {
    case CHEST_CF64: return 16;
    case CHEST_CI16:
    case CHEST_CBF16: return 4;
    case CHEST_F32: return 4;
    default: return 8;
  }
}

/* A view of new memory with the axes in any order, gaps between elements, and axes that run backwards.
 * Returns the memory, to be freed. */
static char *make_view(chest_tensor *v, int dtype, uint32_t rank, const int64_t *dim) {
  memset(v, 0, sizeof *v);
  v->struct_size = sizeof *v;
  v->dtype = (uint16_t)dtype;
  v->rank = rank;
  int order[3] = {0, 1, 2};
  for (int i = (int)rank - 1; i > 0; --i) {
    const int j = below(i + 1), swap = order[i];
    order[i] = order[j], order[j] = swap;
  }
  int64_t step = 1 + below(2), first = 0, last = 0;
  for (uint32_t i = 0; i < rank; ++i) {
    const int axis = order[i];
    v->dim[axis] = dim[axis];
    v->stride[axis] = below(4) == 0 ? -step : step;
    const int64_t reach = (dim[axis] - 1) * v->stride[axis];
    if (reach < 0) first += reach; else last += reach;
    step = step * dim[axis] + below(2);
  }
  const size_t size = bytes_of(dtype), n = (size_t)(last - first + 1);
  char *memory = malloc(n * size);
  for (size_t i = 0; i < n * size; ++i) memory[i] = 0;
  v->data = memory + (size_t)(-first) * size;
  if (dtype == CHEST_CI16) v->scale = 1.0F / 4096.0F;
  for (size_t i = 0; i < n; ++i) {
    const double re = (double)(bits() % 8192) / 4096.0 - 1.0, im = (double)(bits() % 8192) / 4096.0 - 1.0;
    if (dtype == CHEST_CF32) {
      const float x[2] = {(float)re, (float)im};
      memcpy(memory + i * size, x, size);
    } else if (dtype == CHEST_CF64) {
      const double x[2] = {re, im};
      memcpy(memory + i * size, x, size);
    } else if (dtype == CHEST_CI16) {
      const int16_t x[2] = {(int16_t)(4096 * re), (int16_t)(4096 * im)};
      memcpy(memory + i * size, x, size);
    } else if (dtype == CHEST_CBF16) {
      const uint16_t x[2] = {(uint16_t)(0x3f00 + below(256)), (uint16_t)(0xbf00 + below(256))};
      memcpy(memory + i * size, x, size);
    }
  }
  return memory;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const long n_calls = atol(argv[2]);
  state = argc > 3 ? (uint64_t)atoll(argv[3]) : 1;
  chest_model *model = NULL;
  chest_session *session = NULL;
  if (chest_model_open(argv[1], NULL, &model) || chest_session_create(model, NULL, &session)) {
    fprintf(stderr, "random_calls: %s\n", chest_last_error());
    return 1;
  }
  chest_info info = {0};
  info.struct_size = sizeof info;
  chest_model_info(model, &info);
  long n_good = 0, n_marked = 0, n_refused = 0;
  for (long call = 0; call < n_calls; ++call) {
    const uint32_t rank = below(4) == 0 ? 2 : 3;
    const int64_t n = rank == 3 ? 1 + below(3) : 1;
    int64_t dim[3] = {n, info.n_rx, info.n_tx};
    if (rank == 2) dim[0] = info.n_rx, dim[1] = info.n_tx;
    chest_tensor y, h, noise, errors;
    int right = 1;
    char *y_memory = make_view(&y, below(4), rank, dim), *h_memory = make_view(&h, below(4), rank, dim);
    float variance[3] = {0.1F, 0.1F, 0.1F}, err_var[3];
    for (int k = 0; k < 3; ++k) variance[k] = powf(10.0F, (float)(below(80) - 40) / 10.0F);
    memset(&noise, 0, sizeof noise);
    noise.struct_size = sizeof noise;
    noise.dtype = CHEST_F32;
    noise.data = variance;
    if (below(2)) noise.rank = 1, noise.dim[0] = n, noise.stride[0] = 1;
    errors = noise;
    errors.data = err_var;
    errors.rank = 1, errors.dim[0] = n, errors.stride[0] = 1;
    if (info.finds_noise && below(8) == 0) variance[0] = NAN;
    /* Values that no receiver hands over, and arguments that are wrong. */
    switch (below(12)) {
      case 0:
        if (y.dtype == CHEST_CF32) ((float *)y.data)[0] = below(2) ? NAN : INFINITY, right = -1;
        break;
      case 1:
        if (y.dtype == CHEST_CF32) ((float *)y.data)[1] = 1e-41F;
        break;
      case 2:
        if (y.dtype == CHEST_CF64) ((double *)y.data)[0] = 1e300, right = -1;
        break;
      case 3:
        variance[0] = below(2) ? 0.0F : -1.0F, right = 0;
        break;
      case 4:
        y.dim[below((int)rank)] += 1 - 2 * below(2), right = 0;
        break;
      case 5:
        h.dtype = (uint16_t)(4 + below(200)), right = 0;
        break;
      case 6:
        y.rank = (uint32_t)below(20), right = y.rank == rank;
        break;
      case 7:
        noise.rank = 2 + (uint32_t)below(9), right = 0;
        break;
      case 8:
        h.data = NULL, right = 0;
        break;
      default:
        break;
    }
    const chest_status status = chest_estimate(session, &y, &noise, &h, below(2) ? &errors : NULL, NULL);
    n_good += status == CHEST_OK;
    n_marked += status == CHEST_E_NUMERIC;
    n_refused += status != CHEST_OK && status != CHEST_E_NUMERIC;
    /* int16 and bfloat16 may be all zero by chance in small arrays: then an item is marked. */
    const int as_expected = right == 1   ? status == CHEST_OK || status == CHEST_E_NUMERIC
                            : right == 0 ? status != CHEST_OK
                                         : status == CHEST_E_NUMERIC;
    if (!as_expected || status == CHEST_E_INTERNAL) {
      fprintf(stderr, "random_calls: call %ld: %s: %s\n", call, chest_status_str(status), chest_session_error(session));
      return 1;
    }
    free(y_memory);
    free(h_memory);
  }
  printf("%ld calls: %ld estimated, %ld marked, %ld refused\n", n_calls, n_good, n_marked, n_refused);
  chest_session_destroy(session);
  chest_model_close(model);
  return n_good < n_calls / 4;
}

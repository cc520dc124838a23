/* Counts what chest_estimate() asks of the system: allocations, locks, threads, output. None are allowed.
 *
 *   allocations MODEL ...
 */
#define _GNU_SOURCE
#include <chest.h>
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* Of this thread alone: those of a BLAS library go to sleep when they like. */
static __thread volatile int watching;
static volatile long n_allocations, n_frees, n_locks, n_threads, n_writes;

void *malloc(size_t size) {
  n_allocations += watching;
  return __libc_malloc(size);
}
void *calloc(size_t n, size_t size) {
  n_allocations += watching;
  return __libc_calloc(n, size);
}
void *realloc(void *memory, size_t size) {
  n_allocations += watching;
  return __libc_realloc(memory, size);
}
void *memalign(size_t alignment, size_t size) {
  n_allocations += watching;
  return __libc_memalign(alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **memory, size_t alignment, size_t size) {
  *memory = memalign(alignment, size);
  return *memory ? 0 : 12;
}
void free(void *memory) {
  n_frees += watching;
  __libc_free(memory);
}
int pthread_mutex_lock(pthread_mutex_t *mutex) {
  static int (*next)(pthread_mutex_t *);
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "pthread_mutex_lock");
  n_locks += watching;
  return next(mutex);
}
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
  static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
  n_threads += watching;
  return next(thread, attributes, start, argument);
}
ssize_t write(int file, const void *data, size_t size) {
  static ssize_t (*next)(int, const void *, size_t);
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "write");
  n_writes += watching;
  return next(file, data, size);
}

static int check(const char *path) {
  chest_model *model = NULL;
  chest_session *session = NULL;
  if (chest_model_open(path, NULL, &model) || chest_session_create(model, NULL, &session)) {
    fprintf(stderr, "allocations: %s: %s\n", path, chest_last_error());
    return 1;
  }
  chest_info info = {0};
  info.struct_size = sizeof info;
  chest_model_info(model, &info);
  enum { n = 3 };
  const size_t n_h = info.n_rx * info.n_tx;
  float *y = malloc(sizeof(float) * 2 * n * n_h), *h_hat = malloc(sizeof(float) * 2 * n * n_h), err_var[n];
  for (size_t i = 0; i < 2 * n * n_h; ++i) y[i] = (float)sin(0.1 * (double)(i * i));
  chest_tensor from = {0}, to = {0}, noise = {0}, errors = {0};
  from.struct_size = to.struct_size = noise.struct_size = errors.struct_size = sizeof from;
  from.dtype = to.dtype = CHEST_CF32;
  from.rank = to.rank = 3;
  from.dim[0] = to.dim[0] = n;
  from.dim[1] = to.dim[1] = info.n_rx;
  from.dim[2] = to.dim[2] = info.n_tx;
  from.stride[0] = to.stride[0] = (int64_t)n_h;
  from.stride[1] = to.stride[1] = info.n_tx;
  from.stride[2] = to.stride[2] = 1;
  from.data = y;
  to.data = h_hat;
  float sigma2 = 0.0F;
  noise.dtype = errors.dtype = CHEST_F32;
  noise.data = &sigma2;
  errors.rank = 1;
  errors.dim[0] = n;
  errors.stride[0] = 1;
  errors.data = err_var;
  n_allocations = n_frees = n_locks = n_threads = n_writes = 0;
  int failed = 0, n_calls = 0;
  watching = 1;
  /* Levels that are new, levels that come back, one below all that was fitted, and failures. */
  for (int snr_db = -30; snr_db <= 60; snr_db += 7) {
    sigma2 = (float)pow(10.0, -0.1 * snr_db);
    for (int again = 0; again < 2; ++again, ++n_calls) failed |= chest_estimate(session, &from, &noise, &to, &errors, NULL);
  }
  if (info.finds_noise) failed |= chest_estimate(session, &from, NULL, &to, &errors, NULL);
  sigma2 = -1.0F;
  const int refused = chest_estimate(session, &from, &noise, &to, &errors, NULL);
  watching = 0;
  printf("%-28s %s: %d calls: %ld allocations, %ld frees, %ld locks, %ld threads, %ld writes\n", path, info.kind,
         n_calls, n_allocations, n_frees, n_locks, n_threads, n_writes);
  chest_stats stats = {0};
  stats.struct_size = sizeof stats;
  chest_session_stats(session, &stats);
  if (failed) fprintf(stderr, "allocations: %s\n", chest_session_error(session));
  failed = failed || refused != CHEST_E_ARG || stats.allocates ||
           n_allocations + n_frees + n_locks + n_threads + n_writes > 0;
  chest_session_destroy(session);
  chest_model_close(model);
  free(y);
  free(h_hat);
  return failed;
}

int main(int argc, char **argv) {
  int failed = argc < 2;
  for (int i = 1; i < argc; ++i) failed |= check(argv[i]);
  return failed;
}

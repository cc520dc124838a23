/* Least processor time of a call of chest_estimate(), for bench/doors.sh: doors MODEL BATCH */
#include <chest.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>


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
  chest_model *model = NULL;
  chest_session *session = NULL;
  if (argc != 3 || chest_model_open(argv[1], NULL, &model) || chest_session_create(model, NULL, &session)) {
    fprintf(stderr, "doors: %s\n", argc != 3 ? "expected MODEL BATCH" : chest_last_error());
    return 1;
  }
  chest_info info = {0};
  info.struct_size = sizeof info;
  chest_model_info(model, &info);
  const int batch = atoi(argv[2]), n = (int)(batch * info.n_rx * info.n_tx);
  float *y = malloc(sizeof(float) * 2 * (size_t)n), *h = malloc(sizeof(float) * 2 * (size_t)n);
  for (int i = 0; i < 2 * n; ++i) y[i] = 2.0F * (float)rand() / (float)RAND_MAX - 1.0F;
  float sigma2 = 0.1F, *error = malloc(sizeof(float) * (size_t)batch);
  chest_tensor from = view(y, batch, info.n_rx, info.n_tx), to = view(h, batch, info.n_rx, info.n_tx);
  chest_tensor noise = {0}, errors = {0};
  noise.struct_size = errors.struct_size = sizeof noise;
  noise.dtype = errors.dtype = CHEST_F32;
  noise.data = &sigma2;
  errors.rank = 1, errors.dim[0] = batch, errors.stride[0] = 1, errors.data = error;
  double least = 1e9, seconds = 0.0;
  /* Long enough for calls that nothing else on the machine interrupts. */
  for (int i = 0; i < 5 || seconds < 0.6; ++i) {
    struct timespec start, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    if (chest_estimate(session, &from, &noise, &to, &errors, NULL)) return 1;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    const double taken = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    if (taken < least) least = taken;
    seconds += taken;
  }
  printf("%.9f\n", least);
  chest_session_destroy(session);
  chest_model_close(model);
  free(y), free(h), free(error);
  return 0;
}

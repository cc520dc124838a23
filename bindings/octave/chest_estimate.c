/* chest_estimate for MATLAB and Octave: see chest_estimate.m. */
#include <chest.h>
#include <mex.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef MX_HAS_INTERLEAVED_COMPLEX
#define MX_HAS_INTERLEAVED_COMPLEX 0
#endif

/* The model, session and pilots of the last call stay: a loop over slots pays for them once. */
static char path_[4096];
static chest_model *model_;
static chest_session *session_;
static double *pilots_; /* NULL: the identity */
static size_t pilots_rows_, pilots_columns_;
static int on_grid_; /* the last call was on a grid, of grid_ and what was sent on it: a text, or values */
static chest_grid grid_;
static unsigned char *sent_;
static size_t sent_size_;

static void close_model(void) {
  chest_session_destroy(session_);
  chest_model_close(model_);
  free(pilots_);
  pilots_ = NULL;
  on_grid_ = 0;
  free(sent_);
  sent_ = NULL;
  session_ = NULL;
  model_ = NULL;
  path_[0] = '\0';
}

static void check(chest_status status, const char *text) {
  if (status == CHEST_OK) return;
  const char *id = status == CHEST_E_IO || status == CHEST_E_FORMAT || status == CHEST_E_VERSION ? "chest:file"
                   : status == CHEST_E_STATE                                                     ? "chest:state"
                                                                                                 : "chest:argument";
  mexErrMsgIdAndTxt(id, "chest_estimate: %s", text[0] ? text : chest_status_str(status));
}

/* Interleaved doubles of a numeric array; freed at the end of the call. */
static double *complex_values(const mxArray *array, const char *name) {
  if (!mxIsDouble(array) && !mxIsSingle(array)) {
    mexErrMsgIdAndTxt("chest:argument", "chest_estimate: %s is of class %s; expected single or double", name,
                      mxGetClassName(array));
  }
  const size_t n = mxGetNumberOfElements(array);
  const int is_complex = mxIsComplex(array), is_single = mxIsSingle(array);
  double *out = mxMalloc((2 * n + 1) * sizeof *out);
#if MX_HAS_INTERLEAVED_COMPLEX
  const void *data = mxGetData(array);
  for (size_t i = 0; i < n; ++i) {
    const size_t re = is_complex ? 2 * i : i;
    out[2 * i] = is_single ? ((const float *)data)[re] : ((const double *)data)[re];
    out[2 * i + 1] = !is_complex ? 0.0 : is_single ? ((const float *)data)[re + 1] : ((const double *)data)[re + 1];
  }
#else
  const void *re = mxGetData(array), *im = is_complex ? mxGetImagData(array) : NULL;
  for (size_t i = 0; i < n; ++i) {
    out[2 * i] = is_single ? ((const float *)re)[i] : ((const double *)re)[i];
    out[2 * i + 1] = !im ? 0.0 : is_single ? ((const float *)im)[i] : ((const double *)im)[i];
  }
#endif
  return out;
}

static mxArray *complex_array(const double *values, mwSize n_dims, const mwSize *dims, mxClassID class_id) {
  mxArray *out = mxCreateNumericArray(n_dims, dims, class_id, mxCOMPLEX);
  const size_t n = mxGetNumberOfElements(out);
  const int is_single = class_id == mxSINGLE_CLASS;
#if MX_HAS_INTERLEAVED_COMPLEX
  void *data = mxGetData(out);
  for (size_t i = 0; i < 2 * n; ++i) {
    if (is_single) ((float *)data)[i] = (float)values[i];
    else ((double *)data)[i] = values[i];
  }
#else
  void *re = mxGetData(out), *im = mxGetImagData(out);
  for (size_t i = 0; i < n; ++i) {
    if (is_single) {
      ((float *)re)[i] = (float)values[2 * i];
      ((float *)im)[i] = (float)values[2 * i + 1];
    } else {
      ((double *)re)[i] = values[2 * i];
      ((double *)im)[i] = values[2 * i + 1];
    }
  }
#endif
  return out;
}

/* [rows, columns, n] of column-major memory as [batch, rows, columns]. */
static chest_tensor view(double *data, int64_t n_rows, int64_t n_columns, int64_t n) {
  chest_tensor v;
  memset(&v, 0, sizeof v);
  v.struct_size = sizeof v;
  v.dtype = CHEST_CF64;
  v.rank = 3;
  v.dim[0] = n, v.dim[1] = n_rows, v.dim[2] = n_columns;
  v.stride[0] = n_rows * n_columns, v.stride[1] = 1, v.stride[2] = n_rows;
  v.data = data;
  return v;
}

/* Column-major dimensions, the first the fastest; `order` names them in the order of the view. */
static chest_tensor array_view(uint16_t dtype, void *data, uint32_t rank, const int64_t *dims, const int *order) {
  chest_tensor v;
  int64_t stride[6];
  memset(&v, 0, sizeof v);
  v.struct_size = sizeof v;
  v.dtype = dtype;
  v.rank = rank;
  for (uint32_t i = 0; i < rank; ++i) stride[i] = i == 0 ? 1 : stride[i - 1] * dims[i - 1];
  for (uint32_t i = 0; i < rank; ++i) v.dim[i] = dims[order[i]], v.stride[i] = stride[order[i]];
  v.data = data;
  return v;
}

static int64_t size_of(const mxArray *array, mwSize axis) {
  return axis < mxGetNumberOfDimensions(array) ? (int64_t)mxGetDimensions(array)[axis] : 1;
}

static double number_field(const mxArray *grid, const char *name, double otherwise) {
  const mxArray *field = mxGetField(grid, 0, name);
  if (!field || mxIsEmpty(field)) return otherwise;
  const double value = mxGetScalar(field);
  if (!mxIsNumeric(field) || mxGetNumberOfElements(field) != 1 || !(value >= 0)) {
    mexErrMsgIdAndTxt("chest:argument", "chest_estimate: grid.%s: expected a number of 0 or more", name);
  }
  return value;
}

/* y [n_rx, n_subcarriers, n_symbols, n] through the grid of a struct. */
static void estimate_grids(int n_out, mxArray *out[], const mxArray *received, const chest_tensor *noise,
                           const mxArray *grid) {
  const mxArray *pilots = mxGetField(grid, 0, "pilots"), *panel = mxGetField(grid, 0, "panel");
  const int64_t n_rx = size_of(received, 0), n_f = size_of(received, 1), n_s = size_of(received, 2),
                n = size_of(received, 3);
  chest_grid asked;
  memset(&asked, 0, sizeof asked);
  asked.struct_size = sizeof asked;
  asked.n_rx = (uint32_t)n_rx;
  asked.n_subcarriers = (uint32_t)n_f;
  asked.n_symbols = (uint32_t)n_s;
  asked.spacing_hz = number_field(grid, "spacing", 0);
  asked.pilot_energy = (float)number_field(grid, "energy", 1);
  for (size_t i = 0; panel && i < mxGetNumberOfElements(panel) && i < 3; ++i) {
    if (mxIsDouble(panel)) asked.panel[i] = (uint32_t)((const double *)mxGetData(panel))[i];
  }
  char text[1024];
  chest_tensor x;
  if (pilots && mxIsChar(pilots) && !mxGetString(pilots, text, sizeof text)) {
    asked.pilots = text;
    asked.n_tx = (uint32_t)number_field(grid, "n_tx", 1);
  } else if (pilots) {
    const int64_t dims[3] = {size_of(pilots, 0), size_of(pilots, 1), size_of(pilots, 2)};
    const int order[3] = {0, 1, 2};
    x = array_view(CHEST_CF64, complex_values(pilots, "grid.pilots"), 3, dims, order);
    asked.n_tx = (uint32_t)dims[0];
  } else {
    mexErrMsgIdAndTxt("chest:argument",
                      "chest_estimate: grid has no field pilots; expected a text or [n_tx, n_subcarriers, n_symbols]");
  }
  const void *sent = asked.pilots ? (const void *)text : x.data;
  const size_t size = asked.pilots ? strlen(text) + 1 : 2 * sizeof(double) * mxGetNumberOfElements(pilots);
  chest_grid key = asked;
  key.pilots = asked.pilots ? "" : NULL;
  if (!on_grid_ || memcmp(&key, &grid_, sizeof key) != 0 || size != sent_size_ || memcmp(sent, sent_, size) != 0) {
    check(chest_session_grid(session_, &asked, asked.pilots ? NULL : &x), chest_session_error(session_));
    unsigned char *kept = realloc(sent_, size);
    if (!kept) {
      close_model();
      mexErrMsgIdAndTxt("chest:state", "chest_estimate: memory ran out");
    }
    memcpy(kept, sent, size);
    on_grid_ = 1, grid_ = key, sent_ = kept, sent_size_ = size;
  }

  const int64_t y_dims[4] = {n_rx, n_f, n_s, n}, h_dims[5] = {n_rx, asked.n_tx, n_f, n_s, n};
  const int y_order[4] = {3, 0, 1, 2}, h_order[5] = {4, 0, 1, 2, 3};
  const mwSize shape[5] = {(mwSize)n_rx, asked.n_tx, (mwSize)n_f, (mwSize)n_s, (mwSize)n};
  const size_t n_values = (size_t)(n_rx * n_f * n_s * n) * asked.n_tx;
  double *h = mxMalloc((2 * n_values + 1) * sizeof *h);
  mxArray *errors = n_out > 1 ? mxCreateNumericArray(5, shape, mxDOUBLE_CLASS, mxREAL) : NULL;
  const chest_tensor from = array_view(CHEST_CF64, complex_values(received, "y"), 4, y_dims, y_order);
  chest_tensor to = array_view(CHEST_CF64, h, 5, h_dims, h_order);
  chest_tensor err = array_view(CHEST_F64, errors ? mxGetData(errors) : NULL, 5, h_dims, h_order);
  const chest_status status = chest_estimate(session_, &from, noise, &to, errors ? &err : NULL, NULL);
  if (status == CHEST_E_NUMERIC) {
    mexWarnMsgIdAndTxt("chest:numeric", "chest_estimate: %s", chest_session_error(session_));
  } else {
    check(status, chest_session_error(session_));
  }
  out[0] = complex_array(h, 5, shape, mxIsSingle(received) ? mxSINGLE_CLASS : mxDOUBLE_CLASS);
  if (errors) out[1] = errors;
}

static mxArray *last_sigma2(void) {
  chest_stats stats;
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  chest_session_stats(session_, &stats);
  return mxCreateDoubleScalar(stats.last_sigma2);
}

void mexFunction(int n_out, mxArray *out[], int n_in, const mxArray *in[]) {
  if (n_in < 2 || n_in > 4 || n_out > 3) {
    mexErrMsgIdAndTxt("chest:argument", "chest_estimate: expected (model, y), (model, y, noise_var), (model, y, noise_var, P) or (model, y, noise_var, grid)");
  }
  char path[sizeof path_];
  if (!mxIsChar(in[0]) || mxGetString(in[0], path, sizeof path)) {
    mexErrMsgIdAndTxt("chest:argument", "chest_estimate: model: expected the name of a file");
  }
  if (strcmp(path, path_) != 0) {
    close_model();
    mexAtExit(close_model);
    check(chest_model_open(path, NULL, &model_), chest_last_error());
    const chest_status status = chest_session_create(model_, NULL, &session_);
    if (status != CHEST_OK) {
      chest_model_close(model_);
      model_ = NULL;
      check(status, chest_last_error());
    }
    strcpy(path_, path);
  }
  chest_info info;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  chest_model_info(model_, &info);

  const int is_grid = n_in == 4 && mxIsStruct(in[3]);
  const mwSize n_dims = mxGetNumberOfDimensions(in[1]);
  const mwSize *dims = mxGetDimensions(in[1]);
  if (n_dims > (is_grid ? 4 : 3)) {
    mexErrMsgIdAndTxt("chest:argument", "chest_estimate: y has %d dimensions; expected %s", (int)n_dims,
                      is_grid ? "[n_rx, n_subcarriers, n_symbols, n]" : "[n_rx, n_pilots, n]");
  }
  const int64_t n = n_dims == 3 ? (int64_t)dims[2] : 1;

  if (is_grid) {
    /* Below, once the noise is known. */
  } else if (n_in == 4 && !mxIsEmpty(in[3])) {
    const size_t rows = mxGetM(in[3]), columns = mxGetN(in[3]), size = 2 * rows * columns * sizeof(double);
    double *values = complex_values(in[3], "P");
    if (on_grid_ || !pilots_ || rows != pilots_rows_ || columns != pilots_columns_ || memcmp(values, pilots_, size) != 0) {
      chest_tensor p = view(values, (int64_t)rows, (int64_t)columns, 1);
      p.rank = 2;
      p.dim[0] = p.dim[1], p.dim[1] = p.dim[2];
      p.stride[0] = p.stride[1], p.stride[1] = p.stride[2];
      check(chest_session_pilots(session_, &p), chest_session_error(session_));
      double *kept = realloc(pilots_, size);
      if (!kept) {
        close_model();
        mexErrMsgIdAndTxt("chest:state", "chest_estimate: memory ran out");
      }
      memcpy(kept, values, size);
      on_grid_ = 0;
      pilots_ = kept, pilots_rows_ = rows, pilots_columns_ = columns;
    }
  } else if (pilots_ || on_grid_) {
    check(chest_session_pilots(session_, NULL), chest_session_error(session_));
    free(pilots_);
    pilots_ = NULL;
    on_grid_ = 0;
  }

  chest_tensor noise;
  memset(&noise, 0, sizeof noise);
  noise.struct_size = sizeof noise;
  noise.dtype = CHEST_F64;
  double one = mxGetNaN();
  noise.data = &one;
  if (n_in >= 3 && !mxIsEmpty(in[2])) {
    double *values = complex_values(in[2], "noise_var");
    const size_t n_values = mxGetNumberOfElements(in[2]);
    one = values[0];
    if (n_values > 1) {
      noise.rank = 1;
      noise.dim[0] = (int64_t)n_values;
      noise.stride[0] = 2; /* imaginary parts between */
      noise.data = values;
    }
  }

  if (is_grid) {
    estimate_grids(n_out, out, in[1], &noise, in[3]);
    if (n_out > 2) out[2] = last_sigma2();
    return;
  }
  double *y = complex_values(in[1], "y");
  const mwSize h_dims[3] = {info.n_rx, info.n_tx, (mwSize)n};
  double *h = mxMalloc((2 * (size_t)info.n_rx * info.n_tx * (size_t)n + 1) * sizeof *h);
  mxArray *errors = mxCreateDoubleMatrix((mwSize)n, 1, mxREAL);
  chest_tensor err_var;
  memset(&err_var, 0, sizeof err_var);
  err_var.struct_size = sizeof err_var;
  err_var.dtype = CHEST_F64;
  err_var.rank = 1;
  err_var.dim[0] = n;
  err_var.stride[0] = 1;
  err_var.data = mxGetData(errors);
  chest_tensor from = view(y, (int64_t)dims[0], (int64_t)dims[1], n);
  chest_tensor to = view(h, info.n_rx, info.n_tx, n);
  const chest_status status = chest_estimate(session_, &from, &noise, &to, &err_var, NULL);
  if (status == CHEST_E_NUMERIC) {
    mexWarnMsgIdAndTxt("chest:numeric", "chest_estimate: %s", chest_session_error(session_));
  } else {
    check(status, chest_session_error(session_));
  }
  out[0] = complex_array(h, 3, h_dims, mxIsSingle(in[1]) ? mxSINGLE_CLASS : mxDOUBLE_CLASS);
  if (n_out > 1) out[1] = errors;
  if (n_out > 2) out[2] = last_sigma2();
}

/* chest: channel estimates from plain buffers.
 *
 *   y = H P + n,   n ~ CN(0, sigma2),   H [rx, tx], P [tx, pilot], y [rx, pilot]
 *
 * A model is a file that `chest fit` wrote (dmse, gmm, lmmse; "ls" needs none); it is immutable and shared by
 * threads. A session is what one thread estimates with: it owns all working memory. After
 * chest_session_create() (and chest_session_pilots(), where pilots change) chest_estimate() allocates nothing,
 * locks nothing, prints nothing, starts no thread and lets no exception out; chest_session_stats() says with
 * `allocates` where a model's solver for these pilots cannot keep that promise.
 *
 * C99 and C++11. Every struct that the caller fills starts with its size, so that a later version can add to it.
 */
#ifndef CHEST_H
#define CHEST_H

#include <stdint.h>

#define CHEST_ABI_VERSION 1

#if defined(__GNUC__)
#define CHEST_API __attribute__((visibility("default")))
#else
#define CHEST_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct chest_model chest_model;
typedef struct chest_session chest_session;

typedef enum chest_status {
  CHEST_OK = 0,
  CHEST_E_ARG,     /* an argument is NULL, out of range or not known */
  CHEST_E_SHAPE,   /* dimensions do not fit the model, the pilots or each other */
  CHEST_E_DTYPE,   /* an array has a type that is not taken there */
  CHEST_E_IO,      /* a file cannot be read */
  CHEST_E_FORMAT,  /* a file is not a model, or is damaged */
  CHEST_E_VERSION, /* a file or a struct is newer than this library */
  CHEST_E_DEVICE,  /* the device is not there, or was not built in */
  CHEST_E_NOMEM,   /* memory ran out */
  CHEST_E_STATE,   /* not possible with this model, or in this order */
  CHEST_E_NUMERIC, /* values are not finite, or too large */
  CHEST_E_INTERNAL /* a bug: please report it */
} chest_status;

typedef enum chest_dtype {
  CHEST_CF32,  /* complex float, real and imaginary part interleaved */
  CHEST_CF64,  /* complex double */
  CHEST_CI16,  /* complex int16 (I/Q): the value is the number times `scale` */
  CHEST_CBF16, /* complex bfloat16 */
  CHEST_F32,   /* real float: noise and error variances */
  CHEST_F64    /* real double */
} chest_dtype;

typedef enum chest_space { CHEST_HOST, CHEST_CUDA } chest_space;

/* A view of the caller's memory; nothing is copied but the values. Strides count elements (a complex number is
 * one), may be negative, and may be zero where an input repeats. */
typedef struct chest_tensor {
  uint32_t struct_size;
  uint16_t dtype, space; /* chest_dtype, chest_space */
  uint32_t rank;         /* 0 .. 6 */
  int64_t dim[6], stride[6];
  void* data;
  /* A value is what is stored times scale; 0 means 1 (of CHEST_CI16: 1/32768). Noise and error variances are
   * those of values. */
  float scale;
} chest_tensor;

typedef void (*chest_log_fn)(void* log_ctx, int level,
                             const char* text); /* level 1: warning, 2: information */
typedef void* (*chest_alloc_fn)(void* alloc_ctx, uint64_t size, uint64_t alignment);

enum {
  CHEST_DETERMINISTIC = 1, /* same input, same bits: always so on the processor */
  CHEST_POWER_SCALE = 2, /* the channels' power is not 1 per entry: found from each call's input */
  /* Of chest_model_open(): what a network is computed in. None of them: the fastest that costs less than
   * 0.02 dB as `chest calibrate` measured, where the processor is faster with it, else float32. */
  CHEST_FLOAT32 = 4,
  CHEST_BFLOAT16 = 8,
  CHEST_INT8 = 16,
  /* Of chest_model_open(): a network is called once per estimate with pilots that decorrelate, not as often as its
   * calibration chose: the least time, up to some tenths of a dB worse. */
  CHEST_ONE_CALL = 32
};

/* NULL or all zero: on the processor, by the calling thread, batches of any size. */
typedef struct chest_options {
  uint32_t struct_size;
  int32_t device;     /* 0: the processor, the only one so far */
  uint32_t max_batch; /* most items of a call; 0: any number */
  uint32_t threads;   /* 0 or 1: the calling thread. For more, make a session for each thread. */
  uint32_t flags;
  chest_log_fn log; /* warnings of opening and of set-up; NULL: none */
  void* log_ctx;
  chest_alloc_fn alloc; /* NULL: reserved */
  void* alloc_ctx;
} chest_options;

/* An OFDM grid and its pilots. */
typedef struct chest_grid {
  uint32_t struct_size;
  uint32_t n_rx, n_tx; /* receive antennas; ports */
  uint32_t n_subcarriers, n_symbols;
  double spacing_hz; /* of subcarriers */
  uint32_t panel
      [3]; /* rows, columns, polarisations of the receive antennas; zeros: a line, or the model's */
  float pilot_energy; /* of `pilots`, per element and port; 0 means 1 */
  const char*
      pilots; /* "comb:4,symbols=2-11", "dmrs:symbols=2-11", "file=P.h5" as chest sweep takes them; NULL: x */
} chest_grid;

typedef struct chest_info {
  uint32_t struct_size;
  uint32_t n_rx, n_tx;
  uint32_t steps;                 /* most calls of the network per estimate; 0: there is none */
  double snr_low_db, snr_high_db; /* that it was fitted for; NaN: any */
  uint64_t n_parameters;          /* 0: not counted */
  uint32_t predicts_error;        /* err_var is known */
  uint32_t finds_noise;           /* the noise variance may be left unknown */
  char kind[16];                  /* "dmse", "gmm", "lmmse", "ls" */
  char engine[32]; /* what the network runs on: "onednn bfloat16"; empty: no network */
  char target[16]; /* instructions that it runs with: "AVX3" */
} chest_info;

typedef struct chest_stats {
  uint32_t struct_size;
  uint32_t
      allocates;  /* chest_estimate() may allocate: the solver for these pilots is not planned */
  uint64_t calls; /* of chest_estimate() that ended well */
  uint64_t items; /* channels estimated */
  uint64_t nfe;   /* calls of the network */
  double seconds; /* in chest_estimate() */
  uint32_t last_steps; /* calls of the network for the last item */
  double last_sigma2;  /* noise variance that the last item was estimated with */
  double last_scale;   /* factor that brought the last call's input to the model's power */
} chest_stats;

CHEST_API uint32_t chest_abi_version(void);
CHEST_API const char* chest_version(void); /* "0.1.0" */
CHEST_API const char* chest_status_str(chest_status status);

/* Opens a model file. "ls:RXxTX" (as in "ls:64x16") opens least squares, which has no file; "model.h5:32x8" opens a
   model for arrays of many sizes for this one. */
CHEST_API chest_status chest_model_open(const char* path, const chest_options* options,
                                        chest_model** model);
/* What went wrong in this thread's last chest_model_open() or chest_session_create(); never NULL. */
CHEST_API const char* chest_last_error(void);
/* `info` has its struct_size set; the rest is filled in. */
CHEST_API chest_status chest_model_info(const chest_model* model, chest_info* info);
/* Sessions that are left keep what they need of it. */
CHEST_API void chest_model_close(chest_model* model);

/* A session with identity pilots: y is H + n. */
CHEST_API chest_status chest_session_create(const chest_model* model, const chest_options* options,
                                            chest_session** session);
/* Set-up for matrices: P [tx, pilot], complex; NULL: the identity. On failure the session stays what it was. */
CHEST_API chest_status chest_session_pilots(chest_session* session, const chest_tensor* p);
/* Set-up for grids, which sessions of a model of grids need, and those of "ls:RXxTX" may have: from then on
 * y and h_hat have axes of subcarriers and symbols.
 *   x  NULL, or what every port sends, [tx, subcarrier, symbol], complex, 0 where it is silent; no element
 *      is shared by ports. Without it grid->pilots says what is sent.
 * On failure the session stays what it was. */
CHEST_API chest_status chest_session_grid(chest_session* session, const chest_grid* grid,
                                          const chest_tensor* x);
/* Estimates a batch.
 *   y          [batch, rx, pilot] or [rx, pilot], complex
 *   noise_var  noise variance per complex value of y: rank 0 for all items, or [batch]; NaN or a NULL pointer:
 *              found for each item
 *   h_hat      [batch, rx, tx] or [rx, tx], complex; filled in; may not overlap y
 *   err_var    NULL, or the predicted error variance per entry of h: [batch] (rank 0 for one item), or
 *              [batch, rx, tx] with each item's value at every entry; NaN where it is not known
 *   cuda_stream  NULL
 * After chest_session_grid():
 *   y          [batch, rx, subcarrier, symbol] or without the batch; the elements of pilots are read
 *   h_hat      [batch, rx, tx, subcarrier, symbol] or without the batch
 *   err_var    NULL, [batch] (the mean of all entries), or the axes of h_hat
 * and the call allocates.
 * Items whose values are not finite, or all zero, are estimated as NaN, with CHEST_E_NUMERIC at the end; the other
 * items of the batch are estimated. Any other failure leaves the outputs untouched. */
CHEST_API chest_status chest_estimate(chest_session* session, const chest_tensor* y,
                                      const chest_tensor* noise_var, chest_tensor* h_hat,
                                      chest_tensor* err_var, void* cuda_stream);
CHEST_API chest_status chest_session_stats(const chest_session* session, chest_stats* stats);
/* One sentence on the last failure of this session; never NULL. */
CHEST_API const char* chest_session_error(const chest_session* session);
CHEST_API void chest_session_destroy(chest_session* session);

#ifdef __cplusplus
}
#endif

#endif

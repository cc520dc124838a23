// chest._chest: what the Python package is made of (bindings/python/chest/__init__.py is what people use).
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <chest/channels/dataset.hpp>
#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/metrics.hpp>
#include <chest/ofdm.hpp>
#include <chest/parallel.hpp>
#include <chest/paths.hpp>
#include <chest/pilot_pattern.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/sim/plot.hpp>
#include <chest/sim/results.hpp>
#include <chest/sim/sweep.hpp>
#include <chest/spec.hpp>

#include "bindings/c/chest.h"

namespace py = pybind11;

namespace {

using chest::Error;
using chest::ErrorKind;

ErrorKind kind_of(chest_status status) {
  switch (status) {
    case CHEST_E_IO:
      return ErrorKind::io;
    case CHEST_E_FORMAT:
    case CHEST_E_VERSION:
      return ErrorKind::format;
    case CHEST_E_NUMERIC:
      return ErrorKind::numeric;
    default:
      return ErrorKind::invalid_argument;
  }
}
void check(chest_status status, const char* text) {
  if (status == CHEST_OK) return;
  throw Error(kind_of(status), *text ? text : chest_status_str(status));
}

// ---- arrays

/// complex64 or complex128 as NumPy hands it over, without a copy.
chest_tensor view_of(const py::array& array, const char* who) {
  chest_tensor out{};
  out.struct_size = sizeof out;
  std::size_t item = 8;
  if (py::isinstance<py::array_t<std::complex<float>>>(array)) {
    out.dtype = CHEST_CF32;
  } else if (py::isinstance<py::array_t<std::complex<double>>>(array)) {
    out.dtype = CHEST_CF64;
    item = 16;
  } else {
    throw Error(ErrorKind::invalid_argument, std::string(who) + " has the type " +
                                                 std::string(py::str(array.dtype())) +
                                                 "; expected complex64 or complex128");
  }
  if (array.ndim() > 6)
    throw Error(ErrorKind::invalid_argument, std::string(who) + " has more than 6 axes");
  out.rank = static_cast<std::uint32_t>(array.ndim());
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    out.dim[i] = array.shape(i);
    const py::ssize_t stride = array.strides(i);
    if (stride % static_cast<py::ssize_t>(item) != 0) {
      throw Error(ErrorKind::invalid_argument,
                  std::string(who) + ": its elements do not lie on a grid of elements");
    }
    out.stride[i] = stride / static_cast<py::ssize_t>(item);
  }
  out.data = const_cast<void*>(array.data());
  return out;
}

/// The part `first .. first + count - 1` of the batch.
chest_tensor part_of(chest_tensor view, std::int64_t first, std::int64_t count) {
  const std::int64_t item = view.dtype == CHEST_CF64  ? 16
                            : view.dtype == CHEST_F64 ? 8
                            : view.dtype == CHEST_F32 ? 4
                                                      : 8;
  view.data = static_cast<char*>(view.data) + first * view.stride[0] * item;
  view.dim[0] = count;
  return view;
}

/// [n, rows, columns, ...] of complex numbers, the last axis fastest, as columns of chest: the first axis of an item
/// fastest.
arma::cx_mat columns_of(const py::array_t<std::complex<double>, py::array::forcecast>& array,
                        arma::uword n_rx, arma::uword n_last) {
  arma::cx_mat out(n_rx * n_last, static_cast<arma::uword>(array.shape(0)));
  const auto y = array.unchecked<3>();
  for (arma::uword k = 0; k < out.n_cols; ++k) {
    for (arma::uword p = 0; p < n_last; ++p) {
      for (arma::uword r = 0; r < n_rx; ++r) {
        out(p * n_rx + r, k) = y(static_cast<py::ssize_t>(k), static_cast<py::ssize_t>(r),
                                 static_cast<py::ssize_t>(p));
      }
    }
  }
  return out;
}

/// Columns vec(H) as an array [n, n_rx, n_tx], on a grid [n, n_rx, n_tx, n_subcarriers, n_symbols].
py::array_t<std::complex<float>> array_of(const arma::cx_mat& h, arma::uword n_rx, arma::uword n_tx,
                                          const chest::GridAxes& grid = {}) {
  std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(h.n_cols), static_cast<py::ssize_t>(n_rx),
                                 static_cast<py::ssize_t>(n_tx)};
  const auto n_f = static_cast<py::ssize_t>(grid.n_subcarriers),
             n_s = static_cast<py::ssize_t>(grid.n_symbols);
  if (grid.is_grid()) shape.insert(shape.end(), {n_f, n_s});
  py::array_t<std::complex<float>> out(shape);
  std::complex<float>* to = out.mutable_data();
  const arma::uword n_elements = grid.is_grid() ? grid.n_elements() : 1;
  const arma::uword n_symbols = grid.is_grid() ? grid.n_symbols : 1,
                    n_subcarriers = n_elements / n_symbols;
  for (arma::uword k = 0; k < h.n_cols; ++k) {
    for (arma::uword r = 0; r < n_rx; ++r) {
      for (arma::uword t = 0; t < n_tx; ++t) {
        for (arma::uword f = 0; f < n_subcarriers; ++f) {
          for (arma::uword s = 0; s < n_symbols; ++s) {
            // Receive antennas fastest, then transmit antennas, subcarriers, symbols.
            const arma::uword from = r + n_rx * (t + n_tx * (f + n_subcarriers * s));
            *to++ = std::complex<float>(h(from, k));
          }
        }
      }
    }
  }
  return out;
}

// ---- models

std::uint32_t precision_flag(const std::string& precision) {
  if (precision == "auto") return 0;
  if (precision == "float32") return CHEST_FLOAT32;
  if (precision == "bfloat16") return CHEST_BFLOAT16;
  if (precision == "int8") return CHEST_INT8;
  throw Error(ErrorKind::invalid_argument,
              "precision is '" + precision + "'; expected auto, float32, bfloat16 or int8");
}

/// Sessions of a model that nobody uses at the moment, by their pilots.
class Model {
 public:
  Model(const std::string& path, const std::string& precision) : path_(path) {
    chest_options options{};
    options.struct_size = sizeof options;
    options.flags = precision_flag(precision);
    chest_model* opened = nullptr;
    check(chest_model_open(path.c_str(), &options, &opened), chest_last_error());
    model_.reset(opened);
    info_.struct_size = sizeof info_;
    check(chest_model_info(opened, &info_), chest_last_error());
  }

  const chest_info& info() const { return info_; }
  const std::string& path() const { return path_; }

  py::tuple estimate(py::array y, const py::object& noise_var, const py::object& pilots,
                     bool power_scale, unsigned threads) {
    const bool single = y.ndim() == 2;
    if (y.ndim() != 2 && y.ndim() != 3) {
      throw Error(ErrorKind::invalid_argument,
                  "y has " + std::to_string(y.ndim()) +
                      " axes; expected [n, n_rx, n_pilots] or [n_rx, n_pilots]");
    }
    if (single) y = y.attr("reshape")(1, y.shape(0), y.shape(1)).cast<py::array>();
    const chest_tensor from = view_of(y, "y");
    const std::int64_t n = from.dim[0];
    // Noise variances as doubles; none: NaN.
    std::vector<double> noise(1, NAN);
    if (!noise_var.is_none()) {
      const auto values =
          py::array_t<double, py::array::c_style | py::array::forcecast>::ensure(noise_var);
      if (!values || values.ndim() > 1) {
        PyErr_Clear();
        throw Error(ErrorKind::invalid_argument,
                    "noise_var: expected a number, one for each item, or None");
      }
      noise.assign(values.data(), values.data() + values.size());
    }
    chest_tensor noises{};
    noises.struct_size = sizeof noises;
    noises.dtype = CHEST_F64;
    noises.data = noise.data();
    if (noise.size() > 1 || (!noise_var.is_none() && py::array::ensure(noise_var).ndim() == 1)) {
      noises.rank = 1;
      noises.dim[0] = static_cast<std::int64_t>(noise.size());
      noises.stride[0] = 1;
    }
    const bool wide = from.dtype == CHEST_CF64;
    std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(n),
                                   static_cast<py::ssize_t>(info_.n_rx),
                                   static_cast<py::ssize_t>(info_.n_tx)};
    py::array h = wide ? py::array(py::array_t<std::complex<double>>(shape))
                       : py::array(py::array_t<std::complex<float>>(shape));
    // By a shape: pybind11 before 2.12 does not know the size of an item of NumPy 2, and makes strides of 0 of a count.
    shape.resize(1);
    py::array errors =
        wide ? py::array(py::array_t<double>(shape)) : py::array(py::array_t<float>(shape));
    const chest_tensor to = view_of(h, "h_hat");
    chest_tensor err_var{};
    err_var.struct_size = sizeof err_var;
    err_var.dtype = wide ? CHEST_F64 : CHEST_F32;
    err_var.rank = 1;
    err_var.dim[0] = n;
    err_var.stride[0] = 1;
    err_var.data = errors.mutable_data();

    py::array p;
    std::string key;
    chest_tensor pilot_view{};
    if (!pilots.is_none()) {
      p = py::array_t<std::complex<double>, py::array::c_style | py::array::forcecast>::ensure(
          pilots);
      if (!p || p.ndim() != 2) {
        PyErr_Clear();
        throw Error(ErrorKind::invalid_argument,
                    "pilots: expected a complex matrix [n_tx, n_pilots]");
      }
      pilot_view = view_of(p, "pilots");
      key.assign(static_cast<const char*>(p.data()),
                 static_cast<std::size_t>(p.size()) * sizeof(std::complex<double>));
    }
    key += power_scale ? "*" : "";
    if (threads == 0) threads = chest::available_threads();
    // The scale is found from the whole batch.
    if (power_scale) threads = 1;
    const std::int64_t n_parts = std::max<std::int64_t>(1, std::min<std::int64_t>(threads, n));
    {
      const py::gil_scoped_release release;
      chest::parallel_for(static_cast<std::size_t>(n_parts), threads, [&](std::size_t part) {
        const auto i = static_cast<std::int64_t>(part);
        const std::int64_t first = i * n / n_parts, count = (i + 1) * n / n_parts - first;
        Lease lease(*this, key, pilots.is_none() ? nullptr : &pilot_view, power_scale);
        const chest_tensor y_part = part_of(from, first, count);
        const chest_tensor noise_part = noises.rank == 1 ? part_of(noises, first, count) : noises;
        chest_tensor h_part = part_of(to, first, count), err_part = part_of(err_var, first, count);
        if (noises.rank == 1 && noises.dim[0] != n) {
          throw Error(ErrorKind::invalid_argument,
                      "noise_var has " + std::to_string(noises.dim[0]) + " values, y has " +
                          std::to_string(n) + " items");
        }
        const chest_status status =
            chest_estimate(lease.get(), &y_part, &noise_part, &h_part, &err_part, nullptr);
        // Items that cannot be estimated are NaN.
        if (status != CHEST_E_NUMERIC) check(status, chest_session_error(lease.get()));
      });
    }
    if (single) return py::make_tuple(h.attr("__getitem__")(0), errors.attr("__getitem__")(0));
    return py::make_tuple(h, errors);
  }

 private:
  struct Close {
    void operator()(chest_model* model) const { chest_model_close(model); }
    void operator()(chest_session* session) const { chest_session_destroy(session); }
  };
  using Session = std::unique_ptr<chest_session, Close>;

  class Lease {
   public:
    Lease(Model& model, const std::string& key, const chest_tensor* pilots, bool power_scale)
        : model_(model), key_(key) {
      {
        const std::lock_guard lock(model.mutex_);
        auto& free = model.free_[key];
        if (!free.empty()) {
          session_ = std::move(free.back());
          free.pop_back();
          return;
        }
      }
      chest_options options{};
      options.struct_size = sizeof options;
      options.flags = power_scale ? CHEST_POWER_SCALE : 0;
      chest_session* made = nullptr;
      check(chest_session_create(model.model_.get(), &options, &made), chest_last_error());
      session_.reset(made);
      if (pilots) check(chest_session_pilots(made, pilots), chest_session_error(made));
    }
    ~Lease() {
      const std::lock_guard lock(model_.mutex_);
      // Few kinds of pilots are used at a time.
      constexpr std::size_t most_kinds = 8;
      if (model_.free_.size() > most_kinds) model_.free_.clear();
      model_.free_[key_].push_back(std::move(session_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    chest_session* get() const { return session_.get(); }

   private:
    Model& model_;
    std::string key_;
    Session session_;
  };

  std::string path_;
  std::unique_ptr<chest_model, Close> model_;
  chest_info info_{};
  std::mutex mutex_;
  std::map<std::string, std::vector<Session>> free_;
};

// ---- channels

/// A file of channels, or an array in memory, as sweeps and fits read it.
class Channels {
 public:
  Channels(const std::string& path, const std::string& dataset, const std::string& axes,
           const std::string& normalise, double factor, const std::string& grid, arma::uword first,
           arma::uword end) {
    chest::DatasetOptions options;
    const auto named = chest::split_dataset_name(path);
    options.dataset = dataset.empty() ? named.second : dataset;
    options.axes = axes;
    if (!grid.empty()) options.grid = chest::parse_grid(grid);
    options.first = first;
    options.end = end;
    if (normalise == "dataset") {
      options.normalisation = chest::Normalisation::dataset;
    } else if (normalise == "sample") {
      options.normalisation = chest::Normalisation::sample;
    } else if (normalise == "factor") {
      options.normalisation = chest::Normalisation::factor;
      options.factor = factor;
    } else if (normalise != "none") {
      throw Error(ErrorKind::invalid_argument,
                  "normalise is '" + normalise + "'; expected none, dataset, sample or a number");
    }
    dataset_ = std::make_shared<const chest::Dataset>(named.first, options);
    const chest::DatasetInfo& info = dataset_->info();
    samples_ = chest::subrange(dataset_->samples(), info.asked.first, info.asked.size());
    first_ = info.asked.first;
    if (auto prior = dataset_->prior())
      prior_ = std::make_shared<const chest::GaussianMixture>(std::move(*prior));
    if (auto covariance = dataset_->grid_covariance()) {
      grid_covariance_ = std::make_shared<const chest::GridCovariance>(std::move(*covariance));
    }
  }
  explicit Channels(const py::array_t<std::complex<double>, py::array::forcecast>& h) {
    if (h.ndim() != 3) {
      throw Error(ErrorKind::invalid_argument, "channels: an array of " + std::to_string(h.ndim()) +
                                                   " axes; expected [n, n_rx, n_tx]");
    }
    const auto n_rx = static_cast<arma::uword>(h.shape(1)),
               n_tx = static_cast<arma::uword>(h.shape(2));
    samples_ = chest::samples_in_memory(columns_of(h, n_rx, n_tx), n_rx, n_tx);
  }

  const chest::SampleReader& samples() const { return samples_; }
  py::array_t<std::complex<float>> read(arma::uword first, arma::uword count) const {
    arma::cx_mat h;
    {
      const py::gil_scoped_release release;
      h = samples_.read(first, count);
    }
    return array_of(h, samples_.n_rx, samples_.n_tx, samples_.grid);
  }
  std::string kind() const { return dataset_ ? dataset_->info().kind : "array"; }
  std::string axes() const { return dataset_ ? dataset_->info().axes : "nrt"; }
  std::vector<std::string> warnings() const {
    return dataset_ ? dataset_->info().warnings : std::vector<std::string>{};
  }
  double scale() const { return dataset_ ? dataset_->info().scale : 1.0; }
  std::shared_ptr<const chest::GaussianMixture> prior() const { return prior_; }
  std::shared_ptr<const chest::GridCovariance> grid_covariance() const { return grid_covariance_; }
  bool has_covariances() const { return dataset_ && dataset_->info().has_covariances; }
  chest::ToeplitzKroneckerCovariances covariances(arma::uword first, arma::uword count) const {
    return dataset_->read_covariances(first_ + first, count);
  }

 private:
  std::shared_ptr<const chest::Dataset> dataset_;
  chest::SampleReader samples_;
  arma::uword first_ = 0;
  std::shared_ptr<const chest::GaussianMixture> prior_;
  std::shared_ptr<const chest::GridCovariance> grid_covariance_;
};

std::unique_ptr<chest::ChannelGenerator> make_generator(const std::string& kind,
                                                        std::map<std::string, double> options,
                                                        std::uint64_t seed) {
  const auto take = [&](const char* name, double otherwise) {
    const auto it = options.find(name);
    if (it == options.end()) return otherwise;
    const double value = it->second;
    options.erase(it);
    return value;
  };
  const auto count = [&](const char* name, double otherwise) {
    const double value = take(name, otherwise);
    if (!(value >= 1.0 && value <= 65536.0) || value != std::floor(value)) {
      throw Error(ErrorKind::invalid_argument, std::string(name) + " is " + std::to_string(value) +
                                                   "; expected a whole number, 1 to 65536");
    }
    return static_cast<arma::uword>(value);
  };
  std::unique_ptr<chest::ChannelGenerator> made;
  const bool small = kind == "gmm";
  const arma::uword n_rx = count("n_rx", small ? 8 : 64), n_tx = count("n_tx", small ? 4 : 16);
  if (kind == "scm") {
    made = chest::make_scm(
        {n_rx, n_tx, count("n_paths", 3), take("spread_rx_deg", 2.0), take("spread_tx_deg", 35.0)});
  } else if (kind == "rayleigh") {
    made = chest::make_rayleigh(n_rx, n_tx);
  } else if (kind == "kronecker") {
    made = chest::make_kronecker({n_rx, n_tx, take("rho_rx", 0.9), take("rho_tx", 0.5)});
  } else if (kind == "gmm") {
    made = chest::make_cluster_mixture({n_rx, n_tx, count("n_components", 8),
                                        take("spread_rx_deg", 5.0), take("spread_tx_deg", 35.0),
                                        seed});
  } else {
    throw Error(ErrorKind::invalid_argument,
                "generate: there is no '" + kind + "'; there are scm, rayleigh, kronecker and gmm");
  }
  if (!options.empty()) {
    throw Error(ErrorKind::invalid_argument,
                "generate: " + kind + " has no option " + options.begin()->first);
  }
  return made;
}

// ---- runs

/// What estimators know of channels and models.
chest::EstimatorContext context_of(arma::uword n_rx, arma::uword n_tx,
                                   const std::vector<std::string>& models,
                                   const std::string& engine) {
  chest::EstimatorContext context;
  context.n_rx = n_rx;
  context.n_tx = n_tx;
  context.engine = chest::engine_from_string(engine);
  context.models = std::make_shared<chest::ModelStore>(
      std::vector<std::filesystem::path>(models.begin(), models.end()));
  return context;
}

/// "2x4x2"; "": a line.
chest::PanelShape panel_of(const std::string& text, arma::uword n_rx) {
  if (text.empty()) return {};
  const auto shape = chest::panel_from_text(text);
  if (shape && shape->n() == n_rx) return *shape;
  throw Error(ErrorKind::invalid_argument,
              "panel is '" + text +
                  "'; expected rows x columns x polarisations of the receive antennas, as in "
                  "2x4x2, with the product n_rx = " +
                  std::to_string(n_rx));
}

/// Progress to Python and Ctrl-C from it. Called by workers, one at a time.
chest::RunControl control_of(const py::object& on_progress, bool& interrupted) {
  chest::RunControl control;
  if (!on_progress.is_none()) {
    control.on_progress = [&on_progress](const chest::Progress& progress) {
      const py::gil_scoped_acquire acquire;
      on_progress(progress.fraction, progress.seconds_left, progress.text);
    };
  }
  control.on_warning = [](const std::string& text) {
    const py::gil_scoped_acquire acquire;
    if (PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 1) != 0) throw py::error_already_set();
  };
  control.stop_requested = [&interrupted] {
    if (interrupted) return true;
    const py::gil_scoped_acquire acquire;
    interrupted = PyErr_CheckSignals() != 0;
    if (interrupted) PyErr_Clear();
    return interrupted;
  };
  return control;
}

chest::sim::Results sweep(const Channels& channels, const std::vector<std::string>& estimators,
                          const std::vector<std::string>& models, const std::vector<double>& snr_db,
                          const std::vector<std::string>& pilots, double pilot_power,
                          std::uint64_t seed, unsigned threads, double stop_rel,
                          const std::string& engine, const py::object& on_progress) {
  const chest::SampleReader& samples = channels.samples();
  chest::EstimatorContext context = context_of(samples.n_rx, samples.n_tx, models, engine);
  context.grid = samples.grid;
  context.rx_panel = samples.rx_panel;
  context.prior = channels.prior();
  context.grid_covariance = channels.grid_covariance();
  context.has_genie_covariances = channels.has_covariances();
  chest::sim::SweepOptions options;
  options.snr_db = snr_db;
  for (const std::string& each : estimators) options.estimators.push_back(each);
  options.pilots.clear();
  for (const std::string& each : pilots) options.pilots.push_back(chest::sim::parse_pilots(each));
  options.pilot_power = pilot_power;
  options.seed = seed;
  options.n_threads = threads;
  options.stop_rel = stop_rel;
  options.block =
      std::max<arma::uword>(1, std::min<arma::uword>(64, (arma::uword{1} << 21) / samples.n_h()));
  chest::sim::CovarianceReader covariances;
  if (channels.has_covariances()) {
    covariances = [&](arma::uword first, arma::uword count) {
      return channels.covariances(first, count);
    };
  }
  const chest::Catalog catalog = chest::built_in();
  bool interrupted = false;
  const chest::RunControl control = control_of(on_progress, interrupted);
  chest::sim::Results results;
  {
    const py::gil_scoped_release release;
    results = chest::sim::run_sweep(
        samples, covariances,
        [&](const std::string& spec, const std::shared_ptr<const chest::ObservationOperator>& A) {
          chest::EstimatorContext known = context;
          known.A = A;
          return std::shared_ptr<const chest::Estimator>(
              catalog.make(chest::parse_named_options(spec), known));
        },
        options, control);
  }
  if (interrupted) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    throw py::error_already_set();
  }
  return results;
}

py::list rows_of(const chest::sim::Results& results) {
  py::list out;
  for (const chest::sim::Row& row : chest::sim::rows(results)) {
    py::dict each;
    each["estimator"] = row.estimator;
    each["pilots"] = row.pilots;
    each["n_pilots"] = row.n_pilots;
    each["snr_db"] = row.snr_db;
    each["snr_measured_db"] = row.snr_measured_db;
    each["snr_effective_db"] = row.snr_effective_db;
    each["n_samples"] = row.n_samples;
    each["nmse"] = row.nmse;
    each["nmse_db"] = row.nmse_db;
    each["nmse_ci95_low"] = row.nmse_ci95_low;
    each["nmse_ci95_high"] = row.nmse_ci95_high;
    each["nmse_per_sample"] = row.nmse_per_sample;
    each["nmse_predicted"] = row.nmse_predicted;
    each["nfe"] = row.nfe;
    each["seconds_per_channel"] = row.seconds_per_channel;
    each["method"] = row.method;
    if (results.grid.is_grid()) {
      each["nmse_pilots"] = row.nmse_pilots;
      each["pilot_energy"] = row.pilot_energy;
    }
    out.append(each);
  }
  return out;
}

py::tuple estimate(const std::string& estimator,
                   const py::array_t<std::complex<double>, py::array::forcecast>& y,
                   double noise_var, const py::object& pilots,
                   const std::vector<std::string>& models, const std::string& panel,
                   const std::string& engine, std::uint64_t seed, const py::object& side) {
  if (y.ndim() != 3) {
    throw Error(ErrorKind::invalid_argument,
                "y has " + std::to_string(y.ndim()) + " axes; expected [n, n_rx, n_pilots]");
  }
  const auto n_rx = static_cast<arma::uword>(y.shape(1)),
             n_pilots = static_cast<arma::uword>(y.shape(2));
  arma::cx_mat P;
  if (pilots.is_none()) {
    P.eye(n_pilots, n_pilots);
  } else {
    const auto given = py::array_t<std::complex<double>, py::array::forcecast>::ensure(pilots);
    if (!given || given.ndim() != 2 || static_cast<arma::uword>(given.shape(1)) != n_pilots) {
      PyErr_Clear();
      throw Error(
          ErrorKind::invalid_argument,
          "pilots: expected a complex matrix [n_tx, n_pilots = " + std::to_string(n_pilots) + "]");
    }
    const auto values = given.unchecked<2>();
    P.set_size(static_cast<arma::uword>(given.shape(0)), n_pilots);
    for (arma::uword t = 0; t < P.n_rows; ++t) {
      for (arma::uword p = 0; p < n_pilots; ++p) {
        P(t, p) = values(static_cast<py::ssize_t>(t), static_cast<py::ssize_t>(p));
      }
    }
  }
  chest::EstimatorContext context = context_of(n_rx, P.n_rows, models, engine);
  context.A = chest::make_kronecker_observation(P, n_rx);
  context.rx_panel = panel_of(panel, n_rx);
  chest::NamedOptions spec = chest::parse_named_options(estimator);
  if (std::isnan(noise_var)) spec.options.emplace("snr", "unknown");
  chest::Observation observation;
  observation.y = columns_of(y, n_rx, n_pilots);
  observation.sigma2 = std::isnan(noise_var) ? 1.0 : noise_var;
  observation.seed = seed;
  if (!side.is_none()) {
    const auto given = py::array_t<std::complex<double>, py::array::forcecast>::ensure(side);
    if (!given || given.ndim() != 3 || given.shape(0) != y.shape(0) ||
        static_cast<arma::uword>(given.shape(1)) != n_rx ||
        static_cast<arma::uword>(given.shape(2)) != P.n_rows) {
      PyErr_Clear();
      throw Error(ErrorKind::invalid_argument,
                  "side: expected complex matrices [n, n_rx, n_tx], " + std::to_string(y.shape(0)) +
                      " of " + std::to_string(n_rx) + "x" + std::to_string(P.n_rows));
    }
    observation.side = columns_of(given, n_rx, P.n_rows);
  }
  chest::Estimate found;
  {
    const py::gil_scoped_release release;
    found = chest::built_in().make(spec, context)->estimate(observation);
  }
  const auto n = static_cast<py::ssize_t>(observation.y.n_cols);
  py::array_t<double> errors(std::vector<py::ssize_t>{n});
  for (py::ssize_t k = 0; k < n; ++k) {
    errors.mutable_at(k) = found.mse.is_empty() ? NAN
                                                : found.mse(static_cast<arma::uword>(k)) /
                                                      static_cast<double>(found.h.n_rows);
  }
  return py::make_tuple(array_of(found.h, n_rx, P.n_rows), errors);
}

// ---- grids

/// "624x14@30" as axes.
chest::GridAxes grid_axes(const std::string& text) {
  const chest::GridChoice choice = chest::parse_grid(text);
  chest::GridAxes axes;
  axes.n_subcarriers = choice.n_subcarriers;
  axes.n_symbols = std::max<arma::uword>(choice.n_symbols, 1);
  axes.spacing_hz = choice.spacing_hz;
  if (axes.is_grid()) return axes;
  throw Error(ErrorKind::invalid_argument, "grid: '" + text +
                                               "' is no grid of several elements; write for "
                                               "example 624x14@30");
}

/// What every port sends, [n_tx, n_subcarriers, n_symbols], 0 where it is silent. Ports share no element.
chest::PilotPattern pattern_of(const py::array_t<std::complex<double>, py::array::forcecast>& sent,
                               const chest::GridAxes& grid) {
  if (sent.ndim() != 3 || static_cast<arma::uword>(sent.shape(1)) != grid.n_subcarriers ||
      static_cast<arma::uword>(sent.shape(2)) != grid.n_symbols) {
    throw Error(ErrorKind::invalid_argument,
                "pilots: expected a text or an array [n_tx, n_subcarriers = " +
                    std::to_string(grid.n_subcarriers) +
                    ", n_symbols = " + std::to_string(grid.n_symbols) + "]");
  }
  const auto values = sent.unchecked<3>();
  arma::cx_mat x(static_cast<arma::uword>(sent.shape(0)), grid.n_elements());
  for (arma::uword s = 0; s < grid.n_symbols; ++s) {
    for (arma::uword f = 0; f < grid.n_subcarriers; ++f) {
      for (arma::uword t = 0; t < x.n_rows; ++t) {
        x(t, s * grid.n_subcarriers + f) = values(
            static_cast<py::ssize_t>(t), static_cast<py::ssize_t>(f), static_cast<py::ssize_t>(s));
      }
    }
  }
  return chest::sent_pattern(x, grid);
}

/// An estimator of one pilot pattern on a grid, made once.
class GridEstimator {
 public:
  GridEstimator(const std::string& estimator, const py::object& pilots, const std::string& grid,
                arma::uword n_rx, arma::uword n_tx, const std::vector<std::string>& models,
                const std::string& panel, double pilot_power, const std::string& engine,
                std::uint64_t seed)
      : spec_(chest::parse_named_options(estimator)),
        context_(context_of(n_rx, n_tx, models, engine)),
        seed_(seed) {
    context_.grid = grid_axes(grid);
    context_.rx_panel = panel_of(panel, n_rx);
    if (py::isinstance<py::str>(pilots)) {
      const chest::sim::PilotSpec spec = chest::sim::parse_pilots(pilots.cast<std::string>());
      pattern_ =
          *chest::sim::make_grid_pilots(spec, n_tx, context_.grid, seed, pilot_power).pattern;
    } else {
      const auto sent = py::array_t<std::complex<double>, py::array::forcecast>::ensure(pilots);
      if (!sent) {
        PyErr_Clear();
        throw Error(ErrorKind::invalid_argument,
                    "pilots: expected a text, as in comb:4,symbols=2-11, or a complex array");
      }
      pattern_ = pattern_of(sent, context_.grid);
      pattern_.x *= std::sqrt(pilot_power);
      if (pattern_.n_tx() != n_tx) {
        throw Error(ErrorKind::invalid_argument, "pilots: those of " +
                                                     std::to_string(pattern_.n_tx()) +
                                                     " ports; n_tx is " + std::to_string(n_tx));
      }
    }
    context_.A = chest::make_grid_observation(pattern_, n_rx);
    estimator_ = chest::built_in().make(spec_, context_);
  }

  /// [n_tx, n_subcarriers, n_symbols]
  py::object pilots() const {
    arma::cx_mat x(pattern_.n_tx(), context_.grid.n_elements());
    for (arma::uword p = 0; p < pattern_.n(); ++p)
      x.col(pattern_.symbol(p) * context_.grid.n_subcarriers + pattern_.subcarrier(p)) =
          pattern_.x.col(p);
    return array_of(x.as_col(), 1, pattern_.n_tx(), context_.grid)
        .attr("__getitem__")(py::make_tuple(0, 0));
  }
  std::string method(double noise_var) const { return estimator_->method(noise_var); }

  /// y [n, n_rx, n_subcarriers, n_symbols]; noise_var [n], NaN: found. Error variances with an axis of one antenna.
  py::tuple estimate(const py::array& y, const std::vector<double>& noise_var, unsigned threads) {
    const chest_tensor view = view_of(y, "y");
    const chest::GridAxes& grid = context_.grid;
    const auto n_rx = static_cast<std::int64_t>(context_.n_rx),
               n_f = static_cast<std::int64_t>(grid.n_subcarriers),
               n_s = static_cast<std::int64_t>(grid.n_symbols);
    if (view.rank != 4 || view.dim[1] != n_rx || view.dim[2] != n_f || view.dim[3] != n_s) {
      throw Error(ErrorKind::invalid_argument, "y is " + std::string(py::str(y.attr("shape"))) +
                                                   "; expected [n, n_rx = " + std::to_string(n_rx) +
                                                   ", n_subcarriers = " + std::to_string(n_f) +
                                                   ", n_symbols = " + std::to_string(n_s) + "]");
    }
    const auto n = static_cast<std::size_t>(view.dim[0]);
    if (noise_var.size() != n) {
      throw Error(ErrorKind::invalid_argument, "noise_var has " + std::to_string(noise_var.size()) +
                                                   " values, y has " + std::to_string(n) +
                                                   " items");
    }
    if (std::any_of(noise_var.begin(), noise_var.end(), [](double v) { return std::isnan(v); }) &&
        !blind_) {
      chest::NamedOptions spec = spec_;
      spec.options.emplace("snr", "unknown");
      blind_ = chest::built_in().make(spec, context_);
    }
    // As estimates lie in memory: receive antennas fastest, then transmit antennas, subcarriers, symbols.
    const auto n_tx = static_cast<py::ssize_t>(context_.n_tx);
    const auto outputs = [&](py::ssize_t rows, auto value) {
      const auto item = static_cast<py::ssize_t>(sizeof value);
      const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(n), rows, n_tx, n_f, n_s},
          strides{item * rows * n_tx * n_f * n_s, item, item * rows, item * rows * n_tx,
                  item * rows * n_tx * n_f};
      return py::array_t<decltype(value)>(shape, strides);
    };
    auto h = outputs(n_rx, std::complex<float>());
    auto errors = outputs(1, float());
    std::complex<float>* to = h.mutable_data();
    float* error_to = errors.mutable_data();
    const std::size_t n_h = context_.A->n_h(), n_errors = n_h / context_.n_rx;
    // Runs of one noise variance, cut into blocks.
    const std::size_t most = std::clamp<std::size_t>((std::size_t{1} << 22) / n_h, 1, 64);
    std::vector<std::pair<std::size_t, std::size_t>> blocks;
    for (std::size_t first = 0, end = 0; first < n; first = end) {
      for (end = first + 1; end < n && end - first < most; ++end) {
        const bool same = noise_var[end] == noise_var[first] ||
                          (std::isnan(noise_var[end]) && std::isnan(noise_var[first]));
        if (!same) break;
      }
      blocks.emplace_back(first, end);
    }
    {
      const py::gil_scoped_release release;
      if (threads == 0) threads = chest::available_threads();
      chest::parallel_for(blocks.size(), threads, [&](std::size_t b) {
        const auto [first, end] = blocks[b];
        const bool is_blind = std::isnan(noise_var[first]);
        chest::Observation observation;
        observation.sigma2 = is_blind ? 1.0 : noise_var[first];
        observation.seed = seed_;
        observation.first_sample = first;
        observation.per_element = true;
        observation.y.set_size(context_.A->n_obs(), end - first);
        for (std::size_t k = first; k < end; ++k) {
          std::complex<double>* column = observation.y.colptr(k - first);
          for (arma::uword p = 0; p < pattern_.n(); ++p) {
            const std::int64_t at =
                static_cast<std::int64_t>(k) * view.stride[0] +
                static_cast<std::int64_t>(pattern_.subcarrier(p)) * view.stride[2] +
                static_cast<std::int64_t>(pattern_.symbol(p)) * view.stride[3];
            for (std::int64_t r = 0; r < n_rx; ++r) {
              const std::int64_t i = at + r * view.stride[1];
              *column++ = view.dtype == CHEST_CF64
                              ? static_cast<const std::complex<double>*>(view.data)[i]
                              : static_cast<const std::complex<float>*>(view.data)[i];
            }
          }
        }
        const chest::Estimate found = (is_blind ? blind_ : estimator_)->estimate(observation);
        for (std::size_t i = 0; i < (end - first) * n_h; ++i)
          to[first * n_h + i] = std::complex<float>(found.h(i));
        for (std::size_t i = 0; i < (end - first) * n_errors; ++i) {
          error_to[first * n_errors + i] =
              found.element_mse.is_empty() ? NAN : static_cast<float>(found.element_mse(i));
        }
      });
    }
    return py::make_tuple(h, errors);
  }

 private:
  chest::NamedOptions spec_;
  chest::EstimatorContext context_;
  chest::PilotPattern pattern_;
  std::shared_ptr<const chest::Estimator> estimator_, blind_;
  std::uint64_t seed_;
};

}  // namespace

PYBIND11_MODULE(_chest, m) {
  m.doc() = "What the package chest is made of; use that.";
  m.attr("__version__") = chest_version();

  static py::exception<Error> base(m, "Error", PyExc_RuntimeError);
  base.attr("__module__") = "chest";
  static py::object of_argument, of_file;
  // One exception of chest, that is the usual one of Python too.
  const auto derived = [&m](const char* name, PyObject* usual) {
    const py::object bases =
        py::make_tuple(m.attr("Error"), py::reinterpret_borrow<py::object>(usual));
    py::object type = py::reinterpret_steal<py::object>(
        PyErr_NewException((std::string("chest.") + name).c_str(), bases.ptr(), nullptr));
    m.attr(name) = type;
    return type;
  };
  of_argument = derived("ArgumentError", PyExc_ValueError);
  of_file = derived("FileError", PyExc_OSError);
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const Error& error) {
      switch (error.kind()) {
        case ErrorKind::invalid_argument:
          PyErr_SetString(of_argument.ptr(), error.what());
          break;
        case ErrorKind::io:
        case ErrorKind::format:
          PyErr_SetString(of_file.ptr(), error.what());
          break;
        default:
          PyErr_SetString(base.ptr(), error.what());
      }
    }
  });

  py::class_<Model>(m, "Model")
      .def(py::init<const std::string&, const std::string&>(), py::arg("path"),
           py::arg("precision"))
      .def("estimate", &Model::estimate, py::arg("y"), py::arg("noise_var"), py::arg("pilots"),
           py::arg("power_scale"), py::arg("threads"))
      .def_property_readonly("path", &Model::path)
      .def_property_readonly("info", [](const Model& model) {
        const chest_info& info = model.info();
        py::dict out;
        out["kind"] = info.kind;
        out["n_rx"] = info.n_rx;
        out["n_tx"] = info.n_tx;
        out["steps"] = info.steps;
        out["snr_db"] = py::make_tuple(info.snr_low_db, info.snr_high_db);
        out["n_parameters"] = info.n_parameters;
        out["predicts_error"] = info.predicts_error != 0;
        out["finds_noise"] = info.finds_noise != 0;
        out["engine"] = info.engine;
        out["target"] = info.target;
        return out;
      });

  py::class_<Channels>(m, "Channels")
      .def(py::init<const std::string&, const std::string&, const std::string&, const std::string&,
                    double, const std::string&, arma::uword, arma::uword>())
      .def(py::init<const py::array_t<std::complex<double>, py::array::forcecast>&>())
      .def("read", &Channels::read, py::arg("first"), py::arg("count"))
      .def_property_readonly("kind", &Channels::kind)
      .def_property_readonly("axes", &Channels::axes)
      .def_property_readonly("scale", &Channels::scale)
      .def_property_readonly("warnings", &Channels::warnings)
      .def_property_readonly("shape", [](const Channels& channels) {
        const chest::SampleReader& s = channels.samples();
        if (s.grid.is_grid()) {
          return py::tuple(
              py::make_tuple(s.n_samples, s.n_rx, s.n_tx, s.grid.n_subcarriers, s.grid.n_symbols));
        }
        return py::tuple(py::make_tuple(s.n_samples, s.n_rx, s.n_tx));
      });

  py::class_<GridEstimator>(m, "GridEstimator")
      .def(py::init<const std::string&, const py::object&, const std::string&, arma::uword,
                    arma::uword, const std::vector<std::string>&, const std::string&, double,
                    const std::string&, std::uint64_t>())
      .def("estimate", &GridEstimator::estimate)
      .def("method", &GridEstimator::method)
      .def_property_readonly("pilots", &GridEstimator::pilots);

  m.def("generate", [](const std::string& kind, arma::uword n_samples, std::uint64_t seed,
                       arma::uword first, const std::map<std::string, double>& options) {
    const auto generator = make_generator(kind, options, seed);
    arma::cx_mat h;
    {
      const py::gil_scoped_release release;
      h = generator->generate(seed, first, n_samples).h;
    }
    return array_of(h, generator->n_rx(), generator->n_tx());
  });
  m.def("write_channels", [](const std::string& path, const Channels& channels, bool compress) {
    const chest::SampleReader& samples = channels.samples();
    chest::ChannelFileOptions options;
    options.n_rx = samples.n_rx;
    options.n_tx = samples.n_tx;
    options.grid = samples.grid;
    options.n_samples = samples.n_samples;
    options.compress = compress;
    options.provenance.command_line = "chest.write_channels (Python)";
    chest::ChannelFileWriter writer(path, options);
    constexpr arma::uword block = 256;
    for (arma::uword first = 0; first < samples.n_samples; first += block) {
      chest::ChannelBlock part;
      part.h = samples.read(first, std::min(block, samples.n_samples - first));
      writer.append(part);
    }
    writer.finish();
  });
  m.def("fit_lmmse",
        [](const Channels& channels, const std::string& out, const std::string& covariance) {
          const py::gil_scoped_release release;
          chest::save(
              std::filesystem::path(out),
              chest::fit_lmmse(channels.samples(), chest::covariance_kind_from_string(covariance)));
        });
  m.def("fit_gmm", [](const Channels& channels, const std::string& out,
                      const std::string& covariance, arma::uword n_components, std::uint64_t seed) {
    chest::GmmFitOptions options;
    options.covariance = chest::mixture_covariance_from_string(covariance);
    options.n_components = n_components;
    options.seed = seed;
    options.n_threads = chest::available_threads();
    const py::gil_scoped_release release;
    chest::save(std::filesystem::path(out), chest::fit_gmm(channels.samples(), options));
  });

  py::class_<chest::sim::Results>(m, "Results")
      .def_property_readonly("rows", &rows_of)
      .def_property_readonly("csv",
                             [](const chest::sim::Results& r) { return chest::sim::to_csv(r); })
      .def_property_readonly("table",
                             [](const chest::sim::Results& r) { return chest::sim::to_table(r); })
      .def("save", [](const chest::sim::Results& r, const std::string& path) {
        chest::sim::save(path, r);
      });
  m.def("sweep", &sweep);
  m.def("load_results", [](const std::string& path) { return chest::sim::load_results(path); });
  m.def("estimate", &estimate);
  m.def("estimators", [] {
    std::vector<std::pair<std::string, std::string>> out;
    for (const chest::CatalogEntry& entry : chest::built_in().entries())
      out.emplace_back(entry.name, entry.summary);
    return out;
  });
}

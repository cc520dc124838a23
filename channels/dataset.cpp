#include <chest/channels/dataset.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include <chest/error.hpp>
#include <chest/file_kind.hpp>
#include <chest/text.hpp>

#include "sample_source.hpp"

namespace chest {
inline namespace v0 {
namespace {

constexpr int newest_format_version = 1;
constexpr arma::uword samples_per_block = 256;
constexpr arma::uword bytes_per_block = arma::uword{16} << 20;

std::string format_power(double power) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", power);
  return text;
}

}  // namespace

struct Dataset::Impl {
  DatasetInfo info;
  std::shared_ptr<const ArchiveReader> archive;  // null for other files than HDF5
  std::unique_ptr<const SampleSource> source;

  [[noreturn]] void fail(ErrorKind kind, const std::string& what) const {
    throw Error(kind, info.file.string() + ": " + what);
  }

  /// Picks the reader for the file and fills `info` from it.
  void open(const DatasetOptions& options) {
    std::error_code error;
    if (!std::filesystem::exists(info.file, error)) fail(ErrorKind::io, "there is no such file");
    if (std::filesystem::is_directory(info.file, error))
      fail(ErrorKind::io, "is a folder, expected a file of channels");
    switch (file_kind(info.file)) {
      case FileKind::npy:
        source = open_npy(info.file, options);
        break;
      case FileKind::zip:
        source = open_npz(info.file, options);
        break;
      case FileKind::matlab_5:
      case FileKind::matlab_4:
        source = open_mat(info.file, options);
        break;
      case FileKind::hdf5:
        archive = std::make_shared<ArchiveReader>(info.file);
        open_archive(options);
        break;
      case FileKind::other: {
        const std::string what = describe_foreign_file(info.file);
        fail(ErrorKind::format,
             !what.empty()
                 ? what
                 : "is of no kind that chest reads: HDF5 (MATLAB -v7.3, h5py, Octave -hdf5, "
                   "quadriga-lib), MATLAB v4 to v7 .mat, NumPy .npy and .npz. Raw numbers become "
                   ".npy in Python: np.save('channels.npy', np.fromfile(FILE, "
                   "np.complex64).reshape(n, n_rx, n_tx))");
      }
    }
    info.dataset = source->dataset;
    if (info.kind.empty()) info.kind = source->kind;
    info.axes = source->axes;
    info.type_name = source->type_name;
    info.n_samples = source->n_samples;
    info.n_rx = source->n_rx;
    info.n_tx = source->n_tx;
    info.n_skipped = source->n_skipped;
    if (info.kind != "chest") info.warnings = source->warnings;
  }

  void open_archive(const DatasetOptions& options) {
    const bool ours = archive->text_attribute("/", "format") == "chest-channels";
    if (ours && (options.dataset.empty() || options.dataset == "/channels" ||
                 options.dataset == "channels")) {
      read_provenance(*archive, "chest-channels", newest_format_version);
      DatasetOptions own = options;
      own.dataset = "/channels";
      source = open_hdf5(archive, own);
      info.kind = "chest";
      info.model = archive->text_attribute("/", "model").value_or("");
      info.has_prior = archive->is_group("/prior");
      info.has_covariances = archive->has("/covariance/t_rx") && archive->has("/covariance/t_tx");
      if (info.has_covariances) check_covariances();
    } else if (is_quadriga_lib(*archive) && options.dataset.empty()) {
      if (!options.axes.empty())
        fail(ErrorKind::format,
             "is a quadriga-lib file, whose axes are fixed; leave out --axes " + options.axes);
      source = open_quadriga_lib(archive);
      if (options.n_rx != 0 && options.n_rx != source->n_rx)
        fail(ErrorKind::format, "has n_rx = " + std::to_string(source->n_rx) + ", expected " +
                                    std::to_string(options.n_rx));
    } else {
      source = open_hdf5(archive, options);
    }
  }

  void check_covariances() const {
    const auto check = [&](const std::string& dataset, arma::uword n) {
      const StoredDataset stored = archive->info(dataset);
      if (stored.type != ValueType::complex ||
          stored.dims != std::vector<std::uint64_t>{source->n_samples, n})
        fail(ErrorKind::format, dataset + " is " + stored.type_name + " " +
                                    shape_text(stored.dims) + ", expected complex (" +
                                    std::to_string(source->n_samples) + ", " + std::to_string(n) +
                                    ")");
    };
    check("/covariance/t_rx", source->n_rx);
    check("/covariance/t_tx", source->n_tx);
  }

  void check_range(arma::uword first, arma::uword count) const {
    if (first > info.n_samples || count > info.n_samples - first)
      fail(ErrorKind::invalid_argument,
           "samples " + std::to_string(first) + ":" + std::to_string(first + count) +
               " were asked for, there are " + std::to_string(info.n_samples));
  }

  /// Stored samples as columns, not scaled, and ||h||^2 of each.
  arma::cx_mat read_stored(arma::uword first, arma::uword count, arma::vec& squared_norms) const {
    check_range(first, count);
    arma::cx_mat h(info.n_rx * info.n_tx, count, arma::fill::none);
    source->read(first, count, h.memptr());
    squared_norms.set_size(count);
    for (arma::uword k = 0; k < count; ++k) {
      const double* values = reinterpret_cast<const double*>(h.colptr(k));
      double sum = 0.0;
      for (arma::uword i = 0; i < 2 * h.n_rows; ++i) sum += values[i] * values[i];
      if (!std::isfinite(sum)) {
        const double* bad = std::find_if_not(values, values + 2 * h.n_rows,
                                             [](double x) { return std::isfinite(x); });
        const arma::uword i = std::min<arma::uword>((bad - values) / 2, h.n_rows - 1);
        fail(ErrorKind::numeric,
             "sample " + std::to_string(first + k) + " is not finite, first at entry [" +
                 std::to_string(i % info.n_rx) + ", " + std::to_string(i / info.n_rx) +
                 "] of [n_rx, n_tx] (counted from 0)");
      }
      if (sum == 0.0)
        fail(ErrorKind::numeric, "sample " + std::to_string(first + k) +
                                     " is all zero (counted from 0); leave out such channels");
      squared_norms[k] = sum;
    }
    return h;
  }

  /// Samples that are held at a time.
  arma::uword block() const {
    return std::clamp<arma::uword>(bytes_per_block / (16 * info.n_rx * info.n_tx), 1,
                                   samples_per_block);
  }

  /// Adds a warning where the values are not those of complex channels of zero mean.
  void look_at_values() {
    double lowest = arma::datum::inf, power = 0.0, power_im = 0.0;
    std::complex<double> sum = 0.0;
    double n = 0.0;
    const arma::uword n_blocks = std::min<arma::uword>(info.n_samples, 4);
    const arma::uword count =
        std::min(info.n_samples / n_blocks, std::max<arma::uword>(block() / 4, 1));
    arma::cx_mat h(info.n_rx * info.n_tx, count, arma::fill::none);
    for (arma::uword i = 0; i < n_blocks; ++i) {
      source->read(n_blocks == 1 ? 0 : i * (info.n_samples - count) / (n_blocks - 1), count,
                   h.memptr());
      for (const std::complex<double>& value : h) {
        if (!std::isfinite(value.real()) || !std::isfinite(value.imag())) continue;
        lowest = std::min({lowest, value.real(), value.imag()});
        power += std::norm(value);
        power_im += value.imag() * value.imag();
        sum += value;
        n += 1.0;
      }
    }
    if (n < 32.0 || power == 0.0) return;
    std::string what;
    if (power_im == 0.0)
      what = lowest < 0.0
                 ? "every imaginary part is zero; save complex channels, not their real part"
                 : "every value is real and none negative; save complex channels, not "
                   "their amplitude";
    else if (lowest >= 0.0)
      what =
          "no real and no imaginary part is negative: planes shifted to 0 .. 1 (CsiNet: subtract "
          "0.5), or amplitudes taken for complex values (save those, or name the axes with "
          "--axes)";
    else if (n >= 1000.0 && std::norm(sum / n) > 0.5 * power / n)
      what = "all entries share the mean " + format_power(sum.real() / n) +
             (sum.imag() < 0.0 ? " - " : " + ") + format_power(std::abs(sum.imag()) / n) +
             "j, more than half of their power; estimators take channels of zero mean, so subtract "
             "such an offset";
    if (!what.empty()) info.warnings.push_back(info.file.string() + ": " + what);
  }

  /// Mean power per entry of samples first .. first + count - 1.
  double mean_power(arma::uword first, arma::uword count) const {
    double sum = 0.0;
    arma::vec squared_norms;
    for (arma::uword done = 0; done < count; done += block()) {
      read_stored(first + done, std::min(block(), count - done), squared_norms);
      sum += arma::accu(squared_norms);
    }
    return sum / static_cast<double>(count * info.n_rx * info.n_tx);
  }

  /// The same over four blocks that are spread over the file: enough to see path loss.
  double rough_power() const {
    if (info.n_samples <= 4 * block()) return mean_power(0, info.n_samples);
    double sum = 0.0;
    for (arma::uword i = 0; i < 4; ++i)
      sum += mean_power(i * (info.n_samples - block()) / 3, block()) / 4.0;
    return sum;
  }

  void normalise(const DatasetOptions& options) {
    info.normalisation = options.normalisation;
    switch (options.normalisation) {
      case Normalisation::none: {
        // Channels of a generator have E||h||^2 = n_h by construction, whatever a few of them have.
        if (!info.model.empty()) return;
        const double power = rough_power();
        if (!(power >= 0.25 && power <= 4.0))
          fail(ErrorKind::format,
               "the mean power per entry is " + format_power(power) +
                   ", expected near 1 (0.25 .. 4); choose --normalise dataset (one factor for all "
                   "channels) or --normalise sample (every channel to the same power)");
        return;
      }
      case Normalisation::dataset: {
        const auto known = info.kind == "chest"
                               ? archive->number_attribute("/channels", "mean_power")
                               : std::nullopt;
        const double power = known ? *known : mean_power(0, info.n_samples);
        if (!(power > 0.0 && std::isfinite(power)))
          fail(ErrorKind::format, "the recorded mean power is " + format_power(power));
        info.scale = 1.0 / std::sqrt(power);
        return;
      }
      case Normalisation::sample:
        return;
      case Normalisation::factor:
        if (!(options.factor > 0.0 && std::isfinite(options.factor)))
          fail(ErrorKind::invalid_argument, "the normalisation factor is " +
                                                number_text(options.factor) +
                                                ", it must be positive");
        info.scale = options.factor;
        return;
    }
  }
};

Dataset::Dataset(const std::filesystem::path& file, const DatasetOptions& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->info.file = file;
  impl_->open(options);
  if (impl_->info.kind != "chest" && impl_->info.kind != "quadriga-lib") impl_->look_at_values();
  impl_->normalise(options);
}
Dataset::~Dataset() = default;
Dataset::Dataset(Dataset&&) noexcept = default;
Dataset& Dataset::operator=(Dataset&&) noexcept = default;

const DatasetInfo& Dataset::info() const { return impl_->info; }

arma::cx_mat Dataset::read(arma::uword first, arma::uword count) const {
  arma::vec squared_norms;
  arma::cx_mat h = impl_->read_stored(first, count, squared_norms);
  if (impl_->info.normalisation == Normalisation::sample) {
    h.each_row() %= arma::conv_to<arma::cx_rowvec>::from(
        arma::sqrt(static_cast<double>(h.n_rows) / squared_norms.t()));
  } else if (impl_->info.scale != 1.0) {
    h *= impl_->info.scale;
  }
  return h;
}

ToeplitzKroneckerCovariances Dataset::read_covariances(arma::uword first, arma::uword count) const {
  const DatasetInfo& info = impl_->info;
  impl_->check_range(first, count);
  ToeplitzKroneckerCovariances out;
  if (!info.has_covariances) return out;
  // Rows of the file are columns here.
  out.t_rx.set_size(info.n_rx, count);
  out.t_tx.set_size(info.n_tx, count);
  impl_->archive->read("/covariance/t_rx", {{first, 0}, {count, info.n_rx}}, out.t_rx.memptr());
  impl_->archive->read("/covariance/t_tx", {{first, 0}, {count, info.n_tx}}, out.t_tx.memptr());
  if (!out.t_rx.is_finite() || !out.t_tx.is_finite())
    impl_->fail(ErrorKind::numeric, "a covariance of samples " + std::to_string(first) + ":" +
                                        std::to_string(first + count) + " is not finite");
  if (info.normalisation == Normalisation::sample) {
    arma::vec squared_norms;
    impl_->read_stored(first, count, squared_norms);
    out.t_rx.each_row() %= arma::conv_to<arma::cx_rowvec>::from(
        static_cast<double>(info.n_rx * info.n_tx) / squared_norms.t());
  } else {
    out.t_rx *= info.scale * info.scale;
  }
  return out;
}

std::optional<GaussianMixture> Dataset::prior() const {
  const DatasetInfo& info = impl_->info;
  if (!info.has_prior || info.normalisation == Normalisation::sample) return {};
  const GaussianMixture prior = load_gaussian_mixture(*impl_->archive, "/prior");
  if (prior.n_h() != info.n_rx * info.n_tx)
    impl_->fail(ErrorKind::format, "/prior is for " + std::to_string(prior.n_h()) +
                                       " entries, the channels have " +
                                       std::to_string(info.n_rx * info.n_tx));
  return prior.scaled(info.scale);
}

SampleReader Dataset::samples() const {
  SampleReader reader;
  reader.n_rx = impl_->info.n_rx;
  reader.n_tx = impl_->info.n_tx;
  reader.n_samples = impl_->info.n_samples;
  reader.read = [this](arma::uword first, arma::uword count) { return read(first, count); };
  return reader;
}

arma::cx_mat read_matrix(const std::filesystem::path& file, const std::string& dataset) {
  DatasetOptions options;
  options.dataset = dataset;
  options.matrix = true;
  Dataset::Impl impl;
  impl.info.file = file;
  impl.open(options);
  arma::cx_mat matrix(impl.info.n_rx, impl.info.n_tx, arma::fill::none);
  impl.source->read(0, 1, matrix.memptr());
  if (!matrix.is_finite())
    impl.fail(ErrorKind::numeric, impl.info.dataset + " holds values that are not finite");
  return matrix;
}

std::pair<std::filesystem::path, std::string> split_dataset_name(const std::string& text) {
  std::error_code error;
  if (std::filesystem::exists(text, error)) return {text, ""};
  const auto parts = [&text](std::size_t colon) {
    return std::pair<std::filesystem::path, std::string>(text.substr(0, colon),
                                                         text.substr(colon + 1));
  };
  for (std::size_t at = text.find(':'); at != std::string::npos; at = text.find(':', at + 1)) {
    const std::filesystem::path file = text.substr(0, at);
    if (std::filesystem::exists(file, error) && !std::filesystem::is_directory(file, error))
      return parts(at);
  }
  // There is no such file. Without an ending before the colon it is part of a path: C:\a.mat.
  const std::size_t last = text.rfind(':');
  if (last == std::string::npos || !parts(last).first.has_extension()) return {text, ""};
  return parts(last);
}

const char* to_string(Normalisation normalisation) {
  switch (normalisation) {
    case Normalisation::none:
      return "none";
    case Normalisation::dataset:
      return "dataset";
    case Normalisation::sample:
      return "sample";
    case Normalisation::factor:
      break;
  }
  return "factor";
}

}  // namespace v0
}  // namespace chest

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

constexpr int newest_format_version = 1, newest_format_version_of_paths = 2;
constexpr arma::uword samples_per_block = 256;
constexpr arma::uword bytes_per_block = arma::uword{16} << 20;

std::string format_power(double power) {
  if (!std::isfinite(power)) return "above 1e308";
  if (power == 0.0) return "below 1e-308";
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", power);
  return text;
}

double sum_of_squares(const double* values, arma::uword n) {
  double sum = 0.0;
  for (arma::uword i = 0; i < n; ++i) sum += values[i] * values[i];
  return sum;
}

}  // namespace

std::string BadSamples::text(arma::uword n_samples) const {
  std::string text;
  const auto add = [&](const SampleSet& set, const std::string& what) {
    if (set.empty()) return;
    if (!text.empty()) text += " and ";
    if (n_samples == 1) {
      text += "the one sample is " + what;
    } else if (set.size() == n_samples) {
      text += "all " + std::to_string(n_samples) + " samples are " + what;
    } else {
      text += (set.size() == 1 ? "sample " : "samples ") + set.text() + " (" +
              std::to_string(set.size()) + " of " + std::to_string(n_samples) + ") " +
              (set.size() == 1 ? "is " : "are ") + what;
    }
  };
  add(zero, "zero");
  add(not_finite, "not finite");
  return text;
}

struct Dataset::Impl {
  DatasetInfo info;
  double expected_power = 1.0;
  bool skips_bad = false;
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
    info.grid = source->grid;
    info.rx_panel = options.rx_panel;
    if (info.rx_panel.is_line() && info.kind == "chest") info.rx_panel = stored_panel();
    if (!info.rx_panel.is_line() && info.rx_panel.n() != info.n_rx)
      fail(ErrorKind::format, "has n_rx = " + std::to_string(info.n_rx) + ", a panel " +
                                  info.rx_panel.text() + " has " +
                                  std::to_string(info.rx_panel.n()) + " antennas");
    info.n_skipped = source->n_skipped;
    info.has_paths = source->has_paths;
  }

  /// The panel that a file of chest names; a line where it names none.
  PanelShape stored_panel() const {
    const std::optional<std::string> text = archive->text_attribute("/", "rx_panel");
    if (!text) return {};
    const std::optional<PanelShape> panel = panel_from_text(*text);
    if (!panel || panel->n() == 0)
      fail(ErrorKind::format, "attribute rx_panel is '" + *text + "', expected for example 2x4x2");
    return *panel;
  }

  void open_archive(const DatasetOptions& options) {
    const bool ours = archive->text_attribute("/", "format") == "chest-channels";
    if (ours && archive->has("/gains") &&
        (options.dataset.empty() || options.dataset == "/gains" || options.dataset == "gains")) {
      read_provenance(*archive, "chest-channels", newest_format_version_of_paths);
      source = open_chest_paths(archive, options);
      info.kind = "chest";
      info.model = archive->text_attribute("/", "model").value_or("");
      info.has_grid_covariance = archive->is_group("/grid_covariance");
    } else if (ours && (options.dataset.empty() || options.dataset == "/channels" ||
                        options.dataset == "channels")) {
      read_provenance(*archive, "chest-channels", newest_format_version);
      DatasetOptions own = options;
      own.dataset = "/channels";
      if (own.axes.empty() &&
          archive->text_attribute("/channels", "axes") == "sample, rx, tx, subcarrier, symbol")
        own.axes = "nrtfs";
      std::unique_ptr<SampleSource> opened = open_hdf5(archive, own);
      opened->warnings.clear();  // who wrote the file is known
      source = std::move(opened);
      info.kind = "chest";
      info.model = archive->text_attribute("/", "model").value_or("");
      info.has_prior = archive->is_group("/prior");
      info.has_covariances = archive->has("/covariance/t_rx") && archive->has("/covariance/t_tx");
      if (info.has_covariances) check_covariances();
    } else if (is_quadriga_lib(*archive) && options.dataset.empty()) {
      if (!options.axes.empty())
        fail(ErrorKind::format,
             "is a quadriga-lib file, whose axes are fixed; leave out --axes " + options.axes);
      source = open_quadriga_lib(archive, options);
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

  /// Samples as columns. Where squares would leave the range of double, a column is stored * unit
  /// with unit a power of two, else stored.
  struct Stored {
    arma::cx_mat h;
    arma::vec squared_norms;  ///< ||h||^2, 0 of zero columns, NaN of those that are not finite
    arma::vec units;
  };

  Stored read_stored(const SampleRange& range) const {
    check_range(range.first, range.size());
    Stored stored{{info.n_h(), range.size(), arma::fill::none}, {}, {}};
    source->read(range.first, range.size(), stored.h.memptr());
    stored.squared_norms.set_size(range.size());
    stored.units.ones(range.size());
    for (arma::uword k = 0; k < range.size(); ++k) {
      double* values = reinterpret_cast<double*>(stored.h.colptr(k));
      const arma::uword n = 2 * stored.h.n_rows;
      double sum = sum_of_squares(values, n);
      if (!(sum > 1e-250 && sum < 1e250)) {
        double largest = 0.0;
        for (arma::uword i = 0; i < n; ++i) {
          // A NaN stays.
          if (!(std::abs(values[i]) <= largest)) largest = std::abs(values[i]);
          if (std::isnan(largest)) break;
        }
        if (std::isfinite(largest) && largest > 0.0) {
          stored.units[k] = std::ldexp(1.0, -std::ilogb(largest));
          for (arma::uword i = 0; i < n; ++i) values[i] *= stored.units[k];
          sum = sum_of_squares(values, n);
        } else {
          sum = largest == 0.0 ? 0.0 : arma::datum::nan;
        }
      }
      stored.squared_norms[k] = sum;
    }
    return stored;
  }

  /// Samples that are held at a time.
  arma::uword samples_at_a_time() const {
    return std::clamp<arma::uword>(bytes_per_block / (16 * info.n_h()), 1, samples_per_block);
  }

  /// What is doubtful about the axes, and about the values of samples.
  void find_doubts(const SampleRange& asked) {
    info.warnings = source->warnings;
    if (info.kind != "chest" && info.kind != "quadriga-lib") look_at_values(asked);
  }

  /// Adds a warning where the values are not those of complex channels of zero mean.
  void look_at_values(const SampleRange& asked) {
    double lowest = arma::datum::inf, power = 0.0, power_im = 0.0;
    std::complex<double> sum = 0.0;
    double n = 0.0;
    const arma::uword n_samples = asked.size();
    const arma::uword n_blocks = std::min<arma::uword>(n_samples, 4);
    const arma::uword count =
        std::min(n_samples / n_blocks, std::max<arma::uword>(samples_at_a_time() / 4, 1));
    arma::cx_mat h(info.n_h(), count, arma::fill::none);
    for (arma::uword i = 0; i < n_blocks; ++i) {
      source->read(asked.first + (n_blocks == 1 ? 0 : i * (n_samples - count) / (n_blocks - 1)),
                   count, h.memptr());
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

  /// The same of samples that are channels.
  Stored read_good(const SampleRange& range) const {
    Stored stored = read_stored(range);
    for (const double squared_norm : stored.squared_norms)
      if (!(squared_norm > 0.0)) fail_for_bad(range);
    return stored;
  }

  /// A mean power of power / unit^2.
  struct Power {
    double sum = 0.0, unit = 1.0;
    arma::uword n = 0;

    void add(double squared_norms, double their_unit, arma::uword n_entries) {
      if (n == 0) unit = their_unit;
      const double least = std::min(unit, their_unit);
      sum = sum * std::pow(least / unit, 2) + squared_norms * std::pow(least / their_unit, 2);
      unit = least;
      n += n_entries;
    }
    double mean() const { return sum / static_cast<double>(n); }
    /// Of the stored values; 0 or infinite beyond the range of double.
    double stored() const { return mean() / unit / unit; }
    double scale() const { return 1.0 / std::sqrt(mean()) * unit; }
  };

  /// Adds the good samples of a range.
  void add_power(const SampleRange& range, Power& power, BadSamples* bad) const {
    const arma::uword n_block = samples_at_a_time();
    for (arma::uword first = range.first; first < range.end; first += n_block) {
      const SampleRange block{first, std::min(first + n_block, range.end)};
      const Stored stored = bad ? read_stored(block) : read_good(block);
      arma::vec plain(block.size(), arma::fill::none);
      arma::uword n_plain = 0;
      for (arma::uword k = 0; k < block.size(); ++k) {
        const double squared_norm = stored.squared_norms[k];
        if (!(squared_norm > 0.0)) {
          (squared_norm == 0.0 ? bad->zero : bad->not_finite).add(first + k);
          bad->all.add(first + k);
        } else if (stored.units[k] != 1.0) {
          power.add(squared_norm, stored.units[k], stored.h.n_rows);
        } else {
          plain[n_plain++] = squared_norm;
        }
      }
      if (n_plain > 0) power.add(arma::accu(plain.head(n_plain)), 1.0, n_plain * stored.h.n_rows);
    }
  }

  BadSamples find_bad(const SampleRange& range) const {
    BadSamples bad;
    Power power;
    add_power(range, power, &bad);
    return bad;
  }

  /// A bad sample was read in `range`: names all that were asked for.
  [[noreturn]] void fail_for_bad(const SampleRange& range) const {
    const bool is_asked = range.first >= info.asked.first && range.end <= info.asked.end;
    const SampleRange& all = is_asked ? info.asked : range;
    const BadSamples bad = find_bad(all);
    const std::string text = bad.text(all.size());
    if (bad.all.size() == all.size()) fail(ErrorKind::numeric, text);
    const arma::uword first = bad.all.ranges().front().first;
    std::string what = "sample " + std::to_string(first);
    if (!bad.zero.empty() && bad.zero.ranges().front().first == first) {
      what += " is all zero";
    } else {
      const arma::cx_mat h = read_stored({first, first + 1}).h;
      const auto entry = std::find_if_not(h.begin(), h.end(), [](const arma::cx_double& x) {
        return std::isfinite(x.real()) && std::isfinite(x.imag());
      });
      const auto i = static_cast<arma::uword>(entry - h.begin());
      const arma::uword i_element = i / (info.n_rx * info.n_tx);
      what +=
          " is not finite, first at entry [" + std::to_string(i % info.n_rx) + ", " +
          std::to_string(i / info.n_rx % info.n_tx) +
          (info.grid.is_grid() ? ", " + std::to_string(i_element % info.grid.n_subcarriers) + ", " +
                                     std::to_string(i_element / info.grid.n_subcarriers) +
                                     "] of [n_rx, n_tx, n_subcarriers, n_symbols]"
                               : "] of [n_rx, n_tx]");
    }
    what += " (counted from 0)";
    if (bad.all.size() > 1) what += "; " + text;
    fail(ErrorKind::numeric, what + "; leave " + (bad.all.size() > 1 ? "them" : "it") +
                                 " out with --skip-bad or --samples");
  }

  /// Over four blocks that are spread over the samples asked for: enough to see path loss.
  Power rough_power() const {
    Power power;
    BadSamples skipped;
    BadSamples* const bad = skips_bad ? &skipped : nullptr;
    const SampleRange& asked = info.asked;
    if (asked.size() <= 4 * samples_at_a_time()) {
      add_power(asked, power, bad);
      return power;
    }
    for (arma::uword i = 0; i < 4; ++i) {
      const arma::uword first = asked.first + i * (asked.size() - samples_at_a_time()) / 3;
      add_power({first, first + samples_at_a_time()}, power, bad);
    }
    return power;
  }

  void choose(const SampleChoice& choice) {
    const SampleRange asked{choice.first, choice.end == 0 ? info.n_samples : choice.end};
    check_range(asked.first, asked.end < asked.first ? info.n_samples : asked.size());
    if (!(choice.expected_power > 0.0 && std::isfinite(choice.expected_power)))
      fail(ErrorKind::invalid_argument,
           "the expected power is " + number_text(choice.expected_power) + ", it must be positive");
    if (choice.normalisation == Normalisation::factor &&
        !(choice.factor > 0.0 && std::isfinite(choice.factor)))
      fail(ErrorKind::invalid_argument,
           "the normalisation factor is " + number_text(choice.factor) + ", it must be positive");
    if (asked.first != info.asked.first || asked.end != info.asked.end) find_doubts(asked);
    info.asked = asked;
    info.normalisation = choice.normalisation;
    info.bad = {};
    info.scale = 1.0;
    expected_power = choice.expected_power;
    skips_bad = choice.skip_bad;
    Power power;
    if (choice.skip_bad) {
      add_power(asked, power, &info.bad);
      if (info.bad.all.size() == asked.size())
        fail(ErrorKind::numeric, info.bad.text(asked.size()));
    }
    switch (choice.normalisation) {
      case Normalisation::none: {
        // Channels of a generator have E||h||^2 = n_h by construction, whatever a few of them have.
        if (!info.model.empty()) return;
        const double stored = (power.n > 0 ? power : rough_power()).stored();
        if (stored >= 0.25 * expected_power && stored <= 4.0 * expected_power) return;
        if (expected_power == 1.0)
          fail(ErrorKind::format,
               "the mean power per entry is " + format_power(stored) +
                   ", expected near 1 (0.25 .. 4); choose --normalise dataset (one factor for all "
                   "channels) or --normalise sample (every channel to the same power)");
        fail(ErrorKind::format,
             "the mean power per entry is " + format_power(stored) + ", expected near " +
                 format_power(expected_power) +
                 " (within a factor of 4); choose --normalise dataset (one factor for all), "
                 "--normalise sample (one for each), or --scale X (1: as they are)");
      }
      case Normalisation::dataset: {
        const auto known = info.kind == "chest" && !info.has_paths && asked.size() == info.n_samples
                               ? archive->number_attribute("/channels", "mean_power")
                               : std::nullopt;
        if (known) {
          if (!(*known > 0.0 && std::isfinite(*known)))
            fail(ErrorKind::format, "the recorded mean power is " + format_power(*known));
          power = {*known, 1.0, 1};
        } else if (power.n == 0) {
          add_power(asked, power, nullptr);
        }
        info.scale = std::sqrt(expected_power) * power.scale();
        return;
      }
      case Normalisation::sample:
        return;
      case Normalisation::factor:
        info.scale = choice.factor;
        return;
    }
  }
};

Dataset::Dataset(const std::filesystem::path& file, const DatasetOptions& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->info.file = file;
  impl_->open(options);
  impl_->choose(options);
}
Dataset::~Dataset() = default;
Dataset::Dataset(Dataset&&) noexcept = default;
Dataset& Dataset::operator=(Dataset&&) noexcept = default;

const DatasetInfo& Dataset::info() const { return impl_->info; }

void Dataset::choose(const SampleChoice& choice) { impl_->choose(choice); }

arma::cx_mat Dataset::read(arma::uword first, arma::uword count) const {
  arma::vec scales;
  return read(first, count, scales);
}

arma::cx_mat Dataset::read(arma::uword first, arma::uword count, arma::vec& scales) const {
  impl_->check_range(first, count);
  Impl::Stored stored = impl_->read_good({first, first + count});
  const bool by_sample = impl_->info.normalisation == Normalisation::sample;
  if (by_sample) {
    scales = arma::sqrt(impl_->expected_power * static_cast<double>(stored.h.n_rows) /
                        stored.squared_norms);
  } else {
    scales = impl_->info.scale / stored.units;
  }
  if (by_sample || arma::any(stored.units != 1.0)) {
    stored.h.each_row() %= arma::conv_to<arma::cx_rowvec>::from(scales.t());
  } else if (impl_->info.scale != 1.0) {
    stored.h *= impl_->info.scale;
  }
  scales %= stored.units;
  return std::move(stored.h);
}

double Dataset::rough_power() const {
  const DatasetInfo& info = impl_->info;
  if (info.normalisation == Normalisation::sample) return impl_->expected_power;
  return impl_->rough_power().stored() * info.scale * info.scale;
}

BadSamples Dataset::find_bad(const SampleRange& range) const {
  impl_->check_range(range.first, range.size());
  return impl_->find_bad(range);
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
    const Impl::Stored stored = impl_->read_good({first, first + count});
    const arma::vec squared_scales = impl_->expected_power * static_cast<double>(info.n_h()) /
                                     stored.squared_norms % arma::square(stored.units);
    out.t_rx.each_row() %= arma::conv_to<arma::cx_rowvec>::from(squared_scales.t());
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

std::optional<OptimalErrors> Dataset::optimum() const {
  const DatasetInfo& info = impl_->info;
  if (info.kind != "chest" || !impl_->archive->has("/optimum")) return {};
  if (info.normalisation == Normalisation::sample) return {};
  const arma::mat stored = impl_->archive->read_mat("/optimum");
  if (stored.n_cols != 2 || stored.n_rows == 0 || !stored.is_finite())
    impl_->fail(ErrorKind::format, "/optimum is not a table of SNR and error");
  // Of c h in the noise of sigma2: c^2 times the error of h in that of sigma2 / c^2.
  const double power = info.scale * info.scale;
  return OptimalErrors{stored.col(0) - 10.0 * std::log10(power), power * stored.col(1),
                       impl_->archive->text_attribute("/optimum", "kind").value_or("exact")};
}

std::optional<GridCovariance> Dataset::grid_covariance() const {
  const DatasetInfo& info = impl_->info;
  if (!info.has_grid_covariance || info.normalisation == Normalisation::sample) return {};
  const GridCovariance covariance = load_grid_covariance(*impl_->archive);
  if (covariance.n_rx != info.n_rx || covariance.n_tx != info.n_tx ||
      (covariance.grid.n_symbols != 1 && covariance.grid.n_symbols < info.grid.n_symbols))
    impl_->fail(ErrorKind::format,
                "/grid_covariance is for " + size_text(covariance.n_rx, covariance.n_tx) + ", " +
                    std::to_string(covariance.grid.n_symbols) + " symbols, the channels are " +
                    size_text(info.n_rx, info.n_tx, info.grid));
  return covariance.on(info.grid).scaled(info.scale);
}

std::vector<Paths> Dataset::read_paths(arma::uword first, arma::uword count) const {
  impl_->check_range(first, count);
  return impl_->source->read_paths(first, count);
}

SampleReader Dataset::samples() const {
  SampleReader reader;
  reader.n_rx = impl_->info.n_rx;
  reader.n_tx = impl_->info.n_tx;
  reader.n_samples = impl_->info.n_samples;
  reader.grid = impl_->info.grid;
  reader.rx_panel = impl_->info.rx_panel;
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

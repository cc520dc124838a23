#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/channels/dataset.hpp>
#include <chest/error.hpp>

#include "sample_source.hpp"

namespace chest {
inline namespace v0 {
namespace {

constexpr int format_version = 1, format_version_of_paths = 2;
constexpr std::size_t bytes_per_write = std::size_t{4} << 20;

}  // namespace

struct ChannelFileWriter::Impl {
  Impl(const std::filesystem::path& file_name, const ChannelFileOptions& given)
      : file(file_name), options(given), archive((check(), file_name)) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::invalid_argument, file.string() + ": " + what);
  }

  /// Before the file is begun.
  void check() const {
    if (options.n_rx == 0 || options.n_tx == 0 || options.n_samples == 0)
      fail("n_rx, n_tx and n_samples must be at least 1");
    if (options.n_paths > 0 &&
        (options.n_path_symbols == 0 || options.grid.spacing_hz <= 0.0 ||
         (options.n_path_symbols != 1 && options.n_path_symbols != options.grid.n_symbols)))
      fail("gains of " + std::to_string(options.n_path_symbols) + " symbols for a grid of " +
           options.grid.text() + ", expected 1 or as many, and a spacing");
    if (options.n_paths == 0 && options.grid.is_grid() &&
        (options.prior || options.with_covariances || options.with_err_var_angular))
      fail("prior, covariances and angular error variances are for matrices, not for grids");
    if (!options.grid.is_grid() && options.with_err_var_element)
      fail("error variances of elements are for grids, not for matrices");
    if (!options.prior) return;
    if (const std::string why = options.prior->why_invalid(); !why.empty()) fail(why);
    if (options.prior->n_h() != options.n_rx * options.n_tx)
      fail("the prior is for " + std::to_string(options.prior->n_h()) +
           " entries, the channels have " + std::to_string(options.n_rx * options.n_tx));
  }

  arma::uword n_h() const { return options.n_rx * options.n_tx * options.grid.n_elements(); }
  /// [n_samples] and the axes of a sample; those of a grid only where there is one.
  std::vector<std::uint64_t> dims_of(std::uint64_t n, std::vector<std::uint64_t> antennas) const {
    antennas.insert(antennas.begin(), n);
    if (options.grid.is_grid()) {
      antennas.push_back(options.grid.n_subcarriers);
      antennas.push_back(options.grid.n_symbols);
    }
    return antennas;
  }
  /// Where the next blocks of an array of these dims begin.
  static std::vector<std::uint64_t> start_of(std::uint64_t first,
                                             const std::vector<std::uint64_t>& dims) {
    std::vector<std::uint64_t> start(dims.size(), 0);
    start[0] = first;
    return start;
  }

  /// Columns vec(H) as rows [n_rx, n_tx] in C order, on a grid [n_rx, n_tx, n_subcarriers, n_symbols].
  template <class T>
  void write_columns(const arma::cx_mat& h) {
    const arma::uword n_h = h.n_rows;
    const arma::uword most =
        std::max<arma::uword>(bytes_per_write / (n_h * sizeof(std::complex<T>)), 1);
    std::vector<std::complex<T>> rows(std::min(most, h.n_cols) * n_h);
    for (arma::uword first = 0; first < h.n_cols; first += most) {
      const arma::uword count = std::min(most, h.n_cols - first);
      auto out = rows.begin();
      for (arma::uword k = first; k < first + count; ++k)
        for (arma::uword r = 0; r < options.n_rx; ++r)
          for (arma::uword t = 0; t < options.n_tx; ++t)
            for (arma::uword f = 0; f < options.grid.n_subcarriers; ++f)
              for (arma::uword s = 0; s < options.grid.n_symbols; ++s) {
                const arma::uword element = s * options.grid.n_subcarriers + f;
                *out++ = std::complex<T>(h(r + options.n_rx * (t + options.n_tx * element), k));
              }
      const auto dims = dims_of(count, {options.n_rx, options.n_tx});
      archive.write_block("/channels", {start_of(n_written + first, dims), dims}, rows.data());
    }
  }

  void create_paths() {
    const std::vector<std::uint64_t> dims = {options.n_samples, options.n_path_symbols,
                                             options.n_paths, options.n_tx, options.n_rx};
    if (options.single_precision) {
      archive.create<std::complex<float>>("/gains", dims, options.compress);
    } else {
      archive.create<std::complex<double>>("/gains", dims, options.compress);
    }
    archive.attribute("/gains", "axes", std::string("sample, symbol, path, tx, rx"));
    archive.attribute("/gains", "units", std::string("linear amplitude"));
    archive.attribute("/gains", "meaning",
                      std::string("h(rx, tx, f, symbol) = sum over paths of gain "
                                  "exp(-j 2 pi f spacing_hz delay); one symbol: all are alike"));
    archive.attribute("/gains", "normalisation",
                      std::string(options.model.empty() ? "as written" : "E|h|^2 = 1 per entry"));
    archive.attribute("/gains", "n_subcarriers",
                      static_cast<std::int64_t>(options.grid.n_subcarriers));
    archive.attribute("/gains", "n_symbols", static_cast<std::int64_t>(options.grid.n_symbols));
    archive.attribute("/gains", "spacing_hz", options.grid.spacing_hz);
    archive.attribute("/gains", "symbol_s", options.grid.symbol_s);
    archive.create<double>("/delays", {options.n_samples, options.n_paths}, options.compress);
    archive.attribute("/delays", "axes", std::string("sample, path"));
    archive.attribute("/delays", "units", std::string("s"));
    if (options.grid_covariance) save(archive, *options.grid_covariance);
  }

  void write_paths(const Paths& paths) {
    if (arma::size(paths.gains) !=
            arma::size(options.n_rx * options.n_tx, options.n_paths, options.n_path_symbols) ||
        arma::size(paths.delays) != arma::size(1, options.n_paths))
      fail("gains [" + std::to_string(paths.gains.n_rows) + ", " +
           std::to_string(paths.gains.n_cols) + ", " + std::to_string(paths.gains.n_slices) +
           "], expected [" + std::to_string(options.n_rx * options.n_tx) + ", " +
           std::to_string(options.n_paths) + ", " + std::to_string(options.n_path_symbols) +
           "], with one delay per path");
    if (!paths.gains.is_finite() || !paths.delays.is_finite())
      throw Error(ErrorKind::numeric, file.string() + ": gains or delays of channel " +
                                          std::to_string(n_written) + " are not finite");
    const Hyperslab slab{{n_written, 0, 0, 0, 0},
                         {1, options.n_path_symbols, options.n_paths, options.n_tx, options.n_rx}};
    if (options.single_precision) {
      const std::vector<std::complex<float>> values(paths.gains.begin(), paths.gains.end());
      archive.write_block("/gains", slab, values.data());
    } else {
      archive.write_block("/gains", slab, paths.gains.memptr());
    }
    archive.write_block("/delays", {{n_written, 0}, {1, options.n_paths}}, paths.delays.memptr());
    ++n_written;
  }

  std::filesystem::path file;
  ChannelFileOptions options;
  ArchiveWriter archive;
  arma::uword n_written = 0, n_left_out = 0;
  double sum_power = 0.0;
};

ChannelFileWriter::ChannelFileWriter(const std::filesystem::path& file,
                                     const ChannelFileOptions& options)
    : impl_(std::make_unique<Impl>(file, options)) {
  ArchiveWriter& archive = impl_->archive;
  write_provenance(archive, "chest-channels",
                   options.n_paths > 0 ? format_version_of_paths : format_version,
                   options.provenance);
  archive.attribute("/", "model", options.model);
  if (!options.rx_panel.is_line()) archive.attribute("/", "rx_panel", options.rx_panel.text());
  if (!options.observations.empty()) archive.attribute("/", "observations", options.observations);
  if (options.n_paths > 0) {
    impl_->create_paths();
    return;
  }
  const std::vector<std::uint64_t> dims =
      impl_->dims_of(options.n_samples, {options.n_rx, options.n_tx});
  if (options.single_precision) {
    archive.create<std::complex<float>>("/channels", dims, options.compress);
  } else {
    archive.create<std::complex<double>>("/channels", dims, options.compress);
  }
  const bool is_grid = options.grid.is_grid();
  archive.attribute("/channels", "axes",
                    std::string("sample, rx, tx") + (is_grid ? ", subcarrier, symbol" : ""));
  if (options.grid.spacing_hz > 0.0)
    archive.attribute("/channels", "subcarrier_spacing_hz", options.grid.spacing_hz);
  archive.attribute("/channels", "units", std::string("linear amplitude"));
  archive.attribute("/channels", "normalisation",
                    std::string(options.model.empty() ? "as written" : "E||h||^2 = n_rx n_tx"));
  if (options.with_covariances) {
    archive.create<std::complex<double>>("/covariance/t_rx", {options.n_samples, options.n_rx},
                                         options.compress);
    archive.create<std::complex<double>>("/covariance/t_tx", {options.n_samples, options.n_tx},
                                         options.compress);
    archive.attribute("/covariance", "meaning",
                      std::string("first columns of the Hermitian Toeplitz matrices C_rx, C_tx; "
                                  "sample k is CN(0, C_tx kron C_rx)"));
  }
  if (options.with_err_var) {
    archive.create<double>("/err_var", {options.n_samples}, options.compress);
    archive.attribute(
        "/err_var", "meaning",
        std::string("E|h_hat - h|^2 per entry of /channels, as the estimator predicts"));
  }
  if (options.with_err_var_angular) {
    archive.create<double>("/err_var_angular", dims, options.compress);
    archive.attribute("/err_var_angular", "meaning",
                      std::string("the same for each entry of the unitary two-dimensional DFT"));
  }
  if (options.with_err_var_element) {
    archive.create<double>("/err_var_element", impl_->dims_of(options.n_samples, {options.n_tx}),
                           options.compress);
    archive.attribute("/err_var_element", "meaning",
                      std::string("the same for each port, subcarrier and symbol, a mean over "
                                  "receive antennas"));
  }
  if (options.n_classes > 0) {
    archive.create<double>("/class_probability", {options.n_samples, options.n_classes},
                           options.compress);
    archive.attribute("/class_probability", "meaning",
                      std::string("probability of each class, as the network tells it"));
  }
  if (options.n_numbers > 0) {
    archive.create<double>("/numbers", {options.n_samples, options.n_numbers}, options.compress);
    archive.attribute("/numbers", "meaning",
                      std::string("numbers of the channel, as the network tells them"));
  }
  if (options.with_sigma2) {
    archive.create<double>("/sigma2", {options.n_samples}, options.compress);
    archive.attribute("/sigma2", "meaning",
                      std::string("noise variance per received entry, as the estimator found it"));
  }
  if (options.with_scale) {
    archive.create<double>("/scale", {options.n_samples}, options.compress);
    archive.attribute("/scale", "meaning",
                      std::string("each observation was multiplied by it before estimation, and "
                                  "its estimate divided"));
  }
  if (options.prior) save(archive, "/prior", *options.prior);
  if (options.optimum) {
    const OptimalErrors& optimum = *options.optimum;
    archive.write("/optimum", arma::mat(arma::join_rows(optimum.snr_db, optimum.mse)));
    archive.attribute("/optimum", "kind", optimum.kind);
  }
}
ChannelFileWriter::~ChannelFileWriter() = default;

void ChannelFileWriter::append(const ChannelBlock& block) {
  const ChannelFileOptions& options = impl_->options;
  if (options.n_paths > 0) {
    if (block.paths.size() > options.n_samples - impl_->n_written)
      impl_->fail("more than the " + std::to_string(options.n_samples) +
                  " channels it was made for");
    for (const Paths& paths : block.paths) impl_->write_paths(paths);
    return;
  }
  const arma::uword n_h = impl_->n_h();
  const arma::uword count = block.h.n_cols;
  if (block.h.n_rows != n_h)
    impl_->fail("channels of " + std::to_string(block.h.n_rows) + " entries, expected " +
                std::to_string(n_h));
  if (count > options.n_samples - impl_->n_written)
    impl_->fail("more than the " + std::to_string(options.n_samples) + " channels it was made for");
  const ToeplitzKroneckerCovariances& covariances = block.covariances;
  if (options.with_covariances &&
      (arma::size(covariances.t_rx) != arma::SizeMat(options.n_rx, count) ||
       arma::size(covariances.t_tx) != arma::SizeMat(options.n_tx, count)))
    impl_->fail("covariances of " + std::to_string(covariances.t_rx.n_rows) + " and " +
                std::to_string(covariances.t_tx.n_rows) + " lags for " +
                std::to_string(covariances.t_rx.n_cols) + " channels, expected " +
                std::to_string(options.n_rx) + " and " + std::to_string(options.n_tx) + " for " +
                std::to_string(count));
  if (options.with_err_var && block.err_var.n_elem != count)
    impl_->fail(std::to_string(block.err_var.n_elem) + " error variances for " +
                std::to_string(count) + " channels");
  if (options.with_err_var_angular &&
      arma::size(block.err_var_angular) != arma::SizeMat(n_h, count))
    impl_->fail(std::to_string(block.err_var_angular.n_cols) + " angular error variances for " +
                std::to_string(count) + " channels");
  if (options.with_err_var_element &&
      arma::size(block.err_var_element) != arma::SizeMat(n_h / options.n_rx, count))
    impl_->fail(std::to_string(block.err_var_element.n_cols) + " error variances of elements for " +
                std::to_string(count) + " channels");
  const arma::uword n_heads = options.n_classes + options.n_numbers;
  if (n_heads > 0 && arma::size(block.heads) != arma::SizeMat(n_heads, count))
    impl_->fail(std::to_string(block.heads.n_rows) + " probabilities and numbers of " +
                std::to_string(block.heads.n_cols) + " channels, expected " +
                std::to_string(n_heads) + " of " + std::to_string(count));
  if (options.with_sigma2 && block.sigma2.n_elem != count)
    impl_->fail(std::to_string(block.sigma2.n_elem) + " noise variances for " +
                std::to_string(count) + " channels");
  if (options.with_scale && block.scale.n_elem != count)
    impl_->fail(std::to_string(block.scale.n_elem) + " scales for " + std::to_string(count) +
                " channels");
  if (count == 0) return;
  const auto power_of = [](const arma::cx_mat& h) { return std::pow(arma::norm(h, "fro"), 2); };
  double power = power_of(block.h);
  arma::uword n_left_out = 0;
  if (std::isnan(power)) {
    power = 0.0;
    for (arma::uword k = 0; k < count; ++k) {
      const arma::cx_vec h = block.h.col(k);
      const bool is_left_out = std::all_of(h.begin(), h.end(), [](const arma::cx_double& x) {
        return std::isnan(x.real()) && std::isnan(x.imag());
      });
      n_left_out += is_left_out;
      if (!is_left_out) power += power_of(h);
    }
  }
  if (!std::isfinite(power))
    throw Error(ErrorKind::numeric,
                impl_->file.string() + ": channels " + std::to_string(impl_->n_written) + ":" +
                    std::to_string(impl_->n_written + count) + " to be written are not finite");
  if (options.single_precision) {
    impl_->write_columns<float>(block.h);
  } else {
    impl_->write_columns<double>(block.h);
  }
  if (options.with_covariances) {
    impl_->archive.write_block("/covariance/t_rx", {{impl_->n_written, 0}, {count, options.n_rx}},
                               covariances.t_rx.memptr());
    impl_->archive.write_block("/covariance/t_tx", {{impl_->n_written, 0}, {count, options.n_tx}},
                               covariances.t_tx.memptr());
  }
  if (options.with_err_var)
    impl_->archive.write_block("/err_var", {{impl_->n_written}, {count}}, block.err_var.memptr());
  if (options.with_err_var_angular) {
    // n_rx is the fastest dimension of a column, n_tx that of the file.
    arma::mat swapped(n_h, count);
    for (arma::uword k = 0; k < count; ++k) {
      swapped.col(k) = arma::vectorise(
          arma::reshape(block.err_var_angular.col(k), options.n_rx, options.n_tx).st());
    }
    impl_->archive.write_block("/err_var_angular",
                               {{impl_->n_written, 0, 0}, {count, options.n_rx, options.n_tx}},
                               swapped.memptr());
  }
  if (options.with_err_var_element) {
    // n_tx is the fastest dimension of a column and the slowest of the file.
    const arma::uword n_tx = options.n_tx, n_f = options.grid.n_subcarriers;
    const arma::uword n_s = options.grid.n_symbols;
    arma::mat swapped(n_tx * n_f * n_s, count);
    for (arma::uword k = 0; k < count; ++k)
      for (arma::uword t = 0, i = 0; t < n_tx; ++t)
        for (arma::uword f = 0; f < n_f; ++f)
          for (arma::uword s = 0; s < n_s; ++s)
            swapped(i++, k) = block.err_var_element(t + n_tx * (f + n_f * s), k);
    const auto dims = impl_->dims_of(count, {n_tx});
    impl_->archive.write_block("/err_var_element", {Impl::start_of(impl_->n_written, dims), dims},
                               swapped.memptr());
  }
  const auto write_heads = [&](const char* name, arma::uword first, arma::uword n) {
    if (n == 0) return;
    const arma::mat part = block.heads.rows(first, first + n - 1);
    impl_->archive.write_block(name, {{impl_->n_written, 0}, {count, n}}, part.memptr());
  };
  write_heads("/class_probability", 0, options.n_classes);
  write_heads("/numbers", options.n_classes, options.n_numbers);
  if (options.with_sigma2)
    impl_->archive.write_block("/sigma2", {{impl_->n_written}, {count}}, block.sigma2.memptr());
  if (options.with_scale)
    impl_->archive.write_block("/scale", {{impl_->n_written}, {count}}, block.scale.memptr());
  impl_->n_written += count;
  impl_->n_left_out += n_left_out;
  impl_->sum_power += power;
}

void ChannelFileWriter::finish() {
  if (impl_->n_written < impl_->options.n_samples)
    impl_->fail("finished after " + std::to_string(impl_->n_written) + " of " +
                std::to_string(impl_->options.n_samples) + " channels");
  if (impl_->options.n_paths == 0)
    impl_->archive.attribute(
        "/channels", "mean_power",
        impl_->sum_power /
            static_cast<double>((impl_->n_written - impl_->n_left_out) * impl_->n_h()));
  impl_->archive.commit();
}

}  // namespace v0
}  // namespace chest

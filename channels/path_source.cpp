#include "path_source.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include <chest/error.hpp>
#include <chest/ofdm.hpp>
#include <chest/text.hpp>

#include "axes.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// Of one channel: more are a damaged file.
constexpr double most_gains = 0x1p26;
constexpr std::uint64_t values_per_read = std::uint64_t{1} << 18;

std::string microseconds(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g us", 1e6 * seconds);
  return text;
}

GridAxes chosen_grid(const GridAxes& own, arma::uword n_stored, const GridChoice& choice,
                     const ArrayName& name) {
  const bool has_own = own.spacing_hz > 0.0;
  if ((!has_own && choice.spacing_hz == 0.0) || (!has_own && choice.n_subcarriers == 0))
    fail(name,
         "holds gains and delays of paths; name the grid that they are read on with --grid "
         "SUBCARRIERSxSYMBOLS@KHZ, for example --grid 624x14@30");
  const arma::uword n_symbols = choice.n_symbols > 0 ? choice.n_symbols
                                : has_own            ? own.n_symbols
                                                     : n_stored;
  if (n_stored > 1 && n_symbols > n_stored)
    fail(name, "has gains of " + std::to_string(n_stored) + " symbols, --grid asks for " +
                   std::to_string(n_symbols));
  const double spacing_hz = choice.spacing_hz > 0.0 ? choice.spacing_hz : own.spacing_hz;
  GridAxes grid = ofdm_grid(choice.n_subcarriers > 0 ? choice.n_subcarriers : own.n_subcarriers,
                            n_symbols, spacing_hz);
  if (n_stored > 1 && own.symbol_s > 0.0) grid.symbol_s = own.symbol_s;
  return grid;
}

class PathSource final : public SampleSource {
 public:
  PathSource(std::unique_ptr<PathReader> reader, ArrayName name)
      : reader_(std::move(reader)), name_(std::move(name)) {
    n_samples = reader_->n_samples;
    n_rx = reader_->n_rx;
    n_tx = reader_->n_tx;
    has_paths = true;
    dataset = name_.dataset;
    kind = name_.kind;
    type_name = name_.type_name;
  }

  void read(std::uint64_t first, std::uint64_t count, std::complex<double>* out) const override {
    const std::uint64_t most =
        std::max<std::uint64_t>(values_per_read / std::max<std::uint64_t>(reader_->n_values, 1), 1);
    while (count > 0) {
      const std::uint64_t n = std::min(count, most);
      for (const Paths& paths : read_paths(first, n)) {
        put_on_grid(paths, grid, out);
        out += n_h();
      }
      first += n;
      count -= n;
    }
  }

  std::vector<Paths> read_paths(std::uint64_t first, std::uint64_t count) const override {
    std::vector<Paths> block = reader_->read(first, count);
    for (std::uint64_t k = 0; k < block.size(); ++k) check_delays(block[k], first + k);
    return block;
  }

  /// Says where much power comes later than the cyclic prefix.
  void look_at_delays() {
    constexpr arma::uword n_looked_at = 16;
    const double prefix = cyclic_prefix_s(grid.spacing_hz);
    double power = 0.0, late = 0.0;
    const arma::uword n = std::min(n_looked_at, n_samples);
    for (arma::uword i = 0; i < n; ++i) {
      const Paths paths = read_paths(i * n_samples / n, 1).front();
      const arma::mat powers =
          arma::sum(arma::square(arma::abs(paths.gains)), 2);  // [pairs, paths]
      const bool per_pair = paths.delays.n_rows > 1;
      double earliest = arma::datum::inf;
      for (arma::uword p = 0; p < powers.n_cols; ++p) {
        for (arma::uword j = 0; j < powers.n_rows; ++j) {
          if (powers(j, p) > 0.0) earliest = std::min(earliest, paths.delays(per_pair ? j : 0, p));
        }
      }
      for (arma::uword p = 0; p < powers.n_cols; ++p) {
        for (arma::uword j = 0; j < powers.n_rows; ++j) {
          power += powers(j, p);
          if (paths.delays(per_pair ? j : 0, p) - earliest > prefix) late += powers(j, p);
        }
      }
    }
    if (!(late > 1e-3 * power)) return;
    warnings.push_back(name_.file.string() + ": " +
                       number_text(std::round(1e3 * late / power) / 10) +
                       " % of the power comes more than the cyclic prefix (" +
                       microseconds(prefix) + " at " + number_text(grid.spacing_hz / 1e3) +
                       " kHz) after the first path: a receiver would see interference of symbols "
                       "that this grid does not hold");
  }

 private:
  /// Delays of paths without power are 0: files pad with them.
  void check_delays(Paths& paths, std::uint64_t sample) const {
    for (arma::uword p = 0; p < paths.delays.n_cols; ++p) {
      for (arma::uword j = 0; j < paths.delays.n_rows; ++j) {
        double& delay = paths.delays(j, p);
        if (delay >= 0.0 && std::isfinite(delay)) continue;
        bool has_power = false;
        for (arma::uword i = 0; i < paths.gains.n_rows; ++i) {
          if (paths.delays.n_rows > 1 && i != j) continue;
          for (arma::uword s = 0; s < paths.gains.n_slices; ++s)
            has_power |= paths.gains(i, p, s) != 0.0;
        }
        if (!has_power) {
          delay = 0.0;
        } else if (delay < 0.0) {
          fail(name_, "has the delay " + microseconds(delay) + " of path " + std::to_string(p) +
                          " in sample " + std::to_string(sample) +
                          " (counted from 0); delays are 0 or more, so add one delay to all");
        }
      }
    }
  }

  std::unique_ptr<PathReader> reader_;
  ArrayName name_;
};

/// Gains and delays as two arrays.
class StoredPaths final : public PathReader {
 public:
  /// @param axes  of each dim of the gains, in the order of the bytes
  StoredPaths(std::unique_ptr<StoredArray> gains, std::unique_ptr<StoredArray> delays,
              std::vector<Axis> axes)
      : gains_(std::move(gains)), delays_(std::move(delays)), axes_(std::move(axes)) {
    n_samples = length('n');
    n_rx = length('r');
    n_tx = length('t');
    n_symbols = length('s');
    n_paths_ = length('p');
    n_values = n_rx * n_tx * n_paths_ * n_symbols;
  }

  std::vector<Paths> read(std::uint64_t first, std::uint64_t count) const override {
    const std::vector<double> values = read_gains(first, count);
    const std::vector<double> delays = read_delays(first, count);
    const bool interleaved = gains_->parts == ComplexParts::interleaved;
    // Distances of neighbours along each axis, in numbers.
    std::uint64_t stride = interleaved ? 2 : 1, of_n = 0, of_r = 0, of_t = 0, of_p = 0, of_s = 0;
    for (std::size_t d = axes_.size(); d-- > 0;) {
      switch (axes_[d].letter) {
        case 'n':
          of_n = stride;
          break;
        case 'r':
          of_r = stride;
          break;
        case 't':
          of_t = stride;
          break;
        case 'p':
          of_p = stride;
          break;
        case 's':
          of_s = stride;
          break;
        default:
          break;
      }
      stride *= count_of(d, count);
    }
    const std::uint64_t im = interleaved ? 1 : stride;
    std::vector<Paths> out(count);
    for (std::uint64_t k = 0; k < count; ++k) {
      Paths& paths = out[k];
      paths.gains.set_size(n_rx * n_tx, n_paths_, n_symbols);
      std::complex<double>* to = paths.gains.memptr();
      for (std::uint64_t s = 0; s < n_symbols; ++s) {
        for (std::uint64_t p = 0; p < n_paths_; ++p) {
          for (std::uint64_t t = 0; t < n_tx; ++t) {
            const double* at = values.data() + k * of_n + s * of_s + p * of_p + t * of_t;
            for (std::uint64_t r = 0; r < n_rx; ++r, at += of_r) *to++ = {at[0], at[im]};
          }
        }
      }
      paths.delays.set_size(1, n_paths_);
      std::copy_n(delays.data() + k * n_paths_, n_paths_, paths.delays.memptr());
    }
    return out;
  }

 private:
  std::uint64_t length(char letter) const {
    for (std::size_t d = 0; d < axes_.size(); ++d)
      if (axes_[d].letter == letter) return gains_->dims[d];
    return 1;
  }
  std::uint64_t count_of(std::size_t d, std::uint64_t count) const {
    switch (axes_[d].letter) {
      case 'n':
        return count;
      case 's':
        return n_symbols;
      case '0':
        return 1;
      default:
        return gains_->dims[d];
    }
  }

  std::vector<double> read_gains(std::uint64_t first, std::uint64_t count) const {
    Hyperslab slab;
    std::uint64_t n = 2;
    for (std::size_t d = 0; d < axes_.size(); ++d) {
      slab.first.push_back(axes_[d].letter == 'n' ? first : axes_[d].index);
      slab.count.push_back(count_of(d, count));
      n *= slab.count.back();
    }
    std::vector<double> values(n);
    gains_->read(slab, values.data());
    return values;
  }

  /// [count, n_paths], paths fastest.
  std::vector<double> read_delays(std::uint64_t first, std::uint64_t count) const {
    const std::size_t rank = delays_->dims.size();
    Hyperslab slab{std::vector<std::uint64_t>(rank, 0), delays_->dims};
    const std::size_t d_n = delays_->dims_reversed ? rank - 1 : 0;
    slab.first[d_n] = first;
    slab.count[d_n] = count;
    std::vector<double> values(count * n_paths_);
    delays_->read(slab, values.data());
    if (!delays_->dims_reversed) return values;
    std::vector<double> turned(values.size());
    for (std::uint64_t k = 0; k < count; ++k)
      for (std::uint64_t p = 0; p < n_paths_; ++p) turned[k * n_paths_ + p] = values[p * count + k];
    return turned;
  }

  std::unique_ptr<StoredArray> gains_, delays_;
  std::vector<Axis> axes_;
  std::uint64_t n_paths_ = 0;
};

std::vector<std::uint64_t> shown_dims(const StoredArray& array) {
  std::vector<std::uint64_t> dims = array.dims;
  if (array.dims_reversed) std::reverse(dims.begin(), dims.end());
  return dims;
}

/// The axes of gains, in the order in which people see them.
std::string axes_of_gains(const std::vector<std::uint64_t>& shown, const ArrayName& name) {
  if (shown.size() == 4) return "nrps";
  const bool one_link = shown.size() == 7 && shown[1] == 1 && shown[3] == 1;
  if (one_link) return "n0r0tps";
  fail(name,
       "has the shape " + shape_text(shown) +
           ", expected gains [n, 1, rx, 1, tx, paths, times] of one receiver and one "
           "transmitter, or [n, rx, paths, times]; name its axes with --axes, from n, r, t, p "
           "(path), s (symbol) or an index");
}

void check_gain_axes(const std::vector<Axis>& axes, const std::string& text,
                     const std::vector<std::uint64_t>& shown, const ArrayName& name) {
  if (axes.size() != shown.size())
    fail(name, "has " + std::to_string(shown.size()) + " axes, " + shape_text(shown) +
                   ", but --axes " + text + " names " + std::to_string(axes.size()));
  for (std::size_t d = 0; d < axes.size(); ++d) {
    const char letter = axes[d].letter;
    const auto same = std::count_if(axes.begin(), axes.end(),
                                    [&](const Axis& other) { return other.letter == letter; });
    if (std::string("nrtps0").find(letter) == std::string::npos || (letter != '0' && same > 1))
      fail(name, "--axes " + text +
                     ": gains of paths have the axes n, r, t, p and s, each once, or an index");
    if (letter == '0' && axes[d].index >= shown[d])
      fail(name, "--axes " + text + ": index " + std::to_string(axes[d].index) +
                     " of an axis of length " + std::to_string(shown[d]));
  }
}

}  // namespace

std::unique_ptr<SampleSource> make_path_source(std::unique_ptr<PathReader> reader,
                                               const GridAxes& own, const GridChoice& choice,
                                               const ArrayName& name, const std::string& axes) {
  const arma::uword n_stored = reader->n_symbols;
  const GridAxes grid = chosen_grid(own, n_stored, choice, name);
  reader->n_symbols = std::min(n_stored, grid.n_symbols);
  const std::uint64_t n_pairs = std::uint64_t{reader->n_rx} * reader->n_tx;
  if (std::max({n_pairs, std::uint64_t{grid.n_subcarriers}, std::uint64_t{grid.n_symbols}}) >
          n_h_most ||
      n_pairs * grid.n_subcarriers > n_h_most || n_pairs * grid.n_elements() > n_h_most)
    fail(name, "has " + size_text(reader->n_rx, reader->n_tx, grid) +
                   " entries in one channel, expected at most " + std::to_string(n_h_most) +
                   "; ask for fewer subcarriers or symbols with --grid");
  auto source = std::make_unique<PathSource>(std::move(reader), name);
  source->grid = grid;
  source->axes = axes;
  source->look_at_delays();
  if (own.spacing_hz > 0.0 && own.spacing_hz != grid.spacing_hz && n_stored > 1 &&
      grid.n_symbols > 1)
    source->warnings.push_back(name.file.string() + ": the symbols stay " +
                               microseconds(grid.symbol_s) + " apart, as they were made for " +
                               number_text(own.spacing_hz / 1e3) + " kHz");
  return source;
}

std::unique_ptr<SampleSource> make_path_source(std::unique_ptr<StoredArray> gains,
                                               std::unique_ptr<StoredArray> delays,
                                               const GridAxes& own, const ArrayName& name,
                                               const DatasetOptions& options) {
  const std::vector<std::uint64_t> shown = shown_dims(*gains), of_delays = shown_dims(*delays);
  if (gains->parts != ComplexParts::interleaved && gains->parts != ComplexParts::planes)
    fail(name, "holds " + name.type_name + ", expected complex gains beside the delays");
  if (std::count(shown.begin(), shown.end(), 0) > 0)
    fail(name, "is empty, its shape is " + shape_text(shown));
  double n_gains = 1.0;
  for (std::size_t d = 1; d < shown.size(); ++d) n_gains *= static_cast<double>(shown[d]);
  if (n_gains > most_gains)
    fail(name, "has the shape " + shape_text(shown) + ", " + number_text(n_gains) +
                   " gains in one channel, expected at most " + number_text(most_gains));
  const std::string text = options.axes.empty() ? axes_of_gains(shown, name) : options.axes;
  std::vector<Axis> axes = parse_axes(text, name);
  check_gain_axes(axes, text, shown, name);
  std::uint64_t n_paths = 1;
  for (std::size_t d = 0; d < shown.size(); ++d)
    if (axes[d].letter == 'p') n_paths = shown[d];
  if (gains->dims_reversed) std::reverse(axes.begin(), axes.end());
  auto reader = std::make_unique<StoredPaths>(std::move(gains), std::move(delays), axes);
  std::uint64_t n_values = 1;
  for (const std::uint64_t d : of_delays) n_values *= d;
  if (of_delays.size() < 2 || of_delays.front() != reader->n_samples ||
      of_delays.back() != n_paths || n_values != reader->n_samples * n_paths)
    fail(name, "has the shape " + shape_text(shown) + " and delays of the shape " +
                   shape_text(of_delays) + ", expected [n, paths] = (" +
                   std::to_string(reader->n_samples) + ", " + std::to_string(n_paths) +
                   ") of them, with nothing but 1 in between");
  if (options.n_rx != 0 && options.n_rx != reader->n_rx)
    fail(name, "has n_rx = " + std::to_string(reader->n_rx) + " (shape " + shape_text(shown) +
                   " read as " + text + "), expected " + std::to_string(options.n_rx));
  return make_path_source(std::move(reader), own, options.grid, name, text);
}

bool may_be_paths(const DatasetOptions& options) {
  return !options.matrix &&
         (options.dataset.empty() || options.dataset == "a" || options.dataset == "/a") &&
         (options.axes.empty() || options.axes.find('p') != std::string::npos);
}

bool are_paths(const StoredArray& a, const StoredArray& tau, const DatasetOptions& options) {
  const bool is_complex = a.parts == ComplexParts::interleaved || a.parts == ComplexParts::planes;
  const bool is_real = tau.parts == ComplexParts::axis || tau.parts == ComplexParts::real;
  return may_be_paths(options) && is_complex && is_real && a.dims.size() >= 3 &&
         tau.dims.size() >= 2 && (a.dims.size() >= 4 || !options.axes.empty());
}

GridChoice parse_grid(const std::string& text) {
  const auto refuse_it = [&](const std::string& why) {
    refuse("--grid: '" + text + "' " + why +
           "; write SUBCARRIERSxSYMBOLS@KHZ, for example 624x14@30, 624@30 or @30");
  };
  GridChoice out;
  const std::vector<std::string> at = split(text, '@');
  const std::vector<std::string> counts = split(at[0], 'x');
  if (at.size() > 2 || counts.size() > 2) refuse_it("is no grid");
  const auto count = [&](const std::string& digits) {
    const bool is_number = !digits.empty() && digits.size() < 8 &&
                           digits.find_first_not_of("0123456789") == std::string::npos;
    if (!is_number || std::stoull(digits) == 0)
      refuse_it("has '" + digits + "' where a number of 1 or more is expected");
    return static_cast<arma::uword>(std::stoull(digits));
  };
  if (!at[0].empty()) {
    out.n_subcarriers = count(counts[0]);
    if (counts.size() == 2) out.n_symbols = count(counts[1]);
  }
  if (at.size() == 2) {
    const double khz = to_number(at[1], "--grid: the spacing in kHz");
    if (!(khz > 0.0 && khz < 1e9)) refuse_it("has the spacing " + at[1] + " kHz");
    out.spacing_hz = 1e3 * khz;
  }
  if (!out.given()) refuse_it("is no grid");
  return out;
}

}  // namespace v0
}  // namespace chest

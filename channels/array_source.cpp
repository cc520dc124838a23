#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include <chest/error.hpp>
#include <chest/ofdm.hpp>

#include "axes.hpp"
#include "sample_source.hpp"

namespace chest {
inline namespace v0 {
namespace {

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
// Slabs of chunked arrays are small, those of arrays that store the samples fastest are large: each
// run of consecutive bytes in the file is one sample index range of one antenna pair.
constexpr std::uint64_t slab_bytes_chunked = 4 * mebibyte;
constexpr std::uint64_t slab_bytes_strided = 32 * mebibyte;
constexpr std::uint64_t slab_bytes_most = 128 * mebibyte;
constexpr std::uint64_t chunk_bytes_most = 256 * mebibyte;
constexpr std::uint64_t outer_bytes_most = 1024 * mebibyte;

/// Distances in a block, counted in real numbers.
struct Strides {
  std::uint64_t n = 0, r = 0, im = 0;
  /// Of every column of a sample, [n_tx n_subcarriers n_symbols]: where its receive antennas begin.
  std::vector<std::uint64_t> columns;
  std::vector<std::uint64_t> inner;  ///< of the samples of one outer index
};

/// Copies samples of a block, first + 0 .. count - 1, to columns vec(H).
/// @param offset  of sample i in the block
template <class T, class Offset>
void to_columns(const T* block, const Strides& stride, const Offset& offset, std::uint64_t first,
                std::uint64_t count, arma::uword n_rx, std::complex<double>* out) {
  const std::uint64_t n_columns = stride.columns.size(), n_h = n_rx * n_columns;
  const auto value = [&](const T* at) {
    return std::complex<double>(static_cast<double>(at[0]), static_cast<double>(at[stride.im]));
  };
  // Eight samples at a time where neighbours in the file are samples: each cache line read is used
  // whole, and as few columns are written to as a cache set has ways.
  const bool samples_fastest =
      stride.n < stride.r && (n_columns == 1 || stride.n < stride.columns[1]);
  const std::uint64_t tile = samples_fastest ? 8 : 1;
  for (std::uint64_t k = 0; k < count; k += tile) {
    const std::uint64_t end = std::min(k + tile, count);
    for (std::uint64_t j = 0; j < n_columns; ++j) {
      for (arma::uword r = 0; r < n_rx; ++r) {
        const T* at = block + r * stride.r + stride.columns[j];
        for (std::uint64_t i = k; i < end; ++i)
          out[i * n_h + j * n_rx + r] = value(at + offset(first + i));
      }
    }
  }
}

class ArraySource final : public SampleSource {
 public:
  /// @param each  the axis of each dim of the array
  ArraySource(std::unique_ptr<StoredArray> array, std::vector<Axis> each)
      : array_(std::move(array)), axes_(std::move(each)) {
    // As people see the axes, the first of the samples is the outer one.
    for (std::size_t i = 0; i < axes_.size(); ++i) {
      const std::size_t d = array_->dims_reversed ? axes_.size() - 1 - i : i;
      if (axes_[d].letter != 'n') continue;
      if (i_n_ == none) {
        i_n_ = d;
      } else {
        inner_.push_back(d);
        n_inner_ *= array_->dims[d];
      }
    }
  }

  /// Chooses the slabs; n_samples and the sizes of a channel are known.
  /// @return bytes of the samples of one outer index
  std::uint64_t plan() {
    const std::uint64_t bytes = n_inner_ * n_h() * 2 * (array_->single ? 4 : 8);
    if (i_n_ == none) {
      slab_samples_ = 1;
      return bytes;
    }
    bool samples_slowest = true;
    for (std::size_t d = 0; d < i_n_; ++d)
      samples_slowest &= axes_[d].letter == '0' || array_->dims[d] == 1;
    in_order_ = samples_slowest && array_->chunk.empty();
    const std::uint64_t align = array_->chunk.empty() ? 1 : array_->chunk[i_n_];
    const std::uint64_t wanted = array_->chunk.empty() ? slab_bytes_strided : slab_bytes_chunked;
    slab_samples_ = (std::max(wanted / bytes, std::uint64_t{1}) + align - 1) / align * align;
    slab_samples_ = std::min(
        {slab_samples_, std::max(slab_bytes_most / bytes, std::uint64_t{1}), array_->dims[i_n_]});
    return bytes;
  }

  void read(std::uint64_t first, std::uint64_t count, std::complex<double>* out) const override {
    while (count > 0) {
      // Without chunks and with the samples one after the other there is nothing to gain from
      // slabs.
      const std::uint64_t outer = first / n_inner_;
      const std::uint64_t start = in_order_ ? outer : outer / slab_samples_ * slab_samples_;
      const std::uint64_t end =
          std::min<std::uint64_t>(start + slab_samples_, n_samples / n_inner_);
      const std::uint64_t n = std::min(count, end * n_inner_ - first);
      const std::shared_ptr<const Slab> slab =
          in_order_ ? load(start, (first + n - 1) / n_inner_ + 1 - start)
                    : cached(start, end - start);
      if (array_->single) {
        copy(slab->single.get(), slab->count, first - start * n_inner_, n, out);
      } else {
        copy(slab->wide.get(), slab->count, first - start * n_inner_, n, out);
      }
      first += n;
      count -= n;
      out += n * n_h();
    }
  }

 private:
  static constexpr std::size_t none = std::string::npos;

  /// Samples of outer indices first .. first + count - 1.
  struct Slab {
    std::uint64_t first = 0, count = 0;
    std::unique_ptr<float[]> single;
    std::unique_ptr<double[]> wide;
  };

  std::vector<std::uint64_t> block_dims(std::uint64_t count) const {
    std::vector<std::uint64_t> dims = array_->dims;
    for (std::size_t d = 0; d < dims.size(); ++d) {
      if (d == i_n_) dims[d] = count;
      if (axes_[d].letter == '0') dims[d] = 1;
      if (axes_[d].letter == 'f') dims[d] = grid.n_subcarriers;
      if (axes_[d].letter == 's') dims[d] = grid.n_symbols;
    }
    return dims;
  }

  Strides strides(std::uint64_t count) const {
    const std::vector<std::uint64_t> dims = block_dims(count);
    std::uint64_t stride = array_->parts == ComplexParts::interleaved ? 2 : 1;
    Strides out;
    out.im = 1;
    std::uint64_t of_t = 0, of_f = 0, of_s = 0;
    std::vector<std::uint64_t> of(dims.size());
    for (std::size_t d = dims.size(); d-- > 0; stride *= dims[d]) {
      of[d] = stride;
      const char letter = axes_[d].letter;
      if (d == i_n_) out.n = stride;
      if (letter == 'r') out.r = stride;
      if (letter == 't') of_t = stride;
      if (letter == 'f') of_f = stride;
      if (letter == 's') of_s = stride;
      if (letter == 'c') out.im = stride;
      if (letter == 'v') {
        out.r = stride;
        of_t = n_rx * stride;
      }
      if (letter == 'w') {
        of_t = stride;
        out.r = n_tx * stride;
      }
    }
    if (array_->parts == ComplexParts::planes) out.im = stride;
    if (array_->parts == ComplexParts::real) out.im = 0;
    for (std::uint64_t i = 0; i < grid.n_symbols; ++i)
      for (std::uint64_t f = 0; f < grid.n_subcarriers; ++f)
        for (std::uint64_t t = 0; t < n_tx; ++t)
          out.columns.push_back(i * of_s + f * of_f + t * of_t);
    out.inner = {0};
    for (const std::size_t d : inner_) {
      std::vector<std::uint64_t> finer;
      for (const std::uint64_t at : out.inner)
        for (std::uint64_t i = 0; i < dims[d]; ++i) finer.push_back(at + i * of[d]);
      out.inner = std::move(finer);
    }
    return out;
  }

  template <class T>
  void copy(const T* block, std::uint64_t n_outer, std::uint64_t first, std::uint64_t count,
            std::complex<double>* out) const {
    const Strides stride = strides(n_outer);
    if (n_inner_ == 1) {
      const auto offset = [&](std::uint64_t i) { return i * stride.n; };
      to_columns(block, stride, offset, first, count, n_rx, out);
    } else {
      const auto offset = [&](std::uint64_t i) {
        return i / n_inner_ * stride.n + stride.inner[i % n_inner_];
      };
      to_columns(block, stride, offset, first, count, n_rx, out);
    }
    if (array_->parts == ComplexParts::real)
      for (std::uint64_t i = 0; i < count * n_h(); ++i) out[i] = out[i].real();
  }

  std::shared_ptr<const Slab> load(std::uint64_t first, std::uint64_t count) const {
    auto slab = std::make_shared<Slab>();
    slab->first = first;
    slab->count = count;
    const std::uint64_t n_reals = count * n_inner_ * n_h() * 2;
    Hyperslab block{std::vector<std::uint64_t>(array_->dims.size(), 0), block_dims(count)};
    for (std::size_t d = 0; d < axes_.size(); ++d) block.first[d] = axes_[d].index;
    if (i_n_ != none) block.first[i_n_] = first;
    if (array_->single) {
      slab->single = std::make_unique_for_overwrite<float[]>(n_reals);
      array_->read(block, slab->single.get());
    } else {
      slab->wide = std::make_unique_for_overwrite<double[]>(n_reals);
      array_->read(block, slab->wide.get());
    }
    return slab;
  }

  /// The last two slabs are kept: a scan in blocks of any size decompresses each chunk once, also
  /// when two threads are on both sides of a boundary.
  std::shared_ptr<const Slab> cached(std::uint64_t first, std::uint64_t count) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& slab : recent_)
      if (slab && slab->first == first) return slab;
    recent_[oldest_].reset();  // before the next one is allocated
    recent_[oldest_] = load(first, count);
    return recent_[std::exchange(oldest_, 1 - oldest_)];
  }

  std::unique_ptr<StoredArray> array_;
  std::vector<Axis> axes_;          // one per dim of array_
  std::size_t i_n_ = none;          // the outer axis of the samples
  std::vector<std::size_t> inner_;  // their other axes, slowest first
  std::uint64_t n_inner_ = 1;       // samples per outer index
  std::uint64_t slab_samples_ = 1;  // outer indices
  bool in_order_ = false;
  mutable std::mutex mutex_;
  mutable std::array<std::shared_ptr<const Slab>, 2> recent_;
  mutable std::size_t oldest_ = 0;
};

}  // namespace

void fail(const ArrayName& name, const std::string& what) {
  throw Error(ErrorKind::format,
              name.file.string() + ": " + (name.dataset.empty() ? "" : name.dataset + " ") + what);
}

std::string shape_text(const std::vector<std::uint64_t>& dims) {
  std::string text = "(";
  for (std::size_t d = 0; d < dims.size(); ++d)
    text += (d > 0 ? ", " : "") + std::to_string(dims[d]);
  return text + ")";
}

std::string axes_of_elements(const std::vector<std::uint64_t>& dims, const ArrayName& name) {
  std::string axes = "n";
  for (std::size_t d = 1; d + 2 < dims.size(); ++d) {
    if (dims[d] != 1)
      fail(name, "holds elements of more than two axes, " + shape_text(dims) +
                     " with n first; name each axis with --axes, for example n" +
                     std::string(dims.size() - 3, '0') + "tr");
    axes += '0';
  }
  return axes + "tr";
}

namespace {

/// The part of a stored grid that is read.
GridAxes grid_of_array(arma::uword n_subcarriers, arma::uword n_symbols, const GridChoice& choice,
                       const ArrayName& name) {
  GridAxes grid;
  grid.n_subcarriers = n_subcarriers;
  grid.n_symbols = n_symbols;
  if (!choice.given()) return grid;
  if (!grid.is_grid())
    fail(name,
         "holds matrices, --grid is for grids (name their axes f and s with --axes) and for gains "
         "with delays");
  if (choice.n_subcarriers > n_subcarriers || choice.n_symbols > n_symbols)
    fail(name, "has grids of " + grid.text() + " elements, --grid asks for " +
                   std::to_string(std::max<arma::uword>(choice.n_subcarriers, 1)) + "x" +
                   std::to_string(std::max<arma::uword>(choice.n_symbols, 1)));
  if (choice.n_subcarriers > 0) grid.n_subcarriers = choice.n_subcarriers;
  if (choice.n_symbols > 0) grid.n_symbols = choice.n_symbols;
  if (choice.spacing_hz > 0.0)
    grid = ofdm_grid(grid.n_subcarriers, grid.n_symbols, choice.spacing_hz);
  return grid;
}

}  // namespace

std::unique_ptr<SampleSource> make_array_source(std::unique_ptr<StoredArray> array,
                                                const ArrayName& name,
                                                const DatasetOptions& options) {
  if (options.matrix && array->parts == ComplexParts::axis && array->dims.size() < 3)
    array->parts = ComplexParts::real;
  const Axes axes = axes_of(*array, name, options);
  // As people see the dims in h5py or NumPy, and as the bytes lie.
  std::vector<std::uint64_t> shown = array->dims;
  std::vector<Axis> stored = axes.each;
  if (array->dims_reversed) {
    std::reverse(shown.begin(), shown.end());
    std::reverse(stored.begin(), stored.end());
  }
  const auto length = [&](char letter) {
    std::uint64_t n = 1;
    for (std::size_t d = 0; d < stored.size(); ++d)
      if (stored[d].letter == letter) n *= array->dims[d];
    return n;
  };
  std::uint64_t n_rx = length('r'), n_tx = length('t');
  const std::uint64_t n_subcarriers = length('f'), n_symbols = length('s');
  const std::uint64_t n_samples = length('n');
  if (const std::uint64_t n_h = length('v') * length('w');
      axes.text.find_first_of("vw") != std::string::npos) {
    n_rx = options.n_rx;
    if (n_rx == 0)
      fail(name, "holds vec(H), --axes " + axes.text + ": say how many n_rx there are");
    if (n_h % n_rx != 0)
      fail(name, "holds vec(H) of length " + std::to_string(n_h) +
                     ", which is not a multiple of n_rx = " + std::to_string(n_rx));
    n_tx = n_h / n_rx;
  } else if (options.n_rx != 0 && options.n_rx != n_rx) {
    fail(name, "has n_rx = " + std::to_string(n_rx) + " (shape " + shape_text(shown) + " read as " +
                   axes.text + "), expected " + std::to_string(options.n_rx));
  }
  if (std::count(array->dims.begin(), array->dims.end(), 0) > 0)
    fail(name, "is empty, its shape is " + shape_text(shown));
  const GridAxes grid = grid_of_array(n_subcarriers, n_symbols, options.grid, name);
  if (std::max({n_rx, n_tx, n_subcarriers, n_symbols}) > n_h_most || n_rx * n_tx > n_h_most ||
      n_subcarriers * n_symbols > n_h_most || n_rx * n_tx * grid.n_elements() > n_h_most)
    fail(name, "has " + size_text(n_rx, n_tx, grid) + " entries in one channel (shape " +
                   shape_text(shown) + " read as " + axes.text + "), expected at most " +
                   std::to_string(n_h_most) + "; name the axes with --axes");
  if (!array->chunk.empty()) {
    std::uint64_t bytes = array->single ? 8 : 16;
    for (const std::uint64_t c : array->chunk) {
      bytes = c > chunk_bytes_most ? chunk_bytes_most + 1 : bytes * std::max(c, std::uint64_t{1});
      if (bytes > chunk_bytes_most)
        fail(name, "is stored in chunks " + shape_text(array->chunk) + " of more than " +
                       std::to_string(chunk_bytes_most / mebibyte) +
                       " MiB, which cannot be read in bounded memory; store it in smaller chunks "
                       "(h5repack -l CHUNK=...)");
    }
    if (std::count(array->chunk.begin(), array->chunk.end(), 0) > 0)
      fail(name, "is stored in chunks " + shape_text(array->chunk) + "; the file is damaged");
  }

  auto source = std::make_unique<ArraySource>(std::move(array), stored);
  source->n_samples = n_samples;
  source->n_rx = n_rx;
  source->n_tx = n_tx;
  source->grid = grid;
  source->dataset = name.dataset;
  source->kind = name.kind;
  source->axes = axes.text;
  source->type_name = name.type_name;
  for (const std::string& doubt : axes.doubts)
    source->warnings.push_back(name.file.string() + ": " + doubt);
  if (source->plan() > outer_bytes_most)
    fail(name, "has more than " + std::to_string(outer_bytes_most / mebibyte) +
                   " MiB of samples for each index of the first axis n of " + axes.text +
                   "; reshape it to one axis of samples, [n, n_rx, n_tx]");
  return source;
}

}  // namespace v0
}  // namespace chest

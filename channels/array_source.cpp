#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include <chest/error.hpp>

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
constexpr std::uint64_t n_h_most = std::uint64_t{1} << 22;

/// Distances in a block, counted in real numbers.
struct Strides {
  std::uint64_t n = 0, r = 0, t = 0, im = 0;
};

[[noreturn]] void fail(const ArrayName& name, const std::string& what) {
  throw Error(ErrorKind::format,
              name.file.string() + ": " + (name.dataset.empty() ? "" : name.dataset + " ") + what);
}

/// Order of the axes where none is given, for dims in the order of the program that wrote the file.
std::string default_axes(const std::vector<std::uint64_t>& dims, const StoredArray& array,
                         const DatasetOptions& options, const ArrayName& name) {
  std::vector<std::uint64_t> extent = dims;
  std::string end;
  if (array.parts == ComplexParts::axis) {
    if (extent.size() < 3 || extent.back() != 2)
      fail(name,
           "holds " + name.type_name + " " + shape_text(array.dims) + ", " + complex_values_needed);
    extent.pop_back();
    end = "c";
  }
  if (extent.size() == 3) return "nrt" + end;
  if (extent.size() == 2) {
    const bool vectorised =
        options.n_rx > 0 && extent[1] != options.n_rx && extent[1] % options.n_rx == 0;
    return (vectorised ? "nv" : "nr") + end;
  }
  // More axes are clear only when all but two of them have length 1.
  std::string axes = "n";
  std::string antennas = "rt";
  for (std::size_t d = 1; d < extent.size(); ++d) {
    if (extent[d] == 1) {
      axes += '0';
    } else if (!antennas.empty()) {
      axes += antennas.front();
      antennas.erase(0, 1);
    } else {
      axes.clear();
      break;
    }
  }
  if (extent.size() < 3 || axes.empty() || antennas == "rt")
    fail(name, "has the shape " + shape_text(array.dims) +
                   ", expected [n, n_rx, n_tx]; name each of its " +
                   std::to_string(array.dims.size()) +
                   " axes with --axes, from n (sample), r, t (antennas), v (vec(H)), c (real and "
                   "imaginary part), 0 (first index taken)");
  return axes + end;
}

/// Checks given axes against the dims they name, in the same order.
void check_axes(const std::string& axes, const std::vector<std::uint64_t>& dims, ComplexParts parts,
                const ArrayName& name) {
  const std::string given = "--axes " + axes;
  if (axes.size() != dims.size())
    fail(name, "has " + std::to_string(dims.size()) + " axes, " + shape_text(dims) + ", but " +
                   given + " names " + std::to_string(axes.size()));
  for (const char axis : axes) {
    if (std::string("nrtvc0").find(axis) == std::string::npos)
      fail(name,
           given + ": unknown axis '" + std::string(1, axis) + "', expected n, r, t, v, c or 0");
    if (axis != '0' && std::count(axes.begin(), axes.end(), axis) > 1)
      fail(name, given + ": axis " + std::string(1, axis) + " is there twice");
  }
  const auto has = [&](char axis) { return axes.find(axis) != std::string::npos; };
  if (has('v') ? has('r') || has('t') : !has('r') && !has('t'))
    fail(name, given + ": the antennas are either r and t, or v for vec(H)");
  if (has('c') != (parts == ComplexParts::axis))
    fail(name, given + (has('c') ? ": axis c is for real arrays, this one is complex"
                                 : ": the array is real, one axis must be c, of length 2"));
  if (has('c') && dims[axes.find('c')] != 2)
    fail(name,
         given + ": axis c has length " + std::to_string(dims[axes.find('c')]) + ", expected 2");
}

/// Copies samples of a block, first + 0 .. count - 1, to columns vec(H).
template <class T>
void to_columns(const T* block, const Strides& stride, std::uint64_t first, std::uint64_t count,
                arma::uword n_rx, arma::uword n_tx, std::complex<double>* out) {
  const std::uint64_t n_h = n_rx * n_tx;
  const auto value = [&](const T* at) {
    return std::complex<double>(static_cast<double>(at[0]), static_cast<double>(at[stride.im]));
  };
  // Eight samples at a time where neighbours in the file are samples: each cache line read is used
  // whole, and as few columns are written to as a cache set has ways.
  const bool samples_fastest = stride.n < stride.r && (n_tx == 1 || stride.n < stride.t);
  const std::uint64_t tile = samples_fastest ? 8 : 1;
  for (std::uint64_t k = 0; k < count; k += tile) {
    const std::uint64_t end = std::min(k + tile, count);
    for (arma::uword t = 0; t < n_tx; ++t) {
      for (arma::uword r = 0; r < n_rx; ++r) {
        const T* at = block + r * stride.r + t * stride.t + first * stride.n;
        for (std::uint64_t i = k; i < end; ++i)
          out[i * n_h + t * n_rx + r] = value(at + i * stride.n);
      }
    }
  }
}

class ArraySource final : public SampleSource {
 public:
  ArraySource(std::unique_ptr<StoredArray> array, std::string letters)
      : array_(std::move(array)), letters_(std::move(letters)) {
    i_n_ = letters_.find('n');
  }

  /// Chooses the slabs; n_samples, n_rx and n_tx are known.
  void plan() {
    const std::uint64_t bytes = n_rx * n_tx * 2 * (array_->single ? 4 : 8);
    if (i_n_ == std::string::npos) {
      slab_samples_ = 1;
      return;
    }
    bool samples_slowest = true;
    for (std::size_t d = 0; d < i_n_; ++d)
      samples_slowest &= letters_[d] == '0' || array_->dims[d] == 1;
    in_order_ = samples_slowest && array_->chunk.empty();
    const std::uint64_t align = array_->chunk.empty() ? 1 : array_->chunk[i_n_];
    const std::uint64_t wanted = array_->chunk.empty() ? slab_bytes_strided : slab_bytes_chunked;
    slab_samples_ = (std::max(wanted / bytes, std::uint64_t{1}) + align - 1) / align * align;
    slab_samples_ = std::min({slab_samples_, std::max(slab_bytes_most / bytes, std::uint64_t{1}),
                              std::uint64_t{n_samples}});
  }

  void read(std::uint64_t first, std::uint64_t count, std::complex<double>* out) const override {
    while (count > 0) {
      // Without chunks and with the samples one after the other there is nothing to gain from
      // slabs.
      const std::uint64_t start = in_order_ ? first : first / slab_samples_ * slab_samples_;
      const std::uint64_t end = std::min(start + slab_samples_, std::uint64_t{n_samples});
      const std::uint64_t n = std::min(count, end - first);
      const std::shared_ptr<const Slab> slab =
          in_order_ ? load(start, n) : cached(start, end - start);
      if (array_->single) {
        to_columns(slab->single.get(), strides(slab->count), first - start, n, n_rx, n_tx, out);
      } else {
        to_columns(slab->wide.get(), strides(slab->count), first - start, n, n_rx, n_tx, out);
      }
      first += n;
      count -= n;
      out += n * n_rx * n_tx;
    }
  }

 private:
  struct Slab {
    std::uint64_t first = 0, count = 0;
    std::unique_ptr<float[]> single;
    std::unique_ptr<double[]> wide;
  };

  std::vector<std::uint64_t> block_dims(std::uint64_t count) const {
    std::vector<std::uint64_t> dims = array_->dims;
    for (std::size_t d = 0; d < dims.size(); ++d) {
      if (letters_[d] == 'n') dims[d] = count;
      if (letters_[d] == '0') dims[d] = 1;
    }
    return dims;
  }

  Strides strides(std::uint64_t count) const {
    const std::vector<std::uint64_t> dims = block_dims(count);
    std::uint64_t stride = array_->parts == ComplexParts::interleaved ? 2 : 1;
    Strides out;
    out.im = 1;
    for (std::size_t d = dims.size(); d-- > 0; stride *= dims[d]) {
      if (letters_[d] == 'n') out.n = stride;
      if (letters_[d] == 'r') out.r = stride;
      if (letters_[d] == 't') out.t = stride;
      if (letters_[d] == 'c') out.im = stride;
      if (letters_[d] == 'v') {
        out.r = stride;
        out.t = n_rx * stride;
      }
    }
    if (array_->parts == ComplexParts::planes) out.im = stride;
    return out;
  }

  std::shared_ptr<const Slab> load(std::uint64_t first, std::uint64_t count) const {
    auto slab = std::make_shared<Slab>();
    slab->first = first;
    slab->count = count;
    const std::uint64_t n_reals = count * n_rx * n_tx * 2;
    Hyperslab block{std::vector<std::uint64_t>(array_->dims.size(), 0), block_dims(count)};
    if (i_n_ != std::string::npos) block.first[i_n_] = first;
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
  std::string letters_;  // one per dim of array_
  std::size_t i_n_ = std::string::npos;
  std::uint64_t slab_samples_ = 1;
  bool in_order_ = false;
  mutable std::mutex mutex_;
  mutable std::array<std::shared_ptr<const Slab>, 2> recent_;
  mutable std::size_t oldest_ = 0;
};

}  // namespace

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

std::unique_ptr<SampleSource> make_array_source(std::unique_ptr<StoredArray> array,
                                                const ArrayName& name,
                                                const DatasetOptions& options) {
  const auto reversed = [](auto sequence) {
    std::reverse(sequence.begin(), sequence.end());
    return sequence;
  };
  // As people see the dims in h5py or NumPy, and as the bytes lie.
  const std::vector<std::uint64_t> shown =
      array->dims_reversed ? reversed(array->dims) : array->dims;
  std::string axes = options.axes;
  if (axes.empty()) {
    axes = array->first_axis_last ? reversed(default_axes(reversed(shown), *array, options, name))
                                  : default_axes(shown, *array, options, name);
  }
  check_axes(axes, shown, array->parts, name);
  const std::string letters = array->dims_reversed ? reversed(axes) : axes;

  const auto length = [&](char axis) -> std::uint64_t {
    const std::size_t at = letters.find(axis);
    return at == std::string::npos ? 1 : array->dims[at];
  };
  std::uint64_t n_rx = length('r'), n_tx = length('t');
  const std::uint64_t n_samples = length('n');
  if (axes.find('v') != std::string::npos) {
    n_rx = options.n_rx;
    if (n_rx == 0) fail(name, "holds vec(H), --axes " + axes + ": say how many n_rx there are");
    if (length('v') % n_rx != 0)
      fail(name, "holds vec(H) of length " + std::to_string(length('v')) +
                     ", which is not a multiple of n_rx = " + std::to_string(n_rx));
    n_tx = length('v') / n_rx;
  } else if (options.n_rx != 0 && options.n_rx != n_rx) {
    fail(name, "has n_rx = " + std::to_string(n_rx) + " (shape " + shape_text(shown) + " read as " +
                   axes + "), expected " + std::to_string(options.n_rx));
  }
  if (std::count(array->dims.begin(), array->dims.end(), 0) > 0)
    fail(name, "is empty, its shape is " + shape_text(shown));
  if (n_rx > n_h_most || n_tx > n_h_most || n_rx * n_tx > n_h_most)
    fail(name, "has " + std::to_string(n_rx) + " x " + std::to_string(n_tx) +
                   " entries in one channel (shape " + shape_text(shown) + " read as " + axes +
                   "), expected at most " + std::to_string(n_h_most) +
                   "; name the axes with --axes");
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

  auto source = std::make_unique<ArraySource>(std::move(array), letters);
  source->n_samples = n_samples;
  source->n_rx = n_rx;
  source->n_tx = n_tx;
  source->dataset = name.dataset;
  source->kind = name.kind;
  source->axes = axes;
  source->type_name = name.type_name;
  source->plan();
  return source;
}

}  // namespace v0
}  // namespace chest

#include "axes.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

using Dims = std::vector<std::uint64_t>;

// More receive antennas than that in an array of two axes are rather vec(H).
constexpr std::uint64_t n_rx_most_simo = 256;
// The covariance of more entries takes more than 1 GiB.
constexpr std::uint64_t n_h_most_unasked = 8192;
// Sionna and CeBed: [n, receivers, rx antennas, transmitters, tx antennas, symbols, subcarriers].
constexpr std::size_t sionna_rank = 7, sionna_rx = 2, sionna_tx = 4;

constexpr const char* letters_text =
    "n (sample; on several axes: all their combinations), r, t (antennas), f (subcarrier), s (OFDM "
    "symbol), v (vec(H), w: with the rows of H one after the other), c (real and imaginary part), "
    "or the index that is taken of any other axis, 0 for the first";

template <class Sequence>
Sequence reversed(Sequence sequence) {
  std::reverse(sequence.begin(), sequence.end());
  return sequence;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() < 10 &&
         text.find_first_not_of("0123456789") == std::string::npos;
}

bool has(const std::vector<Axis>& axes, char letter) {
  return std::any_of(axes.begin(), axes.end(),
                     [&](const Axis& axis) { return axis.letter == letter; });
}

std::uint64_t length(const std::string& letters, const Dims& dims, char letter) {
  const std::size_t at = letters.find(letter);
  return at == std::string::npos ? 1 : dims[at];
}

/// Checks axes against the dims that they name, in the same order.
void check_axes(const Axes& axes, const Dims& dims, ComplexParts parts, const ArrayName& name) {
  const std::string given = "--axes " + axes.text;
  if (axes.each.size() != dims.size())
    fail(name, "has " + std::to_string(dims.size()) + " axes, " + shape_text(dims) + ", but " +
                   given + " names " + std::to_string(axes.each.size()));
  for (std::size_t d = 0; d < dims.size(); ++d) {
    const Axis& axis = axes.each[d];
    if (axis.letter == '0' && axis.index >= std::max(dims[d], std::uint64_t{1}))
      fail(name, given + ": index " + std::to_string(axis.index) + " of an axis of length " +
                     std::to_string(dims[d]) + ", expected 0 .. " + std::to_string(dims[d] - 1));
    const auto same = std::count_if(axes.each.begin(), axes.each.end(),
                                    [&](const Axis& other) { return other.letter == axis.letter; });
    if (axis.letter != '0' && axis.letter != 'n' && same > 1)
      fail(name, given + ": axis " + std::string(1, axis.letter) + " is there twice");
  }
  if (has(axes.each, 'p'))
    fail(name, given + ": paths (p) become channels with their delays, an array tau beside a; " +
                   "without them save the sum over the paths");
  const bool matrix = has(axes.each, 'r') || has(axes.each, 't');
  const bool grid = has(axes.each, 'f') || has(axes.each, 's');
  const int n_kinds = int(matrix) + int(has(axes.each, 'v')) + int(has(axes.each, 'w'));
  if (n_kinds > 1 || (n_kinds == 0 && !grid))
    fail(name, given + ": the antennas are either r and t, or v or w for vec(H)");
  if (has(axes.each, 'c') != (parts == ComplexParts::axis))
    fail(name,
         given + (has(axes.each, 'c') ? ": axis c is for real arrays, this one is complex"
                                      : ": the array is real, one axis must be c, of length 2"));
  for (std::size_t d = 0; d < dims.size(); ++d)
    if (axes.each[d].letter == 'c' && dims[d] != 2)
      fail(name, given + ": axis c has length " + std::to_string(dims[d]) + ", expected 2");
}

/// Of more than three axes: clear only where all but three have length 1.
std::string axes_of_many(const Dims& dims) {
  std::string axes = "n";
  std::string antennas = "rt";
  for (std::size_t d = 1; d < dims.size(); ++d) {
    if (dims[d] == 1) {
      axes += '0';
      continue;
    }
    if (antennas.empty()) return "";
    axes += antennas.front();
    antennas.erase(0, 1);
  }
  if (antennas.empty()) return axes;
  if (antennas == "rt") return "";
  // One antenna on a side, but on which? Right after the samples it is the receiver.
  if (axes[1] == 'r') return axes;
  if (dims.size() != sionna_rank) return "";
  if (axes[sionna_rx] == 'r') return axes;
  if (axes[sionna_tx] != 'r') return "";
  axes[sionna_tx] = 't';
  return axes;
}

/// Axes of an array where none are given, dims and letters in the order of the program that wrote
/// it.
std::string axes_of_writer(const Dims& dims, const StoredArray& array, const ArrayName& name,
                           const DatasetOptions& options) {
  Dims extent = dims;
  std::string end;
  if (array.parts == ComplexParts::axis) {
    if (extent.size() < 3 || extent.back() != 2)
      fail(name,
           "holds " + name.type_name + " " + shape_text(array.dims) + ", " + complex_values_needed);
    extent.pop_back();
    end = "c";
  }
  if (extent.size() == 3) return (array.axis_order == AxisOrder::slices ? "ntr" : "nrt") + end;
  if (extent.size() == 2) {
    const bool vectorised =
        options.n_rx > 0 && extent[1] != options.n_rx && extent[1] % options.n_rx == 0;
    return (vectorised ? "nv" : "nr") + end;
  }
  const std::string axes = extent.size() < 3 ? "" : axes_of_many(extent);
  if (axes.empty())
    fail(name,
         "has the shape " + shape_text(array.dims) +
             ", expected [n, n_rx, n_tx]; name each of its " + std::to_string(array.dims.size()) +
             " axes with --axes, from " + letters_text +
             (extent.size() < 4 ? ""
                                : "; of paths or taps of one channel no index is wanted but "
                                  "their sum: save that, or their delays beside them as tau"));
  return axes + end;
}

/// Axes of one matrix, which all programs show as [rows, columns].
std::string axes_of_matrix(const Dims& shown, const StoredArray& array, const ArrayName& name) {
  const bool row_major = array.axis_order == AxisOrder::row_major;
  if (shown.size() == 1) return "r";
  if (shown.size() == 2) return row_major ? "rt" : "tr";
  if (shown.size() == 3 && array.parts == ComplexParts::axis && shown[row_major ? 2 : 0] == 2)
    return row_major ? "rtc" : "ctr";
  fail(name,
       "has the shape " + shape_text(shown) + ", expected one matrix, the same for all samples");
}

/// "24 channels of 8x4"
std::string sizes_text(const Dims& dims, const std::string& letters) {
  const std::uint64_t n = length(letters, dims, 'n');
  return std::to_string(n) + (n == 1 ? " channel of " : " channels of ") +
         std::to_string(length(letters, dims, 'r')) + "x" +
         std::to_string(length(letters, dims, 't'));
}

/// The same axes with the letters n, r and t in another order.
std::string permuted(const std::string& letters, const std::string& order) {
  std::string out = letters;
  std::size_t i = 0;
  for (char& letter : out)
    if (std::string("nrt").find(letter) != std::string::npos) letter = order[i++];
  return out;
}

bool is_power_of_two(std::uint64_t n) { return (n & (n - 1)) == 0; }

/// Why the sample axis looks like one of antennas; empty: it does not.
std::string why_not_samples(std::uint64_t n, std::uint64_t n_rx, std::uint64_t n_tx,
                            std::uint64_t last) {
  const std::uint64_t side = std::max(n_rx, n_tx);
  if (n < side) return "fewer channels than antennas on one side";
  if (n == side) return "as few channels as antennas on one side";
  // 64 of 16x50 are rather 50 of 64x16.
  if (n <= n_rx * n_tx && is_power_of_two(n) && !is_power_of_two(last) && last > 16)
    return std::to_string(n) + " looks like a number of antennas, " + std::to_string(last) +
           " like one of channels";
  return "";
}

/// Size of the covariance of n_h entries: "4.1 GB".
std::string gigabytes_text(std::uint64_t n_h) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g GB", 16e-9 * std::pow(static_cast<double>(n_h), 2));
  return text;
}

/// What else an array of samples and two sides can be, most likely first.
std::string other_readings(const Dims& dims, const StoredArray& array, const ArrayName& name,
                           const std::string& letters) {
  struct Reading {
    const char* order;
    const char* note;
  };
  std::vector<Reading> readings;
  if (array.axis_order == AxisOrder::slices) {
    readings = {{"trn", "samples in the rows of the cube"}};
    if (!name.doubt.empty()) readings.push_back({"nrt", "written row-major"});
  } else if (array.axis_order == AxisOrder::column_major) {
    readings = {{"ntr", "samples in the last axis of the writer"}};
    if (!name.doubt.empty()) readings.push_back({"nrt", "written row-major"});
  } else {
    if (!name.dataset.empty()) readings.push_back({"trn", "written column-major, as by Julia"});
    if (!name.doubt.empty()) readings.push_back({"ntr", "the same with the samples last"});
    readings.push_back({"rtn", "samples last"});
  }
  std::string text;
  for (const Reading& reading : readings) {
    const std::string other = permuted(letters, reading.order);
    // A remedy of far fewer channels than antennas is none.
    if (2 * length(other, dims, 'n') < std::max(length(other, dims, 'r'), length(other, dims, 't')))
      continue;
    text += "--axes " + other + " reads " + sizes_text(dims, other) + " (" + reading.note + "), ";
  }
  return text + "--axes " + letters + " confirms it";
}

/// What speaks against axes that were assumed. `letters` and `dims` as h5py shows them.
std::vector<std::string> doubts_of(const std::string& letters, const Dims& dims,
                                   const StoredArray& array, const ArrayName& name,
                                   const DatasetOptions& options) {
  const auto there = [&](char letter) { return letters.find(letter) != std::string::npos; };
  if (!there('n') || there('v')) return {};
  std::vector<std::string> doubts;
  const std::uint64_t n = length(letters, dims, 'n');
  const std::uint64_t n_rx = length(letters, dims, 'r'), n_tx = length(letters, dims, 't');
  const std::string reading = "read as " + sizes_text(dims, letters) + " from axes " + letters;
  if (there('r') && there('t')) {
    // The antennas that an array of [n_rx, n_tx, n] would have its samples in.
    const char last = array.axis_order == AxisOrder::slices ? 'r' : 't';
    std::string why = why_not_samples(n, n_rx, n_tx, length(letters, dims, last));
    if (why.empty()) why = name.doubt;
    if (!why.empty())
      doubts.push_back(reading + ", but " + why + "; " +
                       other_readings(dims, array, name, letters));
  } else if (n_rx > n_rx_most_simo && options.n_rx == 0) {
    doubts.push_back(reading + "; channels stored as vec(H) need --n-rx N");
  } else if (n < 8 * n_rx && options.n_rx == 0) {
    const bool slices = array.axis_order == AxisOrder::slices;
    std::string one = letters;
    for (char& letter : one)
      letter = letter == 'n' ? (slices ? 't' : 'r') : letter == 'r' && !slices ? 't' : letter;
    doubts.push_back(reading + "; a single channel of " + std::to_string(slices ? n_rx : n) + "x" +
                     std::to_string(slices ? n : n_rx) + " is --axes " + one);
  }
  if (n_rx < n_h_most && n_tx < n_h_most && n_rx * n_tx > n_h_most_unasked)
    doubts.push_back(reading + ", whose covariance takes " + gigabytes_text(n_rx * n_tx) +
                     "; if H is smaller, name the axes with --axes");
  return doubts;
}

}  // namespace

std::vector<Axis> parse_axes(const std::string& text, const ArrayName& name) {
  std::vector<std::string> parts;
  if (text.find(',') != std::string::npos) {
    parts = split(text, ',');
  } else {
    for (const char c : text) parts.emplace_back(1, c);
  }
  std::vector<Axis> axes;
  for (const std::string& part : parts) {
    if (is_number(part)) {
      axes.push_back({'0', std::stoull(part)});
    } else if (part.size() == 1 && std::string("nrtfspvwc").find(part) != std::string::npos) {
      axes.push_back({part[0], 0});
    } else {
      fail(name, "--axes " + text + ": unknown axis '" + part +
                     "', expected n, r, t, f, s, p, v, w, c or an index");
    }
  }
  return axes;
}

Axes axes_of(const StoredArray& array, const ArrayName& name, const DatasetOptions& options) {
  const Dims shown = array.dims_reversed ? reversed(array.dims) : array.dims;
  Axes axes;
  axes.text = options.axes;
  if (options.axes.empty())
    axes.text = options.matrix ? axes_of_matrix(shown, array, name)
                : array.axis_order == AxisOrder::column_major
                    ? reversed(axes_of_writer(reversed(shown), array, name, options))
                    : axes_of_writer(shown, array, name, options);
  axes.each = parse_axes(axes.text, name);
  check_axes(axes, shown, array.parts, name);
  if (options.axes.empty() && !options.matrix)
    axes.doubts = doubts_of(axes.text, shown, array, name, options);
  return axes;
}

}  // namespace v0
}  // namespace chest

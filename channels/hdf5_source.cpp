#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <utility>

#include <chest/error.hpp>
#include <chest/pair_names.hpp>
#include <chest/text.hpp>

#include "path_source.hpp"
#include "sample_source.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// Complex dataset, two real ones, or a real one with an axis of length 2.
class Hdf5Array final : public StoredArray {
 public:
  Hdf5Array(std::shared_ptr<const ArchiveReader> archive, std::string path, std::string path_im)
      : archive_(std::move(archive)), path_(std::move(path)), path_im_(std::move(path_im)) {
    const StoredDataset stored = archive_->info(path_);
    dims = stored.dims;
    chunk = stored.chunk;
    single = stored.fits_float;
    parts = stored.type == ValueType::complex ? ComplexParts::interleaved
            : path_im_.empty()                ? ComplexParts::axis
                                              : ComplexParts::planes;
  }

  void read(const Hyperslab& slab, float* out) const override { read_as(slab, out); }
  void read(const Hyperslab& slab, double* out) const override { read_as(slab, out); }

 private:
  template <class T>
  void read_as(const Hyperslab& slab, T* out) const {
    if (parts == ComplexParts::interleaved) {
      archive_->read(path_, slab, reinterpret_cast<std::complex<T>*>(out));
      return;
    }
    archive_->read(path_, slab, out);
    if (parts != ComplexParts::planes) return;
    std::uint64_t n = 1;
    for (const std::uint64_t count : slab.count) n *= count;
    archive_->read(path_im_, slab, out + n);
  }

  std::shared_ptr<const ArchiveReader> archive_;
  std::string path_, path_im_;
};

/// Complex matrices of one size, one per element of a MATLAB cell array or array of structs.
class ElementsArray final : public StoredArray {
 public:
  ElementsArray(std::shared_ptr<const ArchiveReader> archive, std::vector<std::string> paths)
      : archive_(std::move(archive)), paths_(std::move(paths)) {
    const StoredDataset stored = archive_->info(paths_[0]);
    dims = stored.dims;
    dims.insert(dims.begin(), paths_.size());
    single = stored.fits_float;
  }

  void read(const Hyperslab& slab, float* out) const override { read_as(slab, out); }
  void read(const Hyperslab& slab, double* out) const override { read_as(slab, out); }

 private:
  template <class T>
  void read_as(const Hyperslab& slab, T* out) const {
    const Hyperslab element{{slab.first.begin() + 1, slab.first.end()},
                            {slab.count.begin() + 1, slab.count.end()}};
    std::uint64_t n = 2;
    for (const std::uint64_t count : element.count) n *= count;
    for (std::uint64_t k = 0; k < slab.count[0]; ++k, out += n)
      archive_->read(paths_[slab.first[0] + k], element, reinterpret_cast<std::complex<T>*>(out));
  }

  std::shared_ptr<const ArchiveReader> archive_;
  std::vector<std::string> paths_;
};

struct Candidate {
  std::string name;           ///< what a user calls it
  std::string path, path_im;  ///< path_im empty unless a pair
  StoredDataset stored;
  std::vector<std::string> elements = {};  ///< of a cell array or array of structs
  std::uint64_t n_empty = 0;               ///< elements left out
};

std::string parent(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string leaf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool is_unsigned(const StoredDataset& stored) {
  return stored.type_name.find("uint") != std::string::npos;
}

/// Float or signed integer.
bool is_number(const StoredDataset& stored) {
  return stored.type == ValueType::real ||
         (stored.type == ValueType::integer && !is_unsigned(stored));
}

/// Whether a file begins with the text by which its writer is known.
bool starts_with(const std::filesystem::path& file, const std::string& text) {
  std::string head(text.size(), '\0');
  std::ifstream(file, std::ios::binary).read(head.data(), std::streamsize(head.size()));
  return head == text;
}

/// Octave stores a variable as a group of "type" and "value".
bool is_octave_value(const ArchiveReader& archive, const std::string& path) {
  return leaf(path) == "value" && archive.has(parent(path) + "/type");
}

std::string what_is_there(const std::vector<Candidate>& all) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < all.size() && i < 10; ++i)
    words.push_back(all[i].name + " (" + all[i].stored.type_name + " " +
                    shape_text(all[i].stored.dims) + ")");
  if (all.size() > 10) words.push_back("others");
  return words.empty() ? "it holds no dataset" : "there are " + enumerate(words);
}

class Finder {
 public:
  Finder(std::shared_ptr<const ArchiveReader> archive, const DatasetOptions& options)
      : archive_(std::move(archive)), options_(options) {
    for (const std::string& path : archive_->list_datasets("/")) {
      try {
        Candidate candidate{path, path, "", archive_->info(path)};
        if (is_octave_value(*archive_, path)) candidate.name = parent(path);
        if (is_empty(path)) {
          candidate.stored.type = ValueType::other;
          candidate.stored.type_name = "empty";
          candidate.stored.dims = {0};
        }
        all_.push_back(std::move(candidate));
      } catch (const Error& error) {
        if (unreadable_.empty()) unreadable_ = error.what();
      }
    }
    collect_octave_cells();
  }

  /// The one dataset of channels, or the one matrix.
  Candidate find() const {
    std::vector<Candidate> found;
    for (const Candidate& candidate : all_)
      if (candidate.stored.type == ValueType::complex &&
          (options_.matrix ? !candidate.stored.dims.empty()
                           : candidate.stored.dims.size() > 1 && candidate.stored.n_values() > 1))
        found.push_back(candidate);
    if (found.empty()) found = pairs();
    if (found.empty() && !options_.matrix) found = elements();
    if (found.empty()) {
      for (const Candidate& candidate : all_)
        if ((candidate.stored.type == ValueType::real ||
             candidate.stored.type == ValueType::integer) &&
            candidate.stored.dims.size() > 1 &&
            (options_.axes.empty() ? candidate.stored.dims.size() > 2 && has_parts_axis(candidate)
                                   : options_.axes.find('c') != std::string::npos))
          found.push_back(candidate);
    }
    if (found.empty() && options_.matrix) {
      for (const Candidate& candidate : all_)
        if (is_real_matrix(candidate.stored)) found.push_back(candidate);
    }
    if (found.size() > 1 && options_.matrix) {
      std::vector<Candidate> matrices;
      for (const Candidate& candidate : found)
        if (candidate.stored.dims.size() < 3 && candidate.stored.n_values() > 1)
          matrices.push_back(candidate);
      if (!matrices.empty()) found = std::move(matrices);
    }
    const std::string sought = options_.matrix ? "matrix" : "channels";
    if (found.size() == 1) return found[0].elements.empty() ? checked(found[0]) : found[0];
    if (found.size() > 1)
      fail("several datasets could be the " + sought + ", " + what_is_there(found) +
           "; name one, as FILE:DATASET");
    for (const bool of_objects : {false, true}) {
      for (const Candidate& candidate : all_) {
        const std::string why = why_not(candidate);
        if (is_object(candidate.path) == of_objects && !why.empty()) fail(why);
      }
    }
    if (all_.empty() && !unreadable_.empty()) throw Error(ErrorKind::format, unreadable_);
    std::string what = "no dataset of complex " + sought + " was found, " + what_is_there(all_);
    if (!unreadable_.empty()) what += " (and what cannot be read: " + unreadable_ + ")";
    for (const std::string& link : archive_->list_broken_links()) what += "; " + link;
    if (std::any_of(all_.begin(), all_.end(), [](const Candidate& candidate) {
          return is_number(candidate.stored) && candidate.stored.dims.size() > 1;
        }))
      what += std::string("; ") + complex_values_needed;
    fail(what);
  }

  /// The dataset of a given name.
  Candidate named(const std::string& name) const {
    std::string path = name[0] == '/' ? name : "/" + name;
    for (const Candidate& pair : pairs())
      if (pair.name == path) return checked(pair);
    // "s.H", "s(:).H" and "c{:}" as MATLAB writes them.
    std::string fields;
    for (const char c : path) {
      if (c == '.' && !archive_->has(path)) fields += '/';
      if (std::string(".(){}:").find(c) == std::string::npos || archive_->has(path)) fields += c;
    }
    if (archive_->has(fields)) path = fields;
    for (const Candidate& candidate : elements())
      if (candidate.path == path) return candidate;
    for (const Candidate& candidate : all_)
      if (candidate.name == path && !candidate.elements.empty()) return candidate;
    if (archive_->is_group(path)) {
      if (archive_->has(path + "/value")) return checked({path, path + "/value", "", {}});
      if (const std::string why = why_not({path, path + "/", "", {}}); !why.empty()) fail(why);
      fail(path + " is a group, expected a dataset; " + what_is_there(all_));
    }
    if (archive_->has(path)) return checked({path, path, "", {}});
    for (const std::string& link : archive_->list_broken_links())
      if (path.rfind(link.substr(0, link.find(' ')), 0) == 0) fail(link);
    fail("there is no dataset " + path + ", " + what_is_there(all_));
  }

  /// Who wrote a dataset, and so in which order its axes are.
  struct Writer {
    std::string kind;
    AxisOrder order = AxisOrder::row_major;
    std::string doubt;  ///< as in ArrayName
  };

  Writer writer(const Candidate& candidate) const {
    if (is_octave_value(*archive_, candidate.path)) return {"Octave", AxisOrder::column_major, ""};
    if (starts_with(archive_->file(), "MATLAB 7.3") ||
        archive_->text_attribute(candidate.path, "MATLAB_class"))
      return {"MATLAB v7.3", AxisOrder::column_major, ""};
    if (starts_with(archive_->file(), "HDF5-based Julia Data Format") ||
        starts_with(archive_->file(), "Julia data file (HDF5)"))
      return {"Julia", AxisOrder::column_major, ""};
    // h5py marks a name as UTF-8 only where it is not ASCII.
    if (archive_->has_utf8_name(candidate.path) && is_ascii(leaf(candidate.path)))
      return {"column-major HDF5", AxisOrder::column_major,
              "by the mark of its name alone (UTF-8) is it one of Julia or MATLAB's h5create"};
    if (candidate.stored.type_name.rfind("compound {real ", 0) == 0)
      return {"Armadillo", AxisOrder::slices,
              leaf(candidate.path) == "dataset"
                  ? ""
                  : "only {real, imag} without marks of MATLAB says that Armadillo wrote it"};
    if (!candidate.path_im.empty())
      return {"h5py", AxisOrder::row_major,
              "real and imaginary part in two datasets may be of MATLAB's h5write as well"};
    return {"h5py", AxisOrder::row_major, ""};
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::format, archive_->file().string() + ": " + what);
  }

 private:
  /// What to do with a dataset that only MATLAB or Python can make an array of; empty for others.
  std::string why_not(const Candidate& candidate) const {
    const std::string& path = candidate.path;
    const std::string group = parent(path);
    const std::string save = "save('channels.mat', 'H', '-v7.3')";
    const auto marked = [&](const std::string& object, const char* mark) {
      return archive_->number_attribute(object, mark).has_value();
    };
    if (!group.empty() && (marked(group, "MATLAB_sparse") ||
                           (archive_->has(group + "/ir") && archive_->has(group + "/jc"))))
      return group + " is a sparse matrix; in MATLAB: H = full(" + leaf(group) + "); " + save;
    if (archive_->is_group(path)) return {};
    const std::string name = leaf(candidate.name);
    if (is_empty(path))
      return options_.dataset.empty() ? "" : candidate.name + " is an empty array";
    if (is_object(path))
      return candidate.name + " is an object of MATLAB (" +
             archive_->text_attribute(path, "MATLAB_class").value_or("object") +
             "), from which the array must be taken; in MATLAB, with the name of its field or "
             "variable: H = " +
             name + ".H; " + save;
    if (candidate.stored.type_name == "references") {
      const std::string shape = shape_text(candidate.stored.dims);
      const std::string type = archive_->text_attribute(path, "MATLAB_class").value_or("");
      if (type == "cell" || (type.empty() && group.empty()))
        return candidate.name + " is a cell array " + shape +
               " whose elements are not complex matrices of one size; in MATLAB make one array of "
               "them: H = permute(cat(3, " +
               name + "{:}), [3 1 2]); " + save;
      return candidate.name + " is the field " + name + " of an array of structs " + shape +
             " and no complex matrix of one size; in MATLAB make one array of it: H = "
             "permute(cat(3, " +
             leaf(group) + "." + name + "), [3 1 2]); " + save;
    }
    if (candidate.stored.type == ValueType::other &&
        candidate.stored.type_name.rfind("compound", 0) == 0)
      return candidate.name + " holds " + candidate.stored.type_name +
             (is_unsigned(candidate.stored)
                  ? ": unsigned parts are offset binary; subtract the middle of their range and "
                    "store floats {r, i}"
                  : ", whose members are not known as those of a complex value; name the two "
                    "{r, i} or {real, imag} (a table: make one complex array of its columns)");
    return {};
  }

  /// Fills in what is stored and refuses what cannot be channels.
  Candidate checked(Candidate candidate) const {
    candidate.stored = archive_->info(candidate.path);
    const StoredDataset& stored = candidate.stored;
    if (const std::string why = why_not(candidate); !why.empty()) fail(why);
    if (stored.type == ValueType::other || stored.type == ValueType::string)
      fail(candidate.name + " holds " + stored.type_name + ", expected complex values");
    if (!candidate.path_im.empty()) {
      const StoredDataset im = archive_->info(candidate.path_im);
      if (im.dims != stored.dims || im.type != stored.type || !is_number(stored))
        fail(candidate.path + " is " + stored.type_name + " " + shape_text(stored.dims) + ", " +
             candidate.path_im + " is " + im.type_name + " " + shape_text(im.dims) +
             ": expected two datasets of one shape, floats or signed integers");
    }
    if (stored.type == ValueType::integer && is_unsigned(stored))
      fail(candidate.name + " holds " + stored.type_name + " " + shape_text(stored.dims) +
           ": unsigned real and imaginary parts are offset binary; subtract the middle of their "
           "range and store floats");
    if (stored.type != ValueType::complex && candidate.path_im.empty() && options_.axes.empty() &&
        (stored.dims.size() < 3 || !has_parts_axis(candidate)) &&
        !(options_.matrix && is_real_matrix(stored)))
      fail(candidate.name + " holds " + stored.type_name + " " + shape_text(stored.dims) + ", " +
           complex_values_needed);
    return candidate;
  }

  static bool is_ascii(const std::string& text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 128; });
  }
  static bool is_real_matrix(const StoredDataset& stored) {
    return (stored.type == ValueType::real || stored.type == ValueType::integer) &&
           (stored.dims.size() == 1 || stored.dims.size() == 2) && stored.n_values() > 1;
  }
  /// Whether what the writer shows as the last axis could be real and imaginary part.
  bool has_parts_axis(const Candidate& candidate) const {
    const std::vector<std::uint64_t>& dims = candidate.stored.dims;
    return (writer(candidate).order == AxisOrder::row_major ? dims.back() : dims.front()) == 2;
  }

  /// Two datasets whose names differ as those of real and imaginary parts do.
  std::vector<Candidate> pairs() const {
    std::multimap<std::string, const Candidate*> by_name;
    for (const Candidate& candidate : all_)
      if (candidate.stored.type == ValueType::real || candidate.stored.type == ValueType::integer)
        by_name.emplace(lower(candidate.name), &candidate);
    std::vector<Candidate> found;
    for (const Candidate& re : all_) {
      if (re.stored.type != ValueType::real && re.stored.type != ValueType::integer) continue;
      if (re.stored.dims.size() < 2) continue;
      bool paired = false;
      for (const ImaginaryName& name : imaginary_names(re.name)) {
        const auto [first, last] = by_name.equal_range(name.partner);
        for (auto im = first; im != last && !paired; ++im) {
          if (im->second == &re || im->second->stored.dims != re.stored.dims ||
              im->second->stored.type != re.stored.type)
            continue;
          found.push_back(
              {name.whole.empty() ? re.path : name.whole, re.path, im->second->path, re.stored});
          paired = true;
        }
      }
    }
    return found;
  }

  /// Tables, strings, maps of MATLAB: stored as numbers that only MATLAB understands.
  bool is_object(const std::string& path) const {
    return archive_->number_attribute(path, "MATLAB_object_decode").has_value();
  }

  /// Whether MATLAB or Octave stored an empty array, whose dataset holds its dims instead.
  bool is_empty(const std::string& path) const {
    return archive_->number_attribute(path, "MATLAB_empty").value_or(0.0) != 0.0 ||
           (is_octave_value(*archive_, path) &&
            archive_->number_attribute(parent(path), "OCTAVE_EMPTY_MATRIX").value_or(0.0) != 0.0);
  }

  /// Octave stores a cell array as a group of _0, _1 ...: complex matrices of one size become one
  /// candidate.
  void collect_octave_cells() {
    std::map<std::string, std::vector<const Candidate*>> cells;
    for (const Candidate& candidate : all_) {
      const std::string element = leaf(candidate.name);
      if (candidate.name != candidate.path && element.size() > 1 && element[0] == '_' &&
          element.find_first_not_of("0123456789", 1) == std::string::npos)
        cells[parent(candidate.name)].push_back(&candidate);
    }
    std::vector<Candidate> arrays;
    for (const auto& [path, elements] : cells) {
      Candidate array;
      bool same = true;
      for (const Candidate* element : elements) {
        if (element->stored.type_name == "empty") {
          ++array.n_empty;
          continue;
        }
        if (array.elements.empty()) {
          array.path = element->path;
          array.stored = element->stored;
        }
        array.elements.push_back(element->path);
        same &= element->stored.type_name == array.stored.type_name &&
                element->stored.dims == array.stored.dims;
      }
      if (!same || array.elements.size() < 2 || array.stored.type != ValueType::complex) continue;
      array.name = leaf(path) == "value" ? parent(path) : path;
      arrays.push_back(std::move(array));
    }
    for (const Candidate& array : arrays) {
      const std::string prefix = parent(parent(array.path)) + "/_";
      all_.erase(
          std::remove_if(all_.begin(), all_.end(),
                         [&](const Candidate& other) { return other.name.rfind(prefix, 0) == 0; }),
          all_.end());
    }
    all_.insert(all_.end(), arrays.begin(), arrays.end());
  }

  struct Leaf {
    std::vector<std::string> paths;
    std::uint64_t n_empty = 0;
  };
  using Leaves = std::map<std::string, Leaf>;

  /// Cell arrays and arrays of structs whose elements are complex matrices of one size, through any
  /// number of such levels: /s/H of s(1:n), /DeepMIMO_dataset/user/channel.
  std::vector<Candidate> elements() const {
    if (!elements_) {
      Leaves leaves;
      for (const Candidate& candidate : all_)
        if (candidate.stored.type_name == "references")
          expand(candidate.path, candidate.path, 0, leaves);
      elements_.emplace();
      for (auto& [name, leaf] : leaves) {
        std::vector<std::string>& paths = leaf.paths;
        if (paths.empty()) continue;
        const StoredDataset first = archive_->info(paths[0]);
        bool same = first.type == ValueType::complex && first.n_values() > 1;
        for (std::size_t i = 1; same && i < paths.size(); ++i) {
          const StoredDataset other = archive_->info(paths[i]);
          same = other.type_name == first.type_name && other.dims == first.dims;
        }
        if (same) elements_->push_back({name, name, "", first, std::move(paths), leaf.n_empty});
      }
    }
    return *elements_;
  }

  /// Collects the datasets below references by the names of their fields.
  void expand(const std::string& path, const std::string& name, int depth, Leaves& leaves) const {
    if (depth > 4 || is_object(path)) return;
    for (const std::string& element : archive_->read_references(path)) {
      if (element.empty()) continue;
      const auto add = [&](const std::string& at, const std::string& as) {
        const StoredDataset stored = archive_->info(at);
        if (stored.type_name == "references") {
          expand(at, as, depth + 1, leaves);
        } else if (is_empty(at)) {
          ++leaves[as].n_empty;
        } else {
          leaves[as].paths.push_back(at);
        }
      };
      if (!archive_->is_group(element)) {
        add(element, name);
        continue;
      }
      for (const std::string& field : archive_->list(element)) {
        const std::string at = element + "/" + field;
        if (!archive_->is_group(at)) add(at, name + "/" + field);
      }
    }
  }

  std::shared_ptr<const ArchiveReader> archive_;
  const DatasetOptions& options_;
  std::vector<Candidate> all_;
  mutable std::optional<std::vector<Candidate>> elements_;
  std::string unreadable_;  ///< what was said of the first dataset that cannot be opened
};

/// Whether the file cannot hold what a dataset claims; empty: it can. gzip packs at most about 1030
/// to 1: what claims more is damaged, or was never written.
std::string why_not_stored(const StoredDataset& stored) {
  const std::uint64_t n_stored =
      stored.stored_bytes / std::max<std::size_t>(stored.bytes_per_value, 1);
  if (stored.n_values() <= 4096 || stored.n_values() / 1100 <= n_stored) return {};
  return "claims " + shape_text(stored.dims) + " values of " + stored.type_name + " but stores " +
         std::to_string(stored.stored_bytes) +
         " bytes; the file is damaged, or was not completely written";
}

/// Two datasets as gains and delays.
std::unique_ptr<SampleSource> open_path_datasets(
    const std::shared_ptr<const ArchiveReader>& archive, const std::string& gains,
    const std::string& delays, const GridAxes& own, const ArrayName& name,
    const DatasetOptions& options) {
  for (const std::string& path : {gains, delays})
    if (const std::string why = why_not_stored(archive->info(path)); !why.empty())
      throw Error(ErrorKind::format, archive->file().string() + ": " + path + " " + why);
  return make_path_source(std::make_unique<Hdf5Array>(archive, gains, ""),
                          std::make_unique<Hdf5Array>(archive, delays, ""), own, name, options);
}

/// Gains `a` and delays `tau` as Sionna has them; null where there are none.
std::unique_ptr<SampleSource> open_hdf5_paths(const std::shared_ptr<const ArchiveReader>& archive,
                                              const DatasetOptions& options) {
  const auto is_dataset = [&](const char* path) {
    return archive->has(path) && !archive->is_group(path);
  };
  if (!may_be_paths(options) || !is_dataset("/a") || !is_dataset("/tau")) return nullptr;
  if (!are_paths(Hdf5Array(archive, "/a", ""), Hdf5Array(archive, "/tau", ""), options))
    return nullptr;
  const ArrayName name{archive->file(), "/a", "h5py",
                       archive->info("/a").type_name + " gains with delays tau"};
  return open_path_datasets(archive, "/a", "/tau", {}, name, options);
}

}  // namespace

std::unique_ptr<SampleSource> open_chest_paths(std::shared_ptr<const ArchiveReader> archive,
                                               const DatasetOptions& options) {
  const std::string gains = "/gains", delays = "/delays";
  const ArrayName name{archive->file(), gains, "chest",
                       archive->info(gains).type_name + " gains with delays"};
  const auto number = [&](const char* attribute) {
    const double value = archive->number_attribute(gains, attribute).value_or(0.0);
    if (!(value > 0.0 && value < 1e15))
      fail(name, std::string("has no usable attribute ") + attribute + "; the file is damaged");
    return value;
  };
  if (!archive->has(delays)) fail(name, "has no /delays beside it; the file is damaged");
  if (!options.axes.empty())
    fail(name, "has axes that are fixed; leave out --axes " + options.axes);
  GridAxes own;
  own.n_subcarriers = static_cast<arma::uword>(number("n_subcarriers"));
  own.n_symbols = static_cast<arma::uword>(number("n_symbols"));
  own.spacing_hz = number("spacing_hz");
  own.symbol_s = number("symbol_s");
  DatasetOptions with_axes = options;
  with_axes.axes = "nsptr";
  return open_path_datasets(archive, gains, delays, own, name, with_axes);
}

std::unique_ptr<SampleSource> open_hdf5(std::shared_ptr<const ArchiveReader> archive,
                                        const DatasetOptions& options) {
  if (auto paths = open_hdf5_paths(archive, options)) return paths;
  const Finder finder(archive, options);
  const Candidate chosen = options.dataset.empty() ? finder.find() : finder.named(options.dataset);
  const StoredDataset& stored = chosen.stored;
  if (!chosen.elements.empty()) {
    const ArrayName name{archive->file(), chosen.name, finder.writer(chosen).kind,
                         chosen.stored.type_name};
    auto array = std::make_unique<ElementsArray>(archive, chosen.elements);
    DatasetOptions with_axes = options;
    if (options.axes.empty()) with_axes.axes = axes_of_elements(array->dims, name);
    auto source = make_array_source(std::move(array), name, with_axes);
    source->n_skipped = chosen.n_empty;
    return source;
  }
  if (is_octave_value(*archive, chosen.path) && stored.type == ValueType::complex &&
      stored.type_name.find("float32") != std::string::npos) {
    const std::vector<std::string> attributes = archive->list_attributes(parent(chosen.path));
    if (std::find(attributes.begin(), attributes.end(), "OCTAVE_NEW_FORMAT") == attributes.end())
      finder.fail(chosen.name +
                  " was not written to its end: Octave cannot save complex single as HDF5; save "
                  "double(H)");
  }
  if (const std::string why = why_not_stored(stored); !why.empty())
    finder.fail(chosen.name + " " + why);
  auto array = std::make_unique<Hdf5Array>(archive, chosen.path, chosen.path_im);
  const auto writer = finder.writer(chosen);
  array->axis_order = writer.order;
  const ArrayName name{archive->file(), chosen.name, writer.kind, stored.type_name, writer.doubt};
  return make_array_source(std::move(array), name, options);
}

}  // namespace v0
}  // namespace chest

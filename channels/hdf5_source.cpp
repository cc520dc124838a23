#include <algorithm>
#include <array>
#include <fstream>
#include <utility>

#include <chest/error.hpp>
#include <chest/text.hpp>

#include "sample_source.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// How pairs of real datasets are named.
constexpr std::array<std::pair<const char*, const char*>, 3> pair_endings = {
    {{"re", "im"}, {"real", "imag"}, {"r", "i"}}};

/// Complex dataset, two real ones, or a real one with an axis of length 2.
class Hdf5Array final : public StoredArray {
 public:
  Hdf5Array(std::shared_ptr<const ArchiveReader> archive, std::string path, std::string path_im)
      : archive_(std::move(archive)), path_(std::move(path)), path_im_(std::move(path_im)) {
    const StoredDataset stored = archive_->info(path_);
    dims = stored.dims;
    chunk = stored.chunk;
    single = stored.bytes_per_value <= (stored.type == ValueType::complex ? 8 : 4) &&
             stored.type != ValueType::integer;
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

struct Candidate {
  std::string name;           ///< what a user calls it
  std::string path, path_im;  ///< path_im empty unless a pair
  StoredDataset stored;
};

std::string parent(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string leaf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

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
        all_.push_back(std::move(candidate));
      } catch (const Error& error) {
        if (unreadable_.empty()) unreadable_ = error.what();
      }
    }
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
    if (found.empty()) {
      for (const Candidate& candidate : all_)
        if (candidate.stored.type == ValueType::real && candidate.stored.dims.size() > 1 &&
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
    if (found.size() == 1) return found[0];
    if (found.size() > 1)
      fail("several datasets could be the " + sought + ", " + what_is_there(found) +
           "; name one, as FILE:DATASET");
    if (all_.empty() && !unreadable_.empty()) throw Error(ErrorKind::format, unreadable_);
    const bool real = std::any_of(all_.begin(), all_.end(), [](const Candidate& candidate) {
      return candidate.stored.type == ValueType::real && candidate.stored.dims.size() > 1;
    });
    fail("no dataset of complex " + sought + " was found, " + what_is_there(all_) +
         (real ? "; where real and imaginary part are an axis of length 2, name it as c (--axes "
                 "ncrt), where they are one after the other, reshape the array to such an axis"
               : "") +
         (unreadable_.empty() ? "" : " (and what cannot be read: " + unreadable_ + ")"));
  }

  /// The dataset of a given name.
  Candidate named(const std::string& name) const {
    const std::string path = name[0] == '/' ? name : "/" + name;
    if (archive_->is_group(path)) {
      if (archive_->has(path + "/value")) return checked({path, path + "/value", "", {}});
      for (const auto& [re, im] : pair_endings)
        if (archive_->has(path + "/" + re) && archive_->has(path + "/" + im))
          return checked({path, path + "/" + re, path + "/" + im, {}});
      fail(path + " is a group, expected a dataset; " + what_is_there(all_));
    }
    if (archive_->has(path)) return checked({path, path, "", {}});
    for (const auto& [re, im] : pair_endings)
      if (archive_->has(path + "_" + re) && archive_->has(path + "_" + im))
        return checked({path, path + "_" + re, path + "_" + im, {}});
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
  /// Fills in what is stored and refuses what cannot be channels.
  Candidate checked(Candidate candidate) const {
    candidate.stored = archive_->info(candidate.path);
    const StoredDataset& stored = candidate.stored;
    if (stored.type == ValueType::other || stored.type == ValueType::string)
      fail(candidate.name + " holds " + stored.type_name + ", expected complex values");
    if (!candidate.path_im.empty()) {
      const StoredDataset im = archive_->info(candidate.path_im);
      if (im.dims != stored.dims || im.type != stored.type || stored.type != ValueType::real)
        fail(candidate.path + " is " + stored.type_name + " " + shape_text(stored.dims) + ", " +
             candidate.path_im + " is " + im.type_name + " " + shape_text(im.dims) +
             ": expected two real datasets of one shape");
    }
    if (stored.type != ValueType::complex && candidate.path_im.empty() && options_.axes.empty() &&
        (stored.dims.size() < 3 || !has_parts_axis(candidate)) &&
        !(options_.matrix && is_real_matrix(stored)))
      fail(candidate.name + " holds " + stored.type_name + " " + shape_text(stored.dims) +
           ", complex values are needed; where real and imaginary part are an axis of length 2, "
           "name "
           "it as c, for example --axes ncrt");
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

  std::vector<Candidate> pairs() const {
    std::vector<Candidate> found;
    for (const Candidate& re : all_) {
      if (re.stored.type != ValueType::real || re.stored.dims.size() < 2) continue;
      for (const auto& [end_re, end_im] : pair_endings) {
        const std::string name = leaf(re.path);
        const std::string end = std::string("_") + end_re;
        const bool whole = name == end_re;
        const bool suffix = name.size() > end.size() &&
                            name.compare(name.size() - end.size(), end.size(), end) == 0;
        if (!whole && !suffix) continue;
        const std::string base = re.path.substr(0, re.path.size() - std::string(end_re).size());
        for (const Candidate& im : all_)
          if (im.path == base + end_im && im.stored.dims == re.stored.dims &&
              im.stored.type == ValueType::real)
            found.push_back({base.size() > 1 ? base.substr(0, base.size() - 1) : re.path, re.path,
                             im.path, re.stored});
      }
    }
    return found;
  }

  std::shared_ptr<const ArchiveReader> archive_;
  const DatasetOptions& options_;
  std::vector<Candidate> all_;
  std::string unreadable_;  ///< what was said of the first dataset that cannot be opened
};

}  // namespace

std::unique_ptr<SampleSource> open_hdf5(std::shared_ptr<const ArchiveReader> archive,
                                        const DatasetOptions& options) {
  const Finder finder(archive, options);
  const Candidate chosen = options.dataset.empty() ? finder.find() : finder.named(options.dataset);
  const StoredDataset& stored = chosen.stored;
  if (archive->number_attribute(chosen.path, "MATLAB_empty").value_or(0.0) != 0.0)
    finder.fail(chosen.name + " is an empty MATLAB array");
  if (is_octave_value(*archive, chosen.path) && stored.type == ValueType::complex &&
      stored.type_name.find("float32") != std::string::npos) {
    const std::vector<std::string> attributes = archive->list_attributes(parent(chosen.path));
    if (std::find(attributes.begin(), attributes.end(), "OCTAVE_NEW_FORMAT") == attributes.end())
      finder.fail(chosen.name +
                  " was not written to its end: Octave cannot save complex single as HDF5; save "
                  "double(H)");
  }
  // gzip packs at most about 1030 to 1: what claims more is damaged, or was never written.
  if (stored.n_values() > 4096 &&
      stored.n_values() / 1100 >
          stored.stored_bytes / std::max<std::size_t>(stored.bytes_per_value, 1))
    finder.fail(chosen.name + " claims " + shape_text(stored.dims) + " values of " +
                stored.type_name + " but stores " + std::to_string(stored.stored_bytes) +
                " bytes; the file is damaged, or was not completely written");
  auto array = std::make_unique<Hdf5Array>(archive, chosen.path, chosen.path_im);
  const auto writer = finder.writer(chosen);
  array->axis_order = writer.order;
  const ArrayName name{archive->file(), chosen.name, writer.kind, stored.type_name, writer.doubt};
  return make_array_source(std::move(array), name, options);
}

}  // namespace v0
}  // namespace chest

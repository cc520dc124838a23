#include <algorithm>
#include <utility>

#include <chest/error.hpp>

#include "path_source.hpp"
#include "sample_source.hpp"

namespace chest {
inline namespace v0 {
namespace {

constexpr std::uint64_t values_per_snapshot_most = std::uint64_t{1} << 26;

/// One group /channel_N per link; per snapshot a group Snap_i, or the channel group itself when
/// there is one snapshot, with coeff_re and coeff_im of dims (n_path, n_tx, n_rx), and delay of the
/// same dims or (n_path, 1, 1).
class QuadrigaFile {
 public:
  /// @param with_delays  these are needed
  QuadrigaFile(std::shared_ptr<const ArchiveReader> archive, bool with_delays)
      : archive_(std::move(archive)), with_delays_(with_delays) {
    // Overwriting a channel leaves its old group behind: Order alone says which ones count.
    for (const std::uint32_t i :
         archive_->read_all<std::uint32_t>("/Order", std::uint64_t{1} << 24))
      if (i != 0) add_channel("/channel_" + std::to_string(i));
    if (snapshots_.empty())
      fail("holds no channel with paths (" + std::to_string(n_skipped) + " snapshots are empty)");
  }

  arma::uword n_samples() const { return snapshots_.size(); }
  std::uint64_t n_rx = 0, n_tx = 0, n_skipped = 0, n_path_most = 0;

  const std::filesystem::path& file() const { return archive_->file(); }
  std::uint64_t n_path(std::uint64_t i) const { return snapshots_[i].n_path; }

  /// (n_path, n_tx, n_rx) in C order: each path is vec(H) as it stands.
  void read(std::uint64_t i, std::vector<float>& re, std::vector<float>& im) const {
    const Snapshot& snapshot = snapshots_[i];
    const Hyperslab all{{0, 0, 0}, {snapshot.n_path, n_tx, n_rx}};
    re.resize(snapshot.n_path * n_rx * n_tx);
    im.resize(re.size());
    archive_->read(snapshot.group() + "/coeff_re", all, re.data());
    archive_->read(snapshot.group() + "/coeff_im", all, im.data());
  }

  /// In s, [1 or n_rx n_tx, n_path].
  arma::mat delays(std::uint64_t i) const {
    const Snapshot& snapshot = snapshots_[i];
    const std::string path = snapshot.group() + "/delay";
    const std::vector<std::uint64_t> dims = archive_->info(path).dims;
    arma::mat out(dims[1] * dims[2], snapshot.n_path);
    archive_->read(path, {{0, 0, 0}, dims}, out.memptr());
    return out;
  }

 private:
  struct Snapshot {
    std::uint32_t i_channel = 0;
    std::int32_t i_snap = -1;  ///< -1: directly in the channel group
    std::uint64_t n_path = 0;
    std::string group() const {
      return "/channel_" + std::to_string(i_channel) +
             (i_snap < 0 ? "" : "/Snap_" + std::to_string(i_snap));
    }
  };

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::format, archive_->file().string() + ": the quadriga-lib file " + what);
  }

  void add_channel(const std::string& channel) {
    if (!archive_->is_group(channel))
      fail("lists " + channel + " in Order, but has no such group; it is damaged");
    const double n_snap = archive_->number_attribute(channel, "NumSnap").value_or(0.0);
    if (!(n_snap >= 0.0 && n_snap <= 1e9)) fail("has no usable NumSnap in " + channel);
    const auto i_channel = static_cast<std::uint32_t>(std::stoul(channel.substr(9)));
    if (n_snap == 1.0) {
      add_snapshot({i_channel, -1, 0});
      return;
    }
    // A missing Snap_i has no data. The groups that are there are listed: asking for each of the
    // number that the file claims could take for ever.
    std::vector<std::int32_t> there;
    for (const std::string& name : archive_->list(channel)) {
      if (name.rfind("Snap_", 0) != 0 || name.size() > 14 ||
          name.find_first_not_of("0123456789", 5) != std::string::npos || name.size() == 5)
        continue;
      const unsigned long i = std::stoul(name.substr(5));
      if (static_cast<double>(i) < n_snap) there.push_back(static_cast<std::int32_t>(i));
    }
    std::sort(there.begin(), there.end());
    n_skipped += static_cast<arma::uword>(n_snap) - there.size();
    for (const std::int32_t i : there) add_snapshot({i_channel, i, 0});
  }

  void add_snapshot(Snapshot snapshot) {
    const std::string group = snapshot.group();
    if (!archive_->has(group + "/coeff_re") ||
        archive_->number_attribute(group, "NumPath").value_or(1.0) == 0.0) {
      ++n_skipped;
      return;
    }
    if (!archive_->has(group + "/coeff_im")) fail("has no " + group + "/coeff_im");
    const StoredDataset re = archive_->info(group + "/coeff_re");
    const StoredDataset im = archive_->info(group + "/coeff_im");
    if (re.dims.size() != 3 || re.dims != im.dims || re.type != ValueType::real ||
        im.type != ValueType::real)
      fail("has " + re.type_name + " " + shape_text(re.dims) + " and " + im.type_name + " " +
           shape_text(im.dims) + " in " + group +
           "/coeff_re and coeff_im, expected real (n_path, n_tx, n_rx) in both");
    if (re.n_values() == 0) {
      ++n_skipped;
      return;
    }
    if (re.n_values() > values_per_snapshot_most || re.n_values() / 1100 > re.stored_bytes ||
        re.n_values() / 1100 > im.stored_bytes)
      fail("claims " + shape_text(re.dims) + " values in " + group + "/coeff_re; it is damaged");
    if (snapshots_.empty()) {
      n_tx = re.dims[1];
      n_rx = re.dims[2];
    } else if (re.dims[1] != n_tx || re.dims[2] != n_rx) {
      fail("mixes arrays: " + group + " has n_rx x n_tx = " + std::to_string(re.dims[2]) + " x " +
           std::to_string(re.dims[1]) + ", " + snapshots_[0].group() + " has " +
           std::to_string(n_rx) + " x " + std::to_string(n_tx));
    }
    snapshot.n_path = re.dims[0];
    if (with_delays_) check_delay(group, re.dims);
    n_path_most = std::max(n_path_most, snapshot.n_path);
    snapshots_.push_back(snapshot);
  }

  void check_delay(const std::string& group, const std::vector<std::uint64_t>& dims) const {
    if (!archive_->has(group + "/delay"))
      fail("has no " + group + "/delay, which --grid needs; leave it out for the sum over paths");
    const StoredDataset delay = archive_->info(group + "/delay");
    if (delay.type != ValueType::real ||
        (delay.dims != dims && delay.dims != std::vector<std::uint64_t>{dims[0], 1, 1}))
      fail("has " + delay.type_name + " " + shape_text(delay.dims) + " in " + group +
           "/delay, expected real (n_path, n_tx, n_rx) or (n_path, 1, 1), n_path = " +
           std::to_string(dims[0]));
  }

  std::shared_ptr<const ArchiveReader> archive_;
  bool with_delays_;
  std::vector<Snapshot> snapshots_;
};

constexpr const char* quadriga_kind = "quadriga-lib";
constexpr const char* quadriga_dataset = "/channel_N/coeff_re, coeff_im";

/// Narrowband, at the carrier.
class QuadrigaSums final : public SampleSource {
 public:
  explicit QuadrigaSums(std::shared_ptr<const ArchiveReader> archive)
      : quadriga_(std::move(archive), false) {
    kind = quadriga_kind;
    axes = "ptr";
    dataset = quadriga_dataset;
    type_name = "float32 pairs, summed over paths";
    n_samples = quadriga_.n_samples();
    n_rx = quadriga_.n_rx;
    n_tx = quadriga_.n_tx;
    n_skipped = quadriga_.n_skipped;
  }

  void read(std::uint64_t first, std::uint64_t count, std::complex<double>* out) const override {
    const std::uint64_t n_h = n_rx * n_tx;
    std::vector<float> re, im;
    for (std::uint64_t k = 0; k < count; ++k, out += n_h) {
      quadriga_.read(first + k, re, im);
      std::fill(out, out + n_h, 0.0);
      for (std::uint64_t i = 0; i < re.size(); ++i)
        out[i % n_h] += std::complex<double>(re[i], im[i]);
    }
  }

 private:
  QuadrigaFile quadriga_;
};

/// With their delays.
class QuadrigaPaths final : public PathReader {
 public:
  explicit QuadrigaPaths(std::shared_ptr<const ArchiveReader> archive)
      : quadriga_(std::move(archive), true) {
    n_samples = quadriga_.n_samples();
    n_rx = quadriga_.n_rx;
    n_tx = quadriga_.n_tx;
    n_values = n_rx * n_tx * quadriga_.n_path_most;
  }

  std::vector<Paths> read(std::uint64_t first, std::uint64_t count) const override {
    std::vector<Paths> out(count);
    std::vector<float> re, im;
    for (std::uint64_t k = 0; k < count; ++k) {
      quadriga_.read(first + k, re, im);
      out[k].gains.set_size(n_rx * n_tx, quadriga_.n_path(first + k), 1);
      for (std::uint64_t i = 0; i < re.size(); ++i) out[k].gains(i) = {re[i], im[i]};
      out[k].delays = quadriga_.delays(first + k);
    }
    return out;
  }

  arma::uword n_skipped() const { return quadriga_.n_skipped; }

 private:
  QuadrigaFile quadriga_;
};

}  // namespace

bool is_quadriga_lib(const ArchiveReader& archive) {
  return archive.has("/ChannelDims") && archive.has("/Order") && archive.has("/Version");
}

std::unique_ptr<SampleSource> open_quadriga_lib(std::shared_ptr<const ArchiveReader> archive,
                                                const DatasetOptions& options) {
  if (!options.grid.given()) return std::make_unique<QuadrigaSums>(std::move(archive));
  const ArrayName name{archive->file(), quadriga_dataset, quadriga_kind,
                       "float32 pairs, gains with delays"};
  auto reader = std::make_unique<QuadrigaPaths>(std::move(archive));
  const arma::uword n_skipped = reader->n_skipped();
  auto source = make_path_source(std::move(reader), {}, options.grid, name, "ptr");
  source->n_skipped = n_skipped;
  return source;
}

}  // namespace v0
}  // namespace chest

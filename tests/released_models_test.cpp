// Model files of every released version are read; those of a version to come are refused with a sentence.
#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <chest/archive.hpp>
#include <chest/channels/dataset.hpp>
#include <chest/error.hpp>
#include <chest/estimators/catalog/model_store.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/vae_model.hpp>
#include <chest/newer_file.hpp>
#include <chest/provenance.hpp>

#include "bindings/c/chest.h"
#include "tests/support/program.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

namespace fs = std::filesystem;

const fs::path released = fs::path(CHEST_SOURCE_DIR) / "tests/golden/released";

std::vector<fs::path> versions() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(released))
    if (entry.is_directory()) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

TEST(ReleasedModels, OfEveryVersionAreThere) {
  std::vector<std::string> found;
  for (const fs::path& version : versions()) found.push_back(version.filename().string());
  std::ifstream changes(fs::path(CHEST_SOURCE_DIR) / "CHANGELOG.md");
  for (std::string line; std::getline(changes, line);) {
    if (line.rfind("## ", 0) != 0) continue;
    const std::string version = line.substr(3, line.find(' ', 3) - 3);
    EXPECT_EQ(std::count(found.begin(), found.end(), version), 1)
        << "tests/golden/released/record.sh was not run for version " << version;
  }
}

TEST(ReleasedModels, EstimateWhatTheyDid) {
  const TemporaryFolder folder;
  const std::string out = (folder / "out.h5").string();
  std::size_t n = 0;
  for (const fs::path& version : versions()) {
    for (const auto& entry : fs::directory_iterator(version)) {
      const std::string name = entry.path().stem().string();
      const fs::path expected = version / ("of_" + name + ".h5");
      if (!fs::exists(expected)) continue;
      ++n;
      Program run({"estimate", "--observations", (version / "y.h5").string(), "--snr", "10",
                   "--estimator", name.substr(0, name.find('_')), "--model", entry.path().string(),
                   "--out", out, "--force", "--quiet"});
      ASSERT_EQ(run.status(), 0) << entry.path() << ": " << run.err();
      const Dataset before(expected), now(out);
      const arma::cx_mat h = before.read(0, before.info().n_samples);
      // Rounding of float32 networks on another processor; entries are of order 1.
      EXPECT_LT(arma::abs(now.read(0, now.info().n_samples) - h).max(), 1e-5) << entry.path();
      EXPECT_GT(arma::abs(h).max(), 0.1) << expected;
    }
    EXPECT_GT(load_vae_model(version / "vae.h5").weights.size(), 4u);
  }
  EXPECT_GE(n, 4u);
}

void write_version(const fs::path& file, std::int64_t version) {
  const hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  const hid_t attribute = H5Aopen_by_name(id, "/", "format_version", H5P_DEFAULT, H5P_DEFAULT);
  EXPECT_GE(H5Awrite(attribute, H5T_NATIVE_INT64, &version), 0);
  H5Aclose(attribute);
  H5Fclose(id);
}

TEST(ReleasedModels, OfAVersionToComeAreRefused) {
  const TemporaryFolder folder;
  const fs::path file = folder / "newer.h5";
  const std::vector<std::pair<std::string, std::function<void()>>> loads{
      {"lmmse", [&] { load_lmmse_model(file); }},
      {"gmm", [&] { load_gmm_model(file); }},
      {"dmse", [&] { load_network_model(file); }},
      {"vae", [&] { load_vae_model(file); }}};
  const fs::path version = versions().back();
  for (const auto& [kind, load] : loads) {
    fs::copy_file(version / (kind + ".h5"), file, fs::copy_options::overwrite_existing);
    EXPECT_NO_THROW(load()) << kind;
    std::int64_t newest = 0;
    std::string made_by;
    {
      const ArchiveReader archive(file);
      // Of lmmse the files that keep a structure are the newer ones, of dmse those with classes, numbers or pilots.
      newest = kind == "lmmse"  ? 2
               : kind == "dmse" ? 3
                                : archive.integer_attribute("/", "format_version").value();
      made_by = archive.text_attribute("/", "made_by").value();
    }
    write_version(file, newest + 1);
    const std::string sentence = file.string() + ": format version " + std::to_string(newest + 1) +
                                 ", written by " + made_by + "; this chest " + chest::version() +
                                 " reads up to " + std::to_string(newest) + ": use a newer one";
    try {
      load();
      ADD_FAILURE() << kind << " of a version to come was read";
    } catch (const NewerFile& error) {
      EXPECT_EQ(error.kind(), ErrorKind::format);
      EXPECT_EQ(error.what(), sentence);
    }
    if (kind == "vae") continue;  // not for the C interface
    chest_model* model = nullptr;
    EXPECT_EQ(chest_model_open(file.c_str(), nullptr, &model), CHEST_E_VERSION) << kind;
    EXPECT_NE(std::string(chest_last_error()).find(sentence), std::string::npos)
        << chest_last_error();
    Program run({"estimate", "--observations", (version / "y.h5").string(), "--snr", "10",
                 "--estimator", kind, "--model", file.string(), "--out",
                 (folder / "out.h5").string(), "--quiet"});
    EXPECT_EQ(run.status(), 1);
    EXPECT_NE(run.err().find(sentence), std::string::npos) << run.err();
  }
}

}  // namespace
}  // namespace chest

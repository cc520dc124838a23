#include <chest/archive.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <chest/error.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/provenance.hpp>
#include <chest/random.hpp>

namespace chest {
namespace {

class ArchiveTest : public testing::Test {
 protected:
  std::filesystem::path file_ = std::filesystem::temp_directory_path() /
                                ("chest_archive_" + std::to_string(::getpid()) + ".h5");
  void TearDown() override { std::filesystem::remove(file_); }
  std::string message_of_opening() const {
    try {
      ArchiveReader reader(file_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(ArchiveTest, ReturnsWhatWasWritten) {
  const arma::cx_mat C = Rng(1, {Purpose::test}).cx_normal(3, 5);
  const std::vector<float> cube{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  {
    ArchiveWriter writer(file_);
    writer.write("/a/b/C", C);
    writer.write("cube", {2, 3, 2}, cube.data());
    writer.write_text("text", "two\nlines");
    writer.write_text("empty", "");
    writer.attribute("/", "name", std::string("chest"));
    writer.attribute("/", "nothing", std::string());
    writer.attribute("/a", "number", 2.5);
    writer.attribute("/a", "number", 3.5);
    writer.attribute("/new/group", "count", std::int64_t{7});
    writer.commit();
  }
  const ArchiveReader reader(file_);
  EXPECT_TRUE(arma::approx_equal(reader.read_cx_mat("a/b/C"), C, "absdiff", 0.0));
  EXPECT_EQ(reader.read_all<float>("cube"), cube);
  EXPECT_EQ(reader.info("cube").dims, (std::vector<std::uint64_t>{2, 3, 2}));
  double corner = 0.0;
  reader.read("cube", {{1, 2, 1}, {1, 1, 1}}, &corner);
  EXPECT_EQ(corner, 12.0);
  EXPECT_EQ(reader.read_text("text"), "two\nlines");
  EXPECT_EQ(reader.read_text("empty"), "");
  EXPECT_EQ(reader.text_attribute("/", "name"), "chest");
  EXPECT_EQ(reader.text_attribute("/", "nothing"), "");
  EXPECT_EQ(reader.number_attribute("/a", "number"), 3.5);
  EXPECT_EQ(reader.number_attribute("/new/group", "count"), 7.0);
  EXPECT_FALSE(reader.text_attribute("/", "other"));
  EXPECT_FALSE(reader.text_attribute("/a", "number"));
  EXPECT_EQ(reader.list_datasets(),
            (std::vector<std::string>{"/a/b/C", "/cube", "/empty", "/text"}));
  EXPECT_TRUE(reader.is_group("/a/b"));
  EXPECT_FALSE(reader.has("/a/x/y"));
}

TEST_F(ArchiveTest, BlocksMakeTheWhole) {
  const arma::cx_fmat values =
      arma::conv_to<arma::cx_fmat>::from(Rng(2, {Purpose::test}).cx_normal(4, 6));
  for (const bool compress : {false, true}) {
    ArchiveWriter writer(file_);
    writer.create<std::complex<float>>("x", {6, 4}, compress);
    writer.write_block("x", {{0, 0}, {2, 4}}, values.colptr(0));
    writer.write_block("x", {{2, 0}, {4, 4}}, values.colptr(2));
    writer.commit();
    const auto read = ArchiveReader(file_).read_all<std::complex<float>>("x");
    EXPECT_TRUE(std::equal(read.begin(), read.end(), values.begin()));
  }
}

TEST_F(ArchiveTest, WithoutCommitTheOldFileStays) {
  {
    ArchiveWriter writer(file_);
    writer.write_text("text", "old");
    writer.commit();
  }
  {
    ArchiveWriter writer(file_);
    writer.write_text("text", "new");
  }
  EXPECT_EQ(ArchiveReader(file_).read_text("text"), "old");
  const std::string stem = file_.filename().string();
  for (const auto& entry : std::filesystem::directory_iterator(file_.parent_path())) {
    const std::string name = entry.path().filename().string();
    EXPECT_FALSE(name != stem && name.rfind(stem, 0) == 0) << "left behind: " << name;
  }
}

TEST_F(ArchiveTest, SaysWhatAFileIsInstead) {
  EXPECT_NE(message_of_opening().find("there is no such file"), std::string::npos);
  std::ofstream(file_) << "hello";
  EXPECT_NE(message_of_opening().find("is not an HDF5 file"), std::string::npos);
  std::ofstream(file_) << "MATLAB 5.0 MAT-file, Platform: GLNXA64" << std::string(600, ' ');
  EXPECT_NE(message_of_opening().find("'-v7.3'"), std::string::npos);
  std::ofstream(file_) << "MATLAB 7.3 MAT-file, Platform: GLNXA64" << std::string(400, ' ');
  EXPECT_NE(message_of_opening().find("truncated"), std::string::npos);
}

TEST_F(ArchiveTest, ATruncatedFileIsAnErrorNotACrash) {
  {
    ArchiveWriter writer(file_);
    writer.write("C", Rng(3, {Purpose::test}).cx_normal(100, 100));
    writer.commit();
  }
  std::filesystem::resize_file(file_, std::filesystem::file_size(file_) / 2);
  EXPECT_NE(message_of_opening().find("truncated or damaged"), std::string::npos);
}

TEST_F(ArchiveTest, RefusesWhatDoesNotFit) {
  {
    ArchiveWriter writer(file_);
    writer.write("C", Rng(3, {Purpose::test}).cx_normal(3, 3));
    writer.write("x", arma::mat(2, 2, arma::fill::ones));
    writer.commit();
  }
  const ArchiveReader reader(file_);
  std::complex<double> z[9];
  double x[9];
  EXPECT_THROW(reader.read("C", {{0, 0}, {4, 1}}, z), Error);
  EXPECT_THROW(reader.read("C", {{0}, {1}}, z), Error);
  EXPECT_THROW(reader.read("C", {{0, ~std::uint64_t{0}}, {1, 2}}, z), Error);
  EXPECT_THROW(reader.read("C", {{0, 0}, {1, 1}}, x), Error);
  EXPECT_THROW(reader.read("x", {{0, 0}, {1, 1}}, z), Error);
  EXPECT_THROW(reader.read_all<double>("x", 3), Error);
  try {
    reader.info("y");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("there is no dataset y; there are /C and /x"),
              std::string::npos);
  }
  EXPECT_THROW(ArchiveWriter("/nonexistent/folder/file.h5"), Error);
}

TEST_F(ArchiveTest, ProvenanceMarksFormatAndVersion) {
  Provenance made;
  made.command_line = "chest test";
  made.seed = 5;
  made.options = "{}";
  {
    ArchiveWriter writer(file_);
    write_provenance(writer, "chest-model", 2, made);
    writer.commit();
  }
  const ArchiveReader reader(file_);
  const Provenance read = read_provenance(reader, "chest-model", 2);
  EXPECT_EQ(read.command_line, "chest test");
  EXPECT_EQ(read.seed, 5u);
  EXPECT_NE(read.made_by.find(version()), std::string::npos);
  EXPECT_THROW(read_provenance(reader, "chest-model", 1), Error);
  EXPECT_THROW(read_provenance(reader, "chest-results", 2), Error);
}

TEST_F(ArchiveTest, AMixtureComesBack) {
  GaussianMixture prior;
  prior.weights = {0.25, 0.75};
  prior.means = Rng(1, {Purpose::test}).cx_normal(3, 2);
  for (std::uint64_t k = 0; k < 2; ++k) {
    const arma::cx_mat G = Rng(k, {Purpose::test, 1}).cx_normal(3, 3);
    prior.covariances.push_back(G * G.t());
  }
  {
    ArchiveWriter writer(file_);
    save(writer, "/prior", prior);
    writer.commit();
  }
  const GaussianMixture read = load_gaussian_mixture(ArchiveReader(file_), "/prior");
  EXPECT_TRUE(arma::approx_equal(read.weights, prior.weights, "absdiff", 0.0));
  EXPECT_TRUE(arma::approx_equal(read.means, prior.means, "absdiff", 0.0));
  EXPECT_TRUE(arma::approx_equal(read.covariances[1], prior.covariances[1], "absdiff", 0.0));
}

}  // namespace
}  // namespace chest

#include <chest/archive.hpp>

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/parallel.hpp>
#include <chest/provenance.hpp>
#include <chest/random.hpp>

#include "src/hdf5_handles.hpp"
#include "tests/support/temporary_folder.hpp"

// A device that fails when it is told to, in the place of the C library's call.
namespace {
std::atomic<bool> device_fails{false};
}
extern "C" int fsync(int descriptor) {
  if (!device_fails) return static_cast<int>(::syscall(SYS_fsync, descriptor));
  errno = EIO;
  return -1;
}

// A disk without locks, for HDF5 too.
namespace {
std::atomic<bool> has_no_locks{false};
}
extern "C" __attribute__((visibility("default"))) int flock(int descriptor,
                                                            int operation) noexcept {
  if (!has_no_locks) return static_cast<int>(::syscall(SYS_flock, descriptor, operation));
  errno = ENOLCK;
  return -1;
}

namespace chest {
namespace {

std::size_t n_files(const std::filesystem::path& folder) {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++n;
  return n;
}

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
  EXPECT_NE(message_of_opening().find("is truncated"), std::string::npos);
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

TEST_F(ArchiveTest, TextsLongerThanAnAttributeComeBack) {
  // On both sides of what an attribute holds; two at once, as command line and options are.
  const std::string shorter(59'999, 's'), longer(70'000, 'l'), longest(3'000'000, 'L');
  Provenance made;
  made.command_line = longest;
  made.options = longer;
  {
    ArchiveWriter writer(file_);
    write_provenance(writer, "chest-model", 1, made);
    writer.attribute("/group", "training_data", longer);
    writer.attribute("/", "one", shorter);
    writer.attribute("/", "other", shorter);
    writer.attribute("/", "grows", std::string("short"));
    writer.attribute("/", "grows", longer);
    writer.attribute("/", "shrinks", longer);
    writer.attribute("/", "shrinks", std::string("short"));
    writer.attribute("/", "turns", longer);
    writer.attribute("/", "turns", 2.0);
    writer.commit();
  }
  const ArchiveReader reader(file_);
  const Provenance read = read_provenance(reader, "chest-model", 1);
  EXPECT_EQ(read.command_line, longest);
  EXPECT_EQ(read.options, longer);
  EXPECT_EQ(reader.text_attribute("/group", "training_data"), longer);
  EXPECT_EQ(reader.text_attribute("/", "one"), shorter);
  EXPECT_EQ(reader.text_attribute("/", "other"), shorter);
  EXPECT_EQ(reader.text_attribute("/", "grows"), longer);
  EXPECT_EQ(reader.text_attribute("/", "shrinks"), "short");
  EXPECT_EQ(reader.number_attribute("/", "turns"), 2.0);
  EXPECT_FALSE(reader.text_attribute("/", "turns"));
  // Every name is listed once, wherever its text is.
  std::vector<std::string> names = reader.list_attributes("/");
  for (const char* name : {"command_line", "options", "one", "grows", "shrinks", "turns"}) {
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
  }
  EXPECT_EQ(reader.list_attributes("/group"), std::vector<std::string>{"training_data"});
  // What other software sees.
  EXPECT_EQ(reader.read_text("/attributes/command_line"), longest);
  EXPECT_EQ(reader.read_text("/attributes/group/training_data"), longer);
}

// The host's error handler: counts what HDF5 would have printed.
herr_t count_errors(hid_t, void* n) {
  ++*static_cast<int*>(n);
  return 0;
}
#ifndef H5_NO_DEPRECATED_SYMBOLS
herr_t count_errors_of_version_1(void* n) {
  ++*static_cast<int*>(n);
  return 0;
}
#endif

TEST_F(ArchiveTest, TheHostsErrorHandlerStays) {
  H5E_auto2_t before = nullptr;
  void* before_data = nullptr;
  H5Eget_auto2(H5E_DEFAULT, &before, &before_data);
  int n_errors = 0;
  H5Eset_auto2(H5E_DEFAULT, &count_errors, &n_errors);
  const auto use_chest = [&] {
    {
      ArchiveWriter writer(file_);
      writer.write_text("text", "old");
      EXPECT_THROW(writer.write_text("text", "again"), Error);  // HDF5 fails inside
      writer.commit();
    }
    ArchiveReader reader(file_);
    EXPECT_THROW(reader.info("missing"), Error);
    EXPECT_FALSE(reader.has("/a/b/c"));
    EXPECT_FALSE(reader.number_attribute("/nothing", "there"));
    reader = ArchiveReader(file_);
  };
  use_chest();
  EXPECT_EQ(n_errors, 0) << "chest's own failures are exceptions";
  H5Gopen2(-1, "x", H5P_DEFAULT);
  EXPECT_EQ(n_errors, 1) << "the host's are the host's";
  H5E_auto2_t now = nullptr;
  void* data = nullptr;
  H5Eget_auto2(H5E_DEFAULT, &now, &data);
  EXPECT_TRUE(now == &count_errors && data == &n_errors);
#ifndef H5_NO_DEPRECATED_SYMBOLS
  H5Eset_auto1(&count_errors_of_version_1, &n_errors);
  use_chest();
  EXPECT_EQ(n_errors, 1);
  H5Gopen2(-1, "x", H5P_DEFAULT);
  EXPECT_EQ(n_errors, 2);
#endif
  H5Eset_auto2(H5E_DEFAULT, before, before_data);
}

TEST_F(ArchiveTest, MovedAndDestroyedArchivesCloseUnderTheLock) {
  {
    ArchiveWriter writer(file_);
    writer.write("x", arma::mat(3, 3, arma::fill::ones));
    writer.commit();
  }
  // While another thread is inside HDF5, neither assignment nor destruction enters it.
  for (const bool assign : {true, false}) {
    auto reader = std::make_unique<ArchiveReader>(file_);
    auto other = std::make_unique<ArchiveReader>(file_);
    std::atomic<bool> done{false};
    std::thread closer;
    {
      const Hdf5Scope inside;
      closer = std::thread([&] {
        if (assign) {
          *reader = std::move(*other);
        } else {
          reader.reset();
        }
        done = true;
      });
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      EXPECT_FALSE(done) << (assign ? "assignment" : "destruction");
    }
    closer.join();
    EXPECT_TRUE(done);
  }
}

TEST_F(ArchiveTest, NeedsNoLocks) {
  has_no_locks = true;
  {
    ArchiveWriter writer(file_);
    writer.write_text("text", "x");
    writer.commit();
  }
  EXPECT_EQ(ArchiveReader(file_).read_text("text"), "x");
  has_no_locks = false;
}

TEST_F(ArchiveTest, HeldByAWriterIsNamed) {
  {
    ArchiveWriter writer(file_);
    writer.write_text("text", "x");
    writer.commit();
  }
  const Hdf5Scope scope;
  const int held = ::open(file_.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(held, LOCK_EX | LOCK_NB), 0);
  EXPECT_NE(message_of_opening().find("is open for writing in another program"),
            std::string::npos)
      << message_of_opening();
  ::close(held);
  EXPECT_EQ(message_of_opening(), "");
}

TEST(TemporaryFiles, AreMadeExclusively) {
  const TemporaryFolder folder;
  const std::filesystem::path target = folder / "out.h5";
  constexpr std::size_t n = 64;
  std::vector<std::unique_ptr<TemporaryFile>> files(n);
  parallel_for(n, 8, [&](std::size_t i) { files[i] = std::make_unique<TemporaryFile>(target); });
  std::vector<std::filesystem::path> names;
  for (const auto& file : files) names.push_back(file->path());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
  EXPECT_EQ(n_files(target.parent_path()), n);  // those of living owners stay
  files.clear();
  EXPECT_EQ(n_files(target.parent_path()), 0u);
}

TEST(TemporaryFiles, ThreadsThatWriteOneFileDoNotMeet) {
  const TemporaryFolder folder;
  parallel_for(40, 8, [&](std::size_t i) {
    ArchiveWriter writer(folder / "out.h5");
    writer.write("x", arma::mat(100, 100, arma::fill::value(double(i))));
    writer.commit();
  });
  const arma::mat x = ArchiveReader(folder / "out.h5").read_mat("x");
  EXPECT_EQ(x.min(), x.max());
  EXPECT_EQ(n_files((folder / "out.h5").parent_path()), 1u);
}

TEST(TemporaryFiles, LeftoversOfKilledRunsGo) {
  const TemporaryFolder folder;
  const std::filesystem::path target = folder / "out.txt";
  const std::filesystem::path place = target.parent_path();
  const auto child = [](const std::filesystem::path& file, bool waits) {
    const pid_t process = ::fork();
    if (process != 0) return process;
    const TemporaryFile temporary(file);
    if (waits) ::pause();
    ::kill(::getpid(), SIGKILL);
    return process;
  };
  const pid_t running = child(target, true);
  while (n_files(place) < 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (const char* name : {"out.txt", "out.txt2"}) {
    const pid_t killed = child(folder / name, false);
    ::waitpid(killed, nullptr, 0);
  }
  EXPECT_EQ(n_files(place), 3u);
  // One of another machine or container, whose processes this one cannot see.
  const std::filesystem::path foreign = folder / "out.txt.part-0123456789ab-1-1-00000000";
  std::ofstream(foreign) << "x";
  write_text_file(target, "done");
  // Left are the file, the one of the running process, that of another target and the foreign one.
  EXPECT_EQ(n_files(place), 4u);
  EXPECT_TRUE(std::filesystem::exists(foreign));
  ::kill(running, SIGKILL);
  ::waitpid(running, nullptr, 0);
  write_text_file(target, "done");
  EXPECT_EQ(n_files(place), 3u);
  write_text_file(folder / "out.txt2", "done");
  EXPECT_EQ(n_files(place), 3u);
}

TEST(TemporaryFiles, AFailingDeviceLeavesNoFileAndNoDescriptor) {
  const TemporaryFolder folder;
  const auto n_descriptors = [] { return n_files("/proc/self/fd"); };
  write_text_file(folder / "text", "old");
  const std::size_t before = n_descriptors();
  device_fails = true;
  for (int i = 0; i < 5; ++i) {
    EXPECT_THROW(write_text_file(folder / "text", "new"), Error);
    ArchiveWriter writer(folder / "archive.h5");
    writer.write_text("text", "x");
    EXPECT_THROW(writer.commit(), Error);
  }
  device_fails = false;
  EXPECT_EQ(n_descriptors(), before);
  EXPECT_EQ(n_files((folder / "text").parent_path()), 1u);
  EXPECT_EQ(hash_file(folder / "text"), hash_bytes("old", 3));
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

// HDF5 files as they come from others: in use, left open, of foreign filters, newer, in parts.
#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <vector>

#include <chest/channels/dataset.hpp>

#include "tests/support/channel_fixtures.hpp"
#include "tests/support/program.hpp"
#include "tests/support/sanitized.hpp"

namespace chest {
namespace {

using Folder = test::TemporaryFolder;
using test::fixture;
using test::fixture_channels;
using test::message_of;

constexpr hsize_t n = 24, n_rx = 8, n_tx = 4;

std::vector<float> ramp() {
  std::vector<float> values(2 * n * n_rx * n_tx);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1.0f + 0.001f * static_cast<float>(i);
  return values;
}

hid_t complex_of_floats() {
  const hid_t type = H5Tcreate(H5T_COMPOUND, 8);
  H5Tinsert(type, "r", 0, H5T_NATIVE_FLOAT);
  H5Tinsert(type, "i", 4, H5T_NATIVE_FLOAT);
  return type;
}

/// Makes a file, as HDF5's newest forms when `latest`.
hid_t create(const std::filesystem::path& file, bool latest = false) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  if (latest) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  const hid_t id = H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  H5Pclose(access);
  return id;
}

void write(hid_t file, const std::string& name, hsize_t count = n, hid_t creation = H5P_DEFAULT) {
  const hsize_t dims[] = {count, n_rx, n_tx};
  const hid_t type = complex_of_floats(), space = H5Screate_simple(3, dims, nullptr);
  const hid_t data =
      H5Dcreate2(file, name.c_str(), type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  const std::vector<float> values = ramp();
  EXPECT_GE(H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  H5Dclose(data);
  H5Sclose(space);
  H5Tclose(type);
}

std::string read_all(const std::filesystem::path& file, const std::string& dataset = "") {
  return message_of([&] {
    DatasetOptions options;
    options.dataset = dataset;
    options.normalisation = Normalisation::factor;
    const Dataset read(file, options);
    read.read(0, read.info().n_samples);
  });
}

::testing::AssertionResult says(const std::string& said, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    if (said.find(part) == std::string::npos)
      return ::testing::AssertionFailure() << "\"" << said << "\" does not say \"" << part << "\"";
  if (parts[0] != "damaged" && said.find("damaged") != std::string::npos)
    return ::testing::AssertionFailure() << "\"" << said << "\" speaks of damage";
  return ::testing::AssertionSuccess();
}

void set_byte(const std::filesystem::path& file, std::streamoff at, char value) {
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(at);
  bytes.put(value);
}

TEST(Hdf5Life, AFileThatIsLockedByItsWriter) {
  const Folder folder;
  const auto file = folder.path() / "busy.h5";
  const hid_t id = create(file);
  write(id, "H");
  H5Fclose(id);
  // As a writer holds it; in a process of its own, because HDF5 shares files within one.
  int ready[2], done[2];
  ASSERT_EQ(::pipe(ready) + ::pipe(done), 0);
  const pid_t writer = ::fork();
  if (writer == 0) {
    const int descriptor = ::open(file.c_str(), O_RDWR);
    char byte = ::flock(descriptor, LOCK_EX) == 0 ? 'y' : 'n';
    (void)!::write(ready[1], &byte, 1);
    (void)!::read(done[0], &byte, 1);
    ::_exit(0);
  }
  char byte = 'n';
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  EXPECT_TRUE(says(read_all(file),
                   {"is open for writing in another program", "HDF5_USE_FILE_LOCKING=FALSE"}));
  (void)!::write(done[1], &byte, 1);
  ::waitpid(writer, nullptr, 0);
  EXPECT_EQ(read_all(file), "no error");
  for (const int descriptor : {ready[0], ready[1], done[0], done[1]}) ::close(descriptor);
}

TEST(Hdf5Life, AFileThatItsWriterDidNotClose) {
  const Folder folder;
  const auto file = folder.path() / "left.h5";
  const hid_t id = create(file, true);
  write(id, "H");
  H5Fclose(id);
  EXPECT_EQ(read_all(file), "no error");
  for (const char flags : {'\x01', '\x05'}) {  // open for writing, and for SWMR
    set_byte(file, 11, flags);
    EXPECT_TRUE(says(read_all(file), {"was not closed by its writer", "h5clear -s"}));
  }
  set_byte(file, 8, '\x04');
  EXPECT_TRUE(says(read_all(file), {"version 4", "newer", "libver"}));
}

TEST(Hdf5Life, AFormOfALaterLibrary) {
  // What later libraries write for a type: version 4 or 5 of its message. Here in the one place where it stands.
  EXPECT_TRUE(says(read_all(fixture("native_complex.h5")),
                   {"form newer than the HDF5", "libver=('earliest', 'v110')", "{r, i}"}));
}

TEST(Hdf5Life, AFilterThatIsNotInstalledIsNamed) {
  const struct {
    H5Z_filter_t number;
    const char* name;
  } filters[] = {{32000, "lzf (number 32000)"},    {32001, "blosc (number 32001)"},
                 {32004, "lz4 (number 32004)"},    {32008, "bitshuffle (number 32008)"},
                 {32013, "zfp (number 32013)"},    {32015, "zstd (number 32015)"},
                 {32026, "blosc2 (number 32026)"}, {40000, "own filter (number 40000)"}};
  const Folder folder;
  for (const auto& filter : filters) {
    const auto file = folder.path() / (std::to_string(filter.number) + ".h5");
    const auto same = [](unsigned, std::size_t, const unsigned*, std::size_t n_bytes, std::size_t*,
                         void**) { return n_bytes; };
    const H5Z_class2_t kind{H5Z_CLASS_T_VERS, filter.number, 1,       1,
                            "own filter",     nullptr,       nullptr, +same};
    ASSERT_GE(H5Zregister(&kind), 0);
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk[] = {8, n_rx, n_tx};
    H5Pset_chunk(creation, 3, chunk);
    H5Pset_filter(creation, filter.number, H5Z_FLAG_MANDATORY, 0, nullptr);
    const hid_t id = create(file);
    write(id, "H", n, creation);
    H5Pclose(creation);
    H5Fclose(id);
    EXPECT_EQ(read_all(file), "no error");
    ASSERT_GE(H5Zunregister(filter.number), 0);
    EXPECT_TRUE(
        says(read_all(file), {filter.name, "not installed", "HDF5_PLUGIN_PATH", "h5repack"}));
  }
}

/// A virtual dataset of two halves.
void write_virtual(hid_t file, const std::string& first, const std::string& second) {
  const hsize_t dims[] = {n, n_rx, n_tx}, half[] = {n / 2, n_rx, n_tx};
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(3, dims, nullptr);
  const hid_t source = H5Screate_simple(3, half, nullptr);
  for (hsize_t part = 0; part < 2; ++part) {
    const hsize_t start[] = {part * n / 2, 0, 0};
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, nullptr, half, nullptr);
    H5Pset_virtual(creation, space, (part == 0 ? first : second).c_str(), "A", source);
  }
  H5Sselect_all(space);
  const hid_t type = complex_of_floats();
  const hid_t data = H5Dcreate2(file, "H", type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  EXPECT_GE(data, 0);
  H5Dclose(data);
  H5Tclose(type);
  H5Sclose(source);
  H5Sclose(space);
  H5Pclose(creation);
}

TEST(Hdf5Life, VirtualDatasetsAreReadAndMissingPartsNamed) {
  const Folder folder;
  const auto file = folder.path() / "whole.h5";
  const auto write_part = [&](const std::string& name, const std::string& dataset) {
    const hid_t part = create(folder.path() / name);
    write(part, dataset, n / 2);
    H5Fclose(part);
  };
  write_part("part0.h5", "A");
  write_part("part1.h5", "A");
  const hid_t id = create(file, true);
  write_virtual(id, "part0.h5", "part1.h5");
  H5Fclose(id);
  {
    DatasetOptions options;
    options.normalisation = Normalisation::factor;
    const Dataset whole(file, options);
    const arma::cx_mat h = whole.read(0, n);
    EXPECT_EQ(h(0, 0), h(0, n / 2));  // both parts hold the same
    EXPECT_EQ(h(1, 0), std::complex<double>(ramp()[8], ramp()[9]));
  }
  {
    const hid_t part = create(folder.path() / "part1.h5");
    write(part, "A", n / 4);
    H5Fclose(part);
  }
  EXPECT_TRUE(says(read_all(file), {"A in the file part1.h5, which is only (6, 8, 4)"}));
  write_part("part1.h5", "B");
  EXPECT_TRUE(says(read_all(file),
                   {"/H is a virtual dataset", "A in the file part1.h5, which does not hold it"}));
  std::filesystem::remove(folder.path() / "part1.h5");
  EXPECT_TRUE(says(read_all(file), {"A in the file part1.h5, which is not there"}));
  std::ofstream(folder.path() / "part1.h5") << "not HDF5";
  EXPECT_TRUE(says(read_all(file), {"part1.h5, which cannot be opened"}));
  // More values than the 4096 below which nothing is asked of the stored bytes, and parts in the file itself.
  const hid_t own = create(folder.path() / "own.h5", true);
  write(own, "A", n / 2);
  write_virtual(own, ".", ".");
  H5Fclose(own);
  EXPECT_EQ(read_all(folder.path() / "own.h5", "H"), "no error");
}

TEST(Hdf5Life, ExternalValuesThatAreNotThere) {
  const Folder folder;
  const auto file = folder.path() / "outside.h5";
  const auto values = folder.path() / "values.raw";
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_external(creation, values.c_str(), 0, n * n_rx * n_tx * 8);
  const hid_t id = create(file);
  write(id, "H", n, creation);
  H5Pclose(creation);
  H5Fclose(id);
  EXPECT_EQ(read_all(file), "no error");
  std::filesystem::remove(values);
  EXPECT_TRUE(
      says(read_all(file), {"/H keeps its values in the file", "values.raw, which is not there"}));
}

TEST(Hdf5Life, LinksThatLeadNowhereAreSaidToBeSo) {
  const Folder folder;
  const auto file = folder.path() / "links.h5";
  const hid_t id = create(file);
  H5Lcreate_soft("/nowhere", id, "soft", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_external("gone.h5", "/A", id, "outside", H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(id);
  EXPECT_TRUE(
      says(read_all(file, "soft"), {"/soft is a link to /nowhere, which is not in the file"}));
  EXPECT_TRUE(says(read_all(file, "outside"), {"/outside is a link to /A in the file gone.h5"}));
  EXPECT_TRUE(says(read_all(file), {"/outside is a link", "/soft is a link"}));
  const hid_t target = create(folder.path() / "gone.h5");
  write(target, "A");
  H5Fclose(target);
  EXPECT_EQ(read_all(file), "no error");
}

TEST(Hdf5Life, AFileSystemWithoutLocksIsRead) {
  if (is_sanitized) GTEST_SKIP() << "nothing is loaded before a sanitizer";
  // flock() as such a file system answers it, in front of the program.
  const Folder folder;
  const auto source = folder.path() / "no_locks.c", library = folder.path() / "no_locks.so";
  std::ofstream(source) << "#include <errno.h>\nint flock(int f, int o) { (void)f; (void)o; errno "
                           "= ENOLCK; return -1; }\n";
  const std::string compile =
      "cc -shared -fPIC -o " + library.string() + " " + source.string() + " 2> /dev/null";
  if (std::system(compile.c_str()) != 0) GTEST_SKIP() << "there is no C compiler";
  const std::string info = std::string(CHEST_PROGRAM) + " info " + fixture("h5py.h5") + " > " +
                           (folder.path() / "out").string();
  ASSERT_EQ(std::system(("LD_PRELOAD=" + library.string() + " " + info + " 2>&1").c_str()), 0);
  EXPECT_NE(text_of(folder.path() / "out").find("5 of 4x3"), std::string::npos);
}

}  // namespace
}  // namespace chest

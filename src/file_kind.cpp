#include <chest/file_kind.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <string_view>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view hdf5_signature = "\x89HDF\r\n\x1a\n"sv;

/// Up to n bytes of a file from an offset.
std::string bytes_at(const std::filesystem::path& file, std::uint64_t offset, std::size_t n) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in)
    throw Error(ErrorKind::io, file.string() + ": cannot be opened: " + std::strerror(errno));
  std::string bytes(n, '\0');
  in.seekg(static_cast<std::streamoff>(offset));
  in.read(bytes.data(), static_cast<std::streamsize>(n));
  if (in.bad()) throw Error(ErrorKind::io, file.string() + ": reading failed");
  bytes.resize(static_cast<std::size_t>(in.gcount()));
  return bytes;
}

std::uint64_t size_of(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  return error ? 0 : size;
}

std::optional<Superblock> find_superblock(const std::filesystem::path& file) {
  const std::uint64_t size = size_of(file);
  for (std::uint64_t at = 0; at + hdf5_signature.size() < size; at = at == 0 ? 512 : 2 * at) {
    const std::string head = bytes_at(file, at, 12);
    if (head.compare(0, hdf5_signature.size(), hdf5_signature) != 0 || head.size() < 12) continue;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(head[i]); };
    return Superblock{at, byte(8), byte(8) == 3 && (byte(11) & 1) != 0};
  }
  return {};
}

std::uint32_t number_at(const std::string& bytes, std::size_t at, bool big_endian) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + (big_endian ? i : 3 - i)]);
  return value;
}

/// MATLAB v4 has no magic bytes: five numbers, MOPT, rows, columns, complex, length of the name.
bool looks_like_matlab_4(const std::filesystem::path& file, const std::string& head) {
  if (head.size() < 22) return false;
  const bool big = head[0] == 0 && number_at(head, 0, true) >= 1000;
  const std::uint32_t mopt = number_at(head, 0, big);
  const std::uint32_t machine = mopt / 1000, precision = mopt / 10 % 10, matrix = mopt % 10;
  if (machine > 4 || mopt / 100 % 10 != 0 || precision > 5 || matrix > 2) return false;
  if ((machine == 1) != big) return false;
  const std::uint64_t rows = number_at(head, 4, big), columns = number_at(head, 8, big);
  const std::uint32_t is_complex = number_at(head, 12, big), name = number_at(head, 16, big);
  if (is_complex > 1 || name < 2 || name > 64 || rows == 0 || columns == 0) return false;
  constexpr std::array<std::uint64_t, 6> sizes = {8, 4, 4, 2, 2, 1};
  const std::uint64_t room = size_of(file);
  if (rows > room || columns > room || rows * columns > room ||
      20 + name + rows * columns * sizes[precision] * (1 + is_complex) > room)
    return false;
  const std::string text = head.substr(20, name);
  if (text.size() < name || text.back() != '\0') return false;
  return std::all_of(text.begin(), text.end() - 1,
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

/// CRC-32C, of which a TFRecord stores a masked form behind each length.
std::uint32_t masked_crc32c(std::string_view bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

bool is_text(const std::string& bytes) {
  return std::none_of(bytes.begin(), bytes.end(), [](unsigned char c) {
    return (c < 32 && c != '\t' && c != '\n' && c != '\r' && c != '\f') || c == 127;
  });
}

struct Magic {
  std::size_t at;
  std::string_view bytes;
  const char* what;
};

constexpr Magic magics[] = {
    {0, "version https://git-lfs.github.com"sv,
     "is a Git LFS pointer, a few lines of text in place of the data; fetch the data with git lfs "
     "pull"},
    {0, "\x1f\x8b"sv, "is a gzip archive; unpack it with gunzip (tar xzf when it is a .tar.gz)"},
    {0, "BZh"sv, "is a bzip2 archive; unpack it with bunzip2"},
    {0,
     "\xfd"
     "7zXZ\0"sv,
     "is an xz archive; unpack it with unxz"},
    {0, "\x28\xb5\x2f\xfd"sv, "is a zstd archive; unpack it with unzstd"},
    {0, "\x04\x22\x4d\x18"sv, "is an lz4 archive; unpack it with unlz4"},
    {0, "7z\xbc\xaf\x27\x1c"sv, "is a 7z archive; unpack it with 7z x"},
    {0, "Rar!\x1a\x07"sv, "is a RAR archive; unpack it with unrar x"},
    {257, "ustar"sv, "is a tar archive; unpack it with tar xf"},
    {0, "%PDF"sv, "is a PDF document, not data"},
    {0, "\x89PNG"sv, "is a picture (PNG), not data"},
    {0, "\xff\xd8\xff"sv, "is a picture (JPEG), not data"},
    {0, "SQLite format 3"sv, "is an SQLite database; export the channels to NumPy .npy"},
    {0, "PAR1"sv, "is a Parquet table; make one array of it with pandas and np.save"},
    {0, "ARROW1"sv, "is an Arrow table; make one array of it with pandas and np.save"},
    {0, "FEA1"sv, "is a Feather table; make one array of it with pandas and np.save"},
    {0, "CDF\x01"sv, "is a netCDF classic file; convert it to HDF5 with nccopy -k nc4"},
    {0, "CDF\x02"sv, "is a netCDF classic file; convert it to HDF5 with nccopy -k nc4"},
    {0, "CDF\x05"sv, "is a netCDF classic file; convert it to HDF5 with nccopy -k nc4"},
    {0, "\x0e\x03\x13\x01"sv, "is an HDF4 file; convert it to HDF5 with h4toh5"},
    {0, "SIMPLE  ="sv, "is a FITS file; read it with astropy and save the array with np.save"},
    {0, "RIFF"sv, "is a WAV or other RIFF file of samples in time, not an array of channels"},
    {0, "Octave-1-"sv,
     "is a file of Octave's own binary format; save it in Octave with save -v7 or save -hdf5"},
    {0,
     "\x7f"
     "ELF"sv,
     "is a program, not data"},
};

}  // namespace

FileKind file_kind(const std::filesystem::path& file) {
  const std::string head = bytes_at(file, 0, 128);
  if (head.rfind("\x93NUMPY", 0) == 0) return FileKind::npy;
  if (head.rfind("PK\x03\x04"sv, 0) == 0 || head.rfind("PK\x05\x06"sv, 0) == 0)
    return FileKind::zip;
  if (find_superblock(file)) return FileKind::hdf5;
  // The text in front is free; byte order and version stand behind it.
  if (head.size() == 128 &&
      (head.rfind("MATLAB 5.0 MAT-file", 0) == 0 ||
       (is_text(head.substr(0, 116)) &&
        (head.compare(124, 4, "\x00\x01IM"sv) == 0 || head.compare(124, 4, "\x01\x00MI"sv) == 0))))
    return FileKind::matlab_5;
  if (looks_like_matlab_4(file, head)) return FileKind::matlab_4;
  return FileKind::other;
}

std::string describe_foreign_file(const std::filesystem::path& file) {
  const std::uint64_t size = size_of(file);
  const std::string head = bytes_at(file, 0, 4096);
  if (head.empty()) return "is empty (0 bytes); its writer or download did not get to the end";
  for (const Magic& magic : magics)
    if (head.size() > magic.at && head.compare(magic.at, magic.bytes.size(), magic.bytes) == 0)
      return magic.what;
  if (head.rfind("MATLAB 7.3 MAT-file", 0) == 0)
    return "has the header of a MATLAB v7.3 file but no HDF5 content; it is truncated";
  if (std::all_of(head.begin(), head.end(), [](char c) { return c == '\0'; }))
    return "holds only zero bytes, at least at its start; copy or download it again";
  // Protocol 2 and later: \x80, the version and the first of the opcodes that follow it.
  if (head.size() > 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5)
    return "is a Python pickle (or an old .pt of PyTorch), which is a program and is "
           "not run; load it in Python and save the array of channels with np.save";
  if (head.size() >= 12) {
    const std::uint64_t length =
        number_at(head, 0, false) + (std::uint64_t{number_at(head, 4, false)} << 32);
    if (length < size &&
        masked_crc32c(std::string_view(head).substr(0, 8)) == number_at(head, 8, false))
      return "is a TFRecord file of TensorFlow; read it with tf.data.TFRecordDataset "
             "and save the array of channels with np.save";
  }
  if (head.rfind("\xff\xfe", 0) == 0 || head.rfind("\xfe\xff", 0) == 0)
    return "is text in UTF-16; load it in NumPy or MATLAB and save the array of channels with "
           "np.save";
  if (!is_text(head)) return {};
  std::string start = lower(head.substr(0, 512));
  start.erase(0, start.rfind("\xef\xbb\xbf", 0) == 0 ? 3 : 0);
  start.erase(0, start.find_first_not_of(" \t\r\n"));
  if (start.rfind("<!doctype html", 0) == 0 || start.rfind("<html", 0) == 0 ||
      start.find("<html") != std::string::npos)
    return "is a web page (HTML), most likely of a download that asked for a login or a "
           "confirmation; download the file itself";
  if (start.rfind("<?xml", 0) == 0)
    return "is XML text, most likely the answer of a server in place of the file; download it "
           "again";
  if (start.rfind("# created by octave", 0) == 0)
    return "is a text file of Octave; save it in Octave with save -v7 or save -hdf5";
  if (!start.empty() && (start[0] == '{' || start[0] == '['))
    return "is JSON text; load it in Python and save the array of channels with np.save";
  return "is text (CSV or the like); load it, for example with numpy.loadtxt, and save the array "
         "of channels with np.save";
}

Superblock read_superblock(const std::filesystem::path& file) {
  const std::optional<Superblock> found = find_superblock(file);
  if (!found) throw Error(ErrorKind::format, file.string() + ": is not an HDF5 file");
  return *found;
}

}  // namespace v0
}  // namespace chest

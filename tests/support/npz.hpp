#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace chest::test {

/// An array as NumPy writes it, C order.
template <class T>
std::string npy_bytes(const std::string& type, const std::string& shape,
                      const std::vector<T>& values) {
  std::string header =
      "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
  header.resize(117, ' ');
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(header.size() + 1);
  out += '\0';
  out += header + "\n";
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return out;
}

/// A zip archive of members that are stored as they are.
inline void write_zip(const std::filesystem::path& file,
                      const std::vector<std::pair<std::string, std::string>>& members) {
  const auto number = [](std::uint64_t value, int bytes) {
    std::string out;
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 255);
    return out;
  };
  const auto crc_of = [](const std::string& bytes) {
    std::uint32_t crc = 0xFFFFFFFFu;
    for (const char c : bytes) {
      crc ^= static_cast<unsigned char>(c);
      for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ (crc & 1u ? 0xEDB88320u : 0u);
    }
    return ~crc;
  };
  std::string files, index;
  for (const auto& [name, bytes] : members) {
    const std::string common = number(20, 2) + number(0, 2) + number(0, 2) + number(0, 4) +
                               number(crc_of(bytes), 4) + number(bytes.size(), 4) +
                               number(bytes.size(), 4) + number(name.size(), 2) + number(0, 2);
    index += "PK\x01\x02" + number(20, 2) + common + number(0, 2) + number(0, 2) + number(0, 2) +
             number(0, 4) + number(files.size(), 4) + name;
    files += "PK\x03\x04" + common + name + bytes;
  }
  std::ofstream(file, std::ios::binary)
      << files << index << "PK\x05\x06" << number(0, 4) << number(members.size(), 2)
      << number(members.size(), 2) << number(index.size(), 4) << number(files.size(), 4)
      << number(0, 2);
}

}  // namespace chest::test

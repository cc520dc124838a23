#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace chest {
inline namespace v0 {

/// An array in a file of another framework.
struct StoredTensor {
  std::string name;
  std::string type;                ///< as safetensors names it: F64, F32, I64
  std::vector<std::int64_t> dims;  ///< slowest first; empty: one value
  std::vector<char> bytes;         ///< C order, little-endian

  /// @throws Error(format) naming `file` if it holds no floating-point numbers
  std::vector<float> floats(const std::filesystem::path& file) const;
  std::vector<double> doubles(const std::filesystem::path& file) const;
};

struct TensorFile {
  std::vector<StoredTensor> tensors;
  std::map<std::string, std::string> metadata;

  /// Null: there is none of this name.
  const StoredTensor* find(const std::string& name) const;
};

/// safetensors: 8 bytes with the length of a JSON header, the header, the data.
/// @throws Error(io); Error(format) if the header is damaged or the tensors do not fill the file exactly
TensorFile read_safetensors(const std::filesystem::path& file);
/// Data begin at a multiple of 8 bytes, tensors lie as the `safetensors` package has them: by size of a value, then
/// by name.
/// @throws Error(io)
void write_safetensors(const std::filesystem::path& file, const TensorFile& content);
/// Whether the first bytes are those of a safetensors file.
bool is_safetensors(const std::filesystem::path& file);

/// What torch.save() wrote: the tensors of dictionaries in dictionaries, named "model.conv.weight" by their keys.
/// The pickle in it is read as data: classes and functions that it names are never called, and what is made of
/// them is left out.
/// @throws Error(io); Error(format) if it is not such a file, is damaged, or of a PyTorch before 1.6
TensorFile read_torch_file(const std::filesystem::path& file);

}  // namespace v0
}  // namespace chest

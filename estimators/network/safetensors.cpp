#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <system_error>

#include <chest/error.hpp>
#include <chest/file.hpp>

#include "settings.hpp"
#include "tensor_file.hpp"

namespace chest {
inline namespace v0 {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor files are little-endian");

// The package refuses more than 100 MB.
constexpr std::uint64_t most_header_bytes = 100'000'000;

std::size_t bytes_per_value(const std::string& type) {
  static const std::map<std::string, std::size_t> sizes{
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"U64", 8}, {"I32", 4},
      {"U32", 4}, {"I16", 2}, {"U16", 2}, {"I8", 1},   {"U8", 1},  {"BOOL", 1}};
  const auto found = sizes.find(type);
  return found == sizes.end() ? 0 : found->second;
}

/// Of all bytes that the dimensions ask for; the largest number if it cannot be held.
std::uint64_t n_bytes_of(const std::vector<std::int64_t>& dims, std::size_t per_value) {
  std::uint64_t n = per_value;
  for (const std::int64_t dim : dims) {
    const auto factor = static_cast<std::uint64_t>(dim);
    if (factor != 0 && n > std::numeric_limits<std::uint64_t>::max() / factor) {
      return std::numeric_limits<std::uint64_t>::max();
    }
    n *= factor;
  }
  return n;
}

template <class To>
std::vector<To> converted(const StoredTensor& tensor, const std::filesystem::path& file) {
  const auto copied = [&](auto value) {
    using From = decltype(value);
    std::vector<From> values(tensor.bytes.size() / sizeof(From));
    std::memcpy(values.data(), tensor.bytes.data(), values.size() * sizeof(From));
    return std::vector<To>(values.begin(), values.end());
  };
  if (tensor.type == "F32") return copied(float{});
  if (tensor.type == "F64") {
    std::vector<double> values = [&] {
      std::vector<double> all(tensor.bytes.size() / sizeof(double));
      std::memcpy(all.data(), tensor.bytes.data(), all.size() * sizeof(double));
      return all;
    }();
    std::vector<To> out(values.size());
    std::transform(values.begin(), values.end(), out.begin(),
                   [](double value) { return static_cast<To>(value); });
    return out;
  }
  throw_format(
      file, "the tensor " + tensor.name + " is of type " + tensor.type + "; expected F32 or F64");
}

/// The length of the header, 0 where the file does not begin with one.
std::uint64_t header_length(std::ifstream& in, std::uint64_t size) {
  std::uint64_t n = 0;
  char first = 0;
  in.read(reinterpret_cast<char*>(&n), sizeof n);
  in.get(first);
  return in && first == '{' && n >= 2 && n <= most_header_bytes && n + sizeof n <= size ? n : 0;
}

std::uint64_t size_in_bytes(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (error) throw Error(ErrorKind::io, file.string() + ": cannot be read: " + error.message());
  return size;
}

}  // namespace

std::vector<float> StoredTensor::floats(const std::filesystem::path& file) const {
  return converted<float>(*this, file);
}
std::vector<double> StoredTensor::doubles(const std::filesystem::path& file) const {
  return converted<double>(*this, file);
}

const StoredTensor* TensorFile::find(const std::string& name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const StoredTensor& each) { return each.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

bool is_safetensors(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return in && header_length(in, size_in_bytes(file)) > 0;
}

TensorFile read_safetensors(const std::filesystem::path& file) {
  const std::uint64_t size = size_in_bytes(file);
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    throw Error(ErrorKind::io, file.string() + ": cannot be opened: " + std::strerror(errno));
  }
  const std::uint64_t n_header = header_length(in, size);
  if (n_header == 0) {
    throw_format(file,
                 "does not begin with the length of a JSON header; expected a safetensors "
                 "file, whole");
  }
  std::string text(n_header, '\0');
  in.seekg(sizeof n_header);
  in.read(text.data(), static_cast<std::streamsize>(n_header));
  const Json header = Json::parse(text, nullptr, false);
  if (!in || !header.is_object()) throw_format(file, "its JSON header is damaged");
  const std::uint64_t data = sizeof n_header + n_header, n_data = size - data;

  TensorFile content;
  struct Place {
    std::uint64_t first, end;
    std::size_t tensor;
  };
  std::vector<Place> places;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) throw_format(file, "its metadata are damaged");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) throw_format(file, "its metadata " + key + " are not text");
        content.metadata[key] = value.get<std::string>();
      }
      continue;
    }
    StoredTensor tensor;
    tensor.name = name;
    Place place{0, 0, content.tensors.size()};
    try {
      tensor.type = entry.at("dtype").get<std::string>();
      for (const Json& dim : entry.at("shape")) {
        tensor.dims.push_back(dim.is_number_unsigned() ? dim.get<std::int64_t>() : -1);
      }
      const Json& offsets = entry.at("data_offsets");
      place.first = offsets.at(0).get<std::uint64_t>();
      place.end = offsets.at(1).get<std::uint64_t>();
    } catch (const Json::exception&) {
      throw_format(file, "the entry " + name + " of its header is damaged");
    }
    const std::size_t per_value = bytes_per_value(tensor.type);
    if (per_value == 0) {
      throw_format(file,
                   "the tensor " + name + " is of type " + tensor.type + ", which is not known");
    }
    const bool fits = std::all_of(tensor.dims.begin(), tensor.dims.end(),
                                  [](std::int64_t dim) { return dim >= 0; }) &&
                      place.first <= place.end && place.end <= n_data &&
                      place.end - place.first == n_bytes_of(tensor.dims, per_value);
    if (!fits) {
      throw_format(file, "the tensor " + name + " lies at bytes " + std::to_string(place.first) +
                             " to " + std::to_string(place.end) + " of " + std::to_string(n_data) +
                             ", which does not fit its shape or the file");
    }
    places.push_back(place);
    content.tensors.push_back(std::move(tensor));
  }
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return a.first < b.first; });
  std::uint64_t next = 0;
  for (const Place& place : places) {
    if (place.first != next) break;
    next = place.end;
    StoredTensor& tensor = content.tensors[place.tensor];
    tensor.bytes.resize(place.end - place.first);
    in.seekg(static_cast<std::streamoff>(data + place.first));
    in.read(tensor.bytes.data(), static_cast<std::streamsize>(tensor.bytes.size()));
    if (!in) throw_format(file, "the tensor " + tensor.name + " cannot be read");
  }
  if (next != n_data) {
    throw_format(file,
                 "its tensors overlap or leave bytes between them; expected them to fill the " +
                     std::to_string(n_data) + " bytes behind the header");
  }
  return content;
}

void write_safetensors(const std::filesystem::path& file, const TensorFile& content) {
  std::vector<const StoredTensor*> order;
  for (const StoredTensor& tensor : content.tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const StoredTensor* a, const StoredTensor* b) {
    const std::size_t n_a = bytes_per_value(a->type), n_b = bytes_per_value(b->type);
    return n_a != n_b ? n_a > n_b : a->name < b->name;
  });
  Json header;
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  std::uint64_t next = 0;
  for (const StoredTensor* tensor : order) {
    header[tensor->name] = {{"dtype", tensor->type},
                            {"shape", tensor->dims},
                            {"data_offsets", {next, next + tensor->bytes.size()}}};
    next += tensor->bytes.size();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t n_header = text.size();
  std::string bytes(sizeof n_header, '\0');
  std::memcpy(bytes.data(), &n_header, sizeof n_header);
  bytes += text;
  for (const StoredTensor* tensor : order) {
    bytes.append(tensor->bytes.begin(), tensor->bytes.end());
  }
  write_text_file(file, bytes);
}

}  // namespace v0
}  // namespace chest

#include "settings.hpp"

#include <string>

#include <chest/error.hpp>

namespace chest {

std::string shape(const std::vector<std::int64_t>& dims) {
  std::string text = "[";
  for (std::size_t i = 0; i < dims.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(dims[i]);
  }
  return text + "]";
}

[[noreturn]] void throw_format(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorKind::format, file.string() + ": " + what);
}

std::string required_attribute(const ArchiveReader& archive, const std::string& name,
                               const std::string& expected) {
  const auto text = archive.text_attribute("/", name);
  if (!text) throw_format(archive.file(), "no attribute " + name + "; expected " + expected);
  return *text;
}

arma::vec read_vec(const ArchiveReader& archive, const std::string& dataset, std::uint64_t most) {
  return arma::vec(archive.read_all<double>(dataset, most));
}

void write_vec(ArchiveWriter& archive, const std::string& dataset, const arma::vec& values) {
  archive.write(dataset, {values.n_elem}, values.memptr());
}

NoiseSchedule schedule_from(const std::filesystem::path& file, const arma::vec& betas) {
  try {
    return NoiseSchedule(betas);
  } catch (const Error& error) {
    throw_format(file, std::string("the noise schedule is damaged: ") + error.what());
  }
}

}  // namespace chest

#include "files.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <tuple>

#include <chest/channels/dataset.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/file.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

namespace fs = std::filesystem;

struct NamedFile {
  std::string flag;
  fs::path file;

  std::string text() const { return "--" + flag + " " + file.string(); }
};

std::vector<std::string> values_of(const Flag& flag) {
  if (const auto* text = std::get_if<std::string*>(&flag.field))
    return (*text)->empty() ? std::vector<std::string>{} : std::vector<std::string>{**text};
  if (const auto* list = std::get_if<std::vector<std::string>*>(&flag.field)) return **list;
  return {};
}

/// The files in one value of a flag; none where it cannot be understood, which its command will say.
std::vector<fs::path> files_in(const Flag& flag, const std::string& value, const Catalog& catalog) {
  std::vector<fs::path> files;
  try {
    if (flag.placeholder == "FILE[:DATASET]") {
      files.push_back(split_dataset_name(value).first);
    } else if (flag.placeholder.find("FILE") != std::string::npos) {
      files.emplace_back(value);
    } else if (flag.placeholder == "PILOTS") {
      for (const sim::PilotSpec& pilots : sim::parse_pilots_list(value))
        if (!pilots.file.empty()) files.push_back(pilots.file);
    } else if (flag.placeholder.rfind("ESTIMATOR", 0) == 0) {
      for (const NamedOptions& spec : catalog.parse(value))
        for (const std::string& file : files_of(spec)) files.emplace_back(file);
    }
  } catch (const Error&) {
    files.clear();
  }
  return files;
}

bool are_one_file(const fs::path& a, const fs::path& b) {
  std::error_code error;
  if (fs::exists(a, error) && fs::exists(b, error)) return fs::equivalent(a, b, error);
  const fs::path to_a = fs::weakly_canonical(link_target(fs::absolute(a)), error);
  const fs::path to_b = fs::weakly_canonical(link_target(fs::absolute(b)), error);
  // Whether a disk tells capitals from small letters shows only once there is a file.
  return to_a.parent_path() == to_b.parent_path() &&
         lower(to_a.filename().string()) == lower(to_b.filename().string());
}

/// Whether a stream of the program goes to this file.
bool takes_stream(int descriptor, const fs::path& file) {
  struct stat stream {
  }, there{};
  return ::fstat(descriptor, &stream) == 0 && S_ISREG(stream.st_mode) &&
         ::stat(file.c_str(), &there) == 0 && stream.st_dev == there.st_dev &&
         stream.st_ino == there.st_ino;
}

void check_input(const NamedFile& input, bool may_be_folder) {
  std::error_code error;
  const auto refuse_it = [&](const std::string& what) {
    throw Error(ErrorKind::io, input.text() + ": is " + what);
  };
  switch (fs::status(input.file, error).type()) {
    case fs::file_type::fifo:
    case fs::file_type::socket:
      refuse_it("a pipe, which cannot be read out of order; write it to a file first");
      break;
    case fs::file_type::character:
    case fs::file_type::block:
      refuse_it("a device, expected a file");
      break;
    case fs::file_type::directory:
      if (!may_be_folder) refuse_it("a folder, expected a file");
      break;
    default:
      break;
  }
}

}  // namespace

void check_files(const CommandHelp& command, const Catalog& catalog) {
  std::vector<NamedFile> inputs, outputs;
  for (const Section& section : command.sections) {
    for (const Flag& flag : section.flags) {
      for (const std::string& value : values_of(flag)) {
        for (const fs::path& file : files_in(flag, value, catalog)) {
          (flag.is_output ? outputs : inputs).push_back({flag.name, file});
          if (!flag.is_output) check_input(inputs.back(), flag.placeholder != "FILE");
        }
      }
    }
  }
  for (auto output = outputs.begin(); output != outputs.end(); ++output) {
    if (output->file == "-")
      refuse(output->text() + ": is not written to stdout; give a file name");
    for (const NamedFile& input : inputs) {
      if (are_one_file(output->file, input.file))
        refuse(output->text() + " would replace " + input.text() +
               ", which this command reads; give another name");
    }
    for (auto other = outputs.begin(); other != output; ++other) {
      if (are_one_file(output->file, other->file))
        refuse(other->text() + " and " + output->text() + " are one file; give two names");
    }
    for (const auto& [descriptor, name] :
         {std::pair{STDOUT_FILENO, "stdout"}, std::pair{STDERR_FILENO, "stderr"}}) {
      if (takes_stream(descriptor, output->file))
        refuse(output->text() + " is where " + name + " goes; give another name");
    }
  }
}

}  // namespace cli
}  // namespace v0
}  // namespace chest

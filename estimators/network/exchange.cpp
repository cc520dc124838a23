#include <chest/estimators/network/exchange.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <complex>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/common/model_file.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/estimators/network/scheduler_config.hpp>
#include <chest/estimators/network/vae_model.hpp>
#include <chest/file.hpp>
#include <chest/file_kind.hpp>
#include <chest/provenance.hpp>
#include <chest/text.hpp>

#include "model_parts.hpp"
#include "settings.hpp"
#include "tensor_file.hpp"

namespace chest {
inline namespace v0 {
namespace {

// In the metadata of our safetensors files.
constexpr const char* chest_metadata = "chest";
constexpr const char* model_format = "chest-model";

template <class Value>
std::vector<char> bytes_of(const std::vector<Value>& values) {
  std::vector<char> bytes(values.size() * sizeof(Value));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// All attributes of an object, numbers that are whole as integers.
Json attributes_of(const ArchiveReader& archive, const std::string& object) {
  Json out = Json::object();
  for (const std::string& name : archive.list_attributes(object)) {
    if (const auto text = archive.text_attribute(object, name)) {
      out[name] = *text;
      continue;
    }
    const auto number = archive.number_attribute(object, name);
    const auto integer = archive.integer_attribute(object, name);
    if (!number) {
      throw_format(archive.file(),
                   "the attribute " + name + " of " + object + " is neither text nor a number");
    }
    if (integer && static_cast<double>(*integer) == *number) {
      out[name] = *integer;
    } else {
      out[name] = *number;
    }
  }
  return out;
}

/// The groups that lead to these datasets, and the root.
std::vector<std::string> groups_of(const std::vector<std::string>& datasets) {
  std::vector<std::string> groups{"/"};
  for (const std::string& path : datasets) {
    for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
      const std::string group = path.substr(0, at);
      if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
    }
  }
  return groups;
}

std::string read_whole(const std::filesystem::path& file) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in)
    throw Error(ErrorKind::io, file.string() + ": cannot be opened: " + std::strerror(errno));
  return std::string(std::istreambuf_iterator<char>(in), {});
}

/// The sim_params.json that goes with weights.
std::filesystem::path params_beside(const std::filesystem::path& weights,
                                    const std::filesystem::path& given) {
  if (!given.empty()) return given;
  constexpr const char* name = "sim_params.json";
  const std::filesystem::path folder = std::filesystem::absolute(weights).parent_path();
  for (const std::filesystem::path& at : {folder / name, folder.parent_path() / name}) {
    std::error_code error;
    if (std::filesystem::is_regular_file(at, error)) return at;
  }
  throw_format(weights,
               "holds weights alone, and there is no sim_params.json beside it or one "
               "folder up; name the file that says what network they are of");
}

/// What stands before the names of the arrays: "model.model." in a checkpoint, nothing in a network's dictionary.
std::string prefix_of(const TensorFile& content, const std::filesystem::path& file,
                      const std::string& first_name) {
  std::vector<std::string> prefixes;
  for (const StoredTensor& tensor : content.tensors) {
    if (tensor.name.ends_with(first_name)) {
      prefixes.push_back(tensor.name.substr(0, tensor.name.size() - first_name.size()));
    }
  }
  if (prefixes.size() == 1) return prefixes.front();
  std::vector<std::string> names;
  constexpr std::size_t most_named = 8;
  for (const StoredTensor& tensor : content.tensors) {
    if (names.size() < most_named) names.push_back(tensor.name);
  }
  if (prefixes.empty()) {
    throw_format(file,
                 "no array is called " + first_name +
                     ", the first layer of the published "
                     "network; there " +
                     (names.empty() ? std::string("are no arrays")
                                    : "are " + enumerate(names) +
                                          (content.tensors.size() > most_named ? " .." : "")));
  }
  throw_format(file, "holds several networks, below " + enumerate(prefixes) +
                         "; expected one; save that one alone");
}

NetworkModel import_tensors(const std::filesystem::path& file, const TensorFile& content,
                            const ImportOptions& options) {
  const std::filesystem::path params_file = params_beside(file, options.params);
  const Settings params(params_file, "sim_params", read_whole(params_file));
  NetworkModel model = published_model(params_file, params);
  const std::vector<NamedTensor> layout = network_layout(model.network);
  const std::string prefix =
      prefix_of(content, file, published_name(model.network, layout.front().name));

  std::vector<NamedTensor> weights;
  for (const NamedTensor& expected : layout) {
    const std::string name = prefix + published_name(model.network, expected.name);
    const StoredTensor* const found = content.find(name);
    if (found == nullptr) throw_format(file, "no weights " + name);
    weights.push_back({expected.name, found->dims, found->floats(file)});
  }
  model.weights = arranged_weights(layout, weights, ErrorKind::format, file.string());
  for (const StoredTensor& tensor : content.tensors) {
    const auto known = [&](const NamedTensor& each) {
      return prefix + published_name(model.network, each.name) == tensor.name;
    };
    if (tensor.name.starts_with(prefix + "cnn_") &&
        std::none_of(layout.begin(), layout.end(), known)) {
      throw_format(file, "weights " + tensor.name +
                             " belong to no layer of the network; expected "
                             "those that unet_dict names in " +
                             params_file.string());
    }
  }
  // Buffers of the diffusion model lie beside its network, "model.".
  arma::vec betas;
  const std::string network = "model.";
  if (prefix.ends_with(network)) {
    const std::string around = prefix.substr(0, prefix.size() - network.size());
    if (const StoredTensor* const found = content.find(around + "betas")) {
      betas = arma::vec(found->doubles(file));
    }
  }
  if (options.scheduler.empty()) set_published_schedule(model, file, params, betas);
  const Json about{{"imported_from", file.filename().string()}, {"imported_hash", hash_file(file)}};
  model.provenance.options = about.dump();
  return model;
}

NetworkModel import_hdf5(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  if (archive.text_attribute("/", "format").value_or("") == model_format) {
    return load_network_model(file);
  }
  return import_published_weights(file);
}

void restore(const std::filesystem::path& file, const TensorFile& content,
             const std::filesystem::path& model) {
  const auto metadata = content.metadata.find(chest_metadata);
  const Json attributes =
      metadata == content.metadata.end() ? Json() : Json::parse(metadata->second, nullptr, false);
  if (!attributes.is_object()) {
    throw_format(file,
                 "has no metadata of chest, or they are damaged; expected a model that chest "
                 "exported");
  }
  const std::string complex_marker = "complex";
  ArchiveWriter archive(model);
  for (const StoredTensor& tensor : content.tensors) {
    const std::string path = "/" + tensor.name;
    std::vector<std::uint64_t> dims(tensor.dims.begin(), tensor.dims.end());
    const Json marked = attributes.value(path, Json::object());
    if (marked.value(complex_marker, false)) {
      if (tensor.type != "F64" || dims.empty() || dims.back() != 2) {
        throw_format(file, "the complex array " + tensor.name + " has no last axis of 2");
      }
      dims.pop_back();
      const std::vector<double> parts = tensor.doubles(file);
      std::vector<std::complex<double>> values;
      for (std::size_t i = 0; i + 1 < parts.size(); i += 2) {
        values.emplace_back(parts[i], parts[i + 1]);
      }
      archive.write(path, dims, values.data());
    } else if (tensor.type == "F32") {
      archive.write(path, dims, tensor.floats(file).data());
    } else if (tensor.type == "F64") {
      archive.write(path, dims, tensor.doubles(file).data());
    } else if (tensor.type == "I64") {
      std::vector<std::int64_t> values(tensor.bytes.size() / sizeof(std::int64_t));
      std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
      archive.write(path, dims, values.data());
    } else {
      throw_format(file, "the array " + tensor.name + " is of type " + tensor.type +
                             "; expected F32, F64 or I64");
    }
  }
  for (const auto& [object, entries] : attributes.items()) {
    if (content.find(object.substr(1)) != nullptr) continue;
    for (const auto& [name, value] : entries.items()) {
      if (value.is_string()) {
        archive.attribute(object, name, value.get<std::string>());
      } else if (value.is_number_integer()) {
        archive.attribute(object, name, value.get<std::int64_t>());
      } else if (value.is_number()) {
        archive.attribute(object, name, value.get<double>());
      } else {
        throw_format(file,
                     "the attribute " + name + " of " + object + " is neither text nor a number");
      }
    }
  }
  archive.commit();
}

/// Hands a model file of the content, which the reader of its kind has found whole, to use(file, kind).
template <class Use>
void restore_checked(const std::filesystem::path& file, const TensorFile& content, const Use& use) {
  const TemporaryFile whole(std::filesystem::temp_directory_path() / "chest-import");
  try {
    restore(file, content, whole.path());
    const std::string kind =
        ArchiveReader(whole.path()).text_attribute("/", "kind").value_or("(none)");
    if (kind == "dmse") {
      load_network_model(whole.path());
    } else if (kind == "vae") {
      load_vae_model(whole.path());
    } else if (kind == "gmm") {
      load_gmm_model(whole.path());
    } else {
      read_model_header(ArchiveReader(whole.path()), kind, std::numeric_limits<int>::max());
    }
    use(whole.path(), kind);
  } catch (const Json::exception&) {
    throw_format(file, "its metadata of chest are damaged");
  } catch (const Error& error) {
    // The temporary file is nobody's concern.
    std::string what = error.what();
    const std::string name = whole.path().string();
    if (const std::size_t at = what.find(name); at != std::string::npos) {
      what.replace(at, name.size(), file.string());
    }
    throw Error(error.kind(), what);
  }
}

}  // namespace

void save_safetensors(const std::filesystem::path& file, const std::filesystem::path& model) {
  const ArchiveReader archive(model);
  read_provenance(archive, model_format, std::numeric_limits<int>::max());
  TensorFile content;
  Json attributes;
  const std::vector<std::string> datasets = archive.list_datasets();
  for (const std::string& group : groups_of(datasets)) {
    attributes[group] = attributes_of(archive, group);
  }
  for (const std::string& path : datasets) {
    const StoredDataset info = archive.info(path);
    StoredTensor tensor{path.substr(1), "F64", {info.dims.begin(), info.dims.end()}, {}};
    switch (info.type) {
      case ValueType::real:
        if (info.bytes_per_value == sizeof(float)) {
          tensor.type = "F32";
          tensor.bytes = bytes_of(archive.read_all<float>(path));
        } else {
          tensor.bytes = bytes_of(archive.read_all<double>(path));
        }
        break;
      case ValueType::integer:
        tensor.type = "I64";
        tensor.bytes = bytes_of(archive.read_all<std::int64_t>(path));
        break;
      case ValueType::complex:
        tensor.dims.push_back(2);
        tensor.bytes = bytes_of(archive.read_all<std::complex<double>>(path));
        attributes[path] = {{"complex", true}};
        break;
      case ValueType::string:
      case ValueType::other:
        throw_format(model,
                     path + " is of a type that safetensors has not (" + info.type_name + ")");
    }
    content.tensors.push_back(std::move(tensor));
  }
  content.metadata[chest_metadata] = attributes.dump();
  write_safetensors(file, content);
}

void restore_from_safetensors(const std::filesystem::path& file,
                              const std::filesystem::path& model) {
  const TensorFile content = read_safetensors(file);
  restore_checked(file, content, [](const std::filesystem::path&, const std::string&) {});
  restore(file, content, model);
}

bool is_model_in_safetensors(const std::filesystem::path& file) {
  if (!is_safetensors(file)) return false;
  return read_safetensors(file).metadata.count(chest_metadata) > 0;
}

NetworkModel import_network(const std::filesystem::path& weights, const ImportOptions& options) {
  NetworkModel model;
  if (is_safetensors(weights)) {
    const TensorFile content = read_safetensors(weights);
    if (content.metadata.count(chest_metadata) > 0) {
      restore_checked(
          weights, content, [&](const std::filesystem::path& whole, const std::string& kind) {
            if (kind != "dmse") {
              throw_format(weights, "is a model of kind " + kind + ", expected one of kind dmse");
            }
            model = load_network_model(whole);
          });
    } else {
      model = import_tensors(weights, content, options);
    }
  } else {
    switch (file_kind(weights)) {
      case FileKind::hdf5:
        model = import_hdf5(weights);
        break;
      case FileKind::zip:
        model = import_tensors(weights, read_torch_file(weights), options);
        break;
      default: {
        const std::string what = describe_foreign_file(weights);
        throw_format(weights,
                     (what.empty() ? std::string("is of a kind that is not known") : what) +
                         "; expected weights as HDF5, .pt (torch.save) or safetensors");
      }
    }
  }
  if (!options.scheduler.empty()) {
    const SchedulerConfig config = read_scheduler_config(options.scheduler);
    check_variances(config, model.network, options.scheduler.string());
    model.schedule = config.schedule;
    model.prediction = config.prediction;
    model.scheduler = config.json;
  }
  if (model.network.reverse_variance && model.schedule.n_steps() < 2) {
    throw_format(weights,
                 "is a network with variances of the step back, of a schedule of one noise level; "
                 "expected 2 or more");
  }
  return model;
}

}  // namespace v0
}  // namespace chest

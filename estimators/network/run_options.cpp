#include <chest/estimators/network/run_options.hpp>

#include <array>
#include <utility>

#include <chest/error.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

constexpr std::array<std::pair<NetworkEngine, const char*>, 3> engine_names{
    {{NetworkEngine::automatic, "auto"},
     {NetworkEngine::onednn, "onednn"},
     {NetworkEngine::torch, "torch"}}};

}  // namespace

const char* to_string(NetworkEngine engine) {
  for (const auto& [value, name] : engine_names) {
    if (value == engine) return name;
  }
  return "";
}

NetworkEngine engine_from_string(const std::string& text) {
  std::vector<std::string> names;
  for (const auto& [value, name] : engine_names) {
    if (text == name) return value;
    names.emplace_back(name);
  }
  throw Error(ErrorKind::invalid_argument,
              "engine: there is no '" + text + "'; there are " + enumerate(names));
}

const char* to_string(NetworkPrecision precision) {
  switch (precision) {
    case NetworkPrecision::automatic:
      return "auto";
    case NetworkPrecision::float32:
      return "float32";
    case NetworkPrecision::bfloat16:
      return "bfloat16";
    default:
      return "int8";
  }
}

bool runs_on_own_engine(const NetworkRunOptions& options) {
  // "auto" is the processor where there is no other device: LibTorch finds out.
  const bool own = options.device == "cpu" && options.engine != NetworkEngine::torch;
  if (!own && options.engine == NetworkEngine::onednn) {
    throw Error(ErrorKind::invalid_argument, "engine onednn works on the processor; the device '" +
                                                 options.device + "' needs the engine torch");
  }
  if (!own && options.precision == NetworkPrecision::int8) {
    throw Error(ErrorKind::invalid_argument,
                "precision int8 is the engine onednn's, on the processor; asked for is " +
                    (options.device == "cpu" ? std::string("the engine torch")
                                             : "the device '" + options.device + "'"));
  }
  return own;
}

std::string engine_in_use(const NetworkRunOptions& options) {
  const bool own = runs_on_own_engine(options);
  const bool is_open = options.precision == NetworkPrecision::automatic;
  return std::string(own ? "onednn " : "torch ") +
         to_string(is_open ? NetworkPrecision::float32 : options.precision);
}

}  // namespace v0
}  // namespace chest

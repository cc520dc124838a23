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

std::string engine_in_use(const NetworkRunOptions& options) {
  // "auto" is the processor where there is no other device: LibTorch finds out.
  const bool own = options.device == "cpu" && !options.bfloat16;
  if (options.engine == NetworkEngine::onednn && !own) {
    throw Error(
        ErrorKind::invalid_argument,
        "engine onednn works in float32 on the processor; " +
            (options.bfloat16 ? std::string("bfloat16") : "the device '" + options.device + "'") +
            " needs the engine torch");
  }
  if (own && options.engine != NetworkEngine::torch) return "onednn float32";
  return options.bfloat16 ? "torch bfloat16" : "torch float32";
}

}  // namespace v0
}  // namespace chest

#include <cstdint>
#include <string>

#include <chest/error.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/sim/pilots.hpp>
#include <chest/spec.hpp>

namespace {

template <class Parse>
void parse(const std::string& text, Parse&& parser) {
  try {
    parser(text);
  } catch (const chest::Error&) {
  }
}

}  // namespace

/// What a user may write after --estimators, --pilots and --network: it is read, or refused with an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  parse(text, [](const std::string& t) {
    for (const chest::NamedOptions& spec :
         chest::parse_named_options_list(t, {"ls", "dmse", "ep"})) {
      // What was read is read again as the same.
      const chest::NamedOptions again = chest::parse_named_options(spec.text);
      if (again.name != spec.name || again.options != spec.options || again.file != spec.file)
        __builtin_trap();
    }
  });
  parse(text, [](const std::string& t) { chest::sim::parse_pilots(t); });
  parse(text, [](const std::string& t) { chest::parse_network(t); });
  return 0;
}

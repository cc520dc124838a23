#include <chest/grid.hpp>

#include <algorithm>
#include <vector>

#include <chest/text.hpp>

namespace chest {
inline namespace v0 {

std::optional<PanelShape> panel_from_text(const std::string& text) {
  const std::vector<std::string> counts = split(text, 'x');
  const auto is_count = [](const std::string& digits) {
    return !digits.empty() && digits.size() < 8 &&
           digits.find_first_not_of("0123456789") == std::string::npos;
  };
  if (counts.size() != 3 || !std::all_of(counts.begin(), counts.end(), is_count)) return {};
  return PanelShape{std::stoull(counts[0]), std::stoull(counts[1]), std::stoull(counts[2])};
}

}  // namespace v0
}  // namespace chest

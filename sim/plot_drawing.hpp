#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace chest {
inline namespace v0 {
namespace sim {

struct CurvePoint {
  double x, y, low, high;
};
/// Curves of one panel by legend entry.
struct Panel {
  std::string title;
  std::map<std::string, std::vector<CurvePoint>> curves;
};
/// A figure of panels side by side, whatever is drawn.
struct Drawing {
  bool log_x = false, log_y = false;
  std::string x_label, y_label;
  std::vector<std::string> entries;  // legend, in order of first appearance
  std::vector<Panel> panels;
};

/// Draws into `file` as plot() does: .svg, .png, .pdf with gnuplot, .gp as its commands.
/// @throws as plot()
void draw(const Drawing& drawing, const std::filesystem::path& file, const std::string& title);

}  // namespace sim
}  // namespace v0
}  // namespace chest

#pragma once

#include <armadillo>
#include <filesystem>
#include <string>
#include <vector>

namespace chest {
inline namespace v0 {
namespace sim {

/// y over x, [n] each; values that are not finite leave a gap.
struct FigureCurve {
  std::string name;  ///< in the legend of the panel; empty: not there
  arma::vec x, y;
  bool points = false;  ///< marks alone, no line
};

/// One panel: curves, or an image.
struct FigurePanel {
  std::string title, x_label, y_label;
  std::vector<FigureCurve> curves;
  bool log_x = false, log_y = false;
  arma::mat image =
      {};  ///< drawn with row 0 at the bottom, in the colours of image_low .. image_high
  double image_low = 0.0, image_high = 1.0;
};

struct Figure {
  std::string title;  ///< above all panels; empty: none
  arma::uword n_columns = 2;
  double panel_width = 4.4, panel_height = 3.3;  ///< in inches
  std::vector<FigurePanel> panels;
};

/// Draws with the gnuplot program; in place in one step. A `file` that ends in .gp gets the
/// commands themselves, which draw an .svg beside it.
/// @throws Error(invalid_argument) if there is no panel, x and y of a curve differ in size, or the ending is
///         another than .svg, .png, .pdf and .gp;  Error(io) if gnuplot is missing or fails
void draw_figure(const Figure& figure, const std::filesystem::path& file);

}  // namespace sim
}  // namespace v0
}  // namespace chest

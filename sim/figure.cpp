#include <chest/sim/figure.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>

#include <chest/error.hpp>

#include "gnuplot.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

std::string figure_script(const Figure& figure, const std::filesystem::path& output,
                          const std::string& ending) {
  static constexpr std::array colours{"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                      "#E69F00", "#56B4E9", "#7F3C8D", "#000000"};
  const std::size_t n = figure.panels.size();
  const auto n_columns = std::clamp<std::size_t>(figure.n_columns, 1, n);
  const std::size_t n_rows = (n + n_columns - 1) / n_columns;
  const double title_height = figure.title.empty() ? 0.0 : 0.35;
  // The legend has a strip of its own, right of the curves.
  std::size_t longest = 0;
  for (const FigurePanel& panel : figure.panels) {
    for (const FigureCurve& curve : panel.curves) longest = std::max(longest, curve.name.size());
  }
  const double strip = longest == 0 ? 0.0 : 0.45 + 0.085 * double(longest);
  const double panel_width = figure.panel_width + strip;
  const double width = panel_width * double(n_columns);
  const double height = figure.panel_height * double(n_rows) + title_height;
  std::ostringstream out;
  out << gnuplot_head(output, ending, width, height);
  for (std::size_t p = 0; p < n; ++p) {
    const FigurePanel& panel = figure.panels[p];
    for (std::size_t c = 0; c < panel.curves.size(); ++c) {
      const FigureCurve& curve = panel.curves[c];
      out << "$curve_" << p << "_" << c << " << EOD\n";
      for (arma::uword i = 0; i < curve.x.n_elem; ++i) {
        const bool shown = std::isfinite(curve.x(i)) && std::isfinite(curve.y(i)) &&
                           (!panel.log_y || curve.y(i) > 0.0);
        if (shown) out << curve.x(i) << " " << curve.y(i);
        out << "\n";
      }
      out << "EOD\n";
    }
    if (panel.image.is_empty()) continue;
    out << "$image_" << p << " << EOD\n";
    for (arma::uword i = 0; i < panel.image.n_rows; ++i) {
      for (arma::uword j = 0; j < panel.image.n_cols; ++j) {
        out << std::clamp(panel.image(i, j), panel.image_low, panel.image_high) << " ";
      }
      out << "\n";
    }
    out << "EOD\n";
  }
  out << "set multiplot\nset border 31 lw 0.8\nset tics scale 0.6\n"
      << "set palette defined (0 '#ffffff', 0.35 '#9ecae1', 0.7 '#2171b5', 1 '#08306b')\n"
      << "set key noenhanced samplen 1.5 reverse Left left top at graph 1.02, graph 1\n";
  if (!figure.title.empty()) {
    out << "set label 1 " << gnuplot_quoted(figure.title) << " at screen 0.5, screen "
        << 1.0 - 0.55 * title_height / height << " center noenhanced font ',12'\n";
  }
  for (std::size_t p = 0; p < n; ++p) {
    const FigurePanel& panel = figure.panels[p];
    const double left = panel_width * double(p % n_columns);
    const double top = height - title_height - figure.panel_height * double(p / n_columns);
    const double low = panel.x_label.empty() ? 0.2 : 0.55;
    out << "set lmargin at screen " << (left + (panel.y_label.empty() ? 0.35 : 0.75)) / width
        << "\nset rmargin at screen "
        << (left + figure.panel_width - 0.3 + (panel.image.is_empty() ? 0.0 : strip)) / width
        << "\nset tmargin at screen " << (top - 0.32) / height << "\nset bmargin at screen "
        << (top - figure.panel_height + low) / height << "\nset title "
        << gnuplot_quoted(panel.title) << " noenhanced offset 0,-0.6\nset xlabel "
        << gnuplot_quoted(panel.x_label) << "\nset ylabel " << gnuplot_quoted(panel.y_label)
        << "\n";
    if (!panel.image.is_empty()) {
      out << "unset key\nunset colorbox\nunset tics\nunset grid\nset cbrange [" << panel.image_low
          << ":" << panel.image_high << "]\nset xrange [-0.5:" << double(panel.image.n_cols) - 0.5
          << "]\nset yrange [-0.5:" << double(panel.image.n_rows) - 0.5 << "]\nplot $image_" << p
          << " matrix with image\nunset label 1\n";
      continue;
    }
    out << "set key\nset tics\nset grid lt 1 lc rgb '#d8d8d8' lw 0.7\nset autoscale xy\n"
        << (panel.log_x ? "set" : "unset") << " logscale x\n"
        << (panel.log_y ? "set" : "unset") << " logscale y\n"
        << (panel.log_y ? "set format y '10^{%T}'\n" : "set format y '%g'\n");
    bool first = true;
    for (std::size_t c = 0; c < panel.curves.size(); ++c) {
      const FigureCurve& curve = panel.curves[c];
      const bool shown = std::any_of(curve.y.begin(), curve.y.end(), [&](double y) {
        return std::isfinite(y) && (!panel.log_y || y > 0.0);
      });
      if (!shown) continue;
      out << (first ? "plot " : ", \\\n     ") << "$curve_" << p << "_" << c << " using 1:2 with "
          << (curve.points ? "points pt 7 ps 0.5" : "linespoints lw 2 pt 7 ps 0.4") << " lc rgb '"
          << colours[c % colours.size()] << "' dt " << 1 + c / colours.size()
          << (curve.name.empty() ? " notitle" : " title " + gnuplot_quoted(curve.name));
      first = false;
    }
    if (first) out << "set xrange [0:1]\nset yrange [0.1:1]\nplot NaN notitle";
    out << "\nunset label 1\n";
  }
  out << "unset multiplot\nunset output\n";
  return out.str();
}

}  // namespace

void draw_figure(const Figure& figure, const std::filesystem::path& file) {
  if (figure.panels.empty()) refuse("figure: there is no panel to draw");
  for (const FigurePanel& panel : figure.panels) {
    for (const FigureCurve& curve : panel.curves) {
      if (curve.x.n_elem == curve.y.n_elem) continue;
      refuse("figure: curve '" + curve.name + "' has " + std::to_string(curve.x.n_elem) +
             " x and " + std::to_string(curve.y.n_elem) + " y");
    }
  }
  draw_with_gnuplot(file, [&](const std::filesystem::path& drawn, const std::string& ending) {
    return figure_script(figure, drawn, ending);
  });
}

}  // namespace sim
}  // namespace v0
}  // namespace chest

#include <chest/sim/plot.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <sstream>

#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/text.hpp>

#include "gnuplot.hpp"
#include "plot_drawing.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

std::string db_text(double snr_db) {
  char text[32];
  std::snprintf(text, sizeof text, "%g dB", snr_db);
  return text;
}

/// Marks, colours (safe for colour-blind readers, Okabe and Ito) and dashes of the i-th legend
/// entry.
std::string style_of(std::size_t i, const std::string& entry) {
  static constexpr std::array colours{"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                      "#E69F00", "#56B4E9", "#7F3C8D"};
  static constexpr std::array marks{6, 4, 8, 12, 10, 7, 5, 9, 13, 11, 14};
  std::ostringstream style;
  // Bounds are not methods: black and grey, dashed.
  if (entry.rfind("genie", 0) == 0) {
    style << "lc rgb '#000000' dt 2 lw 1.5 pt 2 ps 0.8";
  } else if (entry.rfind("perfect", 0) == 0) {
    style << "lc rgb '#707070' dt 4 lw 1.5 pt 1 ps 0.8";
  } else {
    style << "lc rgb '" << colours[i % colours.size()] << "' dt " << 1 + 3 * (i / colours.size())
          << " lw 2 pt " << marks[i % marks.size()] << " ps 1";
  }
  return style.str();
}

/// "dft" of "dft:16".
std::string kind_of(const std::string& pilots) { return pilots.substr(0, pilots.find(':')); }

Drawing collect(const std::vector<NamedResults>& all, PlotAxis x) {
  Drawing drawing;
  std::set<ResultKind> kinds;
  std::map<std::string, int> files_with;  // estimator -> number of files
  for (const NamedResults& named : all) {
    kinds.insert(named.results.kind);
    for (const std::string& estimator : named.results.estimators) ++files_with[estimator];
  }
  if (kinds.size() > 1)
    throw Error(ErrorKind::invalid_argument,
                "plot: results of sweeps, links and coded links do not go into one figure; draw "
                "them one by one");
  const bool coded = kinds.count(ResultKind::coded_link) > 0;
  const bool link = kinds.count(ResultKind::link) > 0 || coded;
  drawing.log_y = link;
  drawing.y_label = coded ? "block error rate" : link ? "bit error rate" : "NMSE in dB";
  drawing.log_x = x == PlotAxis::n_pilots;
  drawing.x_label =
      drawing.log_x ? "number of pilots" : "SNR in dB (1/σ² per receive antenna and slot)";
  std::set<arma::uword> pilot_counts;
  std::set<std::string> pilot_kinds;
  for (const NamedResults& named : all) {
    for (const Pilots& pilots : named.results.pilots) pilot_kinds.insert(kind_of(pilots.name));
  }
  for (const NamedResults& named : all) {
    for (const Row& row : rows(named.results)) {
      std::string entry = row.estimator;
      if (files_with[entry] > 1) entry += " (" + named.name + ")";
      std::string title;
      if (x == PlotAxis::snr) {
        title = "pilots " + row.pilots;
      } else {
        title = "SNR " + db_text(row.snr_db);
        if (pilot_kinds.size() > 1) entry += ", " + kind_of(row.pilots);
      }
      if (link) title += ", " + row.modulation;
      pilot_counts.insert(row.n_pilots);
      if (std::find(drawing.entries.begin(), drawing.entries.end(), entry) == drawing.entries.end())
        drawing.entries.push_back(entry);
      auto panel = std::find_if(drawing.panels.begin(), drawing.panels.end(),
                                [&](const Panel& p) { return p.title == title; });
      if (panel == drawing.panels.end()) panel = drawing.panels.insert(panel, Panel{title, {}});
      CurvePoint point{x == PlotAxis::snr ? row.snr_db : double(row.n_pilots), 0, 0, 0};
      if (coded) {
        if (row.bler == 0.0) continue;
        point.y = row.bler;
        point.low = row.bler_ci95_low;
        point.high = row.bler_ci95_high;
      } else if (link) {
        if (row.ber == 0.0) continue;  // has no place on a logarithmic axis
        point.y = row.ber;
        point.low = std::isfinite(row.ber_ci95_low) ? row.ber_ci95_low : row.ber;
        point.high = std::isfinite(row.ber_ci95_high) ? row.ber_ci95_high : row.ber;
        if (point.low <= 0.0) point.low = point.y;
      } else {
        if (row.nmse == 0.0) continue;
        point.y = row.nmse_db;
        point.low = row.nmse_ci95_low > 0.0 ? to_db(row.nmse_ci95_low) : row.nmse_db;
        point.high = row.nmse_ci95_high > 0.0 ? to_db(row.nmse_ci95_high) : row.nmse_db;
      }
      panel->curves[entry].push_back(point);
    }
  }
  if (drawing.panels.empty())
    throw Error(ErrorKind::invalid_argument,
                "plot: the results hold no finished point; run their command to its end first");
  if (x == PlotAxis::n_pilots && pilot_counts.size() < 2)
    throw Error(ErrorKind::invalid_argument,
                "plot: all results have " + std::to_string(*pilot_counts.begin()) +
                    " pilots, expected several counts for --x n_pilots");
  for (Panel& panel : drawing.panels)
    for (auto& [entry, points] : panel.curves)
      std::stable_sort(points.begin(), points.end(),
                       [](const CurvePoint& a, const CurvePoint& b) { return a.x < b.x; });
  return drawing;
}

std::string script(const Drawing& drawing, const std::filesystem::path& output,
                   const std::string& ending, const std::string& title) {
  const std::size_t n_panels = drawing.panels.size();
  const std::size_t n_columns = n_panels <= 3 ? n_panels : n_panels == 4 ? 2 : 3;
  const std::size_t n_rows = (n_panels + n_columns - 1) / n_columns;

  // Layout in inches; the legend has a strip of its own below the panels.
  const double panel_width = n_columns == 1 ? 6.0 : 4.4, panel_height = n_columns == 1 ? 4.0 : 3.3;
  std::size_t longest = 0;
  for (const std::string& entry : drawing.entries) longest = std::max(longest, entry.size());
  const double width = panel_width * double(n_columns);
  const double entry_width = 0.085 * double(longest) + 0.75;
  const auto per_line =
      std::clamp<std::size_t>(std::size_t((width - 0.4) / entry_width), 1, drawing.entries.size());
  const std::size_t legend_lines = (drawing.entries.size() + per_line - 1) / per_line;
  const double legend_height = 0.15 + 0.2 * double(legend_lines);
  const double title_height = title.empty() ? 0.0 : 0.3;
  const double height = panel_height * double(n_rows) + legend_height + title_height;

  std::ostringstream out;
  out << gnuplot_head(output, ending, width, height);

  for (std::size_t p = 0; p < n_panels; ++p)
    for (std::size_t e = 0; e < drawing.entries.size(); ++e) {
      const auto curve = drawing.panels[p].curves.find(drawing.entries[e]);
      if (curve == drawing.panels[p].curves.end()) continue;
      out << "$curve_" << p << "_" << e << " << EOD\n";
      for (const CurvePoint& point : curve->second)
        out << point.x << " " << point.y << " " << point.low << " " << point.high << "\n";
      out << "EOD\n";
    }

  out << "set multiplot\nset grid lt 1 lc rgb '#d8d8d8' lw 0.7\nset border 31 lw 0.8\n"
      << "set tics scale 0.6\nset errorbars small\nunset key\n";
  if (drawing.log_y) out << "set logscale y\nset format y '10^{%T}'\n";
  out << "set ylabel " << gnuplot_quoted(drawing.y_label) << "\nset xlabel "
      << gnuplot_quoted(drawing.x_label) << "\n";
  if (drawing.log_x) out << "set logscale x 2\n";
  if (!title.empty())
    out << "set label 1 " << gnuplot_quoted(title) << " at screen 0.5, screen "
        << 1.0 - 0.55 * title_height / height << " center noenhanced font ',12'\n";

  for (std::size_t p = 0; p < n_panels; ++p) {
    const std::size_t row = p / n_columns, column = p % n_columns;
    const double left = panel_width * double(column);
    const double top = height - title_height - panel_height * double(row);
    out << "set lmargin at screen " << (left + 0.72) / width << "\nset rmargin at screen "
        << (left + panel_width - 0.18) / width << "\nset tmargin at screen "
        << (top - 0.32) / height << "\nset bmargin at screen "
        << (top - panel_height + 0.55) / height << "\nset title "
        << gnuplot_quoted(drawing.panels[p].title) << " noenhanced offset 0,-0.6\n";
    double x_min = INFINITY, x_max = -INFINITY;
    for (const auto& [entry, points] : drawing.panels[p].curves)
      for (const CurvePoint& point : points) {
        x_min = std::min(x_min, point.x);
        x_max = std::max(x_max, point.x);
      }
    if (!std::isfinite(x_min)) {
      out << "set xrange [0:1]\n";
    } else if (x_min < x_max) {
      const double pad = drawing.log_x ? 0.0 : 0.02 * (x_max - x_min);
      const double factor = drawing.log_x ? 1.05 : 1.0;
      out << "set xrange [" << (x_min - pad) / factor << ":" << (x_max + pad) * factor << "]\n";
    } else {
      out << "set xrange [" << x_min - 1 << ":" << x_min + 1 << "]\n";
    }
    bool first = true;
    for (std::size_t e = 0; e < drawing.entries.size(); ++e) {
      const auto curve = drawing.panels[p].curves.find(drawing.entries[e]);
      if (curve == drawing.panels[p].curves.end() || curve->second.empty()) continue;
      out << (first ? "plot " : ", \\\n     ") << "$curve_" << p << "_" << e
          << " using 1:2:3:4 with yerrorlines " << style_of(e, drawing.entries[e]);
      first = false;
    }
    // A panel in which nothing was wrong still has its frame.
    if (first) out << "set yrange [1e-6:1]\nplot NaN notitle";
    out << "\n";
    if (first) out << "set autoscale y\n";
    out << "unset label 1\n";
  }

  out << "set lmargin at screen 0\nset rmargin at screen 1\nset bmargin at screen 0\n"
      << "set tmargin at screen " << legend_height / height << "\nunset logscale\nunset title\n"
      << "unset xlabel\nunset ylabel\nunset tics\nunset border\nunset grid\nset xrange [0:1]\n"
      << "set yrange [0:1]\nset key center center horizontal reverse Left maxcols " << per_line
      << " samplen 2.5 width 1 noenhanced\n";
  for (std::size_t e = 0; e < drawing.entries.size(); ++e)
    out << (e == 0 ? "plot " : ", \\\n     ") << "NaN with linespoints "
        << style_of(e, drawing.entries[e]) << " title " << gnuplot_quoted(drawing.entries[e]);
  out << "\nunset multiplot\nunset output\n";
  return out.str();
}

}  // namespace

std::string plot_script(const std::vector<NamedResults>& results, const std::filesystem::path& file,
                        const PlotOptions& options) {
  check_figure_ending(file);
  return script(collect(results, options.x), file, figure_ending(file), options.title);
}

void plot(const std::vector<NamedResults>& results, const std::filesystem::path& file,
          const PlotOptions& options) {
  draw(collect(results, options.x), file, options.title);
}

void draw(const Drawing& drawing, const std::filesystem::path& file, const std::string& title) {
  draw_with_gnuplot(file, [&](const std::filesystem::path& drawn, const std::string& ending) {
    return script(drawing, drawn, ending, title);
  });
}

}  // namespace sim
}  // namespace v0
}  // namespace chest

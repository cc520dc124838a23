#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <chest/sim/results.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// Results with the name that the legend gives them where several hold the same estimator.
struct NamedResults {
  std::string name;
  Results results;
};

enum class PlotAxis { snr, n_pilots };

struct PlotOptions {
  /// snr: a panel per choice of pilots (and modulation); n_pilots: a panel per SNR (and
  /// modulation), the estimators over the number of pilots.
  PlotAxis x = PlotAxis::snr;
  std::string title;  ///< above all panels; empty: none
};

/// Whether a figure of this name can be drawn, to be asked before a long run.
/// @throws Error(invalid_argument) if it does not end in .svg, .png, .pdf or .gp;  Error(io) if the
///         program gnuplot is missing
void check_plot(const std::filesystem::path& file);

/// Gnuplot commands that draw the finished points into `file` (.svg, .png or .pdf): the NMSE in dB,
/// or the BER of link runs, with 95 % intervals.
/// @throws Error(invalid_argument) if the ending is another, there is no finished point, NMSE and
/// BER
///         would be mixed, or n_pilots is asked for with one count only
std::string plot_script(const std::vector<NamedResults>& results, const std::filesystem::path& file,
                        const PlotOptions& options = {});

/// Draws with the gnuplot program; in place in one step. A `file` that ends in .gp gets the
/// commands themselves, which draw an .svg beside it.
/// @throws as plot_script() and check_plot(), and Error(io) if gnuplot fails
void plot(const std::vector<NamedResults>& results, const std::filesystem::path& file,
          const PlotOptions& options = {});

}  // namespace sim
}  // namespace v0
}  // namespace chest

#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace chest {
inline namespace v0 {
namespace sim {

/// A string constant of gnuplot.
std::string gnuplot_quoted(const std::string& text);

/// @throws Error(invalid_argument) unless the file ends in .svg, .png or .pdf
void check_figure_ending(const std::filesystem::path& file);

/// First lines of a script that draws `output`, in the form that `ending` says, of this size in inches.
std::string gnuplot_head(const std::filesystem::path& output, const std::string& ending,
                         double width, double height);

/// ".svg" of "a/B.SVG".
std::string figure_ending(const std::filesystem::path& file);

/// Draws with the gnuplot program; in place in one step. A `file` that ends in .gp gets the commands themselves.
/// @param script  gnuplot commands that draw a file of this name in the form of this ending
/// @throws Error(invalid_argument) for another ending;  Error(io) if gnuplot is missing or fails
void draw_with_gnuplot(
    const std::filesystem::path& file,
    const std::function<std::string(const std::filesystem::path&, const std::string&)>& script);

}  // namespace sim
}  // namespace v0
}  // namespace chest

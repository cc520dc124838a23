#include "gnuplot.hpp"

#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/sim/plot.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

std::string shell_quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

struct Spoken {
  int status;        // of the shell; 127: no such program
  std::string text;  // all that it printed
};
Spoken run_shell(const std::string& command) {
  Spoken spoken{-1, {}};
  if (FILE* pipe = ::popen((command + " 2>&1").c_str(), "r")) {
    char line[256];
    while (std::fgets(line, sizeof line, pipe)) spoken.text += line;
    const int status = ::pclose(pipe);
    if (status != -1 && WIFEXITED(status)) spoken.status = WEXITSTATUS(status);
  }
  return spoken;
}

/// Whether a figure has its end: gnuplot takes no notice of a full disk.
bool is_whole(const std::filesystem::path& file, const std::string& ending) {
  const std::string mark = ending == ".svg"   ? "</svg>\n"
                           : ending == ".png" ? "IEND\xAE\x42\x60\x82"
                                              : "%%EOF\n";
  std::ifstream in(file, std::ios::binary);
  in.seekg(-32, std::ios::end);
  const std::string end(std::istreambuf_iterator<char>(in), {});
  return end.find(mark) != std::string::npos;
}

}  // namespace

std::string gnuplot_quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("''") : std::string(1, c == '\n' ? ' ' : c);
  return out + "'";
}

std::string figure_ending(const std::filesystem::path& file) {
  return lower(file.extension().string());
}

void check_figure_ending(const std::filesystem::path& file) {
  const std::string ending = figure_ending(file);
  if (ending != ".svg" && ending != ".png" && ending != ".pdf")
    throw Error(ErrorKind::invalid_argument,
                "plot: " + file.string() + " ends in '" + ending +
                    "', expected .svg, .png, .pdf, or .gp for the gnuplot commands");
}

std::string gnuplot_head(const std::filesystem::path& output, const std::string& ending,
                         double width, double height) {
  std::ostringstream out;
  out << "# drawn by chest; gnuplot 5.2 or later\n";
  if (ending == ".png")
    out << "set terminal pngcairo enhanced size " << std::lround(150 * width) << ","
        << std::lround(150 * height) << " font 'DejaVu Sans,10' fontscale 1.55 linewidth 1.6 "
        << "pointscale 1.6\n";
  else if (ending == ".pdf")
    out << "set terminal pdfcairo enhanced size " << width << "in," << height
        << "in font 'DejaVu Sans,10' linewidth 1.2 pointscale 0.65 fontscale 0.75\n";
  else
    out << "set terminal svg enhanced size " << std::lround(96 * width) << ","
        << std::lround(96 * height) << " font 'DejaVu Sans,12' linewidth 1 background '#ffffff'\n";
  out << "set output " << gnuplot_quoted(output.string()) << "\n"
      << "set encoding utf8\nset minussign\n";
  return out.str();
}

void check_plot(const std::filesystem::path& file) {
  if (figure_ending(file) == ".gp") return;
  check_figure_ending(file);
  if (run_shell("gnuplot --version").status != 0)
    throw Error(
        ErrorKind::io,
        "plot: the program gnuplot was not found; install the package gnuplot-nox, or write "
        "the commands to a file that ends in .gp");
}

void draw_with_gnuplot(
    const std::filesystem::path& file,
    const std::function<std::string(const std::filesystem::path&, const std::string&)>& script) {
  const std::string ending = figure_ending(file);
  if (ending == ".gp") {
    std::filesystem::path drawn = file;
    write_text_file(file, script(drawn.replace_extension(".svg"), ".svg"));
    return;
  }
  check_plot(file);
  TemporaryFile drawn(file);
  std::filesystem::path commands = drawn.path();
  commands += ".gp";
  try {
    write_text_file(commands, script(drawn.path(), ending));
  } catch (const Error& error) {
    // Under the name that the user knows.
    throw Error(error.kind(),
                file.string() + std::string(error.what()).substr(commands.string().size()));
  }
  const Spoken gnuplot = run_shell("gnuplot " + shell_quoted(commands.string()));
  std::error_code ignored;
  std::filesystem::remove(commands, ignored);
  if (gnuplot.status != 0) {
    throw Error(ErrorKind::io,
                file.string() + ": cannot be drawn, gnuplot " +
                    (gnuplot.text.empty() ? "ended without a word" : "said: " + gnuplot.text));
  }
  if (!is_whole(drawn.path(), ending)) {
    throw Error(ErrorKind::io,
                file.string() + ": writing failed, gnuplot left out the end; is the disk full?");
  }
  drawn.put_in_place();
}

}  // namespace sim
}  // namespace v0
}  // namespace chest

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include <chest/sim/link.hpp>
#include <chest/sim/plot.hpp>

#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

Results swept(const std::string& pilots_a, const std::string& pilots_b, std::uint64_t seed = 1) {
  SweepOptions options;
  options.pilots = {parse_pilots(pilots_a), parse_pilots(pilots_b)};
  options.snr_db = {-5.0, 0.0, 10.0};
  options.estimators = {"ls", "half"};
  options.seed = seed;
  return run_sweep(rayleigh_samples(4, 2, 50), {}, &test_estimators, options);
}

Results linked() {
  LinkOptions options;
  options.run.snr_db = {0.0, 5.0, 60.0};
  options.run.estimators = {"ls"};
  options.n_data = 4;
  return run_link(rayleigh_samples(4, 2, 50), {}, &test_estimators, options);
}

std::size_t count(const std::string& text, const std::string& word) {
  std::size_t n = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++n;
  return n;
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

TEST(Plot, HasAPanelPerPilotsAndOneLegend) {
  const std::string script = plot_script({{"a", swept("dft:4", "qpsk:3")}}, "figure.svg");
  EXPECT_EQ(count(script, "set title 'pilots "), 2u);
  EXPECT_EQ(count(script, " title 'ls'"), 1u);
  EXPECT_EQ(count(script, "with yerrorlines"), 4u);
}

TEST(Plot, TellsResultsOfSeveralFilesApart) {
  const std::string script = plot_script(
      {{"a", swept("dft:4", "qpsk:3")}, {"it's b", swept("dft:4", "qpsk:3", 2)}}, "f.png");
  EXPECT_EQ(count(script, " title 'ls (a)'"), 1u);
  EXPECT_EQ(count(script, " title 'ls (it''s b)'"), 1u);
}

TEST(Plot, GoesOverTheNumberOfPilots) {
  PlotOptions options;
  options.x = PlotAxis::n_pilots;
  const std::string script = plot_script({{"a", swept("dft:4", "dft:2")}}, "f.pdf", options);
  EXPECT_EQ(count(script, "set title 'SNR "), 3u);
  EXPECT_NE(script.find("set xlabel 'number of pilots'"), std::string::npos);
  EXPECT_EQ(error_of([&] {
              plot_script({{"a", swept("dft:4", "qpsk:4")}}, "f.pdf", options);
            }),
            "plot: all results have 4 pilots, expected several counts for --x n_pilots");
}

TEST(Plot, BadInputIsExplained) {
  const Results results = swept("dft:4", "dft:2");
  EXPECT_EQ(error_of([&] {
              plot_script({{"a", results}}, "figure.jpg");
            }),
            "plot: figure.jpg ends in '.jpg', expected .svg, .png, .pdf, or .gp for the gnuplot "
            "commands");
  EXPECT_NE(error_of([&] {
              plot_script({{"a", results}, {"b", linked()}}, "f.svg");
            }).find("do not go into one figure"),
            std::string::npos);
  Results open = results;
  std::fill(open.used.begin(), open.used.end(), 0);
  EXPECT_NE(error_of([&] {
              plot_script({{"a", open}}, "f.svg");
            }).find("no finished point"),
            std::string::npos);
}

TEST(Plot, DrawsWithGnuplot) {
  const TemporaryFolder folder;
  try {
    check_plot("figure.svg");
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  PlotOptions options;
  options.title = "a 'title' with σ";
  const std::vector<NamedResults> sweep{{"a", swept("dft:4", "dft:2")}}, link{{"l", linked()}};
  // A name that a shell would take apart.
  plot(sweep, folder / "it's $(x).svg", options);
  EXPECT_NE(bytes_of(folder / "it's $(x).svg").find("</svg>"), std::string::npos);
  plot(link, folder / "ber.png");
  EXPECT_EQ(bytes_of(folder / "ber.png").substr(1, 3), "PNG");
  plot(sweep, folder / "nmse.pdf");
  EXPECT_EQ(bytes_of(folder / "nmse.pdf").substr(0, 4), "%PDF");
  plot(sweep, folder / "nmse.gp");
  EXPECT_NE(bytes_of(folder / "nmse.gp").find("set output"), std::string::npos);
  // Nothing but the figures stays behind.
  std::size_t n_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "")) {
    (void)entry;
    ++n_files;
  }
  EXPECT_EQ(n_files, 4u);
}

}  // namespace
}  // namespace chest::sim

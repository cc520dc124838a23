#include <chest/sim/figure.hpp>

#include <gtest/gtest.h>

#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"

namespace chest::sim {
namespace {

Figure two_panels() {
  Figure figure;
  figure.title = "Bob's figure";
  FigurePanel curves;
  curves.title = "curves";
  curves.log_y = true;
  curves.curves = {{"first", {1.0, 2.0, 3.0}, {0.5, arma::datum::nan, -1.0}, false},
                   {"second", {1.0}, {2.0}, true}};
  FigurePanel image;
  image.title = "image";
  image.image = {{-50.0, -10.0}, {0.0, 10.0}};
  image.image_low = -30.0;
  image.image_high = 0.0;
  figure.panels = {curves, image};
  return figure;
}

TEST(Figure, LeavesGapsAndCutsColours) {
  const TemporaryFolder folder;
  draw_figure(two_panels(), folder / "f.gp");
  const std::string script = text_of(folder / "f.gp");
  // What a logarithm has no place for is a gap, not a value.
  EXPECT_NE(script.find("$curve_0_0 << EOD\n1 0.5\n\n\nEOD\n"), std::string::npos) << script;
  EXPECT_NE(script.find("$image_1 << EOD\n-30 -10 \n0 0 \nEOD\n"), std::string::npos) << script;
  EXPECT_NE(script.find("'Bob''s figure'"), std::string::npos);
  EXPECT_NE(script.find("title 'second'"), std::string::npos);
}

TEST(Figure, IsDrawnWhole) {
  const TemporaryFolder folder;
  draw_figure(two_panels(), folder / "f.svg");
  const std::string drawing = text_of(folder / "f.svg");
  EXPECT_NE(drawing.find("</svg>"), std::string::npos);
  EXPECT_NE(drawing.find("curves"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder / "f.svg.gp"));
}

TEST(Figure, RefusesWhatItCannotDraw) {
  const TemporaryFolder folder;
  EXPECT_TRUE(refused([&] { draw_figure({}, folder / "f.svg"); }, "there is no panel"));
  EXPECT_TRUE(refused([&] { draw_figure(two_panels(), folder / "f.jpg"); }, "expected .svg"));
  Figure uneven = two_panels();
  uneven.panels[0].curves[0].y = {1.0};
  EXPECT_TRUE(refused([&] { draw_figure(uneven, folder / "f.svg"); }, "has 3 x and 1 y"));
}

}  // namespace
}  // namespace chest::sim

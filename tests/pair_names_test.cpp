#include <gtest/gtest.h>

#include <chest/pair_names.hpp>

namespace chest {
namespace {

TEST(PairNames, ARealAndAnImaginaryPartHaveOneWhole) {
  const struct {
    const char *re, *im, *whole;
  } pairs[] = {{"H_re", "H_im", "H"},
               {"Hr", "Hi", "H"},
               {"hr", "hi", "h"},
               {"rH", "iH", "H"},
               {"HRe", "HIm", "H"},
               {"real_H", "imag_H", "H"},
               {"H_REAL", "H_IMAG", "H"},
               {"H.re", "H.im", "H"},
               {"real(H)", "imag(H)", "H"},
               {"h_real_part", "h_imag_part", "h"},
               {"h_real_part", "h_imaginary_part", "h"},
               {"csi-real", "csi-img", "csi"},
               {"H_I", "H_Q", "H"},
               {"Hi", "Hq", "H"},
               {"H_inphase", "H_quadrature", "H"},
               {"set/channel_r_1", "set/channel_i_1", "set/channel_1"},
               {"/H/Re", "/H/Im", "/H"},
               {"/real/H", "/imag/H", "/H"},
               {"/re", "/im", ""},
               {"r", "i", ""}};
  for (const auto& pair : pairs) {
    EXPECT_EQ(complex_pair(pair.re, pair.im).value_or("no pair"), pair.whole) << pair.re;
    if (std::string(pair.im) != "Hi") {
      EXPECT_FALSE(complex_pair(pair.im, pair.re)) << pair.im;
    }
  }
}

TEST(PairNames, OtherNamesHaveNone) {
  const std::pair<const char*, const char*> others[] = {
      {"H_re", "G_im"}, {"H_re", "H_re"}, {"x", "y"},      {"rate", "iate"},
      {"H_re", "H"},    {"", ""},         {"mag", "phase"}};
  for (const auto& [re, im] : others) EXPECT_FALSE(complex_pair(re, im)) << re << " " << im;
}

}  // namespace
}  // namespace chest

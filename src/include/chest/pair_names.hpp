#pragma once

#include <optional>
#include <string>
#include <vector>

namespace chest {
inline namespace v0 {

/// What a name that holds a word for a real part may stand beside.
struct ImaginaryName {
  std::string partner;  ///< in small letters: "h_im" for "H_re"
  std::string whole;    ///< the name without the word: "H"
};

/// Names of the imaginary part that go with a name of a real part, by a rule: one word of it (real, re, r, real part;
/// in-phase, i) is replaced by its counterpart (imaginary, imag, img, im, i; quadrature, quad, q), in any case
/// and at any place: H_re, Hr, realH, H.real, h_real_part, /H/Re, /real/H. A single letter counts at the end, or where
/// it stands alone. Empty when the name holds no such word.
std::vector<ImaginaryName> imaginary_names(const std::string& re);

/// The name of the whole, "H", when two names are those of a real and an imaginary part: "H_re" and "H_im".
std::optional<std::string> complex_pair(const std::string& re, const std::string& im);

}  // namespace v0
}  // namespace chest

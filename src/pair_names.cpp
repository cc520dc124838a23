#include <chest/pair_names.hpp>

#include <cctype>

#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace {

struct Words {
  std::vector<std::string> re, im;
};

const std::vector<Words>& words() {
  static const std::vector<Words> all = {
      {{"real_part", "real-part", "real part"},
       {"imaginary_part", "imag_part", "imag-part", "imag part", "imaginary part"}},
      {{"realpart", "real", "re", "r"},
       {"imaginarypart", "imagpart", "imaginary", "imag", "img", "im", "i"}},
      {{"in_phase", "in-phase", "inphase", "i"}, {"quadrature", "quad", "q"}}};
  return all;
}

bool is_letter_or_digit(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool is_upper(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }

/// Whether a single letter at this place of a name can be a word.
bool stands_out(const std::string& name, std::size_t at) {
  const bool starts = at == 0 || !is_letter_or_digit(name[at - 1]);
  const bool last = at + 1 == name.size();
  const bool ends = last || !is_letter_or_digit(name[at + 1]);
  return last || (starts && (ends || (!is_upper(name[at]) && is_upper(name[at + 1]))));
}

/// "/H" from "/H_", "/real/H" without its word, "(H)" and so on.
std::string without(const std::string& name, std::size_t at, std::size_t n) {
  const auto is_separator = [](char c) {
    return std::string("_-. ()[]").find(c) != std::string::npos;
  };
  std::string before = name.substr(0, at), after = name.substr(at + n);
  while (!before.empty() && is_separator(before.back())) before.pop_back();
  while (!after.empty() && is_separator(after.front())) after.erase(0, 1);
  while (!after.empty() && is_separator(after.back())) after.pop_back();
  // A whole part of a path: its slash goes with it.
  if (!before.empty() && before.back() == '/' && (after.empty() || after[0] == '/'))
    before.pop_back();
  if (!before.empty() && before.back() != '/' && !after.empty() && after[0] != '/') before += '_';
  return before + after;
}

}  // namespace

std::vector<ImaginaryName> imaginary_names(const std::string& re) {
  std::vector<ImaginaryName> out;
  const std::string small = lower(re);
  for (const Words& kind : words()) {
    for (const std::string& word : kind.re) {
      for (std::size_t at = small.rfind(word); at != std::string::npos;
           at = at == 0 ? std::string::npos : small.rfind(word, at - 1)) {
        if (word.size() == 1 && !stands_out(re, at)) continue;
        for (const std::string& other : kind.im)
          out.push_back({small.substr(0, at) + other + small.substr(at + word.size()),
                         without(re, at, word.size())});
      }
    }
  }
  return out;
}

std::optional<std::string> complex_pair(const std::string& re, const std::string& im) {
  const std::string small = lower(im);
  for (const ImaginaryName& name : imaginary_names(re))
    if (name.partner == small) return name.whole;
  return {};
}

}  // namespace v0
}  // namespace chest

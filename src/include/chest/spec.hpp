#pragma once

#include <map>
#include <string>
#include <vector>

namespace chest {
inline namespace v0 {

/// A name with options, as it is written on the command line and in model files:
///
///   dmse    dmse:steps=1    dmse:published@model.h5    ep(fallback=diffpir(levels=5,lambda=2),damping=0.3)
///
/// Options stand behind a colon or in parentheses, which nest. An option without "=" is a switch. What
/// holds ',', '@' or parentheses of its own stands in quotes, "..." or '...': dmse@"a,b.h5".
struct NamedOptions {
  std::string name;
  std::map<std::string, std::string> options;  ///< "" for a switch
  std::string file;                            ///< behind '@'; otherwise empty
  std::string text;                            ///< as given

  bool has(const std::string& option) const { return options.count(option) > 0; }
};

/// @throws Error(invalid_argument) if a name, an option or a file is missing, an option is given twice,
///         parentheses or quotes do not close, or it is not clear whose options are meant (a value with
///         options behind a colon, and more options after it)
NamedOptions parse_named_options(const std::string& text);

/// The text of a name without one of its options, which parses to all the others.
std::string text_without(const NamedOptions& spec, const std::string& option);

/// The files that a name and the names in its options stand with: a.h5 and b.h5 of
/// "ep(fallback=dmse@a.h5)@b.h5".
std::vector<std::string> files_of(const NamedOptions& spec);

/// Splits "ls,dmse:prior=gmm,steps=1,published,lmmse" at its commas. A part that is only an option,
/// "steps=1", belongs to the name before it; so does a single word that is none of `names`, "published",
/// behind a name that has options; and the rest of a file name, "dmse@a,b.h5", where there is such a file.
std::vector<NamedOptions> parse_named_options_list(const std::string& text,
                                                   const std::vector<std::string>& names = {});

}  // namespace v0
}  // namespace chest

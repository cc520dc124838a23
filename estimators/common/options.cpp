#include <chest/estimators/common/options.hpp>
#include <chest/spec.hpp>

#include <cmath>

namespace chest {
inline namespace v0 {

std::string Range::text() const {
  const bool has_low = std::isfinite(low), has_high = std::isfinite(high);
  if (!has_low && !has_high) return {};
  if (has_low && has_high && !low_open && !high_open) {
    return number_text(low) + " .. " + number_text(high);
  }
  std::string out;
  if (has_low) out = (low_open ? "> " : ">= ") + number_text(low);
  if (has_high) {
    out += (has_low ? " and " : "") + std::string(high_open ? "< " : "<= ") + number_text(high);
  }
  return out;
}

namespace detail {

std::string out_of_range(const std::string& name, double value, const Range& range) {
  const std::string allowed = range.text();
  return name + " is " + number_text(value) + ", it must be " +
         (allowed.empty() ? "a finite number" : allowed);
}

double parse_number(const NamedOptions& spec, const std::string& name, const std::string& value) {
  return to_number(value, spec.text + ": " + name);
}

bool parse_switch(const NamedOptions& spec, const std::string& name, const std::string& value) {
  if (value.empty()) return true;
  refuse(spec.text + ": " + name + " is a switch, it takes no value ('" + value +
         "' was given); leave it out to switch it off");
}

arma::uword parse_count(const NamedOptions& spec, const std::string& name,
                        const std::string& value) {
  return to_count(value, spec.text + ": " + name);
}

void refuse_effect(const NamedOptions& spec, const std::string& name, const char* effect) {
  refuse(spec.text + ": " + name + " has no effect here, it is for " + effect);
}

void refuse_name(const NamedOptions& spec, const std::string& option, const std::string& value,
                 const std::vector<std::string>& names) {
  const std::string near = nearest(value, names);
  std::vector<std::string> shown = names;
  for (std::string& name : shown) {
    if (name.empty()) name = "no value";
  }
  refuse(spec.text + ": " + option + " is '" + value + "', there are " + enumerate(shown) +
         (near.empty() ? "" : " (did you mean " + near + "?)"));
}

}  // namespace detail

}  // namespace v0
}  // namespace chest

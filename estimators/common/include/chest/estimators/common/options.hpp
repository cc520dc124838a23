#pragma once

#include <armadillo>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/common/enum_names.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

/// One table of options per method, beside its options struct:
///
///   struct OmpOptions {
///     arma::uword oversampling = 4;
///     std::string why_invalid() const { return omp_options.why_invalid(*this); }
///   };
///   inline constexpr auto omp_options = options_of<OmpOptions>(
///       option("oversampling", &OmpOptions::oversampling, within(1, 64), "angles per antenna"));
///
/// Name, member, range and meaning of each option are written once: parsing ("omp:oversampling=8"),
/// refusals, help, the tables of docs/estimators.md and the JSON of provenance come from the table,
/// defaults from OmpOptions{}.
namespace chest {
inline namespace v0 {

/// Values that an option may have.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false, high_open = false;

  bool holds(double value) const {
    return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high) &&
           value - value == 0.0;
  }
  /// "1 .. 64", "> 0 and < 1", "at least 1": for people.
  std::string text() const;
};

constexpr Range any_value{};
constexpr Range within(double low, double high) { return {low, high, false, false}; }
/// The ends excluded.
constexpr Range between(double low, double high) { return {low, high, true, true}; }
constexpr Range at_least(double low) {
  return {low, std::numeric_limits<double>::infinity(), false, false};
}
constexpr Range above(double low) {
  return {low, std::numeric_limits<double>::infinity(), true, false};
}
/// > low, up to and with high.
constexpr Range up_to(double low, double high) { return {low, high, true, false}; }

/// One option as people read it.
struct OptionInfo {
  std::string name;
  std::string placeholder;   ///< "N", "X", "NAME", "a|b|c"; empty for a switch
  std::string range;         ///< "1 .. 64"; empty when any value is allowed
  std::string default_text;  ///< "4"; empty for a switch and for no value
  std::string help;
  bool on_grid = false;  ///< for the pilots of a grid alone
};

/// Makes the estimator that an option names ("start=omp(sparsity=4)"), where the parsing is told how.
using NestedMaker = std::function<std::shared_ptr<const Estimator>(const std::string& option,
                                                                   const std::string& spec)>;

namespace detail {

template <class Value>
struct Plain {
  using type = Value;
};
template <class Value>
struct Plain<std::optional<Value>> {
  using type = Value;
};

}  // namespace detail

/// An option of Owner: a member of it and what is known of it. Members are numbers, switches,
/// enumerations (also optional ones), texts and estimators.
template <class Owner, class Value>
struct Option {
  const char* name;
  Value Owner::*member;
  Range range;
  const char* help;
  /// Names of the values of an enumeration.
  const std::pair<typename detail::Plain<Value>::type, const char*>* names = nullptr;
  std::size_t n_names = 0;
  /// Null, or what else giving the option changes.
  void (*on_given)(Owner&) = nullptr;
  /// Null, or whether the option has an effect beside the others, and when it has, for people.
  bool (*has_effect)(const Owner&) = nullptr;
  const char* effect = "";
  /// What a special value means, for people: "0: automatic" is written as the default then.
  const char* default_text = nullptr;
  /// Of a text, what it is, for people: "NAME|FILE".
  const char* placeholder = "NAME";

  /// The option is for some values of other options only: given beside others, it is refused.
  constexpr Option only_if(bool (*predicate)(const Owner&), const char* when) const {
    Option out = *this;
    out.has_effect = predicate;
    out.effect = when;
    return out;
  }
  /// Giving the option changes something else too.
  constexpr Option also(void (*change)(Owner&)) const {
    Option out = *this;
    out.on_given = change;
    return out;
  }
  /// What the help calls the default, where the member's value says little.
  constexpr Option default_is(const char* text) const {
    Option out = *this;
    out.default_text = text;
    return out;
  }
};

template <class Owner, class Value>
constexpr Option<Owner, Value> option(const char* name, Value Owner::*member, Range range,
                                      const char* help) {
  static_assert(std::is_arithmetic_v<Value>, "a range is for numbers");
  return {name, member, range, help};
}
/// A switch, or an estimator that is named.
template <class Owner, class Value>
constexpr Option<Owner, Value> option(const char* name, Value Owner::*member, const char* help) {
  static_assert(
      std::is_same_v<Value, bool> || std::is_same_v<Value, std::shared_ptr<const Estimator>>,
      "numbers have a range, enumerations have names");
  return {name, member, any_value, help};
}
/// A text, which whoever reads the options looks into.
template <class Owner>
constexpr Option<Owner, std::string> option(const char* name, std::string Owner::*member,
                                            const char* placeholder, const char* help) {
  Option<Owner, std::string> out{name, member, any_value, help};
  out.placeholder = placeholder;
  return out;
}
/// One of the names of an enumeration. A name "" is what the option means without a value.
template <class Owner, class Value, std::size_t n>
constexpr Option<Owner, Value> option(
    const char* name, Value Owner::*member,
    const std::pair<typename detail::Plain<Value>::type, const char*> (&names)[n],
    const char* help) {
  Option<Owner, Value> out{name, member, any_value, help};
  out.names = names;
  out.n_names = n;
  return out;
}

template <class Options, class... Entries>
class OptionTable;

/// The options of a struct inside an options struct, as if they were its own.
template <class Owner, class Inner, class Table>
struct Group {
  Inner Owner::*member;
  Table table;
};
template <class Owner, class Inner, class... Entries>
constexpr auto group(Inner Owner::*member, const OptionTable<Inner, Entries...>& table) {
  return Group<Owner, Inner, OptionTable<Inner, Entries...>>{member, table};
}

namespace detail {

std::string out_of_range(const std::string& name, double value, const Range& range);
double parse_number(const NamedOptions& spec, const std::string& name, const std::string& value);
bool parse_switch(const NamedOptions& spec, const std::string& name, const std::string& value);
arma::uword parse_count(const NamedOptions& spec, const std::string& name,
                        const std::string& value);
[[noreturn]] void refuse_effect(const NamedOptions& spec, const std::string& name,
                                const char* effect);
[[noreturn]] void refuse_name(const NamedOptions& spec, const std::string& option,
                              const std::string& value, const std::vector<std::string>& names);

}  // namespace detail

/// The options of one struct. Immutable; a constexpr value.
template <class Options, class... Entries>
class OptionTable {
 public:
  constexpr explicit OptionTable(Entries... entries) : entries_(entries...) {}

  /// Empty when every value lies in its range; otherwise one sentence that names the first that does
  /// not, its value and its range.
  std::string why_invalid(const Options& options) const {
    std::string why;
    each([&](const auto& entry) {
      if (why.empty()) why = why_invalid(entry, options);
    });
    return why;
  }

  /// Takes over what `spec` says of these options; others are left alone. Then checks what was said:
  /// ranges, and that each given option has an effect beside the others.
  /// @param nested  makes estimators that options name; null where there is no such option
  /// @throws Error(invalid_argument) naming spec, option, value and what is expected
  void read(const NamedOptions& spec, Options& options, const NestedMaker& nested = {}) const {
    each([&](const auto& entry) { take(entry, spec, options, nested); });
    each([&](const auto& entry) { check_effect(entry, spec, options); });
    if (const std::string why = why_invalid(options); !why.empty()) refuse(spec.text + ": " + why);
  }

  /// One line each, in order.
  std::vector<OptionInfo> describe(const Options& defaults = {}) const {
    std::vector<OptionInfo> out;
    each([&](const auto& entry) { describe(entry, defaults, out); });
    return out;
  }

 private:
  template <class F>
  void each(F&& f) const {
    std::apply([&](const auto&... entry) { (f(entry), ...); }, entries_);
  }

  template <class O, class... E>
  friend class OptionTable;

  // --- a member
  template <class Value>
  static std::string why_invalid(const Option<Options, Value>& entry, const Options& options) {
    if constexpr (std::is_arithmetic_v<Value> && !std::is_same_v<Value, bool>) {
      const double value = static_cast<double>(options.*entry.member);
      if (!entry.range.holds(value)) return detail::out_of_range(entry.name, value, entry.range);
    }
    return {};
  }
  template <class Value>
  static void take(const Option<Options, Value>& entry, const NamedOptions& spec, Options& options,
                   const NestedMaker& nested) {
    const auto it = spec.options.find(entry.name);
    if (it == spec.options.end()) return;
    Value& member = options.*entry.member;
    if constexpr (std::is_same_v<Value, bool>) {
      member = detail::parse_switch(spec, entry.name, it->second);
    } else if constexpr (std::is_same_v<Value, std::string>) {
      if (it->second.empty()) refuse(spec.text + ": " + entry.name + " needs a value");
      member = it->second;
    } else if constexpr (std::is_floating_point_v<Value>) {
      member = detail::parse_number(spec, entry.name, it->second);
    } else if constexpr (std::is_integral_v<Value>) {
      member = static_cast<Value>(detail::parse_count(spec, entry.name, it->second));
    } else if constexpr (std::is_enum_v<typename detail::Plain<Value>::type>) {
      std::vector<std::string> names;
      std::size_t i = 0;
      for (; i < entry.n_names && it->second != entry.names[i].second; ++i) {
        names.emplace_back(entry.names[i].second);
      }
      if (i == entry.n_names) detail::refuse_name(spec, entry.name, it->second, names);
      member = entry.names[i].first;
    } else {
      if (!nested)
        refuse(spec.text + ": " + entry.name + " names an estimator, which is not possible here");
      member = it->second == "none" ? nullptr : nested(entry.name, it->second);
    }
    if (entry.on_given) entry.on_given(options);
  }
  template <class Value>
  static void check_effect(const Option<Options, Value>& entry, const NamedOptions& spec,
                           const Options& options) {
    if (entry.has_effect && spec.has(entry.name) && !entry.has_effect(options)) {
      detail::refuse_effect(spec, entry.name, entry.effect);
    }
  }
  template <class Value>
  static std::string value_text(const Option<Options, Value>& entry, const Options& options) {
    const Value& value = options.*entry.member;
    if constexpr (std::is_same_v<Value, bool>) {
      return value ? "true" : "false";
    } else if constexpr (std::is_same_v<Value, std::string>) {
      return value.empty() ? "none" : value;
    } else if constexpr (std::is_arithmetic_v<Value>) {
      return number_text(static_cast<double>(value));
    } else if constexpr (std::is_enum_v<typename detail::Plain<Value>::type>) {
      for (std::size_t i = 0; i < entry.n_names; ++i) {
        if (value == entry.names[i].first) return entry.names[i].second;
      }
      return "none";
    } else {
      return value ? value->name() : "none";
    }
  }
  template <class Value>
  static void describe(const Option<Options, Value>& entry, const Options& defaults,
                       std::vector<OptionInfo>& out) {
    OptionInfo info{entry.name, "", "", "", entry.help};
    if constexpr (std::is_same_v<Value, bool>) {
      // A switch: given or not.
    } else if constexpr (std::is_arithmetic_v<Value>) {
      info.placeholder = std::is_integral_v<Value> ? "N" : "X";
      info.range = entry.range.text();
      info.default_text = value_text(entry, defaults);
    } else if constexpr (std::is_enum_v<typename detail::Plain<Value>::type>) {
      for (std::size_t i = 0; i < entry.n_names; ++i) {
        info.placeholder +=
            (info.placeholder.empty() ? "" : "|") + std::string(entry.names[i].second);
      }
      info.default_text = value_text(entry, defaults);
    } else if constexpr (std::is_same_v<Value, std::string>) {
      info.placeholder = entry.placeholder;
      info.default_text = value_text(entry, defaults);
    } else {
      info.placeholder = "NAME";
      info.default_text = value_text(entry, defaults);
    }
    if (entry.default_text) info.default_text = entry.default_text;
    if (entry.has_effect) info.help += "; for " + std::string(entry.effect);
    out.push_back(std::move(info));
  }
  // --- a group
  template <class Inner, class Table>
  static std::string why_invalid(const Group<Options, Inner, Table>& entry,
                                 const Options& options) {
    return entry.table.why_invalid(options.*entry.member);
  }
  template <class Inner, class Table>
  static void take(const Group<Options, Inner, Table>& entry, const NamedOptions& spec,
                   Options& options, const NestedMaker& nested) {
    entry.table.each(
        [&](const auto& inner) { entry.table.take(inner, spec, options.*entry.member, nested); });
  }
  template <class Inner, class Table>
  static void check_effect(const Group<Options, Inner, Table>& entry, const NamedOptions& spec,
                           const Options& options) {
    entry.table.each(
        [&](const auto& inner) { entry.table.check_effect(inner, spec, options.*entry.member); });
  }
  template <class Inner, class Table>
  static void describe(const Group<Options, Inner, Table>& entry, const Options& defaults,
                       std::vector<OptionInfo>& out) {
    for (OptionInfo& info : entry.table.describe(defaults.*entry.member)) {
      out.push_back(std::move(info));
    }
  }
  std::tuple<Entries...> entries_;
};

template <class Options, class... Entries>
constexpr OptionTable<Options, Entries...> options_of(Entries... entries) {
  return OptionTable<Options, Entries...>(entries...);
}

}  // namespace v0
}  // namespace chest

#include "tuning.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

#include <chest/error.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

/// Options of values that were chosen one after the other, the later ones instead of earlier ones of the same name.
std::string join(const std::string& method, const std::vector<std::string>& values) {
  std::vector<std::pair<std::string, std::string>> options;
  for (const std::string& value : values) {
    if (value.empty()) continue;
    for (const auto& [name, text] : parse_named_options(method + ":" + value).options) {
      const auto same =
          std::find_if(options.begin(), options.end(),
                       [&, key = name](const auto& each) { return each.first == key; });
      if (same == options.end()) {
        options.emplace_back(name, text);
      } else {
        same->second = text;
      }
    }
  }
  std::string out = method;
  for (const auto& [name, text] : options) {
    out += (out == method ? ":" : ",") + name + (text.empty() ? "" : "=" + text);
  }
  return out;
}

/// "step=0.4" with its number multiplied, to three digits.
std::string times(const std::string& value, double factor) {
  const std::size_t equals = value.find('=');
  char number[32];
  std::snprintf(number, sizeof number, "%.3g",
                to_number(value.substr(equals + 1), "a parameter") * factor);
  return value.substr(0, equals + 1) + number;
}

const Parameter first_levels{{"", "from=100", "from=25", "from=5", "from=1", "from=0.3"}};
const Parameter last_levels{{"", "to=0.001", "to=0.01", "to=0.1"}};
const Parameter quiet_walks{
    {"walk=mean", "walk=ancestral", "walk=ode", "walk=fresh", "walk=fresh,zeta=0.3"}};
const Parameter noisy_walks{
    {"walk=ancestral", "walk=mean", "walk=ode", "walk=fresh", "walk=fresh,zeta=0.3"}};

/// A method that walks down noise levels.
struct Walker {
  arma::uword calls;             ///< per level, forward and backward
  Parameter walks;               ///< within our budget
  arma::uword published_levels;  ///< as in its paper, and
  Parameter published_walks;
  std::vector<Parameter> own;
};

TuningGrid walker_grid(const Walker& method, TuningBudget budget) {
  const auto levels = [](arma::uword n) { return "levels=" + std::to_string(n); };
  TuningGrid grid;
  if (budget == TuningBudget::published) {
    grid.parameters = {{{levels(method.published_levels)}}, method.published_walks};
    grid.parameters.insert(grid.parameters.end(), method.own.begin(), method.own.end());
    return grid;
  }
  // One walk of as many levels as the budget has calls for, or the mean of five.
  const arma::uword n = most_calls_of_ours / method.calls;
  constexpr arma::uword n_runs = 5;
  const std::string averaged = levels(n / n_runs) + ",runs=" + std::to_string(n_runs);
  grid.parameters = {{{levels(n), averaged}}, method.walks};
  grid.parameters.insert(grid.parameters.end(), method.own.begin(), method.own.end());
  grid.parameters.push_back(first_levels);
  grid.parameters.push_back(last_levels);
  return grid;
}

const std::map<std::string, Walker>& walkers() {
  static const Walker diffpir{1,
                              quiet_walks,
                              100,
                              {{"walk=fresh", "walk=fresh,zeta=0.3", "walk=mean"}},
                              {{{"lambda=1", "lambda=0.3", "lambda=3", "lambda=7"}, true}}};
  static const Walker ddnm{1,
                           {{"walk=mean", "walk=ode", "walk=fresh", "walk=ancestral",
                             "walk=fresh,plus", "walk=ancestral,plus"}},
                           100,
                           {{"walk=ode", "walk=ancestral", "walk=ancestral,plus"}},
                           {}};
  static const Walker dds{
      1,
      quiet_walks,
      100,
      {{"walk=ode", "walk=ancestral", "walk=mean"}},
      {{{"", "gamma=5", "gamma=0.5", "gamma=50"}}, {{"cg=5", "cg=2", "cg=20"}}}};
  static const Walker dmps{1, quiet_walks, 1000, {{"walk=ancestral", "walk=mean"}}, {}};
  static const Walker pigdm{
      2, noisy_walks, 100, {{"walk=ancestral", "walk=ode"}}, {{{"", "legacy-weight"}}}};
  static const Walker dps{2,
                          noisy_walks,
                          1000,
                          {{"walk=ancestral"}},
                          {{{"step=1", "step=0.1", "step=0.3", "step=3", "step=10"}, true}}};
  static const Walker opc{1,
                          quiet_walks,
                          50,
                          {{"walk=heun", "walk=ode"}},
                          {{{"variance=analytic", "variance=angular", "variance=unit",
                             "variance=scaled", "variance=tweedie,levels=7,runs=1"}}}};
  static const std::map<std::string, Walker> all{
      {"diffpir", diffpir}, {"ddnm", ddnm}, {"dds", dds}, {"dmps", dmps},
      {"pigdm", pigdm},     {"dps", dps},   {"opc", opc}};
  return all;
}

using GridMaker = TuningGrid (*)(TuningBudget);

const std::map<std::string, GridMaker>& other_grids() {
  static const std::map<std::string, GridMaker> all{
      {"ep",
       [](TuningBudget budget) {
         // Channels that do not settle take 20 calls more.
         const char* calls = budget == TuningBudget::ours ? "iterations=30" : "iterations=100";
         return TuningGrid{{{{calls, "iterations=20", "iterations=10"}},
                            {{"damping=0.5", "damping=0.3", "damping=0.15"}, true},
                            {{"", "fallback=none"}}}};
       }},
      {"score",
       [](TuningBudget budget) {
         if (budget == TuningBudget::published) {
           return TuningGrid{{{{"published"}},
                              {{"step=0.05", "step=0.01", "step=0.15"}},
                              {{"noise=0.01", "noise=0"}}}};
         }
         // The last level is followed by one more call.
         return TuningGrid{{{{"levels=49,inner=1", "levels=16,inner=3", "levels=9,inner=1,runs=5"}},
                            {{"step=0.15", "step=0.05", "step=0.5", "step=1"}, true},
                            {{"noise=0.01", "noise=0", "noise=0.1", "noise=1"}}}};
       }},
      {"red-diff", [](TuningBudget budget) {
         const char* calls = budget == TuningBudget::ours ? "iterations=50" : "iterations=1000";
         return TuningGrid{{{{calls}},
                            {{"", "lambda=0.03", "lambda=0.1", "lambda=0.3", "lambda=1", "lambda=3",
                              "lambda=10", "lambda=30"}},
                            {{"rate=0.1", "rate=0.03", "rate=0.3"}, true}}};
       }}};
  return all;
}

}  // namespace

std::vector<std::string> tunable_methods() {
  std::vector<std::string> out;
  for (const auto& [name, method] : walkers()) out.push_back(name);
  for (const auto& [name, method] : other_grids()) out.push_back(name);
  std::sort(out.begin(), out.end());
  return out;
}

TuningGrid tuning_grid(const std::string& method, TuningBudget budget) {
  if (const auto found = walkers().find(method); found != walkers().end()) {
    return walker_grid(found->second, budget);
  }
  if (const auto found = other_grids().find(method); found != other_grids().end()) {
    return found->second(budget);
  }
  refuse("--method: '" + method + "' cannot be tuned" + did_you_mean(method, tunable_methods()));
}

std::pair<std::string, double> tune(const std::string& method, const TuningGrid& grid,
                                    const Trial& trial) {
  std::vector<std::string> chosen;
  std::map<std::string, double> known;
  const auto take_best = [&](std::size_t i, const std::vector<std::string>& values) {
    std::vector<std::string> candidates, unknown;
    for (const std::string& value : values) {
      chosen[i] = value;
      candidates.push_back(join(method, chosen));
      const bool is_new =
          known.count(candidates.back()) == 0 &&
          std::find(unknown.begin(), unknown.end(), candidates.back()) == unknown.end();
      if (is_new) unknown.push_back(candidates.back());
    }
    if (!unknown.empty()) {
      const std::vector<double> errors = trial(unknown);
      for (std::size_t k = 0; k < unknown.size(); ++k) known[unknown[k]] = errors[k];
    }
    const auto best = std::min_element(
        candidates.begin(), candidates.end(),
        [&](const std::string& a, const std::string& b) { return known.at(a) < known.at(b); });
    chosen[i] = values[static_cast<std::size_t>(best - candidates.begin())];
  };
  for (const Parameter& parameter : grid.parameters) chosen.push_back(parameter.values.front());
  // Once more, since the first were chosen beside values that were not yet.
  for (int pass = 0; pass < 2; ++pass) {
    for (std::size_t i = 0; i < grid.parameters.size(); ++i) {
      if (grid.parameters[i].values.size() > 1) take_best(i, grid.parameters[i].values);
    }
  }
  constexpr double finer = 1.6;
  for (std::size_t i = 0; i < grid.parameters.size(); ++i) {
    if (!grid.parameters[i].refine) continue;
    const std::string best = chosen[i];
    take_best(i, {best, times(best, 1.0 / finer), times(best, finer)});
  }
  const std::string found = join(method, chosen);
  if (known.count(found) == 0) known[found] = trial({found}).front();
  return {found, known.at(found)};
}

}  // namespace cli
}  // namespace v0
}  // namespace chest

#include <algorithm>
#include <ostream>

#include "commands.hpp"
#include "help_text.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

void print_all(const Catalog& catalog, std::ostream& out) {
  std::vector<Entry> entries{{"name", "model  what it is"}};
  for (const CatalogEntry& estimator : catalog.entries()) {
    const std::string model = estimator.model.empty() ? "-" : estimator.model;
    entries.push_back(
        {estimator.name,
         model + std::string(7 - std::min<std::size_t>(model.size(), 6), ' ') + estimator.summary});
  }
  print_entries(entries, 18, out);
  out << "\nchest estimators NAME shows the options of one. A model is a file of chest fit.\n";
}

}  // namespace

int estimators(const Args& args, Context& context) {
  std::string name;
  CommandLine line("estimators", "[NAME]",
                   "Lists the estimators, with the kind of model file that each needs; or shows "
                   "the options of one, as they are written in --estimators of chest sweep.");
  line.flag("name", &name, "ESTIMATOR", "whose options to show; the word after estimators");
  line.positional("name", 1);
  if (!line.parse(args, context)) return 0;
  if (name.empty()) {
    print_all(context.catalog, context.out);
    return 0;
  }
  std::vector<std::string> names;
  for (const CatalogEntry& estimator : context.catalog.entries()) {
    names.push_back(estimator.name);
    if (estimator.name != name) continue;
    context.out << estimator_text(estimator);
    return 0;
  }
  refuse("there is no estimator '" + name + "'" + did_you_mean(name, names));
}

}  // namespace cli
}  // namespace v0
}  // namespace chest

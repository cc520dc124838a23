#include "completion.hpp"

#include <sstream>

#include <chest/text.hpp>

#include "commands.hpp"

namespace chest {
inline namespace v0 {
namespace cli {
namespace {

/// What reads the tables. `word` is the word at the cursor with what bash takes for separators in
/// it (: = @), `done` the part of it that stays as it is.
constexpr const char* completer = R"bash(
# Candidates for the last part of an estimator specification: names at first, options behind ':' or
# '(', both behind ',', values behind '=', files behind '@'.
_chest_complete_estimators() {
  local text=$1 many=$2 part= owner= key= mark= i c
  local -a owners=()
  for ((i = 0; i < ${#text}; i++)); do
    c=${text:i:1}
    case $c in
      '(') owners+=("$owner"); owner=$part; part=; mark=$c ;;
      ')') if ((${#owners[@]})); then owner=${owners[-1]}; unset 'owners[-1]'; fi; part=; mark=$c ;;
      :) owner=$part; part=; mark=$c ;;
      =) key=$part; part=; mark=$c ;;
      ,|@) part=; mark=$c ;;
      *) part+=$c ;;
    esac
  done
  done=${text%"$part"}
  case $mark in
    '') words=$(_chest_estimators) ;;
    ':'|'(') words=$(_chest_options "$owner") ;;
    =) words=$(_chest_values "$owner" "$key") ;;
    @) files=1 ;;
    ,) if [[ -n $owner ]]; then words=$(_chest_options "$owner"); fi
       if ((many && ${#owners[@]} == 0)); then words+=" $(_chest_estimators)"; fi ;;
  esac
}

_chest() {
  local line=${COMP_LINE:0:COMP_POINT} word previous command quote= flag= kind
  local words= done= files= candidate
  COMPREPLY=()
  local -a typed=()
  read -ra typed <<< "$line"
  [[ $line == *[[:space:]] ]] && typed+=('')
  local n=${#typed[@]}
  ((n >= 2)) || return
  word=${typed[n-1]} previous=${typed[n-2]} command=${typed[1]}
  case $word in
    \'*|\"*) quote=${word:0:1}; word=${word:1} ;;
  esac
  local whole=$word
  if ((n == 2)); then
    words="$(_chest_commands) help --help --version"
  elif [[ $command == help ]]; then
    words=$(_chest_commands)
  else
    if [[ $word == --*=* ]]; then
      flag=${word%%=*} word=${word#*=}
    elif [[ $previous == --* && -n $(_chest_kind "$command" "$previous") ]]; then
      flag=$previous
    elif [[ $word != -* ]]; then
      flag=$(_chest_word_flag "$command")
    fi
    kind=
    if [[ -n $flag ]]; then kind=$(_chest_kind "$command" "$flag"); fi
    # One word names a kind or an estimator, any number of them files.
    if [[ $flag == "$(_chest_word_flag "$command")" && $previous != "$flag" && $kind != FILE ]] &&
        ((n > 3)); then
      kind=
    fi
    case $kind in
      '') words=$(_chest_flags "$command") ;;
      FILE) files=1 ;;
      ESTIMATOR) _chest_complete_estimators "$word" 0 ;;
      ESTIMATORS) _chest_complete_estimators "$word" 1 ;;
      VALUE) return ;;
      *) words=$kind ;;
    esac
  fi
  local start=${whole%"$word"}$done
  word=${word#"$done"}
  local -a found=()
  if [[ -n $files ]]; then
    mapfile -t found < <(compgen -f -- "$word")
    compopt -o filenames 2> /dev/null
  else
    for candidate in $words; do
      [[ $candidate == "$word"* ]] && found+=("$candidate")
    done
  fi
  ((${#found[@]})) || return
  # An option with a value, or an estimator that options may follow, is no end of a word.
  if [[ $kind == ESTIMATOR* && $command != estimators || ${found[0]} == *= ]]; then
    compopt -o nospace 2> /dev/null
  fi
  # Bash replaces what stands behind the last of its separators.
  local keep=$start$word
  if [[ -z $quote ]]; then
    local separators=${COMP_WORDBREAKS:-:=@}
    while [[ -n $keep && $separators != *"${keep: -1}"* ]]; do keep=${keep%?}; done
  else
    keep=
  fi
  for candidate in "${found[@]}"; do COMPREPLY+=("${start#"$keep"}$candidate"); done
}
complete -F _chest chest
)bash";

/// "snr|n_pilots" as the words; N, DB ... as VALUE.
std::string kind_of(const std::string& placeholder) {
  if (placeholder.find("FILE") != std::string::npos) return "FILE";
  if (placeholder == "ESTIMATOR" || placeholder == "ESTIMATORS") return placeholder;
  std::string words;
  for (const std::string& word : split(placeholder, '|')) {
    // X, N and cuda:N stand for numbers.
    const bool is_word = word.find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ:+") == std::string::npos;
    if (is_word) words += (words.empty() ? "" : " ") + word;
  }
  return words.empty() ? "VALUE" : words;
}

/// The values of an option of an estimator: its words, or names of estimators for NAME.
std::string values_of(const OptionInfo& option, const std::string& estimators) {
  std::string words = kind_of(option.placeholder);
  if (words == "VALUE" || words == "FILE") words.clear();
  for (const std::string& word : split(option.placeholder, '|'))
    if (word == "NAME" || word == "ESTIMATOR") words += (words.empty() ? "" : " ") + estimators;
  return words;
}

class Script {
 public:
  explicit Script(std::ostream& out) : out_(out) {}
  void begin(const std::string& function, const std::string& subject) {
    out_ << function << "() {\n  case " << subject << " in\n";
  }
  void words(const std::string& pattern, const std::string& text) {
    if (!text.empty()) out_ << "    " << pattern << ") echo '" << text << "' ;;\n";
  }
  void end() { out_ << "  esac\n}\n"; }

 private:
  std::ostream& out_;
};

std::string quoted(const std::string& text) { return "'" + text + "'"; }

}  // namespace

std::string bash_completion(const Catalog& catalog) {
  const std::vector<CatalogEntry> estimators = catalog.entries();
  std::ostringstream out;
  out << "# Completion of chest for bash; made by chest from its own tables.\n";
  Script script(out);
  std::string names;
  for (const CatalogEntry& estimator : estimators)
    names += (names.empty() ? "" : " ") + estimator.name;
  std::string command_names;
  std::vector<CommandHelp> helps;
  for (const Command& command : commands()) {
    command_names += (command_names.empty() ? "" : " ") + command.name;
    helps.push_back(help_of(command, catalog));
  }
  out << "_chest_commands() { echo '" << command_names << "'; }\n"
      << "_chest_estimators() { echo '" << names << "'; }\n";

  script.begin("_chest_flags", "$1");
  for (const CommandHelp& help : helps) {
    std::string flags;
    for (const Section& section : help.sections)
      for (const Flag& flag : section.flags) flags += (flags.empty() ? "--" : " --") + flag.name;
    script.words(help.name, flags);
  }
  script.end();

  // What a flag takes; nothing for a switch.
  script.begin("_chest_kind", "$1/$2");
  for (const CommandHelp& help : helps)
    for (const Section& section : help.sections)
      for (const Flag& flag : section.flags)
        if (!flag.placeholder.empty())
          script.words(help.name + "/--" + flag.name, kind_of(flag.placeholder));
  script.end();

  // The flag that words without a flag belong to.
  script.begin("_chest_word_flag", "$1");
  for (const CommandHelp& help : helps)
    script.words(help.name, help.positional.empty() ? "" : "--" + help.positional);
  script.end();

  script.begin("_chest_options", "$1");
  for (const CatalogEntry& estimator : estimators) {
    std::string options;
    for (const OptionInfo& option : estimator.options)
      options +=
          (options.empty() ? "" : " ") + option.name + (option.placeholder.empty() ? "" : "=");
    script.words(quoted(estimator.name), options);
  }
  script.end();

  script.begin("_chest_values", "$1/$2");
  for (const CatalogEntry& estimator : estimators)
    for (const OptionInfo& option : estimator.options)
      script.words(quoted(estimator.name + "/" + option.name), values_of(option, names));
  script.end();
  out << completer;
  return out.str();
}

}  // namespace cli
}  // namespace v0
}  // namespace chest

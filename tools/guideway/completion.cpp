#include <fmt/format.h>

#include <string>
#include <vector>

#include "tools/guideway/generate.hpp"

namespace guideway::cli {
namespace {

// Something that can be typed next.
struct Word {
    std::string text;
    std::string description;
    bool takes_value = false;  // an option with an argument
    bool value_is_file = false;
};

// A place in the grammar: what was typed so far, without options.
struct Place {
    std::string path;  // "" or " backend add"
    std::vector<Word> words;
    bool files = false;  // a file name may follow
    bool leaf = false;
};

// "{bash,zsh,fish}" inside an option's type, as CLI11 shows a fixed set.
std::vector<Word> choices(const CLI::Option &option)
{
    const std::string type = option.get_type_name();
    const auto begin = type.find('{');
    const auto end = type.find('}', begin);
    std::vector<Word> words;
    if (begin != type.npos && end != type.npos) {
        for (const auto &choice :
             CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',')) {
            words.push_back({.text = choice, .description = ""});
        }
    }
    return words;
}

std::vector<Word> option_words(const CLI::App &app)
{
    std::vector<Word> words;
    for (const CLI::Option *option : app.get_options()) {
        for (const auto &name : option->get_lnames()) {
            const std::string type = option->get_type_name();
            words.push_back({.text = "--" + name,
                             .description = option->get_description(),
                             .takes_value = option->get_expected_max() > 0 &&
                                            option->get_type_size_max() > 0,
                             .value_is_file = type.starts_with("PATH")});
        }
    }
    return words;
}

void collect(const CLI::App &app, const std::string &path, const std::vector<Word> &inherited,
             std::vector<Place> &places)
{
    Place place{.path = path, .words = {}};
    const auto verbs =
        app.get_subcommands([](const CLI::App *verb) { return !verb->get_group().empty(); });
    place.leaf = verbs.empty();
    for (const CLI::App *verb : verbs) {
        place.words.push_back(
            {.text = verb->get_name(), .description = verb->get_description()});
    }
    for (const CLI::Option *option : app.get_options()) {
        if (option->get_positional()) {
            const auto fixed = choices(*option);
            place.words.insert(place.words.end(), fixed.begin(), fixed.end());
            place.files = place.files || option->get_name() == "FILE";
        }
    }
    auto own = option_words(app);
    place.words.insert(place.words.end(), own.begin(), own.end());
    place.words.insert(place.words.end(), inherited.begin(), inherited.end());
    places.push_back(place);
    for (const CLI::App *verb : verbs) {
        collect(*verb, path + " " + verb->get_name(), inherited, places);
    }
}

// All places, the root first. Its options can be given anywhere.
std::vector<Place> places_of(const CLI::App &app)
{
    std::vector<Place> places;
    collect(app, "", {}, places);
    std::vector<Word> global;
    for (const auto &word : places.front().words) {
        if (word.text.starts_with("--") && word.text != "--help" && word.text != "--version") {
            global.push_back(word);
        }
    }
    for (size_t i = 1; i < places.size(); ++i) {
        places[i].words.insert(places[i].words.end(), global.begin(), global.end());
    }
    return places;
}

std::string single_quoted(std::string_view text)
{
    std::string quoted = "'";
    for (const char c : text) {
        quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return quoted + "'";
}

// The patterns of all places but the root, for a case statement.
std::string path_patterns(const std::vector<Place> &places)
{
    std::string patterns;
    for (const auto &place : places) {
        if (!place.path.empty()) {
            patterns += (patterns.empty() ? "" : " | ") + ("\"" + place.path + "\"");
        }
    }
    return patterns;
}

// Options with a value, by whether the value is a file.
std::string value_patterns(const std::vector<Place> &places, bool file)
{
    std::string patterns;
    for (const auto &place : places) {
        for (const auto &word : place.words) {
            if (word.takes_value && word.value_is_file == file &&
                !(" " + patterns + " ").contains(" " + word.text + " ")) {
                patterns += (patterns.empty() ? "" : " | ") + word.text;
            }
        }
    }
    return patterns;
}

std::string bash_script(const std::vector<Place> &places)
{
    std::string cases;
    for (const auto &place : places) {
        std::string words;
        for (const auto &word : place.words) {
            words += (words.empty() ? "" : " ") + word.text;
        }
        cases += fmt::format("        \"{}\") words={}{} ;;\n", place.path,
                             single_quoted(words), place.files ? " files=yes" : "");
    }
    return fmt::format(R"(# bash completion for guideway; made by 'guideway completion bash'
_guideway() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
    local at="" words="" files="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$at ${{COMP_WORDS[i]}}" in
            {}) at="$at ${{COMP_WORDS[i]}}" ;;
        esac
    done
    COMPREPLY=()
    case $previous in
        {}) files=yes at="-" ;;
        {}) return ;;
    esac
    case $at in
{}    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    if [[ $files ]]; then
        mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -f -- "$current")
    fi
}}
complete -o filenames -F _guideway guideway
)",
                       path_patterns(places), value_patterns(places, true),
                       value_patterns(places, false), cases);
}

std::string zsh_script(const std::vector<Place> &places)
{
    std::string cases;
    for (const auto &place : places) {
        cases += fmt::format("        \"{}\") words_here=(\n", place.path);
        for (const auto &word : place.words) {
            // _describe takes what follows the first colon as the description.
            cases += fmt::format("            {}\n",
                                 single_quoted(word.text + ":" + word.description));
        }
        cases += fmt::format("        ){} ;;\n", place.files ? "; files=yes" : "");
    }
    return fmt::format(R"(#compdef guideway
# zsh completion for guideway; made by 'guideway completion zsh'
_guideway() {{
    local at="" files="" word
    local -a words_here
    for word in "${{(@)words[2,CURRENT-1]}}"; do
        case "$at $word" in
            {}) at="$at $word" ;;
        esac
    done
    case "${{words[CURRENT-1]}}" in
        {}) _files; return ;;
        {}) return ;;
    esac
    case $at in
{}    esac
    _describe -o guideway words_here
    [[ -z $files ]] || _files
}}
if [[ ${{funcstack[1]}} == _guideway ]]; then
    _guideway "$@"
else
    compdef _guideway guideway
fi
)",
                       path_patterns(places), value_patterns(places, true),
                       value_patterns(places, false), cases);
}

std::string fish_script(const std::vector<Place> &places)
{
    std::string paths;
    std::string lines;
    for (const auto &place : places) {
        if (!place.path.empty()) {
            paths += " " + single_quoted(place.path);
        }
        for (const auto &word : place.words) {
            const bool option = word.text.starts_with("--");
            lines += fmt::format(
                "complete -c guideway -n '__guideway_at \"{}\"' {}{} -d {}\n", place.path,
                option ? "-l " + word.text.substr(2) : "-a " + word.text,
                word.takes_value ? (word.value_is_file ? " -r -F" : " -x") : "",
                single_quoted(word.description));
        }
        if (place.files) {
            lines +=
                fmt::format("complete -c guideway -n '__guideway_at \"{}\"' -F\n", place.path);
        }
    }
    return fmt::format(R"(# fish completion for guideway; made by 'guideway completion fish'
function __guideway_at
    set -l at ""
    for word in (commandline -opc)[2..-1]
        if contains -- "$at $word"{}
            set at "$at $word"
        end
    end
    test "$at" = "$argv[1]"
end
complete -c guideway -f
{})",
                       paths, lines);
}

}  // namespace

std::string completion_script(const CLI::App &app, std::string_view shell)
{
    const auto places = places_of(app);
    return shell == "zsh"    ? zsh_script(places)
           : shell == "fish" ? fish_script(places)
                             : bash_script(places);
}

}  // namespace guideway::cli

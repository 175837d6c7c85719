#include "layeravatar/app/settings.h"

#include <fmt/format.h>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/toml.h"

namespace layeravatar::app {
namespace {

// The command that the first words name: `people make` is make of people.
const CLI::App* command_of(const CLI::App& app, const std::vector<std::string>& arguments, std::size_t& words) {
  const CLI::App* at = &app;
  for (; words < arguments.size(); ++words) {
    const CLI::App* next = nullptr;
    for (const CLI::App* sub : at->get_subcommands({}))
      if (sub->check_name(arguments[words])) next = sub;
    if (next == nullptr) break;
    at = next;
  }
  return at;
}

std::string text_of(const toml::node& node, const std::string& where) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* whole = node.as_integer()) return fmt::format("{}", whole->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  throw Error(ErrorKind::kConfig, where + ": expected a text, a number, true or false");
}

std::string flag_of(const CLI::App& app, const CLI::App& command, const std::string& key, const std::string& value, const std::string& where) {
  const std::string name = "--" + key;
  if (command.get_option_no_throw(name) == nullptr && app.get_option_no_throw(name) == nullptr)
    throw Error(ErrorKind::kConfig, fmt::format("{}.{}: no such setting of '{}'", where, key, command.get_name()));
  return name + "=" + value;
}

}  // namespace

std::vector<std::string> settings_to_flags(const CLI::App& app, const std::vector<std::string>& arguments) {
  std::size_t words = 0;
  const CLI::App* command = command_of(app, arguments, words);
  if (command == &app || command->get_option_no_throw("--config") != nullptr) return arguments;
  std::vector<std::string> from_file, from_set, own;
  for (std::size_t i = words; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const auto equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (name != "--config" && name != "--set") {
      own.push_back(word);
      continue;
    }
    if (equals == std::string::npos && i + 1 == arguments.size()) throw Error(ErrorKind::kUsage, name + " needs a value");
    const std::string value = equals == std::string::npos ? arguments[++i] : word.substr(equals + 1);
    if (name == "--set") {
      const auto split = value.find('=');
      if (split == std::string::npos) throw Error(ErrorKind::kUsage, fmt::format("--set {}: expected key=value", value));
      from_set.push_back(flag_of(app, *command, value.substr(0, split), value.substr(split + 1), "--set"));
      continue;
    }
    const toml::table table = io::parse_toml(read_file(value), value);
    for (const auto& [key, node] : table) {
      const std::string setting(key.str());
      from_file.push_back(flag_of(app, *command, setting, text_of(node, value + "." + setting), value));
    }
  }
  std::vector<std::string> out(arguments.begin(), arguments.begin() + static_cast<std::ptrdiff_t>(words));
  for (const auto* part : {&from_file, &from_set, &own}) out.insert(out.end(), part->begin(), part->end());
  return out;
}

}  // namespace layeravatar::app

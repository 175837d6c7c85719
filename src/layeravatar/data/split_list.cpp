#include "layeravatar/data/split_list.h"

#include <fmt/format.h>

#include <unordered_set>

#include "layeravatar/core/error.h"

namespace layeravatar::data {

SplitList parse_split_list(std::string_view text, const std::string& file) {
  SplitList out;
  std::unordered_set<std::string> seen;
  for (int line = 1; !text.empty(); ++line) {
    const std::size_t end = text.find('\n');
    std::string id(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (id.ends_with('\r')) id.pop_back();
    const auto reject = [&](const std::string& what) { throw Error(ErrorKind::kInput, fmt::format("{}: line {}: {}", file, line, what)); };
    if (id.find_first_not_of(" \t") == std::string::npos) reject("empty id");
    if (id.find('/') != std::string::npos || id.find('\0') != std::string::npos || id == "." || id == "..")
      reject(fmt::format("id '{}'; expected a name of a folder", id));
    if (seen.insert(id).second) out.ids.push_back(id);
    else out.warnings.push_back(fmt::format("{}: id '{}' listed twice", file, id));
  }
  return out;
}

std::vector<std::string> missing_scenes(const SplitList& list, const std::filesystem::path& folder, const std::string& file) {
  std::vector<std::string> out;
  for (const std::string& id : list.ids)
    if (!std::filesystem::is_directory(folder / id)) out.push_back(fmt::format("{}: id '{}' listed but not present", file, id));
  return out;
}

}  // namespace layeravatar::data

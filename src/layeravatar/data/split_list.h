// Which scenes are for training: the release's lists (spec/body_and_data.md section 11.7).
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace layeravatar::data {

struct SplitList {
  std::vector<std::string> ids;       // in the order of the list, each once
  std::vector<std::string> warnings;  // "<file>: id 'x' listed twice"
};

/// One id per line; the last line may lack its end, and carriage returns before the ends are dropped. `file` names the list in messages.
/// Throws Error(kInput): "<file>: line n: empty id", "<file>: line n: id 'x'; expected a name of a folder".
SplitList parse_split_list(std::string_view text, const std::string& file);

/// Warnings "<file>: id 'x' listed but not present" for ids that `folder` has no sub-folder of.
std::vector<std::string> missing_scenes(const SplitList& list, const std::filesystem::path& folder, const std::string& file);

}  // namespace layeravatar::data

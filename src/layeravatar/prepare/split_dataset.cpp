#include "layeravatar/prepare/split_dataset.h"

#include <fmt/format.h>

#include <map>
#include <unordered_set>

#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"

namespace layeravatar::prepare {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> scenes_by_place(const fs::path& root) {  // id: folder below root
  std::map<std::string, std::string> out;
  if (!fs::is_directory(root)) throw Error(ErrorKind::kInput, root.string() + ": no such folder");
  for (const std::string place : {"", kTrainFolder, kNovelFolder}) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(root / place, error)) {
      const std::string id = entry.path().filename().string();
      if (!fs::is_directory(entry.path() / "rgb") || entry.path().extension() == ".partial") continue;
      const auto [found, fresh] = out.emplace(id, place);
      if (!fresh) throw Error(ErrorKind::kInput, fmt::format("{}: scene '{}' lies in '{}' and in '{}'", root.string(), id, found->second, place));
    }
  }
  return out;
}

}  // namespace

SplitPlan plan_split(const fs::path& root, const data::SplitList& list, const std::string& file) {
  const std::unordered_set<std::string> listed(list.ids.begin(), list.ids.end());
  const auto scenes = scenes_by_place(root);
  SplitPlan out;
  for (const auto& [id, place] : scenes) {
    const bool train = listed.contains(id);
    if (place == (train ? kTrainFolder : kNovelFolder)) ++out.settled;
    else (train ? out.train : out.novel).push_back(id);
  }
  out.warnings = list.warnings;
  for (const std::string& id : list.ids)
    if (!scenes.contains(id)) out.warnings.push_back(fmt::format("{}: id '{}' listed but not present", file, id));
  return out;
}

void split_dataset(const fs::path& root, const SplitPlan& plan) {
  for (const char* place : {kTrainFolder, kNovelFolder}) make_folder(root / place);
  const auto move = [&](const std::vector<std::string>& ids, const char* to, const char* other) {
    for (const std::string& id : ids) {
      const fs::path from = fs::exists(root / id / "rgb") ? root / id : root / other / id;
      std::error_code error;
      fs::rename(from, root / to / id, error);
      if (error) throw Error(ErrorKind::kOutput, fmt::format("{}: cannot move to {}: {}", from.string(), to, error.message()));
    }
  };
  move(plan.train, kTrainFolder, kNovelFolder);
  move(plan.novel, kNovelFolder, kTrainFolder);
}

}  // namespace layeravatar::prepare

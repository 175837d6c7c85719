// Scenes into human_train/ and human_novel/ (spec/body_and_data.md section 11.7).
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/data/split_list.h"

namespace layeravatar::prepare {

inline constexpr const char *kTrainFolder = "human_train", *kNovelFolder = "human_novel";

struct SplitPlan {
  std::vector<std::string> train, novel;    // what moves, sorted
  std::int64_t settled = 0;                 // scenes that lie where they belong
  std::vector<std::string> warnings;        // of the list, and "<list>: id 'x' listed but not present"
};

/// Scene folders (those with rgb/) of `root`, human_train/ and human_novel/ go where the list says: listed ones to train, all
/// others to novel. Anything else stays. Looks only. Throws Error(kInput) for a scene that lies in two places.
SplitPlan plan_split(const std::filesystem::path& root, const data::SplitList& list, const std::string& file);

/// Carries the plan out, one rename per scene; an interrupted run is finished by the next. Throws Error(kOutput).
void split_dataset(const std::filesystem::path& root, const SplitPlan& plan);

}  // namespace layeravatar::prepare

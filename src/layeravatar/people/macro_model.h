// The CC0 people's macro parameters and the morph targets that they call for (spec/cc0_people.md section 1.2).
#pragma once
#include <array>
#include <map>
#include <string>

namespace layeravatar::people {

/// Every value in [0, 1]; 0.5 is the average. Adults only: age >= 0.5 (0.5 is 25 years).
struct MacroParams {
  double gender = 0.5;  // 1 male
  double age = 0.5;
  double muscle = 0.5;
  double weight = 0.5;
  double height = 0.5;
  double cup = 0.5;
  double firmness = 0.5;
  double proportions = 0.5;
  std::array<double, 3> race{1, 1, 1};  // african, asian, caucasian; normalised to sum 1

  /// Throws Error(kConfig) naming field, value and range.
  void check() const;
};

/// Target name (path below data/targets without suffix) -> weight; zero weights are left out. A name may have no
/// target file, which means no displacement. The corrupt target of Trap B is never named.
std::map<std::string, double> macro_target_weights(const MacroParams& params);

}  // namespace layeravatar::people

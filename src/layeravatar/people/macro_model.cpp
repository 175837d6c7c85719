#include "layeravatar/people/macro_model.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "layeravatar/core/error.h"

namespace layeravatar::people {
namespace {
using Factors = std::vector<std::pair<std::string, double>>;

// Trap B: this target shifts the whole body by 7 cm.
constexpr const char* kCorrupt = "breast/female-old-minmuscle-minweight-maxcup-averagefirmness";

Factors triple(double x, const char* low, const char* middle, const char* high, const std::string& noun) {
  const double hi = std::max(0.0, 2 * x - 1), lo = std::max(0.0, 1 - 2 * x);
  return {{low + noun, lo}, {middle + noun, 1 - hi - lo}, {high + noun, hi}};
}

/// Adds every combination of one factor from each list, words joined by "-".
void add_products(std::map<std::string, double>& out, const std::string& folder, const std::vector<Factors>& lists,
                  std::size_t depth = 0, const std::string& name = "", double weight = 1) {
  if (weight == 0) return;
  if (depth == lists.size()) {
    if (folder + name != kCorrupt) out[folder + name] += weight;
    return;
  }
  for (const auto& [word, factor] : lists[depth])
    add_products(out, folder, lists, depth + 1, name.empty() ? word : name + "-" + word, weight * factor);
}
}  // namespace

void MacroParams::check() const {
  const auto within = [](const char* name, double value, double low) {
    if (!(value >= low && value <= 1))
      throw Error(ErrorKind::kConfig, std::string("people.") + name + " = " + std::to_string(value) +
                                          ", must be in [" + std::to_string(low) + ", 1]");
  };
  within("gender", gender, 0);
  within("age", age, 0.5);
  within("muscle", muscle, 0);
  within("weight", weight, 0);
  within("height", height, 0);
  within("cup", cup, 0);
  within("firmness", firmness, 0);
  within("proportions", proportions, 0);
  double sum = 0;
  for (const double share : race) {
    if (!(share >= 0) || !std::isfinite(share))
      throw Error(ErrorKind::kConfig, "people.race = " + std::to_string(share) + ", must be a finite number >= 0");
    sum += share;
  }
  if (sum <= 0) throw Error(ErrorKind::kConfig, "people.race = 0, 0, 0; at least one share must be positive");
}

std::map<std::string, double> macro_target_weights(const MacroParams& p) {
  p.check();
  const Factors gender{{"female", 1 - p.gender}, {"male", p.gender}};
  const double old = 2 * p.age - 1;
  const Factors age{{"young", 1 - old}, {"old", old}};
  const double sum = p.race[0] + p.race[1] + p.race[2];
  const Factors race{{"african", p.race[0] / sum}, {"asian", p.race[1] / sum}, {"caucasian", p.race[2] / sum}};
  const Factors muscle = triple(p.muscle, "min", "average", "max", "muscle");
  const Factors weight = triple(p.weight, "min", "average", "max", "weight");
  std::map<std::string, double> out;
  add_products(out, "macrodetails/", {race, gender, age});
  add_products(out, "macrodetails/", {{{"universal", 1.0}}, gender, age, muscle, weight});
  add_products(out, "macrodetails/height/",
               {gender, age, muscle, weight, triple(p.height, "min", "average", "max", "height")});
  add_products(out, "macrodetails/proportions/",
               {gender, age, muscle, weight, triple(p.proportions, "uncommon", "regular", "ideal", "proportions")});
  add_products(out, "breast/",
               {{{"female", 1 - p.gender}}, age, muscle, weight, triple(p.cup, "min", "average", "max", "cup"),
                triple(p.firmness, "min", "average", "max", "firmness")});
  return out;
}

}  // namespace layeravatar::people

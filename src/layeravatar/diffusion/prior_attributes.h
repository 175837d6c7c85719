// What is known of people beside their planes, and the mixture that is left once some of it is asked for.
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

#include <array>
#include <string>
#include <vector>

namespace layeravatar::diffusion {

/// A mixture over components y [K] of each of P parts: y ~ sum_l weight_l N(centre_l, sum_r spread_lr^2 axes_lr axes_lr^T), the axes
/// orthonormal or zero. weight [P, L], centre [P, L, K], axes [P, L, R, K], spread [P, L, R]; a batch of mixtures has one more dimension in front.
struct Classes {
  torch::Tensor weight, centre, axes, spread;
};

/// One mixture for each of a batch. All have the same sizes.
Classes stack(const std::vector<Classes>& all);

/// Of n people, for each of P parts. What a person has: kinds, which classes keep apart (negative: not known); words, of which any number holds; and
/// values, numbers of any unit (NaN: not known).
struct PeopleAttributes {
  std::vector<torch::Tensor> kinds;   // [P] of [n] int64
  std::vector<torch::Tensor> words;   // [P] of [n, W] bool, W <= PriorAttributes::kWords
  std::vector<torch::Tensor> values;  // [P] of [n, U] float32, U <= PriorAttributes::kValues
};

/// What is asked for.
struct Condition {
  torch::Tensor words;   // [P, kWords] bool: all of these
  torch::Tensor values;  // [P, kValues] float32, NaN: left open
};
/// Nothing asked for.
Condition no_condition(std::int64_t parts);

/// How components of a MixturePrior's parts go with attributes. In class l of part p people have the share word_share[p, l] of them with each word, and values
/// u ~ N(value_mean[p, l], value_covariance[p]); given these, y = centre_l + slope (u - value_mean_l) + N(0, axes, spread). So what is asked for chooses classes by
/// Bayes' rule, and moves and narrows each of them: the closed form of a conditional denoiser. Not in the release.
/// Buffers: word_share [P, L, kWords], value_mean [P, L, kValues], value_covariance [P, kValues, kValues] within classes, a twentieth of the variance
/// over all people added to its diagonal for what few people cannot tell, slope [P, K, kValues], axes [P, L, R, K], spread [P, L, R]. Zero until fitted.
class PriorAttributes : public torch::nn::Module {
 public:
  static constexpr std::int64_t kWords = 32, kValues = 24;
  PriorAttributes(std::int64_t parts, std::int64_t classes, std::int64_t axes, std::int64_t rank);
  /// Part p from its people's components y [n, k <= K] float64 and the class of each.
  void fit_part(std::int64_t part, const torch::Tensor& y, const std::vector<int>& cluster, const torch::Tensor& words, const torch::Tensor& values);
  [[nodiscard]] bool fitted() const;
  /// The mixture that is left of `own`. Parts of which nothing is asked stay as they are. Throws Error(kConfig) when no class of a part has all words.
  [[nodiscard]] Classes given(const Classes& own, const Condition& condition) const;

 private:
  torch::Tensor word_share_, value_mean_, value_covariance_, slope_, axes_, spread_;
};

}  // namespace layeravatar::diffusion

// What whole components of avatars have in common, as mixtures of Gaussians over the planes: the part of denoising that is
// known in closed form.
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "layeravatar/diffusion/block_cosine.h"
#include "layeravatar/diffusion/prior_attributes.h"
#include "layeravatar/diffusion/schedule.h"

namespace layeravatar::diffusion {

struct PriorBlocks;
struct PriorBasis;

/// Planes as a sum of up to kParts independent parts (body with hair, top, bottom, shoes), each with its own channels and texels. In the
/// principal components y of a part's training planes, y ~ sum_l weight_l N(centre_l, S_l): a class l for each kind of garment,
/// found by clustering, so that no sample lies halfway between long sleeves and short ones; around that, independent noise. A
/// garment lies in many charts of the planes, far apart for convolutions; the posterior mean of this mixture holds them
/// together, and what it cannot know is left to the network. Not in the release.
/// All lives in the frequencies of block_cosine of each part's texels, zero elsewhere: mean and components in as many
/// coefficients as a ninth of the planes', those with the greatest mean square; the others have mean zero and a deviation for
/// each channel and frequency. Around mean and components, coefficients move by kDrift: planes do while they are trained.
/// In a block of texels of two parts the noise of one is not independent in its frequencies; it is taken for it.
/// Buffers, M = C h w / 9, P parts, L classes, R axes: owner [C, h, w] uint8, the part of each texel; index [M] int32 of
/// the coefficients among P C h w, ascending; mean [M]; basis [K, M] int8, row k the k-th component of every part in the
/// part's columns, in units of step [P, K]; deviation [P, K]; weight [P, L]; centre [P, L, K] and axes [P, L, R, K] in
/// components, spread [P, L, R] along the axes; rest [C, 8, 8]; with attributes theirs too. Zero until fitted.
class MixturePrior : public torch::nn::Module {
 public:
  static constexpr std::int64_t kBlock = kCosineBlock;
  static constexpr std::int64_t kKeptOneOf = 9;
  static constexpr std::int64_t kParts = 5, kClasses = 12, kAxes = 31;
  static constexpr int kLeastMembers = 5, kLeastOfKind = 3;  // planes of a class, found or of a known kind
  static constexpr double kDrift = 0.01;
  /// Of planes [channels, rows, columns], rows and columns multiples of kBlock.
  MixturePrior(std::int64_t channels, std::array<int, 2> image_size, std::int64_t rank, bool attributes = false);
  /// From planes [C, h, w] and the part of each texel [C, h, w] uint8; with n planes at most n - 1 components of a part get a
  /// deviation. Classes differ in the first half of the channels, the geometry: not in colour. Planes of different kinds are in different classes
  /// where the attributes tell kinds, as far as there are kClasses, and kLeastOfKind planes of each.
  void fit(const std::vector<torch::Tensor>& planes, const torch::Tensor& owner, const PeopleAttributes* attributes = nullptr);
  [[nodiscard]] bool fitted() const;
  /// Of buffers from a file: every owner is a part, the indices ascend and lie in the planes, else Error(kInput) that begins
  /// with `what`.
  void check(const std::string& what) const;
  /// Whether it was fitted with attributes; true of a prior that is to know none.
  [[nodiscard]] bool attributes_fitted() const { return attributes_ == nullptr || attributes_->fitted(); }
  [[nodiscard]] Classes classes() const { return {weight_, centre_, axes_, spread_}; }
  /// What is left of them by what is asked for. Throws Error(kConfig) for words that nobody has together.
  [[nodiscard]] Classes given(const Condition& condition) const;
  /// Makes ready now what the first estimate would.
  void prepare() const { (void)prepared(); }
  /// E[x0 | x_t] with x_t = a x0 + s noise at steps t [B]; x [B, C, h, w] -> the same shape. `classes`, of one mixture or of B, take the place of its own.
  [[nodiscard]] torch::Tensor estimate(const torch::Tensor& x, const torch::Tensor& t, const Classes* classes = nullptr) const;
  /// E[v | x_t] of v = a noise - s x0, from the estimate [B, C, h, w] of x0.
  [[nodiscard]] torch::Tensor velocity(const torch::Tensor& x, const torch::Tensor& estimate, const torch::Tensor& t) const;
  /// How far v lies from that, root of the mean square over texels, where the classes are known: [B, 1, 1, 1].
  [[nodiscard]] torch::Tensor deviation(const torch::Tensor& t) const;
  /// Over all classes, [1, C, h, w].
  [[nodiscard]] torch::Tensor mean() const;
  /// Planes [C, h, w] of components y [P, K] of the parts.
  [[nodiscard]] torch::Tensor at(const torch::Tensor& y) const;
  /// Components of each part.
  [[nodiscard]] std::int64_t rank() const { return deviation_.size(1); }
  /// sum_pk c_pk deviation_pk basis_pk, planes [C, h, w], of c [P, K], and its transpose, by which a gradient comes back.
  [[nodiscard]] torch::Tensor of_components(const torch::Tensor& c) const;
  [[nodiscard]] torch::Tensor to_components(const torch::Tensor& planes) const;
  /// Of the coefficients of each channel and frequency around the mean, over all blocks: [C, 8, 8].
  [[nodiscard]] torch::Tensor frequency_deviation() const;

 private:
  using Columns = std::array<std::int64_t, kParts + 1>;  // of part p: [p] to [p + 1] of the M
  /// The buffers in the form that every step computes with. Most blocks of texels are of one part, and zero in the others: a step
  /// looks at Q blocks alone, the parts' own and those where `index` points, one part and channel after another.
  struct Prepared {
    std::vector<std::int64_t> versions;  // of the buffers it was made from
    Columns columns;
    torch::Tensor basis, step;           // the buffers
    torch::Tensor cosine;                // [8, 8]
    torch::Tensor block;                 // [Q] int64: which of the N = C (h / 8) (w / 8) blocks of the planes
    torch::Tensor block_masks;           // [Q, 64] float32
    torch::Tensor block_order;           // [Q] int64: the Q by `block`
    torch::Tensor block_begin;           // [N + 1] int64: where each block's lie there
    torch::Tensor block_index;           // [M] int64, index in the Q blocks
    torch::Tensor rest_variance;         // [Q 64]
  };
  using Use = std::shared_ptr<const Prepared>;
  /// Made anew when a buffer has changed; safe to ask from several threads.
  [[nodiscard]] Use prepared() const;
  [[nodiscard]] PriorBlocks blocks_of(const Prepared& use, std::int64_t images) const;
  [[nodiscard]] static PriorBasis basis_of(const Prepared& use, std::int64_t images);
  [[nodiscard]] torch::Tensor masks() const;                                       // [P, C, h, w] bool
  [[nodiscard]] torch::Tensor all_frequencies(const torch::Tensor& planes) const;  // [C, h, w] -> [P C h w]
  [[nodiscard]] torch::Tensor planes_of_kept(const torch::Tensor& kept) const;     // [M], zero elsewhere -> [C, h, w]
  [[nodiscard]] torch::Tensor by_frequency(const torch::Tensor& all) const;        // [P C h w], sums over blocks, [C, 8, 8]
  [[nodiscard]] Columns columns_of_parts() const;
  [[nodiscard]] torch::Tensor block_frequencies(const torch::Tensor& planes, const Use& use) const;  // [B, C, h, w] -> [B, Q 64]
  [[nodiscard]] torch::Tensor planes_of_blocks(const torch::Tensor& frequencies, const Use& use) const;  // the transpose
  [[nodiscard]] torch::Tensor basis() const;                                       // [K, M], float32
  static torch::Tensor to_basis(const torch::Tensor& kept, const Use& use);          // [B, M] -> [B, P, K]
  static torch::Tensor of_basis(const torch::Tensor& y, const Use& use);             // the transpose
  [[nodiscard]] torch::Tensor support() const;                                     // [P C h w], 1 in a part's blocks
  [[nodiscard]] torch::Tensor rest_variance() const;                               // [P C h w], zero where index points
  static torch::Tensor posterior(const torch::Tensor& y, const torch::Tensor& a, const torch::Tensor& s, const Classes& classes);  // [B, P, K], of a y + s noise
  void fit_classes(std::int64_t part, const torch::Tensor& y, const torch::Tensor& squared_distances, const PeopleAttributes* attributes);

  Schedule schedule_;
  std::int64_t channels_, rows_, columns_;
  torch::Tensor owner_, index_, mean_, basis_, step_, deviation_, weight_, centre_, axes_, spread_, rest_;
  std::shared_ptr<PriorAttributes> attributes_;
  mutable std::mutex guard_;
  mutable Use prepared_;
};

/// Ward's clustering: the two clusters whose union adds least to the squared distances from the centres become one, until
/// there are at most `most`, and then those of fewer than `least` members join the nearest. squared_distances [n, n] float64
/// -> for each the number of its cluster, 0..count - 1 in the order of the first members.
std::vector<int> ward_clusters(const torch::Tensor& squared_distances, int most, int least);

}  // namespace layeravatar::diffusion

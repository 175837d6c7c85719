// Noise to avatars.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "layeravatar/avatar/avatar_file.h"
#include "layeravatar/diffusion/sampler.h"
#include "layeravatar/produce/studio.h"

namespace layeravatar::produce {

struct SamplingOptions {
  std::string sampler;   // ddim, ddpm, dpmpp or unipc; empty: the pack's usual one
  std::string spacing;   // of the steps: uniform, logsnr or quadratic; empty: the sampler's usual one
  int steps = 0;         // 1..1000; 0: the sampler's usual number
  int order = 0;         // 1..2 of dpmpp, 1..3 of unipc; 0: its usual one
  double eta = 0;        // of ddim, 0..1: noise that every step adds
  bool small_variance = false;  // of ddpm
  std::function<void(int, int)> progress;
  std::string like = {};        // what is asked for, "top=shirt,hair-colour=black" (produce/likeness.h); empty: nothing
  double guidance = 1;          // of what is asked for: 0 leaves it out, above 1 goes farther that way (classifier-free guidance)
  std::shared_ptr<const diffusion::Classes> asked = {};  // what `like` leaves of the prior's classes; usual_sampling fills it in
  diffusion::Held held = {};  // planes [12, h, 3h] that all avatars share where the mask is true
};

/// A component of an avatar: 0..4 body, top, hair, shoes, bottom.
struct Kept {
  const avatar::Avatar* avatar = nullptr;
  int component = 0;
};
/// Planes that hold these components, and where: each with the skin's geometry below it, and as far as the decoder looks around it where no
/// other kept one lies. For packs whose mixture prior or template tells components apart, so for any. Throws Error(kConfig) for a component that is kept twice.
diffusion::Held hold(const Studio& studio, const std::vector<Kept>& kept);
/// "body", "top", "hair", "shoes" or "bottom" to 0..4; else Error(kConfig) that begins with `flag`.
int component_named(const std::string& name, const std::string& flag);

/// The options with what was left open filled in: ddim with 25 uniform steps, 50 as the release does with an official pack; fewer of the
/// others (docs/performance.md). Throws Error(kConfig) for an unknown name, a number out of range and what cannot be asked for.
SamplingOptions usual_sampling(const Studio& studio, SamplingOptions options);

/// The initial noise of a seed, [12, h, 3h].
torch::Tensor noise_of(const Studio& studio, std::uint64_t seed);

/// Noise [1, 12, h, 3h] to planes of the same shape, as the sampler leaves them. `step_seed` is of the noise that ddpm and eta add.
/// Throws Error(kInput) for a pack without a denoiser, Error(kConfig) for what cannot be asked for.
torch::Tensor sample_planes(const Studio& studio, const torch::Tensor& noise, std::uint64_t step_seed, const SamplingOptions& options);

/// One avatar per seed, with a default pack its skin settled under its clothes (avatar::settle_layers); each depends on its own seed
/// alone, not on its neighbours in the batch.
std::vector<avatar::Avatar> sample_avatars(const Studio& studio, const std::vector<std::uint64_t>& seeds, const SamplingOptions& options);
/// The same from given initial noise [n, 12, h, 3h]; `names` say in the provenance where it came from.
std::vector<avatar::Avatar> sample_from_noise(const Studio& studio, const torch::Tensor& noise, const std::vector<std::string>& names, const SamplingOptions& options);

}  // namespace layeravatar::produce

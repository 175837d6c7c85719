// The cost and the error of samplers and steps with one pack: how a pack's usual sampler is chosen.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/produce/commands.h"

namespace layeravatar::eval {

struct CompareOptions {
  std::filesystem::path model;
  int count = 2;                   // noises, of seed, seed + 1, ...
  std::uint64_t seed = 0;
  int reference_steps = 1000;      // of ddim: the flow itself, nearly
  std::vector<int> steps = {5, 8, 10, 15, 20, 25, 50};
  std::string precision = "fp32";  // of the denoiser
  int size = 0;                    // pixels of the pictures; 0: the pack's
};

/// Means over the noises. The reference is drawn from the same noise.
struct ComparedSampler {
  std::string sampler, spacing;
  int order = 0, steps = 0;
  double distance = 0;  // root mean square between the planes and the reference's, as sampled
  double psnr = 0;      // of front and back view against the reference's, dB within the box around the person
  double seconds = 0;   // of sampling, per avatar
};

/// ddim, dpmpp and unipc of its second and third order with every spacing and number of steps, and ddim at 50 uniform steps first, the release's way.
/// Throws as `generate`.
std::vector<ComparedSampler> compare_samplers(const CompareOptions& options, const produce::Say& say);

}  // namespace layeravatar::eval

// Samples around a kept component: is it as it was, and do they differ elsewhere? Without LibTorch in the header.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace layeravatar::eval {

struct CompletionOptions {
  std::filesystem::path model;
  std::string component = "top";
  std::uint64_t seed = 0;  // of the avatar whose component is kept; samples have the following ones
  int count = 64;
  std::filesystem::path sheet;  // the avatar and the first samples, front and back, .png; empty: none
};

struct Completion {
  double least_kept = 0, mean_kept = 0;    // PSNR in dB of the kept component alone, in its box, four views, against before: the worst sample, and over all
  double mean_other = 0, most_alike = 0;   // of the full picture without the component's pixels between one sample and the next, in the person's box: mean, and the most alike pair
  int pictures = 0;
};

Completion measure_completion(const CompletionOptions& options, const std::function<void(const std::string&)>& say);

}  // namespace layeravatar::eval
